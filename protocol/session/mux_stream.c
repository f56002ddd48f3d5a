/*
 * mux_stream.c - calls with a stream beside them: what is downloaded waits, within its credit,
 * until its owner takes it; what is uploaded is sent within the credit that the agent gave.
 *
 * A given up download gets no more credit: the agent sends what it had credit for at the most,
 * which is dropped, and then meets the cancel.
 */
#include "protocol/session/mux_internal.h"

#include <errno.h>
#include <limits.h>
#include <stdlib.h>
#include <string.h>

#define UPLOAD_PIECE (64u << 10)

struct download {
	struct mux_ticket *ticket;
	int (*sink)(void *arg, const void *bytes, size_t len);
	void *arg;
	size_t taken; /* bytes that no credit was given back for yet */
};

static void give_credit(struct download *down)
{
	struct mux_ticket *ticket = down->ticket;
	struct mux *mux = ticket->mux;
	struct frame credit = { .kind = FRAME_CREDIT, .size = 4, .id = ticket->id };
	uint32_t more = (uint32_t)down->taken;
	const unsigned char body[4] = { (unsigned char)more, (unsigned char)(more >> 8),
					(unsigned char)(more >> 16), (unsigned char)(more >> 24) };
	bool need;

	down->taken = 0;
	pthread_mutex_lock(&mux->lock);
	need = ticket->open && !ticket->ended;
	if (need)
		ticket->window += more;
	pthread_mutex_unlock(&mux->lock);
	if (need)
		mux_send_small(mux, ticket->op, &credit, body);
}

/* Hands all CHUNKS to the sink and frees them. */
static int drain(struct download *down, struct mux_chunk *chunks)
{
	int rc = 0;

	while (chunks) {
		struct mux_chunk *next = chunks->next;

		if (rc == 0)
			rc = down->sink(down->arg, chunks->bytes.data, chunks->bytes.len);
		down->taken += chunks->bytes.len;
		buf_free(&chunks->bytes);
		free(chunks);
		chunks = next;
		if (rc == 0 && down->taken >= OPS_WINDOW / 2)
			give_credit(down);
	}
	return rc;
}

/*
 * Waits for data, the end, or in vain.  1 with CHUNKS, 0 at the end or death, -ETIMEDOUT, -EINTR.
 */
static int wait_for_data(struct mux_ticket *ticket, const struct call *call,
			 struct mux_chunk **chunks)
{
	struct mux *mux = ticket->mux;
	int rc = 0;

	pthread_mutex_lock(&mux->lock);
	while (rc == 0 && !ticket->first && !ticket->done && !mux->dead)
		rc = mux_turn(ticket, call);
	*chunks = ticket->first;
	ticket->first = ticket->last = NULL;
	if (*chunks)
		rc = 1;
	else if (ticket->done || mux->dead)
		rc = 0;
	mux_pass_on(mux);
	pthread_mutex_unlock(&mux->lock);
	return rc;
}

int mux_download(struct mux *mux, const struct call *call, enum session_op op,
		 const struct buf *args, bool quiet,
		 int (*sink)(void *arg, const void *bytes, size_t len), void *arg,
		 struct buf *reply, struct error *err)
{
	int left = call_remaining_ms(call);
	int64_t silence = call->deadline - call_now();
	struct mux_how how = {
		.lazy = quiet,
		.window = OPS_WINDOW,
		.deadline_ms = quiet || left == INT_MAX ? 0 : (uint32_t)left,
	};
	struct download down = { .sink = sink, .arg = arg };
	struct call waiting = *call;
	struct mux_chunk *chunks;
	int rc;

	if (!left)
		return error_set(err, ETIMEDOUT, "no time was left to ask the agent");
	rc = mux_begin_how(mux, call, op, args, &how, &down.ticket, err);
	if (rc < 0)
		return rc;
	while ((rc = wait_for_data(down.ticket, &waiting, &chunks)) > 0) {
		rc = drain(&down, chunks);
		if (rc < 0) {
			mux_give_up(down.ticket);
			return error_set(err, -rc, "cannot take what the agent sends: %s",
					 strerror(-rc));
		}
		if (quiet)
			waiting.deadline = call_now() + silence;
	}
	if (rc < 0) {
		rc = mux_waited_in_vain(down.ticket, rc, err);
		mux_give_up(down.ticket);
		return rc;
	}
	return mux_finish(down.ticket, &waiting, reply, NULL, err);
}

/* How much may be sent, waiting for it; 0 when the call is done or the mux dead. */
static ssize_t wait_for_credit(struct mux_ticket *ticket, const struct call *call)
{
	struct mux *mux = ticket->mux;
	ssize_t credit;
	int rc = 0;

	pthread_mutex_lock(&mux->lock);
	while (rc == 0 && !ticket->credit && !ticket->done && !mux->dead)
		rc = mux_turn(ticket, call);
	if (ticket->done || mux->dead)
		credit = 0;
	else if (ticket->credit)
		credit = ticket->credit < UPLOAD_PIECE ? (ssize_t)ticket->credit : UPLOAD_PIECE;
	else
		credit = rc;
	mux_pass_on(mux);
	pthread_mutex_unlock(&mux->lock);
	return credit;
}

/* One piece.  1: there may be more; 0: there is not, or it is not wanted; a negative errno. */
static int upload_piece(struct mux_ticket *ticket, const struct call *call,
			ssize_t (*source)(void *arg, void *bytes, size_t len), void *arg,
			char *piece, struct error *err)
{
	struct frame data = { .kind = FRAME_DATA, .id = ticket->id };
	struct iovec body[2] = { { piece, 0 }, { NULL, 0 } };
	ssize_t n = wait_for_credit(ticket, call);
	int rc;

	if (n < 0)
		return mux_waited_in_vain(ticket, (int)n, err);
	if (n == 0)
		return 0;
	n = source(arg, piece, (size_t)n);
	if (n < 0)
		return error_set(err, (int)-n, "cannot read what is to be sent to the agent: %s",
				 strerror((int)-n));
	data.size = (uint32_t)n;
	data.flags = n == 0 ? FRAME_END : 0;
	body[0].iov_len = (size_t)n;
	pthread_mutex_lock(&ticket->mux->lock);
	ticket->credit -= (uint64_t)n;
	pthread_mutex_unlock(&ticket->mux->lock);
	rc = mux_send(ticket, call, &data, body);
	if (rc == -ECANCELED || rc == -ECONNRESET)
		return 0; /* mux_finish has the reason */
	if (rc < 0)
		return mux_waited_in_vain(ticket, rc, err);
	return n > 0;
}

int mux_upload(struct mux *mux, const struct call *call, enum session_op op, const struct buf *args,
	       ssize_t (*source)(void *arg, void *bytes, size_t len), void *arg, struct buf *reply,
	       struct error *err)
{
	char *piece = malloc(UPLOAD_PIECE);
	struct mux_ticket *ticket = NULL;
	int rc;

	if (!piece)
		return error_set(err, ENOMEM, "out of memory for an upload");
	rc = mux_begin(mux, call, op, args, &ticket, err);
	if (rc < 0) {
		free(piece);
		return rc;
	}
	do
		rc = upload_piece(ticket, call, source, arg, piece, err);
	while (rc > 0);
	free(piece);
	if (rc < 0) {
		mux_give_up(ticket);
		return rc;
	}
	return mux_finish(ticket, call, reply, NULL, err);
}
