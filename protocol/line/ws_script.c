/*
 * ws_script.c - paths, and the scripts that are run on them.
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "protocol/cleanup.h"
#include "protocol/line/ws.h"

/* One component of LEN bytes. */
static int check_name(const char *name, size_t len, struct error *err)
{
	if (!len || (len == 1 && name[0] == '.') || (len == 2 && !memcmp(name, "..", 2)))
		return error_set(err, EINVAL, "a path has an empty, \".\" or \"..\" component");
	if (len > LIMIT_NAME)
		return error_set(err, ENAMETOOLONG, "a name has more than %d bytes", LIMIT_NAME);
	return 0;
}

static bool is_private(const char *path)
{
	return !strncmp(path, WS_PRIVATE_PREFIX, strlen(WS_PRIVATE_PREFIX));
}

int ws_check_path(const char *path, enum ws_path_use use, struct error *err)
{
	const char *name = path;
	int rc = 0;

	if (!*path)
		return use == WS_CREATE ? error_set(err, EEXIST, "the workspace itself exists") : 0;
	if (strlen(path) >= LIMIT_PATH)
		return error_set(err, ENAMETOOLONG, "a path has more than %d bytes",
				 LIMIT_PATH - 1);
	if (is_private(path))
		return use == WS_CREATE ?
			       error_set(err, EPERM, "names that begin with %s are vsockfs's own",
					 WS_PRIVATE_PREFIX) :
			       error_set(err, ENOENT, "there is no such file");
	while (!rc && name) {
		const char *slash = strchrnul(name, '/');

		rc = check_name(name, (size_t)(slash - name), err);
		name = *slash ? slash + 1 : NULL;
	}
	return rc;
}

static char *join(const char *dir, const char *name)
{
	char *path = NULL;

	return asprintf(&path, "%s/%s", dir, name) < 0 ? NULL : path;
}

char *ws_absolute(const struct lws *ws, const char *path)
{
	return *path ? join(ws->root, path) : strdup(ws->root);
}

char *ws_stage_name(const struct lws *ws, uint64_t serial)
{
	char name[24];

	snprintf(name, sizeof(name), "%llu", (unsigned long long)serial);
	return join(ws->stage, name);
}

/*
 * at DIR FD: sets D to what a name in DIR, of the workspace $R, is to be put behind, and fails
 * where DIR is not there or one of its directories has become a link since the kernel was told of
 * it.  Where the guest has /proc, $D goes by the open directory, so that it stays what was checked.
 * (Not by being the working directory: a PATH with a dot in it would find its tools there.)  gone
 * DIR says why at failed.
 */
static const char at_functions[] =
	"at() { D=$R/$1/; { command cd -P \"$R\" && B=${PWD%/} && command cd -P \"./$1\" &&\n"
	"[ \"$PWD\" = \"$B/$1\" ]; } 2>/dev/null || { command cd /; return 1; }\n"
	"eval \"command exec $2<.\" 2>/dev/null && [ -d /proc/self/fd/$2/ ] && "
	"D=/proc/self/fd/$2/\n"
	"command cd /; }\n"
	"gone() { stat \"$R/$1/.\" >/dev/null && echo 'Stale file handle' >&2; exit 1; }\n";

bool ws_script_at(struct buf *script, const struct lws *ws, const char *path, int fd)
{
	const char *slash = strrchr(path, '/');

	ws_script_var(script, "R", ws->root);
	if (!slash) {
		buf_adds(script, "D=$R/\n");
		return false;
	}
	buf_adds(script, at_functions);
	shtext_assign(script, "A", path, (size_t)(slash - path));
	buf_addf(script, "at \"$A\" %d ", fd);
	return true;
}

void ws_script_place(struct buf *script, const struct lws *ws, const char *name, const char *path,
		     int fd)
{
	const char *slash = strrchr(path, '/');

	if (ws_script_at(script, ws, path, fd))
		buf_adds(script, "|| gone \"$A\"\n");
	ws_script_var(script, name, slash ? slash + 1 : path);
	if (*path)
		buf_addf(script, "%s=$D$%s\n", name, name);
	else
		buf_addf(script, "%s=$R\n", name);
}

