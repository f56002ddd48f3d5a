/*
 * ws_open.c - handles: open, write, flush, close.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <time.h>

#include "protocol/cleanup.h"
#include "protocol/line/ws.h"

static bool wants_write(int flags)
{
	return (flags & O_ACCMODE) != O_RDONLY;
}

static bool only_reads(int flags)
{
	return !wants_write(flags) && !(flags & O_CREAT);
}

/* "$p" exists and may be opened so.  What a shell says of a redirection ends as errnos do. */
static void script_existing(struct buf *script, int flags)
{
	if (flags & O_CREAT && flags & O_EXCL)
		buf_adds(script, "die 'File exists'\n");
	buf_adds(script, "[ ! -L \"$p\" ] || die 'Too many levels of symbolic links'\n");
	if (wants_write(flags) || flags & O_CREAT)
		buf_adds(script, "[ ! -d \"$p\" ] || die 'Is a directory'\n");
	/* no file: a device or a pipe; or it has changed since it was looked at */
	buf_adds(script, "[ -f \"$p\" ] || {\n"
			 "need \"$p\"\n"
			 "for is in -p -S -b -c; do [ ! -L \"$p\" ] && [ $is \"$p\" ] &&\n"
			 "die 'not a regular file: No such device or address'; done\n"
			 "die 'Stale file handle'\n}\n");
	if ((flags & O_ACCMODE) != O_WRONLY)
		buf_adds(script, "[ -r \"$p\" ] || true <\"$p\" || exit 1\n");
	if (wants_write(flags))
		buf_adds(script, "[ -w \"$p\" ] || true >>\"$p\" || exit 1\n");
	if (wants_write(flags) && flags & O_TRUNC)
		buf_adds(script, "look\n: >\"$F\" || exit 1\n");
}

/*
 * look: takes the attributes of "$p" into t, and holds the file that they are of.  What is behind
 * the name in them begins with the mode and the inode's number, and has its device as the tenth
 * word.
 */
static const char look_function[] =
	"look() { t=$(show \"$p\") || exit 1; set -- ${t##*//}; i=\"${10} $2\"\n"
	"hold || die 'Stale file handle'; }\n";

static void open_script(struct lws *ws, const char *path, int flags, mode_t mode,
			const struct ws_chunk *first, struct buf *script)
{
	ws_script_begin(script);
	ws_script_place(script, ws, "p", path, 5);
	if (first->asked || flags & O_TRUNC) {
		ws_script_hold(script);
		buf_adds(script, look_function);
	}
	if (flags & O_CREAT) {
		ws_script_make(script, mode);
		buf_adds(script, "if here \"$p\" || ! make; then\nwhy\n");
		script_existing(script, flags);
		buf_adds(script, "fi\n");
	} else {
		buf_adds(script, "need \"$p\"\n");
		script_existing(script, flags);
	}
	if (first->asked) {
		buf_adds(script, "look\nprintf '%s\\n' \"$t\"\n");
		ws_chunk_script(script, first);
	} else {
		buf_adds(script, "show \"$p\"\n");
	}
}

/*
 * Sends the open, and finds or makes the inode before its name can change.  Who opens a file only
 * to read it mostly does, and most files are small: the first bytes come along.
 */
static int open_inode(struct lws *ws, const struct call *call, const char *path, int flags,
		      mode_t mode, struct ws_inode **out, struct ws_attr *attr, struct error *err)
{
	autobuf struct buf script = BUF_INIT(LIMIT_EXEC_COMMAND);
	struct ws_chunk first = { .asked = only_reads(flags) ? WS_CHUNK_MIN : 0 };
	uint64_t seq = atomic_load(&ws->seq);
	struct shtext_reply reply = { 0 };
	int rc = ws_latch_take(&ws->names, call, WS_SHARED, err);

	if (rc)
		return rc;
	open_script(ws, path, flags, mode, &first, &script);
	rc = ws_run(ws, call, TRAFFIC_OPEN, &script, &reply, err);
	if (!rc)
		rc = ws_chunk_take(&reply, &first, attr, err);
	if (!rc && ws_inode_get(ws, path, attr, out))
		rc = error_set(err, ENOMEM, "no memory for an open file");
	ws_latch_drop(&ws->names);
	if (!rc)
		ws_chunk_offer(*out, seq, attr, &first);
	else
		free(first.bytes);
	shtext_reply_free(&reply);
	return rc;
}

/* The file is empty now, whatever was written to it before. */
static void truncated(struct ws_inode *inode, const struct ws_attr *attr)
{
	pthread_mutex_lock(&inode->lock);
	ws_dirty_clear(&inode->dirty);
	ws_chunks_drop(inode);
	inode->unsure = -1;
	ws_inode_learn(inode, attr, true);
	pthread_mutex_unlock(&inode->lock);
}

