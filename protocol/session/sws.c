/*
 * sws.c - the workspace over the session dialect: life, and questions about paths.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "protocol/session/sws_internal.h"
#include "protocol/ws_path.h"

int sws_new(struct link *link, struct sws **out)
{
	struct sws *ws = calloc(1, sizeof(*ws));

	if (!ws)
		return -ENOMEM;
	ws->link = link;
	ws_latch_init(&ws->names);
	gate_init(&ws->bulks, SWS_BULKS);
	pthread_mutex_init(&ws->lock, NULL);
	*out = ws;
	return 0;
}

void sws_free(struct sws *ws)
{
	if (!ws)
		return;
	sws_strays_drop(ws);
	ws_latch_destroy(&ws->names);
	gate_destroy(&ws->bulks);
	pthread_mutex_destroy(&ws->lock);
	free(ws);
}

int sws_stat(struct sws *ws, const struct call *call, const char *path, struct ws_attr *out,
	     struct error *err)
{
	autobuf struct buf args = BUF_INIT(FRAME_BODY_MAX);
	struct sws_ask ask = { .op = OP_STAT, .args = &args, .repeatable = true };
	int rc = ws_path_check(path, WS_PATH_LOOKUP, err);

	if (rc)
		return rc;
	pack_text(&args, path);
	rc = sws_call_attr(ws, call, &ask, out, err);
	if (!rc && !*path && !S_ISDIR(out->mode))
		rc = error_set(err, EPROTO, "the guest told of a workspace that is no directory");
	return rc;
}

int sws_readlink(struct sws *ws, const struct call *call, const char *path, char *target,
		 size_t size, struct error *err)
{
	autobuf struct buf args = BUF_INIT(FRAME_BODY_MAX), reply = BUF_INIT(FRAME_BODY_MAX);
	struct sws_ask ask = {
		.op = OP_READLINK, .args = &args, .reply = &reply, .repeatable = true
	};
	char text[LIMIT_SYMLINK_TARGET + 1];
	struct unpack in;
	int rc = ws_path_check(path, WS_PATH_LOOKUP, err);

	if (rc)
		return rc;
	pack_text(&args, path);
	rc = sws_call(ws, call, &ask, err);
	if (rc)
		return rc;
	in = unpack_from(reply.data, reply.len);
	unpack_text(&in, text, sizeof(text));
	rc = unpack_done(&in, "the guest's target of a link", err);
	if (!rc && strlen(text) >= size)
		rc = error_set(err, ENAMETOOLONG, "a link's target has more than %zu bytes",
			       size - 1);
	if (!rc)
		memcpy(target, text, strlen(text) + 1);
	return rc;
}

int sws_statfs(struct sws *ws, const struct call *call, struct ws_statfs *out, struct error *err)
{
	autobuf struct buf reply = BUF_INIT(FRAME_BODY_MAX);
	struct sws_ask ask = { .op = OP_STATFS, .reply = &reply, .repeatable = true };
	struct unpack in;
	int rc = sws_call(ws, call, &ask, err);

	if (rc)
		return rc;
	in = unpack_from(reply.data, reply.len);
	ops_unpack_statfs(&in, out);
	return unpack_done(&in, "what the guest told of its file system", err);
}

static bool valid_time(const struct timespec *time)
{
	return time->tv_nsec == UTIME_NOW || (time->tv_nsec >= 0 && time->tv_nsec < 1000000000);
}

/* Only what MASK names: the rest may be anything, and the guest judges all of it. */
static int masked_attr(unsigned mask, const struct ws_attr *in, struct ws_attr *out,
		       struct error *err)
{
	*out = (struct ws_attr){ 0 };
	if (((mask & WS_SET_ATIME) && !valid_time(&in->atime)) ||
	    ((mask & WS_SET_MTIME) && !valid_time(&in->mtime)) ||
	    ((mask & WS_SET_SIZE) && in->size < 0))
		return error_set(err, EINVAL, "a time or size that no file can have");
	if (mask & WS_SET_MODE)
		out->mode = in->mode & 07777;
	if (mask & WS_SET_UID)
		out->uid = in->uid;
	if (mask & WS_SET_GID)
		out->gid = in->gid;
	if (mask & WS_SET_SIZE)
		out->size = in->size;
	if (mask & WS_SET_ATIME)
		out->atime = in->atime;
	if (mask & WS_SET_MTIME)
		out->mtime = in->mtime;
	return 0;
}

int sws_setattr(struct sws *ws, const struct call *call, const char *path, struct sws_file *file,
		unsigned mask, const struct ws_attr *in, struct ws_attr *out, struct error *err)
{
	autobuf struct buf args = BUF_INIT(FRAME_BODY_MAX), reply = BUF_INIT(FRAME_BODY_MAX);
	struct sws_ask ask = { .op = OP_SETATTR, .args = &args, .repeatable = true };
	uint64_t epoch = link_epoch(ws->link); /* not a later one than that which does it */
	struct ws_attr set;
	int rc = file ? 0 : ws_path_check(path, WS_PATH_LOOKUP, err);

	if (!rc)
		rc = masked_attr(mask, in, &set, err);
	if (rc)
		return rc;
	pack_text(&args, file ? "" : path);
	pack_u32(&args, 0);
	pack_u32(&args, mask);
	ops_pack_attr(&args, &set);
	if (!file)
		return sws_call_attr(ws, call, &ask, out, err);
	/* the handle is behind the path, which is a length of 0 */
	rc = sws_file_call(file, call, OP_SETATTR, &args, 4, &reply, err);
	if (!rc && mask & WS_SET_SIZE)
		sws_inode_changed(file->inode, epoch);
	return rc ? rc : sws_take_attr(&reply, out, err);
}
