/*
 * mux_receive.c - frames from the agent: received, judged, handed to whom they belong.
 *
 * A header is judged before a byte of its body is waited for: whose call it is, and whether it had
 * the credit.  A small body is complete in the receive buffer before it is looked at; a large one
 * gets memory of its own, of a size that was checked, and is handed on without being copied.  Until
 * it is complete it belongs to the reader, whatever becomes of the call.
 */
#include "protocol/session/mux_internal.h"

#include <errno.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

/* Small pieces of a stream are put together up to this. */
#define CHUNK_FULL (64u << 10)

void mux_in_init(struct mux_in *in)
{
	buf_init(&in->body, FRAME_BODY_MAX);
}

/*
 * Delivering, with mux->lock held.  BYTES are the body, or OWNED is, which then may be moved away.
 */

static int add_chunk(struct mux_ticket *ticket, const void *bytes, size_t size, struct buf *owned)
{
	struct mux_chunk *last = ticket->last;
	struct mux_chunk *chunk;

	if (!owned && last && last->bytes.len + size <= CHUNK_FULL) {
		buf_add(&last->bytes, bytes, size);
		return last->bytes.overflow ? -ENOMEM : 0;
	}
	chunk = calloc(1, sizeof(*chunk));
	if (!chunk)
		return -ENOMEM;
	buf_init(&chunk->bytes, FRAME_BODY_MAX);
	if (owned) {
		chunk->bytes = *owned;
		buf_init(owned, FRAME_BODY_MAX);
	} else {
		buf_add(&chunk->bytes, bytes, size);
	}
	if (chunk->bytes.overflow) {
		free(chunk);
		return -ENOMEM;
	}
	if (last)
		last->next = chunk;
	else
		ticket->first = chunk;
	ticket->last = chunk;
	return 0;
}

static int take_reply(struct mux_ticket *ticket, const struct frame *frame, const void *bytes,
		      struct buf *owned)
{
	mux_ticket_close(ticket);
	if (ticket->zombie) {
		mux_ticket_recycle(ticket->mux, ticket);
		return 0;
	}
	if (owned) {
		buf_free(&ticket->reply);
		ticket->reply = *owned;
		buf_init(owned, FRAME_BODY_MAX);
	} else if (frame->size) {
		buf_add(&ticket->reply, bytes, frame->size);
		if (ticket->reply.overflow)
			return -ENOMEM;
	}
	ticket->code = frame->code;
	ticket->done = true;
	mux_ticket_wake(ticket);
	return 0;
}

static int deliver(struct mux *mux, const struct frame *frame, const void *bytes, struct buf *owned)
{
	struct mux_ticket *ticket = mux_find(mux, frame->id);
	struct unpack in = unpack_from(bytes, frame->size);
	int rc = 0;

	mux_counted(mux, ticket->op,
		    &(struct traffic_count){ .bytes_received = FRAME_HEADER + frame->size });
	switch (frame->kind) {
	case FRAME_DONE:
		return take_reply(ticket, frame, bytes, owned);
	case FRAME_DATA:
		if (frame->size && !ticket->zombie)
			rc = add_chunk(ticket, bytes, frame->size, owned);
		break;
	default:
		ticket->credit += unpack_u32(&in);
	}
	mux_ticket_wake(ticket);
	return rc;
}

/*
 * Judging, with mux->lock held.
 */

/* Whether FRAME may come now: -EPROTO with a sentence. */
static int admit(struct mux *mux, const struct frame *frame, struct error *err)
{
	struct mux_ticket *ticket = mux_find(mux, frame->id);

	if (frame->kind == FRAME_CALL || frame->kind == FRAME_CANCEL)
		return error_set(err, EPROTO, "a frame that only a client sends");
	if (!ticket)
		return error_set(err, EPROTO, "a frame of the call %u, which is not open",
				 frame->id);
	if (frame->kind == FRAME_DONE && frame->size > ops_answer_max(ticket->op))
		return error_set(err, EPROTO, "%u bytes of answer to '%s', which has at most %zu",
				 frame->size, mux_name(ticket), ops_answer_max(ticket->op));
	if (frame->kind != FRAME_DATA)
		return 0;
	if (ticket->ended)
		return error_set(err, EPROTO, "data behind the last of it");
	if (frame->size > ticket->window)
		return error_set(err, EPROTO, "%u bytes of data with credit for %zu", frame->size,
				 ticket->window);
	ticket->window -= frame->size;
	ticket->ended = frame->flags & FRAME_END;
	return 0;
}

/* The next header in the buffer.  1, 0 where there is none yet, or a negative errno. */
static int take_header(struct mux *mux, struct error *err)
{
	struct mux_in *in = &mux->in;
	int rc;

	if (in->end - in->start < FRAME_HEADER)
		return 0;
	rc = frame_decode(in->bytes + in->start, &in->frame, err);
	if (rc == 0)
		rc = admit(mux, &in->frame, err);
	if (rc < 0)
		return rc;
	in->start += FRAME_HEADER;
	in->has_frame = true;
	return 1;
}

/* The large body, of which N more bytes have arrived in their place.  1, 0, or a negative errno. */
static int take_large(struct mux *mux, size_t n)
{
	struct mux_in *in = &mux->in;
	int rc;

	buf_commit(&in->body, n);
	if (in->body.len < in->frame.size)
		return 0;
	in->has_frame = false;
	rc = deliver(mux, &in->frame, in->body.data, &in->body);
	buf_free(&in->body); /* of a zombie: nobody took it */
	return rc < 0 ? rc : 1;
}

