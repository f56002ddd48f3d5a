/*
 * ws_attr.c - attributes: asked for, and set.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>

#include "protocol/cleanup.h"
#include "protocol/line/ws.h"

int lws_stat(struct lws *ws, const struct call *call, const char *path, struct ws_attr *out,
	     struct error *err)
{
	autobuf struct buf script = BUF_INIT(LIMIT_EXEC_COMMAND);
	uint64_t seq = atomic_load(&ws->seq);
	int rc = ws_check_path(path, WS_LOOKUP, err);

	if (rc)
		return rc;
	ws_script_place(&script, ws, "p", path, 5);
	buf_adds(&script, "stat -c '" WS_STAT_FORMAT "' \"$p\"\n");
	rc = ws_run_attr(ws, call, TRAFFIC_STAT, &script, out, err);
	if (!rc)
		ws_attr_overlay(ws, seq, out);
	return rc;
}

int lws_fstat(struct lws_file *file, const struct call *call, struct ws_attr *out,
	      struct error *err)
{
	autobuf struct buf script = BUF_INIT(LIMIT_EXEC_COMMAND);
	struct lws *ws = file->inode->ws;
	uint64_t seq = atomic_load(&ws->seq);
	int rc = ws_latch_take(&ws->names, call, WS_SHARED, err);

	if (rc)
		return rc;
	ws_script_begin(&script);
	rc = ws_script_inode(file->inode, &script, err);
	buf_adds(&script, "show \"$F\"\n");
	if (!rc)
		rc = ws_run_attr(ws, call, TRAFFIC_STAT, &script, out, err);
	ws_latch_drop(&ws->names);
	if (!rc)
		ws_attr_overlay(ws, seq, out);
	return rc;
}

int lws_readlink(struct lws *ws, const struct call *call, const char *path, char *target,
		 size_t size, struct error *err)
{
	autobuf struct buf script = BUF_INIT(LIMIT_EXEC_COMMAND);
	struct shtext_reply reply = { 0 };
	int rc = ws_check_path(path, WS_LOOKUP, err);

	if (rc)
		return rc;
	ws_script_begin(&script);
	ws_script_place(&script, ws, "p", path, 5);
	buf_adds(&script, "need \"$p\"\n"
			  "[ -L \"$p\" ] || die 'not a symbolic link: Invalid argument'\n"
			  "readlink -n \"$p\"\n");
	rc = ws_run(ws, call, TRAFFIC_STAT, &script, &reply, err);
	if (!rc && (reply.out_len >= size || reply.out_len > LIMIT_SYMLINK_TARGET))
		rc = error_set(err, ENAMETOOLONG, "a link's target has more than %d bytes",
			       LIMIT_SYMLINK_TARGET);
	else if (!rc && memchr(reply.out, '\0', reply.out_len))
		rc = error_set(err, EPROTO, "the guest gave a link's target that cannot be one");
	if (!rc)
		memcpy(target, reply.out, reply.out_len + 1);
	shtext_reply_free(&reply);
	return rc;
}

/*
 * touch of coreutils takes "@S.NNNNNNNNN"; busybox's only whole seconds, and only as a date
 * before 1970, so that python sets the rest where there is one.  $1 which time, $2 decimal
 * seconds, $3 $4 the same in two integers, $5 the same as a date.
 */
static const char time_function[] =
	"tm() { touch -h -c $1 -d \"@$2\" \"$p\" 2>/dev/null ||\n"
	"python3 -c 'import os,sys\n"
	"p,w,s,n=sys.argv[1:]\n"
	"t=int(s)*10**9+int(n)\n"
	"i=os.lstat(p)\n"
	"os.utime(p,ns=(i.st_atime_ns if w==\"-m\" else t,i.st_mtime_ns if w==\"-a\" else t),"
	"follow_symlinks=False)' \"$p\" $1 $3 $4 2>/dev/null ||\n"
	"touch -h -c $1 -d \"$5\" \"$p\" || exit 1; }\n";

/* TIME as touch reads it: seconds before 1970 count their fraction backwards. */
static void set_time(struct buf *script, const char *which, const struct timespec *time)
{
	bool backwards = time->tv_sec < 0 && time->tv_nsec;
	long long seconds = time->tv_sec + backwards;
	long nsec = backwards ? 1000000000 - time->tv_nsec : time->tv_nsec;
	char date[64] = "";
	struct tm tm;

	if (time->tv_nsec == UTIME_NOW) {
		buf_addf(script, "touch -h -c %s \"$p\" || exit 1\n", which);
		return;
	}
	buf_addf(script, "tm %s %s%lld", which, backwards && !seconds ? "-" : "", seconds);
	if (nsec)
		buf_addf(script, ".%09ld", nsec);
	if (gmtime_r(&time->tv_sec, &tm))
		strftime(date, sizeof(date), "%Y-%m-%d %H:%M:%S", &tm);
	buf_addf(script, " %lld %ld '%s'\n", (long long)time->tv_sec, time->tv_nsec, date);
}

static void set_times(struct buf *script, unsigned mask, const struct ws_attr *in)
{
	buf_adds(script, time_function);
	if (mask & WS_SET_ATIME)
		set_time(script, "-a", &in->atime);
	if (mask & WS_SET_MTIME)
		set_time(script, "-m", &in->mtime);
}

static bool valid_time(const struct timespec *time)
{
	return time->tv_nsec == UTIME_NOW || (time->tv_nsec >= 0 && time->tv_nsec < 1000000000);
}

