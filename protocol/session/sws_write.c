/*
 * sws_write.c - write, flush, sync.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <utlist.h>

#include "protocol/session/sws_internal.h"

bool sws_is_writer(const struct sws_file *file)
{
	return (file->flags & O_ACCMODE) != O_RDONLY;
}

void sws_file_lose(struct sws_file *file, const struct error *why)
{
	if (file->lost)
		return;
	file->lost = why->code;
	snprintf(file->why, sizeof(file->why), "%.199s", why->text);
}

int sws_tell_lost(struct sws_file *file, struct error *err)
{
	struct sws *ws = file->inode->ws;
	int rc = 0;

	pthread_mutex_lock(&ws->lock);
	if (file->lost)
		rc = error_set(err, file->lost, "%s", file->why);
	file->lost = 0;
	pthread_mutex_unlock(&ws->lock);
	return rc;
}

void sws_set_told(struct sws_file *file, bool told)
{
	struct sws *ws = file->inode->ws;

	pthread_mutex_lock(&ws->lock);
	file->told = told;
	pthread_mutex_unlock(&ws->lock);
}

struct writing {
	struct sws_file *file;
	const struct call *call;
	int64_t offset;
	const char *bytes;
	size_t len; /* at most OPS_IO_MAX */
};

/* Gate held. */
static int write_held(const struct writing *writing, struct mux *mux, struct error *err)
{
	struct sws_file *file = writing->file;
	const struct call *call = writing->call;
	int rc = sws_queue_settle(file->inode, mux, call, SWS_FILE_WRITES - 1,
				  SWS_FILE_BYTES - writing->len, err);

	if (!rc)
		rc = sws_queue_send(file->inode, mux, call, err);
	if (!rc)
		rc = sws_file_reopen(file, mux, call, err);
	if (!rc)
		rc = sws_queue_add(file, call, writing->offset, writing->bytes, writing->len, err);
	return rc;
}

static int write_step(void *arg, struct mux *mux, struct error *err)
{
	const struct writing *writing = arg;
	struct ws_latch *gate = &writing->file->inode->gate;
	int rc = ws_latch_take(gate, writing->call, WS_EXCLUSIVE, err);

	if (rc)
		return rc;
	rc = write_held(writing, mux, err);
	ws_latch_drop(gate);
	return rc;
}

int sws_write(struct sws_file *file, const struct call *call, int64_t offset, const void *bytes,
	      size_t len, struct error *err)
{
	struct writing writing = { .file = file, .call = call, .offset = offset, .bytes = bytes };
	struct sws *ws = file->inode->ws;
	int rc;

	if (!sws_is_writer(file))
		return error_set(err, EBADF, "the file is not open for writing");
	if (offset < 0 || (uint64_t)len > (uint64_t)(INT64_MAX - offset))
		return error_set(err, EFBIG, "no file has bytes there");
	rc = sws_tell_lost(file, err);
	if (!rc)
		sws_set_told(file, false);
	for (; !rc && len; len -= writing.len) {
		writing.len = len < OPS_IO_MAX ? len : OPS_IO_MAX;
		rc = sws_queue_make_room(ws, call, err);
		if (!rc)
			rc = sws_run(ws, call, 0, write_step, &writing, err);
		writing.offset += (int64_t)writing.len;
		writing.bytes += writing.len;
	}
	return rc;
}

int sws_flush(struct sws_file *file, const struct call *call, struct error *err)
{
	struct sws *ws = file->inode->ws;
	int rc;

	if (!sws_is_writer(file))
		return 0;
	rc = sws_inode_settle(file->inode, call, err);
	if (!rc) {
		uint64_t epoch = link_epoch(ws->link);

		pthread_mutex_lock(&ws->lock);
		sws_inode_judge(file->inode, epoch);
		pthread_mutex_unlock(&ws->lock);
		rc = sws_tell_lost(file, err);
	}
	if (rc)
		sws_set_told(file, true);
	return rc;
}

/* References to all inodes with unanswered writes; an array of *COUNT, owned. */
static int collect_dirty(struct sws *ws, struct sws_inode ***out, size_t *count)
{
	struct sws_inode *inode;
	size_t room = 1;

	*count = 0;
	pthread_mutex_lock(&ws->lock);
	DL_FOREACH (ws->dirty, inode)
		room++;
	*out = calloc(room, sizeof(struct sws_inode *));
	for (inode = ws->dirty; inode && *out; inode = inode->next) {
		inode->refs++;
		(*out)[(*count)++] = inode;
	}
	pthread_mutex_unlock(&ws->lock);
	return *out ? 0 : -ENOMEM;
}

/* An error that is still to be told to whoever wrote. */
static int any_lost(struct sws *ws, struct error *err)
{
	uint64_t epoch = link_epoch(ws->link);
	struct sws_inode *inode;
	struct sws_file *file;
	int rc = 0;

	pthread_mutex_lock(&ws->lock);
	for (inode = ws->inodes; inode && !rc; inode = inode->hh.next) {
		sws_inode_judge(inode, epoch);
		DL_FOREACH (inode->files, file) {
			if (file->lost)
				rc = error_set(err, file->lost, "%s", file->why);
		}
	}
	pthread_mutex_unlock(&ws->lock);
	return rc;
}

int sws_sync(struct sws *ws, const struct call *call, struct error *err)
{
	struct sws_inode **all;
	struct error why = { 0 };
	size_t count;
	int rc = collect_dirty(ws, &all, &count);

	if (rc)
		return error_set(err, ENOMEM, "no memory to send what was written");
	for (size_t i = 0; i < count; i++) {
		int failed = sws_inode_settle(all[i], call, rc ? &why : err);

		sws_inode_put(all[i]);
		if (!rc)
			rc = failed;
	}
	free(all);
	return rc ? rc : any_lost(ws, err);
}
