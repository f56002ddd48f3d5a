/*
 * sws_queue.c - unanswered writes: sent, settled, sent again.
 *
 * The writes of an inode are sent in the order in which they were made, and carried out in it.
 * Their bytes stay here until they are answered.  After a break those without an answer are sent
 * again, all of them and in order, which puts the same bytes where they were put before; an append
 * that the guest may have seen is not, and its handle hears that nobody knows.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <utlist.h>

#include "protocol/session/sws_internal.h"

/* Handle, offset, append: in front of the bytes. */
#define WRITE_HEAD 13

bool sws_queue_is_behind(const struct sws_inode *inode, const struct mux *mux)
{
	const struct sws_write *first = inode->writes;

	/* Those that were sent are in one session, the unsent rest is behind them. */
	return first && (first->mux != mux || !first->prev->mux);
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
	/* NOLINTNEXTLINE(clang-analyzer-core.NullDereference): it is in the list */
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

static void lose(struct sws_file *file, const struct error *why)
{
	struct sws *ws = file->inode->ws;

	pthread_mutex_lock(&ws->lock);
	sws_file_lose(file, why);
	pthread_mutex_unlock(&ws->lock);
}

/* WRITE is answered, or its session is dead: it is done, lost, or to be sent again. */
static void take_answer(struct sws_inode *inode, struct sws_write *write, const struct call *call)
{
	autobuf struct buf reply = BUF_INIT(FRAME_BODY_MAX);
	struct error why = { 0 };
	bool maybe_done = false;
	int rc = mux_finish(write->ticket, call, &reply, &maybe_done, &why);

	write->ticket = NULL;
	if (!rc)
		rc = sws_take_attr(&reply, NULL, &why);
	if (rc == -ECONNRESET && !(write->append && maybe_done)) {
		set_session(inode, write, NULL);
		return;
	}
	if (rc == -ECONNRESET)
		error_set(&why, EIO, "the session broke: it is not known if an append was done");
	if (rc)
		lose(write->file, &why);
	else
		sws_inode_changed(inode, mux_epoch(write->mux));
	dequeue(inode, write);
}

/* Those of another session: it is dead, or about to be. */
static int take_back(struct sws_inode *inode, struct mux *mux, const struct call *call,
		     struct error *err)
{
	struct sws_write *write, *next;

	DL_FOREACH_SAFE (inode->writes, write, next) {
		int rc;

		if (!write->mux || write->mux == mux)
			continue;
		rc = mux_wait(write->ticket, call, err);
		if (rc)
			return rc;
		take_answer(inode, write, call);
	}
	return 0;
}

/* Over the session of its file. */
static int send_one(struct sws_write *write, const struct call *call, struct error *err)
{
	const struct sws_file *file = write->file;

	sws_put_handle(&write->args, 0, file->handle);
	return mux_begin(file->mux, call, OP_WRITE, &write->args, &write->ticket, err);
}

static int send_again(struct sws_inode *inode, struct sws_write *write, struct mux *mux,
		      const struct call *call, struct error *err)
{
	int rc = sws_file_reopen(write->file, mux, call, err);

	if (rc == -ESTALE) {
		lose(write->file, err);
		dequeue(inode, write);
		return 0;
	}
	if (!rc)
		rc = send_one(write, call, err);
	if (!rc)
		link_retried(inode->ws->link, OP_WRITE);
	if (!rc)
		set_session(inode, write, mux_ref(mux));
	return rc;
}

int sws_queue_send(struct sws_inode *inode, struct mux *mux, const struct call *call,
		   struct error *err)
{
	struct sws_write *write, *next;
	int rc = take_back(inode, mux, call, err);

	DL_FOREACH_SAFE (inode->writes, write, next) {
		if (rc)
			return rc;
		if (!write->mux)
			rc = send_again(inode, write, mux, call, err);
	}
	return rc;
}

static struct sws_write *write_new(struct sws_file *file, int64_t offset, const void *bytes,
				   size_t len)
{
	struct sws_write *write = calloc(1, sizeof(*write));
	struct buf *args = write ? &write->args : NULL;

	if (!write)
		return NULL;
	write->file = file;
	write->len = len;
	write->append = file->flags & O_APPEND;
	buf_init(args, WRITE_HEAD + OPS_IO_MAX);
	buf_reserve(args, WRITE_HEAD + len);
	pack_u32(args, 0);
	pack_u64(args, (uint64_t)offset);
	pack_u8(args, write->append);
	buf_add(args, bytes, len);
	if (args->overflow) {
		buf_free(args);
		free(write);
		return NULL;
	}
	return write;
}

int sws_queue_add(struct sws_file *file, const struct call *call, int64_t offset, const void *bytes,
		  size_t len, struct error *err)
{
	struct sws_write *write = write_new(file, offset, bytes, len);
	int rc;

	if (!write)
		return error_set(err, ENOMEM, "no memory for a write");
	rc = send_one(write, call, err);
	if (rc) {
		buf_free(&write->args);
		free(write);
		return rc;
	}
	write->mux = mux_ref(file->mux);
	enqueue(file->inode, write);
	return 0;
}

int sws_queue_settle(struct sws_inode *inode, struct mux *mux, const struct call *call,
		     unsigned count, size_t bytes, struct error *err)
{
	int rc = 0;

	while (!rc && inode->writes && (inode->count > count || inode->bytes > bytes)) {
		struct sws_write *write = inode->writes;

		if (write->mux != mux)
			rc = sws_queue_send(inode, mux, call, err);
		else if (!(rc = mux_wait(write->ticket, call, err)))
			take_answer(inode, write, call);
	}
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

struct settling {
	struct sws_inode *inode;
	const struct call *call;
	bool oldest; /* only the oldest write */
};

static int settle_step(void *arg, struct mux *mux, struct error *err)
{
	struct settling *settling = arg;
	struct sws_inode *inode = settling->inode;
	int rc = ws_latch_take(&inode->gate, settling->call, WS_EXCLUSIVE, err);

	if (rc)
		return rc;
	if (settling->oldest && inode->count)
		rc = sws_queue_settle(inode, mux, settling->call, inode->count - 1, SIZE_MAX, err);
	else
		rc = sws_queue_settle(inode, mux, settling->call, 0, 0, err);
	ws_latch_drop(&inode->gate);
	return rc;
}

int sws_inode_settle(struct sws_inode *inode, const struct call *call, struct error *err)
{
	struct settling settling = { .inode = inode, .call = call };
	struct sws *ws = inode->ws;
	bool any;

	pthread_mutex_lock(&ws->lock);
	any = inode->writes;
	pthread_mutex_unlock(&ws->lock);
	return any ? sws_run(ws, call, 0, settle_step, &settling, err) : 0;
}

/*
 * The one that has had unanswered writes for longest, with a reference; NULL where there is room.
 */
static struct sws_inode *find_crowded(struct sws *ws)
{
	struct sws_inode *inode = NULL;

	pthread_mutex_lock(&ws->lock);
	if (ws->count >= SWS_ALL_WRITES || ws->bytes >= SWS_ALL_BYTES)
		inode = ws->dirty;
	if (inode)
		inode->refs++;
	pthread_mutex_unlock(&ws->lock);
	return inode;
}

int sws_queue_make_room(struct sws *ws, const struct call *call, struct error *err)
{
	struct settling settling = { .call = call, .oldest = true };
	int rc = 0;

	while (!rc && (settling.inode = find_crowded(ws))) {
		rc = sws_run(ws, call, 0, settle_step, &settling, err);
		sws_inode_put(settling.inode);
	}
	return rc;
}