int ws_setattr_statements(struct buf *script, unsigned mask, const struct ws_attr *in, bool open,
			  struct error *err)
{
	if (((mask & WS_SET_ATIME) && !valid_time(&in->atime)) ||
	    ((mask & WS_SET_MTIME) && !valid_time(&in->mtime)) ||
	    ((mask & WS_SET_SIZE) && in->size < 0))
		return error_set(err, EINVAL, "a time or size that no file can have");
	if (mask & WS_SET_SIZE) {
		buf_adds(script, "[ ! -d \"$p\" ] || [ -L \"$p\" ] || die 'Is a directory'\n"
				 "[ -f \"$p\" ] && [ ! -L \"$p\" ] || die 'Invalid argument'\n");
		buf_addf(script, "%struncate -c -s %lld \"$F\" || exit 1\n%s",
			 open ? "unlock\n" : "", (long long)in->size, open ? "relock\n" : "");
	}
	if ((mask & WS_SET_UID) && (mask & WS_SET_GID))
		buf_addf(script, "chown -h %u:%u \"$p\" || exit 1\n", in->uid, in->gid);
	else if (mask & WS_SET_UID)
		buf_addf(script, "chown -h %u \"$p\" || exit 1\n", in->uid);
	else if (mask & WS_SET_GID)
		buf_addf(script, "chown -h :%u \"$p\" || exit 1\n", in->gid);
	if (mask & WS_SET_MODE)
		buf_addf(script,
			 "[ ! -L \"$p\" ] || die 'Operation not supported'\n"
			 "chmod 0%04o \"$F\" || exit 1\n",
			 in->mode & 07777);
	if (mask & (WS_SET_ATIME | WS_SET_MTIME))
		set_times(script, mask, in);
	return 0;
}

/* By the path alone. */
static int setattr_path(struct lws *ws, const struct call *call, const char *path, unsigned mask,
			const struct ws_attr *in, struct ws_attr *out, struct error *err)
{
	autobuf struct buf script = BUF_INIT(LIMIT_EXEC_COMMAND);
	int rc;

	ws_script_begin(&script);
	ws_script_place(&script, ws, "p", path, 5);
	buf_adds(&script, "need \"$p\"\n");
	if (mask & (WS_SET_SIZE | WS_SET_MODE)) { /* by tools that follow links */
		ws_script_hold(&script);
		buf_adds(&script, "i=$(stat -c '%d %i' \"$p\") || exit 1\n"
				  "[ -L \"$p\" ] || hold || die 'Stale file handle'\n");
	}
	rc = ws_setattr_statements(&script, mask, in, false, err);
	buf_adds(&script, "show \"$p\"\n");
	if (!rc)
		rc = ws_run_attr(ws, call, TRAFFIC_CHANGE, &script, out, err);
	if (!rc)
		ws_attr_overlay(ws, UINT64_MAX, out);
	return rc;
}

/*
 * PATH may be another name of a file that has unsent writes.  They came before this change, so
 * they are put in place and it is made once more: all that it can set is set as well twice.
 */
static int setattr_any_name(struct lws *ws, const struct call *call, const char *path,
			    unsigned mask, const struct ws_attr *in, struct ws_attr *out,
			    struct error *err)
{
	int rc = setattr_path(ws, call, path, mask, in, out, err);
	struct ws_inode *inode = rc ? NULL : ws_inode_of(ws, out);

	if (!inode)
		return rc;
	if (ws_inode_dirty(inode)) {
		rc = ws_inode_flush(inode, call, NULL, NULL, err);
		if (!rc)
			rc = setattr_path(ws, call, path, mask, in, out, err);
	}
	ws_inode_put(inode, call);
	return rc;
}

int lws_setattr(struct lws *ws, const struct call *call, const char *path, struct lws_file *file,
		unsigned mask, const struct ws_attr *in, struct ws_attr *out, struct error *err)
{
	autobuf struct buf statements = BUF_INIT(LIMIT_EXEC_COMMAND);
	bool writable = file && (file->flags & O_ACCMODE) != O_RDONLY;
	int rc = file ? 0 : ws_check_path(path, WS_LOOKUP, err);
	struct ws_inode *inode;

	if (!rc)
		rc = ws_setattr_statements(&statements, mask, in, writable, err);
	if (!rc && file)
		return ws_inode_flush(file->inode, call, buf_str(&statements), out, err);
	if (!rc)
		rc = ws_names_settle_all(ws, call, err);
	if (rc)
		return rc;

	/* A file that is open here has its unsent writes put in place first. */
	inode = ws_inode_at(ws, path);
	rc = -ESTALE;
	if (inode) {
		rc = ws_inode_flush(inode, call, buf_str(&statements), out, err);
		ws_inode_put(inode, call);
	}
	return rc == -ESTALE ? setattr_any_name(ws, call, path, mask, in, out, err) : rc;
}

int lws_statfs(struct lws *ws, const struct call *call, struct ws_statfs *out, struct error *err)
{
	autobuf struct buf script = BUF_INIT(LIMIT_EXEC_COMMAND);
	struct shtext_reply reply = { 0 };
	uint64_t n[8];
	int rc;

	ws_script_var(&script, "p", ws->root);
	buf_adds(&script, "stat -f -c '%s %S %b %f %a %c %d %l' \"$p\"\n");
	rc = ws_run(ws, call, TRAFFIC_STAT, &script, &reply, err);
	if (!rc && ws_parse_numbers(reply.out, n, 8))
		rc = error_set(err, EPROTO, "the guest's stat -f printed no numbers");
	if (!rc)
		*out = (struct ws_statfs){
			.block_size = n[1] ? n[1] : n[0],
			.blocks = n[2],
			.blocks_free = n[3],
			.blocks_available = n[4],
			.files = n[5],
			.files_free = n[6],
			.name_max = n[7],
		};
	shtext_reply_free(&reply);
	return rc;
}
