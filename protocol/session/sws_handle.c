/*
 * sws_handle.c - a file's number in the living session, and calls on open files.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>

#include "protocol/cleanup.h"
#include "protocol/session/sws_internal.h"

/* Opens PATH in MUX and looks that it is the file that INODE is.  -ESTALE for whatever the guest says. */
static int open_same(struct sws_file *file, struct mux *mux, const struct call *call,
		     const char *path, uint32_t *handle, struct error *err)
{
	struct sws_inode *inode = file->inode;
	autobuf struct buf args = BUF_INIT(FRAME_BODY_MAX);
	struct sws_opened opened;
	struct error why = { 0 };
	bool maybe_done;
	int rc;

	sws_open_args(&args, path, file->flags & (O_ACCMODE | O_APPEND), 0);
	rc = sws_open_call(inode->ws, mux, call, &args, &opened, &maybe_done, &why);
	if (rc && opened.answered)
		return error_set(err, ESTALE,
				 "the session broke and the file cannot be opened again: %s",
				 why.text);
	if (rc)
		return error_copy(err, &why);
	if (opened.attr.dev != inode->key.dev || opened.attr.ino != inode->key.ino) {
		sws_close_handle(inode->ws, mux_ref(mux), opened.handle);
		return error_set(err, ESTALE,
				 "the session broke and another file has taken the name since");
	}
	*handle = opened.handle;
	return 0;
}

/* Its names, owned. */
static void names_of(struct sws_inode *inode, char *names[2])
{
	pthread_mutex_lock(&inode->ws->lock);
	names[0] = inode->path ? strdup(inode->path) : NULL;
	names[1] = inode->maybe ? strdup(inode->maybe) : NULL;
	pthread_mutex_unlock(&inode->ws->lock);
}

/* FILE is HANDLE in MUX; PATH, moved away, is where it is.  Takes the reference over. */
static void adopt(struct sws_file *file, struct mux *mux, uint32_t handle, char **path)
{
	struct sws_inode *inode = file->inode;
	struct mux *before;

	pthread_mutex_lock(&inode->ws->lock);
	before = file->mux;
	file->mux = mux;
	file->handle = handle;
	free(inode->path);
	free(inode->maybe);
	inode->path = move_ptr(*path);
	inode->maybe = NULL;
	inode->named = ++inode->ws->clock;
	pthread_mutex_unlock(&inode->ws->lock);
	mux_unref(before);
}

/* names held, exclusively: no name is changing. */
static int reopen(struct sws_file *file, struct mux *mux, const struct call *call,
		  struct error *err)
{
	char *names[2];
	uint32_t handle = 0;
	int rc = error_set(err, ESTALE, "the session broke, and the file has no name any more");

	names_of(file->inode, names);
	for (int i = 0; i < 2 && rc == -ESTALE; i++) {
		if (!names[i])
			continue;
		rc = open_same(file, mux, call, names[i], &handle, err);
		if (!rc)
			adopt(file, mux_ref(mux), handle, &names[i]);
	}
	free(names[0]);
	free(names[1]);
	return rc;
}

static bool is_living(struct mux *mux)
{
	return mux && !mux_dead(mux);
}

int sws_file_ready(struct sws_file *file, const struct call *call, struct error *err)
{
	struct sws *ws = file->inode->ws;
	struct error why = { 0 };
	int rc = 0;

	for (int sessions = 0; !is_living(file->mux) && sessions < SWS_SESSIONS; sessions++) {
		struct mux *mux;

		rc = link_mux(ws->link, call, &mux, err);
		if (rc)
			return rc;
		rc = ws_latch_take(&ws->names, call, WS_EXCLUSIVE, &why);
		if (!rc) {
			rc = reopen(file, mux, call, &why);
			ws_latch_drop(&ws->names);
		}
		mux_unref(mux);
		if (rc && rc != -ECONNRESET)
			return error_copy(err, &why);
	}
	return rc ? sws_broken(&why, false, err) : 0;
}

/* Where it is ready and nothing of its inode's has to be sent first. */
static bool is_ready(struct sws_file *file, struct mux **mux, uint32_t *handle)
{
	struct sws *ws = file->inode->ws;
	bool ready;

	pthread_mutex_lock(&ws->lock);
	ready = is_living(file->mux) && !sws_inode_is_broken(file->inode);
	if (ready) {
		*mux = mux_ref(file->mux);
		*handle = file->handle;
	}
	pthread_mutex_unlock(&ws->lock);
	return ready;
}

int sws_file_session(struct sws_file *file, const struct call *call, struct mux **mux,
		     uint32_t *handle, struct error *err)
{
	struct sws_inode *inode = file->inode;
	int rc;

	if (is_ready(file, mux, handle))
		return 0;
	rc = ws_latch_take(&inode->gate, call, WS_EXCLUSIVE, err);
	if (rc)
		return rc;
	rc = sws_queue_send(inode, call, err);
	if (!rc)
		rc = sws_file_ready(file, call, err);
	if (!rc) {
		*mux = mux_ref(file->mux);
		*handle = file->handle;
	}
	ws_latch_drop(&inode->gate);
	return rc;
}

void sws_put_handle(struct buf *args, size_t at, uint32_t handle)
{
	for (size_t i = 0; i < 4 && at + i < args->len; i++)
		args->data[at + i] = (char)(handle >> 8 * i);
}

int sws_file_call(struct sws_file *file, const struct call *call, enum session_op op,
		  struct buf *args, size_t at, struct buf *reply, struct error *err)
{
	for (int sessions = 1;; sessions++) {
		struct error why = { 0 };
		uint32_t handle;
		struct mux *mux;
		int rc = sws_file_session(file, call, &mux, &handle, err);

		if (rc)
			return rc;
		sws_put_handle(args, at, handle);
		rc = mux_call(mux, call, op, args, reply, NULL, &why);
		mux_unref(mux);
		if (rc != -ECONNRESET)
			return rc ? error_copy(err, &why) : 0;
		if (sessions == SWS_SESSIONS)
			return sws_broken(&why, false, err);
	}
}

int sws_fstat(struct sws_file *file, const struct call *call, struct ws_attr *out,
	      struct error *err)
{
	autobuf struct buf args = BUF_INIT(FRAME_BODY_MAX), reply = BUF_INIT(FRAME_BODY_MAX);
	int rc;

	pack_u32(&args, 0);
	rc = sws_file_call(file, call, OP_FSTAT, &args, 0, &reply, err);
	return rc ? rc : sws_take_attr(&reply, out, err);
}
