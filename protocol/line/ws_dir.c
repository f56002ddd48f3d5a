/*
 * ws_dir.c - names that are made, and empty directories that are removed.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "protocol/cleanup.h"
#include "protocol/line/ws.h"

/* Begins a script about PATH, which is to be made. */
static int begin(struct lws *ws, const char *path, struct buf *script, struct error *err)
{
	int rc = ws_check_path(path, WS_CREATE, err);

	ws_script_begin(script);
	ws_script_place(script, ws, "p", path, 5);
	return rc;
}

static int run_and_show(struct lws *ws, const struct call *call, struct buf *script,
			struct ws_attr *out, struct error *err)
{
	uint64_t seq = atomic_load(&ws->seq);
	int rc;

	buf_adds(script, "show \"$p\"\n");
	rc = ws_run_attr(ws, call, TRAFFIC_CHANGE, script, out, err);
	if (!rc)
		ws_attr_overlay(ws, seq, out);
	return rc;
}

int lws_mkdir(struct lws *ws, const struct call *call, const char *path, mode_t mode,
	      struct ws_attr *out, struct error *err)
{
	autobuf struct buf script = BUF_INIT(LIMIT_EXEC_COMMAND);
	int rc = begin(ws, path, &script, err);

	if (rc)
		return rc;
	buf_addf(&script, "mkdir -m 0%04o \"$p\" || exit 1\n", mode & 07777);
	return run_and_show(ws, call, &script, out, err);
}

int lws_rmdir(struct lws *ws, const struct call *call, const char *path, struct error *err)
{
	autobuf struct buf script = BUF_INIT(LIMIT_EXEC_COMMAND);
	int rc = ws_check_path(path, WS_LOOKUP, err);

	if (!rc && !*path)
		rc = error_set(err, EBUSY, "the workspace itself cannot be removed");
	if (rc)
		return rc;
	ws_script_place(&script, ws, "p", path, 5);
	buf_adds(&script, "rmdir \"$p\"\n");
	return ws_run_attr(ws, call, TRAFFIC_CHANGE, &script, NULL, err);
}

int lws_symlink(struct lws *ws, const struct call *call, const char *target, const char *path,
		struct ws_attr *out, struct error *err)
{
	autobuf struct buf script = BUF_INIT(LIMIT_EXEC_COMMAND);
	int rc = begin(ws, path, &script, err);

	if (!rc && !*target)
		rc = error_set(err, ENOENT, "a symbolic link needs a target");
	if (!rc && strlen(target) > LIMIT_SYMLINK_TARGET)
		rc = error_set(err, ENAMETOOLONG, "a link's target has more than %d bytes",
			       LIMIT_SYMLINK_TARGET);
	if (rc)
		return rc;
	ws_script_var(&script, "t", target);
	buf_adds(&script, "free \"$p\"\nln -s -T -- \"$t\" \"$p\" || exit 1\n");
	return run_and_show(ws, call, &script, out, err);
}

int lws_link(struct lws *ws, const struct call *call, const char *from, const char *to,
	     struct ws_attr *out, struct error *err)
{
	autobuf struct buf script = BUF_INIT(LIMIT_EXEC_COMMAND);
	int rc = ws_check_path(from, WS_LOOKUP, err);

	if (!rc)
		rc = ws_check_path(to, WS_CREATE, err);
	if (rc)
		return rc;
	ws_script_begin(&script);
	ws_script_place(&script, ws, "f", from, 6);
	buf_adds(&script, "need \"$f\"\n");
	ws_script_place(&script, ws, "p", to, 5);
	buf_adds(&script, "free \"$p\"\n"
			  "if dir \"$f\"; then\n"
			  "[ -w \"$D\" ] || die 'Permission denied'\n"
			  "die 'Operation not permitted'\nfi\n"
			  "ln -T \"$f\" \"$p\" || exit 1\n");
	return run_and_show(ws, call, &script, out, err);
}

int lws_mknod(struct lws *ws, const struct call *call, const char *path, mode_t mode,
	      struct ws_attr *out, struct error *err)
{
	autobuf struct buf script = BUF_INIT(LIMIT_EXEC_COMMAND);
	int rc = begin(ws, path, &script, err);

	if (!rc && !S_ISFIFO(mode) && !S_ISREG(mode) && (mode & S_IFMT))
		rc = error_set(err, EPERM, "only files and FIFOs can be made in a workspace");
	if (rc)
		return rc;
	if (S_ISFIFO(mode)) {
		buf_addf(&script, "free \"$p\"\nmkfifo -m 0%04o \"$p\" || exit 1\n", mode & 07777);
	} else {
		ws_script_make(&script, mode);
		buf_adds(&script, "free \"$p\"\nmake || { why; die 'File exists'; }\n");
	}
	return run_and_show(ws, call, &script, out, err);
}
