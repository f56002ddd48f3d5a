/*
 * sws_name.c - changes of names: each is one system call in the guest.
 */
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "protocol/session/sws_internal.h"
#include "protocol/ws_path.h"

/* A change that open files follow. */
struct change {
	struct sws_ask ask;
	const char *from, *to;
	bool exchange;
};

int sws_mkdir(struct sws *ws, const struct call *call, const char *path, mode_t mode,
	      struct ws_attr *out, struct error *err)
{
	autobuf struct buf args = BUF_INIT(FRAME_BODY_MAX);
	struct sws_ask ask = { .op = OP_MKDIR, .args = &args };
	int rc = ws_path_check(path, WS_PATH_CREATE, err);

	if (rc)
		return rc;
	pack_text(&args, path);
	pack_u32(&args, mode & 07777);
	return sws_call_attr(ws, call, &ask, out, err);
}

int sws_rmdir(struct sws *ws, const struct call *call, const char *path, struct error *err)
{
	autobuf struct buf args = BUF_INIT(FRAME_BODY_MAX);
	struct sws_ask ask = { .op = OP_RMDIR, .args = &args };
	int rc = ws_path_check(path, WS_PATH_LOOKUP, err);

	if (!rc && !*path)
		rc = error_set(err, EBUSY, "the workspace itself cannot be removed");
	if (rc)
		return rc;
	pack_text(&args, path);
	return sws_call(ws, call, &ask, err);
}

int sws_symlink(struct sws *ws, const struct call *call, const char *target, const char *path,
		struct ws_attr *out, struct error *err)
{
	autobuf struct buf args = BUF_INIT(FRAME_BODY_MAX);
	struct sws_ask ask = { .op = OP_SYMLINK, .args = &args };
	int rc = ws_path_check(path, WS_PATH_CREATE, err);

	if (!rc && !*target)
		rc = error_set(err, ENOENT, "a symbolic link needs a target");
	if (!rc && strlen(target) > LIMIT_SYMLINK_TARGET)
		rc = error_set(err, ENAMETOOLONG, "a link's target has more than %d bytes",
			       LIMIT_SYMLINK_TARGET);
	if (rc)
		return rc;
	pack_text(&args, target);
	pack_text(&args, path);
	return sws_call_attr(ws, call, &ask, out, err);
}

int sws_link(struct sws *ws, const struct call *call, const char *from, const char *to,
	     struct ws_attr *out, struct error *err)
{
	autobuf struct buf args = BUF_INIT(FRAME_BODY_MAX);
	struct sws_ask ask = { .op = OP_LINK, .args = &args };
	int rc = ws_path_check(from, WS_PATH_LOOKUP, err);

	if (!rc)
		rc = ws_path_check(to, WS_PATH_CREATE, err);
	if (rc)
		return rc;
	pack_text(&args, from);
	pack_text(&args, to);
	return sws_call_attr(ws, call, &ask, out, err);
}

int sws_mknod(struct sws *ws, const struct call *call, const char *path, mode_t mode,
	      struct ws_attr *out, struct error *err)
{
	autobuf struct buf args = BUF_INIT(FRAME_BODY_MAX);
	struct sws_ask ask = { .op = OP_MKNOD, .args = &args };
	mode_t type = mode & S_IFMT ? mode & S_IFMT : S_IFREG;
	int rc = ws_path_check(path, WS_PATH_CREATE, err);

	if (!rc && type != S_IFREG && type != S_IFIFO && type != S_IFSOCK)
		rc = error_set(err, EPERM, "a device cannot be made in a workspace");
	if (rc)
		return rc;
	pack_text(&args, path);
	pack_u32(&args, type | (mode & 07777));
	return sws_call_attr(ws, call, &ask, out, err);
}

static void unlinked(struct sws *ws, const struct sws_ask *ask, bool unsure)
{
	const struct change *change = (const struct change *)ask;

	/* Where it may still be there, it is found by its inode, or not. */
	if (unsure)
		return;
	pthread_mutex_lock(&ws->lock);
	sws_path_removed(ws, change->from, ask->begun);
	pthread_mutex_unlock(&ws->lock);
}

int sws_unlink(struct sws *ws, const struct call *call, const char *path, struct error *err)
{
	autobuf struct buf args = BUF_INIT(FRAME_BODY_MAX);
	struct change change = {
		.ask = { .op = OP_UNLINK, .args = &args, .renamed = unlinked, .victim = path },
		.from = path,
	};
	int rc = ws_path_check(path, WS_PATH_LOOKUP, err);

	if (!rc && !*path)
		rc = error_set(err, EISDIR, "the workspace itself is a directory");
	if (rc)
		return rc;
	pack_text(&args, path);
	return sws_call(ws, call, &change.ask, err);
}

static void renamed(struct sws *ws, const struct sws_ask *ask, bool unsure)
{
	const struct change *change = (const struct change *)ask;

	pthread_mutex_lock(&ws->lock);
	sws_path_moved(ws, change->from, change->to, change->exchange, unsure, ask->begun);
	pthread_mutex_unlock(&ws->lock);
}

int sws_rename(struct sws *ws, const struct call *call, const char *from, const char *to,
	       unsigned flags, struct error *err)
{
	autobuf struct buf args = BUF_INIT(FRAME_BODY_MAX);
	struct change change = {
		.ask = { .op = OP_RENAME, .args = &args, .renamed = renamed },
		.from = from,
		.to = to,
		.exchange = flags == RENAME_EXCHANGE,
	};
	int rc = ws_path_check(from, WS_PATH_LOOKUP, err);

	if (!rc && (!*from || !*to))
		rc = error_set(err, EBUSY, "the workspace itself cannot be renamed");
	if (!rc)
		rc = ws_path_check(to, WS_PATH_CREATE, err);
	if (!rc && flags != 0 && flags != RENAME_NOREPLACE && flags != RENAME_EXCHANGE)
		rc = error_set(err, EINVAL, "a guest cannot rename so");
	if (rc)
		return rc;
	if (!flags)
		change.ask.victim = to;
	pack_text(&args, from);
	pack_text(&args, to);
	pack_u32(&args, flags);
	return sws_call(ws, call, &change.ask, err);
}
