/*
 * sws_queue.c - unanswered writes: sent, settled, sent again.
 *
 * The writes of an inode are sent in the order in which they were made, and carried out in it.  Their
 * bytes stay here until they are answered.  After a break those without an answer are sent
 * again, all of them and in order, which puts the same bytes where they were put before; an append
 * that the guest may have seen is not, and its handle hears that nobody knows.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <utlist.h>

#include "protocol/session/sws_internal.h"

/* Handle, offset, append: in front of the bytes. */
#define WRITE_HEAD 13

bool sws_inode_is_broken(const struct sws_inode *inode)
{
	const struct sws_write *first = inode->writes;

	if (!first)
		return false;
	/* All that was sent is in one session, the unsent rest is behind. */
	return !first->mux || mux_dead(first->mux) || !first->prev->mux;
}

static void enqueue(struct sws_inode *inode, struct sws_write *write)
{
	struct sws *ws = inode->ws;

	pthread_mutex_lock(&ws->lock);
	if (!inode->writes)
		DL_APPEND(ws->dirty, inode);
	DL_APPEND(inode->writes, write);
	inode->count++;
	inode->bytes += write->len;
	ws->count++;
	ws->bytes += write->len;
	pthread_mutex_unlock(&ws->lock);
}

/* Takes it out and frees it.  It has no ticket. */
static void dequeue(struct sws_inode *inode, struct sws_write *write)
{
	struct sws *ws = inode->ws;

	pthread_mutex_lock(&ws->lock);
	DL_DELETE(inode->writes, write);
	inode->count--;
	inode->bytes -= write->len;
	ws->count--;
	ws->bytes -= write->len;
	if (!inode->writes)
		DL_DELETE(ws->dirty, inode);
	pthread_mutex_unlock(&ws->lock);
	mux_unref(write->mux);
	buf_free(&write->args);
	free(write);
}

static void set_session(struct sws_inode *inode, struct sws_write *write, struct mux *mux)
{
	struct mux *before;

	pthread_mutex_lock(&inode->ws->lock);
	before = write->mux;
	write->mux = mux;
	pthread_mutex_unlock(&inode->ws->lock);
	mux_unref(before);
}

/* Whoever wrote through FILE is told next. */
static void lose(struct sws_file *file, const struct error *why)
{
	struct sws *ws = file->inode->ws;

	pthread_mutex_lock(&ws->lock);
	if (!file->lost) {
		file->lost = why->code;
		snprintf(file->why, sizeof(file->why), "%.199s", why->text);
	}
	pthread_mutex_unlock(&ws->lock);
}

/* WRITE is answered, or its session is dead: it is done, lost, or to be sent again. */
static void take_answer(struct sws_inode *inode, struct sws_write *write, const struct call *call)
{
	struct error why = { 0 };
	bool maybe_done = false;
	int rc = mux_finish(write->ticket, call, NULL, &maybe_done, &why);

	write->ticket = NULL;
	if (rc == -ECONNRESET && !(write->append && maybe_done)) {
		set_session(inode, write, NULL);
		return;
	}
	if (rc == -ECONNRESET)
		error_set(&why, EIO, "the session broke: it is not known if an append was done");
	if (rc)
		lose(write->file, &why);
	dequeue(inode, write);
}

/* Those of a dead session are not under way any more. */
static void take_back(struct sws_inode *inode, const struct call *call)
{
	struct sws_write *write, *next;

	DL_FOREACH_SAFE (inode->writes, write, next) {
		if (write->mux && mux_dead(write->mux))
			take_answer(inode, write, call);
	}
}

/* -ESTALE: its file is gone for good. */
static int send_one(struct sws_inode *inode, struct sws_write *write, const struct call *call,
		    struct error *err)
{
	struct mux *mux;
	int rc = sws_file_ready(write->file, call, err);

	if (rc)
		return rc;
	mux = write->file->mux;
	sws_put_handle(&write->args, 0, write->file->handle);
	rc = mux_begin(mux, call, OP_WRITE, &write->args, &write->ticket, err);
	if (!rc)
		set_session(inode, write, mux_ref(mux));
	return rc;
}

static int send_unsent(struct sws_inode *inode, const struct call *call, struct error *err)
{
	struct sws_write *write, *next;
	int rc = 0;

	DL_FOREACH_SAFE (inode->writes, write, next) {
		struct error why = { 0 };

		if (write->mux)
			continue;
		rc = send_one(inode, write, call, &why);
		if (rc == -ESTALE) {
			lose(write->file, &why);
			dequeue(inode, write);
			rc = 0;
		}
		if (rc)
			return error_copy(err, &why);
	}
	return rc;
}

