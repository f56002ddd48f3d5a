/*
 * sws_handle.c - a file's number in the living session, and calls on open files.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>

#include "protocol/cleanup.h"
#include "protocol/session/sws_internal.h"

/* As far as the agents that were asked can tell. */
static bool is_same(const struct sws_key *key, const struct ws_attr *attr)
{
	return attr->dev == key->dev && attr->ino == key->ino &&
	       (attr->generation == key->generation || !attr->generation || !key->generation);
}

/* Opens PATH in MUX and looks that it is the file's inode.  -ESTALE for whatever the guest says. */
static int open_same(struct sws_file *file, struct mux *mux, const struct call *call,
		     const char *path, uint32_t *handle, struct error *err)
{
	struct sws_inode *inode = file->inode;
	autobuf struct buf args = BUF_INIT(FRAME_BODY_MAX);
	struct sws_opened opened;
	struct error why = { 0 };
	int rc;

	sws_open_args(&args, path, file->flags & (O_ACCMODE | O_APPEND), 0);
	rc = sws_open_call(inode->ws, mux, call, &args, &opened, &why);
	if (rc && opened.answered)
		return error_set(err, ESTALE,
				 "the session broke and the file cannot be opened again: %s",
				 why.text);
	if (rc)
		return error_copy(err, &why);
	if (!is_same(&inode->key, &opened.attr)) {
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
	uint32_t was;

	pthread_mutex_lock(&inode->ws->lock);
	before = file->mux;
	was = file->handle;
	file->mux = mux;
	file->handle = handle;
	free(inode->path);
	free(inode->maybe);
	inode->path = move_ptr(*path);
	inode->maybe = NULL;
	inode->named = ++inode->ws->clock;
	pthread_mutex_unlock(&inode->ws->lock);
	sws_close_handle(inode->ws, before, was);
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

int sws_file_reopen(struct sws_file *file, struct mux *mux, const struct call *call,
		    struct error *err)
{
	struct sws *ws = file->inode->ws;
	int rc;

	if (file->mux == mux)
		return 0;
	rc = ws_latch_take(&ws->names, call, WS_EXCLUSIVE, err);
	if (rc)
		return rc;
	rc = reopen(file, mux, call, err);
	ws_latch_drop(&ws->names);
	return rc;
}

int sws_file_handle(struct sws_file *file, struct mux *mux, const struct call *call,
		    uint32_t *handle, struct error *err)
{
	struct sws_inode *inode = file->inode;
	bool ready;
	int rc;

	pthread_mutex_lock(&inode->ws->lock);
	ready = file->mux == mux;
	*handle = file->handle;
	pthread_mutex_unlock(&inode->ws->lock);
	if (ready)
		return 0;
	rc = ws_latch_take(&inode->gate, call, WS_EXCLUSIVE, err);
	if (rc)
		return rc;
	rc = sws_file_reopen(file, mux, call, err);
	*handle = file->handle;
	ws_latch_drop(&inode->gate);
	return rc;
}

/* Whether INODE is at PATH and has a file without a handle in MUX.  ws->lock held. */
static bool is_elsewhere(const struct sws_inode *inode, const char *path, const struct mux *mux)
{
	const struct sws_file *file = inode->files;

	if ((!inode->path || strcmp(inode->path, path) != 0) &&
	    (!inode->maybe || strcmp(inode->maybe, path) != 0))
		return false;
	while (file && file->mux == mux)
		file = file->next;
	return file;
}

/* References to all of those; an array of *COUNT, owned. */
static int collect_elsewhere(struct sws *ws, const char *path, const struct mux *mux,
			     struct sws_inode ***out, size_t *count)
{
	struct sws_inode *inode;
	size_t found = 0;

	*count = 0;
	*out = NULL;
	pthread_mutex_lock(&ws->lock);
	for (inode = ws->inodes; inode; inode = inode->hh.next)
		found += is_elsewhere(inode, path, mux);
	if (found)
		*out = calloc(found, sizeof(struct sws_inode *));
	for (inode = ws->inodes; inode && *out; inode = inode->hh.next) {
		if (!is_elsewhere(inode, path, mux))
			continue;
		inode->refs++;
		(*out)[(*count)++] = inode;
	}
	pthread_mutex_unlock(&ws->lock);
	return found && !*out ? -ENOMEM : 0;
}

static int reopen_all(struct sws_inode *inode, struct mux *mux, const struct call *call,
		      struct error *err)
{
	struct sws *ws = inode->ws;
	struct sws_file *file;
	int rc = ws_latch_take(&inode->gate, call, WS_EXCLUSIVE, err);

	if (rc)
		return rc;
	pthread_mutex_lock(&ws->lock);
	file = inode->files;
	pthread_mutex_unlock(&ws->lock);
	while (file && !rc) {
		rc = sws_file_reopen(file, mux, call, err);
		if (rc == -ESTALE) /* whoever uses it will hear so */
			rc = 0;
		pthread_mutex_lock(&ws->lock);
		file = file->next;
		pthread_mutex_unlock(&ws->lock);
	}
	ws_latch_drop(&inode->gate);
	return rc;
}

int sws_path_reopen(struct sws *ws, struct mux *mux, const struct call *call, const char *path,
		    struct error *err)
{
	struct sws_inode **all;
	size_t count;
	int rc = collect_elsewhere(ws, path, mux, &all, &count);

	if (rc)
		return error_set(err, ENOMEM, "no memory to look who has the file open");
	for (size_t i = 0; i < count; i++) {
		if (!rc)
			rc = reopen_all(all[i], mux, call, err);
		sws_inode_put(all[i]);
	}
	free(all);
	return rc;
}

void sws_put_handle(struct buf *args, size_t at, uint32_t handle)
{
	for (size_t i = 0; i < 4 && at + i < args->len; i++)
		args->data[at + i] = (char)(handle >> 8 * i);
}

struct asking {
	struct sws_file *file;
	const struct call *call;
	enum session_op op;
	struct buf *args, *reply;
	size_t at;
};

static int ask_step(void *arg, struct mux *mux, struct error *err)
{
	struct asking *asking = arg;
	uint32_t handle;
	int rc = sws_file_handle(asking->file, mux, asking->call, &handle, err);

	if (rc)
		return rc;
	sws_put_handle(asking->args, asking->at, handle);
	return mux_call(mux, asking->call, asking->op, asking->args, asking->reply, NULL, err);
}

int sws_file_call(struct sws_file *file, const struct call *call, enum session_op op,
		  struct buf *args, size_t at, struct buf *reply, struct error *err)
{
	struct asking asking = {
		.file = file, .call = call, .op = op, .args = args, .reply = reply, .at = at
	};

	return sws_run(file->inode->ws, call, op, ask_step, &asking, err);
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
