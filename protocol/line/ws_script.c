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

char *ws_parent(const struct lws *ws, const char *path)
{
	const char *slash = strrchr(path, '/');
	autofree char *parent = strndup(path, slash ? (size_t)(slash - path) : 0);

	return parent ? ws_absolute(ws, parent) : NULL;
}

char *ws_stage_name(const struct lws *ws, uint64_t serial)
{
	char name[24];

	snprintf(name, sizeof(name), "%llu", (unsigned long long)serial);
	return join(ws->stage, name);
}

void ws_script_begin(struct buf *script)
{
	buf_adds(script, "die() { echo \"$1\" >&2; exit 1; }\n"
			 "here() { [ -e \"$1\" ] || [ -L \"$1\" ]; }\n"
			 "dir() { [ -d \"$1\" ] && [ ! -L \"$1\" ]; }\n"
			 "need() { here \"$1\" || { stat \"$1\"; exit 1; }; }\n"
			 "in_dir() { [ -d \"$1\" ] || { stat \"$1/.\"; exit 1; }; }\n"
			 "free() { ! here \"$1\" || die 'File exists'; }\n"
			 "show() { stat -c '" WS_STAT_FORMAT "' \"$1\" || exit 1; }\n");
}

void ws_script_make(struct buf *script, mode_t mode)
{
	/* umask takes bits away from the 0666 of a redirection: the mode is right from the start */
	buf_addf(script,
		 "make() { umask 0%03o; set -C; { true >\"$p\"; } 2>/dev/null; c=$?; set +C; umask "
		 "0; "
		 "[ $c = 0 ]",
		 0666 & ~mode);
	if (mode & 07111)
		buf_addf(script, " && { chmod 0%04o \"$p\" || exit 1; }", mode & 07777);
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