int sws_queue_send(struct sws_inode *inode, const struct call *call, struct error *err)
{
	struct error why = { 0 };
	int rc = -ECONNRESET;

	if (!inode->writes)
		return 0;
	for (int sessions = 0; rc == -ECONNRESET && sessions < SWS_SESSIONS; sessions++) {
		take_back(inode, call);
		rc = send_unsent(inode, call, &why);
	}
	if (rc == -ECONNRESET)
		return sws_broken(&why, false, err);
	return rc ? error_copy(err, &why) : 0;
}

int sws_queue_add(struct sws_file *file, const struct call *call, int64_t offset, const void *bytes,
		  size_t len, struct error *err)
{
	struct sws_inode *inode = file->inode;
	struct sws_write *write = calloc(1, sizeof(*write));
	int rc;

	if (!write)
		return error_set(err, ENOMEM, "no memory for a write");
	write->file = file;
	write->len = len;
	write->append = file->flags & O_APPEND;
	buf_init(&write->args, WRITE_HEAD + OPS_IO_MAX);
	buf_reserve(&write->args, WRITE_HEAD + len);
	pack_u32(&write->args, 0);
	pack_u64(&write->args, (uint64_t)offset);
	pack_u8(&write->args, write->append);
	buf_add(&write->args, bytes, len);
	if (write->args.overflow) {
		buf_free(&write->args);
		free(write);
		return error_set(err, ENOMEM, "no memory for a write");
	}
	enqueue(inode, write);
	rc = sws_queue_send(inode, call, err);
	/* It is the last, so it was not sent if anything was not: its caller keeps the bytes. */
	if (rc)
		dequeue(inode, inode->writes->prev);
	return rc;
}

int sws_queue_settle(struct sws_inode *inode, const struct call *call, unsigned count, size_t bytes,
		     struct error *err)
{
	int rc = 0;

	while (!rc && inode->writes && (inode->count > count || inode->bytes > bytes)) {
		struct sws_write *write = inode->writes;

		if (!write->mux)
			rc = sws_queue_send(inode, call, err);
		else if (!(rc = mux_wait(write->ticket, call, err)))
			take_answer(inode, write, call);
	}
	return rc;
}

int sws_inode_settle(struct sws_inode *inode, const struct call *call, struct error *err)
{
	struct sws *ws = inode->ws;
	bool any;
	int rc;

	pthread_mutex_lock(&ws->lock);
	any = inode->writes;
	pthread_mutex_unlock(&ws->lock);
	if (!any)
		return 0;
	rc = ws_latch_take(&inode->gate, call, WS_EXCLUSIVE, err);
	if (rc)
		return rc;
	rc = sws_queue_settle(inode, call, 0, 0, err);
	ws_latch_drop(&inode->gate);
	return rc;
}

bool sws_queue_abandon(struct sws_file *file)
{
	const struct call over = { 0 };
	struct sws_inode *inode = file->inode;
	struct sws_write *write, *next;
	bool any = false;

	DL_FOREACH_SAFE (inode->writes, write, next) {
		if (write->file != file)
			continue;
		if (write->mux)
			any |= mux_finish(write->ticket, &over, NULL, NULL, NULL) != 0;
		else
			any = true;
		dequeue(inode, write);
	}
	return any;
}

/* Settles the oldest write of INODE. */
static int settle_oldest(struct sws_inode *inode, const struct call *call, struct error *err)
{
	int rc = ws_latch_take(&inode->gate, call, WS_EXCLUSIVE, err);

	if (rc)
		return rc;
	rc = sws_queue_settle(inode, call, inode->count ? inode->count - 1 : 0, SIZE_MAX, err);
	ws_latch_drop(&inode->gate);
	return rc;
}

int sws_queue_make_room(struct sws *ws, const struct call *call, struct error *err)
{
	int rc = 0;

	while (!rc) {
		struct sws_inode *inode = NULL;

		pthread_mutex_lock(&ws->lock);
		if (ws->count >= SWS_ALL_WRITES || ws->bytes >= SWS_ALL_BYTES)
			inode = ws->dirty;
		if (inode)
			inode->refs++;
		pthread_mutex_unlock(&ws->lock);
		if (!inode)
			return 0;
		rc = settle_oldest(inode, call, err);
		sws_inode_put(inode);
	}
	return rc;
}