/* An open that truncates comes between the flushes of who has the file open already. */
static int open_truncating(struct lws *ws, const struct call *call, const char *path, int flags,
			   mode_t mode, struct ws_inode **out, struct ws_attr *attr,
			   struct error *err)
{
	struct ws_inode *before = ws_inode_at(ws, path);
	int rc = before ? ws_latch_take(&before->gate, call, WS_EXCLUSIVE, err) : 0;

	if (!rc) {
		rc = open_inode(ws, call, path, flags, mode, out, attr, err);
		if (!rc)
			truncated(*out, attr);
		if (before)
			ws_latch_drop(&before->gate);
	}
	if (before)
		ws_inode_put(before, call);
	return rc;
}

int lws_open(struct lws *ws, const struct call *call, const char *path, int flags, mode_t mode,
	     struct lws_file **out, struct ws_attr *attr, struct error *err)
{
	uint64_t seq = atomic_load(&ws->seq);
	int rc = ws_check_path(path, flags & O_CREAT ? WS_CREATE : WS_LOOKUP, err);
	struct lws_file *file;

	if (rc == -EEXIST)
		rc = error_set(err, EISDIR, "the workspace itself is a directory");
	if (rc)
		return rc;
	file = calloc(1, sizeof(*file));
	if (!file)
		return error_set(err, ENOMEM, "no memory for an open file");
	if (wants_write(flags) && flags & O_TRUNC)
		rc = open_truncating(ws, call, path, flags, mode, &file->inode, attr, err);
	else
		rc = open_inode(ws, call, path, flags, mode, &file->inode, attr, err);
	if (rc) {
		free(file);
		return rc;
	}
	pthread_mutex_lock(&ws->lock);
	file->inode->handles++;
	pthread_mutex_unlock(&ws->lock);
	file->flags = flags;
	ws_attr_overlay(ws, seq, attr);
	*out = file;
	return 0;
}

static void tell(struct ws_inode *inode, int rc)
{
	if (!rc)
		return;
	pthread_mutex_lock(&inode->lock);
	inode->told = true;
	pthread_mutex_unlock(&inode->lock);
}

int lws_write(struct lws_file *file, const struct call *call, int64_t offset, const void *bytes,
	      size_t len, struct error *err)
{
	struct ws_inode *inode = file->inode;
	bool append = file->flags & O_APPEND;
	int rc = -ENOBUFS;

	if (!wants_write(file->flags))
		return error_set(err, EBADF, "the file is not open for writing");
	if (offset < 0 || (uint64_t)len > (uint64_t)(INT64_MAX - offset))
		return error_set(err, EFBIG, "no file has bytes there");
	for (int tries = 0; rc == -ENOBUFS && tries < 3; tries++) {
		if (tries) {
			rc = ws_inode_flush(inode, call, NULL, NULL, err);
			tell(inode, rc);
			if (rc)
				return rc;
		}
		pthread_mutex_lock(&inode->lock);
		rc = ws_dirty_write(&inode->dirty, append, offset, bytes, len, err);
		if (!rc) {
			clock_gettime(CLOCK_REALTIME, &inode->written);
			inode->told = false;
		}
		pthread_mutex_unlock(&inode->lock);
	}
	if (rc == -ENOBUFS)
		return error_set(
			err, ENOSPC,
			"the spool for unsent writes has no room (TMPDIR says where it is)");
	return rc;
}

int lws_flush(struct lws_file *file, const struct call *call, struct error *err)
{
	int rc = 0;

	if (wants_write(file->flags))
		rc = ws_inode_flush(file->inode, call, NULL, NULL, err);
	tell(file->inode, rc);
	return rc;
}

int lws_fsync(struct lws_file *file, const struct call *call, bool data_only, struct error *err)
{
	autobuf struct buf extra = BUF_INIT(1024);
	int rc;

	/* An old sync takes no file and syncs everything; only a lost write is an error. */
	buf_addf(&extra,
		 "e=$(sync %s\"$F\" 2>&1) || case $e in\n"
		 "(*'Input/output error'|*'I/O error'|*'No space left on device'|*'uota exceeded')"
		 " die \"$e\";;\n"
		 "(*) sync;;\nesac\n",
		 data_only ? "-d " : "");
	rc = ws_inode_flush(file->inode, call, buf_str(&extra), NULL, err);
	tell(file->inode, rc);
	return rc;
}

int lws_close(struct lws_file *file, const struct call *call, struct error *err)
{
	struct ws_inode *inode = file->inode;
	struct lws *ws = inode->ws;
	struct error why = { 0 };
	bool last, told;
	int rc = 0;

	pthread_mutex_lock(&ws->lock);
	last = --inode->handles == 0;
	pthread_mutex_unlock(&ws->lock);
	if (last)
		rc = ws_inode_flush(inode, call, NULL, NULL, &why);
	pthread_mutex_lock(&inode->lock);
	told = inode->told;
	pthread_mutex_unlock(&inode->lock);
	ws_inode_put(inode, call);
	free(file);
	return rc && !told ? error_copy(err, &why) : 0;
}