/* The body of in->frame, which is none yet. */
static int take_body(struct mux *mux)
{
	struct mux_in *in = &mux->in;
	size_t size = in->frame.size, here = in->end - in->start;
	const unsigned char *bytes = in->bytes + in->start;
	int rc;

	if (size > MUX_SMALL) {
		char *room = buf_reserve(&in->body, size);

		if (!room)
			return -ENOMEM;
		if (here > size)
			here = size;
		memcpy(room, bytes, here);
		in->start += here;
		return take_large(mux, here);
	}
	if (here < size)
		return 0;
	in->start += size;
	in->has_frame = false;
	rc = deliver(mux, &in->frame, bytes, NULL);
	return rc < 0 ? rc : 1;
}

/* Everything that is whole.  0 or a negative errno, -EPROTO with a sentence. */
static int take_frames(struct mux *mux, struct error *err)
{
	struct mux_in *in = &mux->in;
	int rc = 1;

	while (rc > 0 && !mux->dead) {
		rc = in->has_frame ? 1 : take_header(mux, err);
		if (rc > 0 && !in->body.data)
			rc = take_body(mux);
		else if (rc > 0)
			break; /* the rest of a large body is still to come */
	}
	in->end -= in->start;
	memmove(in->bytes, in->bytes + in->start, in->end);
	in->start = 0;
	return rc < 0 ? rc : 0;
}

/* N more bytes have come. */
static int take_received(struct mux *mux, size_t n)
{
	struct mux_in *in = &mux->in;
	struct error err = { 0 };
	char why[sizeof(err.text) + 64];
	size_t room = in->body.data ? in->frame.size - in->body.len : 0;
	size_t large = n < room ? n : room;
	int rc = 0;

	in->end += n - large;
	if (mux->dead)
		return 0;
	if (large)
		rc = take_large(mux, large);
	if (rc >= 0)
		rc = take_frames(mux, &err);
	if (rc == -EPROTO) {
		snprintf(why, sizeof(why), "the agent broke the protocol: %s", err.text);
		return mux_die(mux, why);
	}
	return rc < 0 ? mux_die(mux, "out of memory for what the agent sent") : 0;
}

/*
 * Receiving, without the lock
 */

/* Bytes, 0 where there is nothing, or -ECONNRESET. */
static ssize_t receive(struct mux *mux)
{
	struct mux_in *in = &mux->in;
	struct iovec parts[2] = { { NULL, 0 }, { in->bytes + in->end, MUX_IN - in->end } };
	struct msghdr message = { .msg_iov = parts, .msg_iovlen = 2 };
	ssize_t n;

	if (in->body.data) {
		parts[0].iov_base = in->body.data + in->body.len;
		parts[0].iov_len = in->frame.size - in->body.len;
		n = recvmsg(mux->fd, &message, MSG_DONTWAIT);
	} else {
		/* What a small call waits for: the kernel takes one buffer faster. */
		n = recv(mux->fd, parts[1].iov_base, parts[1].iov_len, MSG_DONTWAIT);
	}
	if (n < 0 && (errno == EAGAIN || errno == EINTR))
		return 0;
	if (n < 0)
		return mux_break(mux, "the connection to the agent broke: %s", strerror(errno));
	if (n == 0)
		return mux_break(mux, "the agent closed the connection");
	mux_beats(mux, true);
	return n;
}

static void wake_reader(void *arg)
{
	mux_poke(arg);
}

/* Waits for the socket, or a poke: bytes that were received, or -EINTR, -ECONNRESET. */
static ssize_t wait_and_receive(struct mux *mux, const struct call *call, int left, bool room)
{
	struct pollfd wait[2] = { { .fd = mux->fd, .events = POLLIN },
				  { .fd = mux->wake, .events = POLLIN } };
	uint64_t pokes;
	int n;

	/* Who wants room, or keeps something, from now on pokes us. */
	if (room || atomic_load(&mux->out.any))
		wait[0].events |= POLLOUT;
	if (!cancel_set_wake(call->cancel, wake_reader, mux))
		return -EINTR;
	n = poll(wait, 2, left);
	cancel_unset_wake(call->cancel);
	if (cancel_fired(call->cancel))
		return -EINTR;
	if (n > 0 && wait[1].revents && read(mux->wake, &pokes, sizeof(pokes)) < 0)
		n = 0; /* another poke will come, or it was none */
	if (n > 0 && (wait[0].revents & POLLOUT))
		mux_send_rest(mux);
	return n > 0 && (wait[0].revents & ~POLLOUT) ? receive(mux) : 0;
}

int mux_receive(struct mux *mux, const struct call *call)
{
	int left = call_remaining_ms(call);
	bool room = mux->wanting_room > 0;
	ssize_t n;

	pthread_mutex_unlock(&mux->lock);
	n = wait_and_receive(mux, call, left, room);
	pthread_mutex_lock(&mux->lock);
	if (n > 0)
		n = take_received(mux, (size_t)n);
	/* Also where something came: an agent that never stops sending is no reason to wait on. */
	return n == 0 && !left ? -ETIMEDOUT : (int)n;
}
