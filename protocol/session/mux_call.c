/*
 * mux_call.c - calls: begun, waited for, finished or given up.
 */
#include "protocol/session/mux_internal.h"

#include <errno.h>
#include <limits.h>
#include <stdlib.h>
#include <string.h>

/* Replies up to this are copied, so that the ticket keeps its memory for the next call. */
#define COPY_MAX 1024u

const char *mux_name(const struct mux_ticket *ticket)
{
	const char *name = ops_name(ticket->op);

	return name ? name : "a call";
}

int mux_waited_in_vain(const struct mux_ticket *ticket, int rc, struct error *err)
{
	if (rc == -EINTR)
		return error_set(err, EINTR, "interrupted while waiting for '%s'",
				 mux_name(ticket));
	return error_set(err, -rc, "the agent did not answer '%s' in time", mux_name(ticket));
}

/* Drops an owner's ticket of which the agent need not be told. */
static void release(struct mux_ticket *ticket)
{
	struct mux *mux = ticket->mux;

	pthread_mutex_lock(&mux->lock);
	mux_ticket_close(ticket);
	mux_ticket_recycle(mux, ticket);
	pthread_mutex_unlock(&mux->lock);
	mux_unref(mux);
}

void mux_give_up(struct mux_ticket *ticket)
{
	struct mux *mux = ticket->mux;
	struct frame cancel = { .kind = FRAME_CANCEL, .id = ticket->id };
	uint16_t op = ticket->op;
	bool tell;

	pthread_mutex_lock(&mux->lock);
	tell = ticket->open && !mux->dead;
	if (tell) {
		ticket->zombie = true;
		mux_ticket_drop_data(ticket);
	}
	pthread_mutex_unlock(&mux->lock);
	if (!tell) {
		release(ticket);
		return;
	}
	/* From here on the reader may free it. */
	mux_send_small(mux, op, &cancel, NULL);
	mux_unref(mux);
}

/*
 * When the table is full of calls that were given up, nobody reads the answers that would free
 * their places: so look, without waiting.
 */
static void make_place(struct mux *mux)
{
	const struct call now = { 0 };

	if (mux->open < MUX_MAX_CALLS || mux->reading)
		return;
	mux->reading = true;
	mux->reader_lazy = false;
	mux_receive(mux, &now);
	mux->reading = false;
	mux_pass_on(mux);
}

static int open_ticket(struct mux *mux, enum session_op op, const struct mux_how *how,
		       struct mux_ticket **out, struct error *err)
{
	struct mux_ticket *ticket = NULL;
	int rc;

	pthread_mutex_lock(&mux->lock);
	make_place(mux);
	if (mux->dead)
		rc = error_copy(err, &mux->why);
	else
		rc = mux_ticket_new(mux, op, &ticket, err);
	if (ticket) {
		ticket->lazy = how->lazy;
		ticket->window = how->window;
	}
	pthread_mutex_unlock(&mux->lock);
	*out = ticket;
	return rc;
}

static int why_not_sent(struct mux_ticket *ticket, int rc, struct error *err)
{
	struct mux *mux = ticket->mux;

	if (rc == -ECANCELED) /* an answer to what was not asked */
		rc = mux_break(mux, "the agent broke the protocol: it answered a call that "
				    "was not made");
	if (rc != -ECONNRESET)
		return mux_waited_in_vain(ticket, rc, err);
	pthread_mutex_lock(&mux->lock);
	error_copy(err, &mux->why);
	pthread_mutex_unlock(&mux->lock);
	return -ECONNRESET;
}

int mux_begin_how(struct mux *mux, const struct call *call, enum session_op op,
		  const struct buf *args, const struct mux_how *how, struct mux_ticket **out,
		  struct error *err)
{
	struct frame frame = { .kind = FRAME_CALL, .code = (uint16_t)op };
	const unsigned char deadline[4] = {
		(unsigned char)how->deadline_ms,
		(unsigned char)(how->deadline_ms >> 8),
		(unsigned char)(how->deadline_ms >> 16),
		(unsigned char)(how->deadline_ms >> 24),
	};
	const struct buf none = { 0 };
	struct iovec body[2] = { { (void *)(uintptr_t)deadline, sizeof(deadline) } };
	struct mux_ticket *ticket = NULL;
	size_t len;
	int rc;

	if (!args)
		args = &none;
	len = args->len;
	body[1] = (struct iovec){ args->data, len };
	if (args->overflow)
		return error_set(err, ENOMEM, "out of memory for the arguments of a call");
	if (len > FRAME_BODY_MAX - sizeof(deadline))
		return error_set(err, E2BIG, "arguments of %zu bytes: a call takes at most %zu",
				 len, FRAME_BODY_MAX - sizeof(deadline));
	frame.size = (uint32_t)(sizeof(deadline) + len);
	rc = open_ticket(mux, op, how, &ticket, err);
	if (!ticket)
		return rc;
	frame.id = ticket->id;
	rc = mux_send(ticket, call, &frame, body);
	if (rc < 0) {
		rc = why_not_sent(ticket, rc, err);
		release(ticket);
		return rc;
	}
	*out = ticket;
	return 0;
}