/*
 * hold: sets F to what stands for the file or directory "$p" while it is worked on, and L to stat's
 * option for it; fails unless that is the inode $i.  $F goes by the open file, and is what was
 * checked, whatever comes into the place of "$p"; except where the guest has no /proc, or for what
 * cannot be opened (a FIFO is not: nobody may be at its other end).
 */
static const char hold_functions[] =
	"is() { [ \"$(stat $L -c '%d %i' \"$1\" 2>/dev/null)\" = \"$i\" ]; }\n"
	"hold() { F=$p\n"
	"if [ -L \"$p\" ]; then return 1\n"
	"elif [ -r \"$p\" ] && { [ -f \"$p\" ] || [ -d \"$p\" ]; }; then command exec 4<\"$p\" || "
	"return 1\n"
	"elif [ -w \"$p\" ] && [ -f \"$p\" ]; then command exec 4>>\"$p\" || return 1; fi "
	"2>/dev/null\n"
	"[ ! -e /proc/self/fd/4 ] || F=/proc/self/fd/4 L=-L\n"
	"is \"$F\"; }\n";

void ws_script_hold(struct buf *script)
{
	buf_adds(script, hold_functions);
}

void ws_script_begin(struct buf *script)
{
	buf_adds(script, "die() { echo \"$1\" >&2; exit 1; }\n"
			 "here() { [ -e \"$1\" ] || [ -L \"$1\" ]; }\n"
			 "dir() { [ -d \"$1\" ] && [ ! -L \"$1\" ]; }\n"
			 "need() { here \"$1\" || { stat \"$1\"; exit 1; }; }\n"
			 "in_dir() { [ -d \"$1\" ] || { stat \"$1/.\"; exit 1; }; }\n"
			 "free() { ! here \"$1\" || die 'File exists'; }\n"
			 "show() { stat $L -c '" WS_STAT_FORMAT "' \"$1\" || exit 1; }\n"
			 "L=\n");
}

void ws_script_make(struct buf *script, mode_t mode)
{
	/* umask takes bits away from the 0666 of a redirection: the mode is right from the start */
	buf_addf(script,
		 "make() { umask 0%03o; set -C; { command exec 4>\"$p\"; } 2>/dev/null; c=$?; "
		 "set +C; umask 0; [ $c = 0 ]",
		 0666 & ~mode);
	if (mode & 07111)
		buf_addf(
			script,
			" && { F=/proc/self/fd/4; [ -e $F ] || F=$p; chmod 0%04o \"$F\" || exit 1; "
			"}",
			mode & 07777);
	/* a shell's own words for why are no errno's; those of touch are */
	buf_adds(script, "; }\nwhy() { here \"$p\" || touch \"$p\" || exit 1; }\n");
}

void ws_script_var(struct buf *script, const char *name, const char *value)
{
	if (value)
		shtext_assign(script, name, value, strlen(value));
	else
		script->overflow = true;
}

/* The agent's words, for people: what failed is not known to them by the script's names. */
int ws_run(struct lws *ws, const struct call *call, enum traffic_kind kind,
	   const struct buf *script, struct shtext_reply *reply, struct error *err)
{
	int rc = shtext_run(ws->guest, call, kind, script, reply, err);

	if (!rc && reply->status)
		rc = shtext_failure(reply, EIO, err);
	return rc;
}

int ws_run_attr(struct lws *ws, const struct call *call, enum traffic_kind kind,
		const struct buf *script, struct ws_attr *out, struct error *err)
{
	struct shtext_reply reply = { 0 };
	struct ws_record record;
	int rc = ws_run(ws, call, kind, script, &reply, err);
	const char *text = reply.out;

	if (!rc && out) {
		rc = ws_parse_record(&text, text + reply.out_len, &record);
		if (rc)
			rc = error_set(err, EPROTO, "the guest's stat printed no attributes");
		else
			*out = record.attr;
	}
	shtext_reply_free(&reply);
	return rc;
}

bool ws_unanswered(int rc)
{
	return rc == -ETIMEDOUT || rc == -EINTR || rc == -EPROTO || rc == -ENOTCONN;
}