int mux_begin(struct mux *mux, const struct call *call, enum session_op op, const struct buf *args,
	      struct mux_ticket **out, struct error *err)
{
	int left = call_remaining_ms(call);
	struct mux_how how = {
		.lazy = op == OP_WAIT,
		/* None that the agent need look at, rather than one it could not tell from that. */
		.deadline_ms = left == INT_MAX ? 0 : (uint32_t)left,
	};

	if (!left)
		return error_set(err, ETIMEDOUT, "no time was left to ask the agent");
	return mux_begin_how(mux, call, op, args, &how, out, err);
}

/* REPLY gets the result, which must fit it. */
static int give_reply(struct mux_ticket *ticket, struct buf *reply, struct error *err)
{
	struct buf *mine = &ticket->reply;

	if (!reply)
		return 0;
	if (mine->len > reply->max)
		return error_set(err, EPROTO, "the answer to '%s' has %zu bytes, more than %zu",
				 mux_name(ticket), mine->len, reply->max);
	reply->len = 0;
	reply->overflow = false;
	if (mine->len <= COPY_MAX) {
		if (mine->len)
			buf_add(reply, mine->data, mine->len);
		else if (reply->data)
			reply->data[0] = '\0';
		return reply->overflow ? error_set(err, ENOMEM, "out of memory for an answer") : 0;
	}
	free(reply->data);
	reply->data = mine->data;
	reply->len = mine->len;
	reply->room = mine->room;
	*mine = (struct buf)BUF_INIT(FRAME_BODY_MAX);
	return 0;
}

/*
 * The agent's errno.  What would say something about this connection, and what no
 * kernel answers a program with, is not its to say.
 */
static int code_of(uint16_t code)
{
	switch (code) {
	case ECONNRESET:
	case ENOTCONN:
	case ESHUTDOWN:
		return EIO;
	default:
		return code < 512 ? code : EIO;
	}
}

static int result(struct mux_ticket *ticket, struct buf *reply, struct error *err)
{
	const struct buf *said = &ticket->reply;
	int code = code_of(ticket->code);

	if (!code)
		return give_reply(ticket, reply, err);
	if (!said->len || !said->data[0])
		return error_set(err, code, "%s", strerror(code));
	return error_set(err, code, "%.*s", (int)said->len, said->data);
}

int mux_wait(struct mux_ticket *ticket, const struct call *call, struct error *err)
{
	struct mux *mux = ticket->mux;
	bool ready;
	int rc = 0;

	pthread_mutex_lock(&mux->lock);
	while (rc == 0 && !ticket->done && !mux->dead)
		rc = mux_turn(ticket, call);
	ready = ticket->done || mux->dead;
	mux_pass_on(mux);
	pthread_mutex_unlock(&mux->lock);
	return ready ? 0 : mux_waited_in_vain(ticket, rc, err);
}

bool mux_answered(struct mux_ticket *ticket)
{
	bool ready;

	pthread_mutex_lock(&ticket->mux->lock);
	ready = ticket->done || ticket->mux->dead;
	pthread_mutex_unlock(&ticket->mux->lock);
	return ready;
}

int mux_finish(struct mux_ticket *ticket, const struct call *call, struct buf *reply,
	       bool *maybe_done, struct error *err)
{
	struct mux *mux = ticket->mux;
	bool done, dead;
	int rc = 0;

	pthread_mutex_lock(&mux->lock);
	while (rc == 0 && !ticket->done && !mux->dead)
		rc = mux_turn(ticket, call);
	done = ticket->done;
	dead = mux->dead;
	mux_pass_on(mux);
	if (done) {
		rc = result(ticket, reply, err);
		mux_ticket_recycle(mux, ticket); /* its DONE has closed it */
	} else if (dead) {
		error_copy(err, &mux->why);
	}
	pthread_mutex_unlock(&mux->lock);

	if (maybe_done)
		*maybe_done = done || mux_sent(mux) >= ticket->call_end;
	if (done) {
		mux_unref(mux);
	} else if (dead) {
		rc = -ECONNRESET;
		release(ticket);
	} else {
		rc = mux_waited_in_vain(ticket, rc, err);
		mux_give_up(ticket);
	}
	return rc;
}

int mux_call(struct mux *mux, const struct call *call, enum session_op op, const struct buf *args,
	     struct buf *reply, bool *maybe_done, struct error *err)
{
	struct mux_ticket *ticket = NULL;
	int rc = mux_begin(mux, call, op, args, &ticket, err);

	if (maybe_done)
		*maybe_done = false;
	return ticket ? mux_finish(ticket, call, reply, maybe_done, err) : rc;
}
