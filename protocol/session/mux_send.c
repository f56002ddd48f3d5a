/*
 * mux_send.c - frames on their way out.
 *
 * Nobody ever blocks in send(2).  A frame goes out at once if the socket takes it; the end of one
 * that it took in part is kept, and goes first from then on, sent by whoever reads or sends next.
 * While something is kept bulk waits outside, at its own deadlines: data, and calls with much in
 * them.  Small frames line up behind, so that they wait for no more than one that is large: those
 * without which the other end would be stuck (credit, cancel) always, calls as long as there are
 * not too many.
 */
#include "protocol/session/mux_internal.h"

#include <errno.h>
#include <string.h>
#include <sys/socket.h>

/* What may be kept with a small call.  The rest of the room is for credit and cancel. */
#define SMALL_OUT (MUX_MAX_OUT / 4 * 3)

/* Frames of so many bytes are sent in one piece. */
#define IN_ONE 256

#define SEND_FLAGS (MSG_DONTWAIT | MSG_NOSIGNAL)

/* An idle session keeps no more of what once was a backlog. */
#define KEPT_ROOM 4096

static size_t rest_len(const struct mux_out *out)
{
	return out->rest.len - out->at;
}

/* With out.lock held.  0, also when some of it stays; a negative errno of the socket. */
static int flush(struct mux *mux)
{
	struct mux_out *out = &mux->out;

	while (rest_len(out)) {
		ssize_t n = send(mux->fd, out->rest.data + out->at, rest_len(out), SEND_FLAGS);

		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			return errno == EAGAIN ? 0 : -errno;
		out->at += (size_t)n;
		out->sent += (uint64_t)n;
	}
	out->at = 0;
	out->rest.len = 0;
	if (out->rest.room > KEPT_ROOM)
		buf_free(&out->rest);
	return 0;
}

/* Keeps what is behind the first SKIP bytes of PARTS. */
static int keep(struct mux_out *out, const struct iovec *parts, size_t count, size_t skip)
{
	buf_consume(&out->rest, out->at);
	out->at = 0;
	for (size_t i = 0; i < count; i++) {
		size_t gone = skip < parts[i].iov_len ? skip : parts[i].iov_len;

		skip -= gone;
		if (gone < parts[i].iov_len)
			buf_add(&out->rest, (const char *)parts[i].iov_base + gone,
				parts[i].iov_len - gone);
	}
	return out->rest.overflow ? -ENOBUFS : 0;
}

/* With out.lock held.  Whether FRAME is kept rather than sent back. */
static bool lines_up(const struct mux_out *out, const struct frame *frame)
{
	if (frame->kind == FRAME_CREDIT || frame->kind == FRAME_CANCEL)
		return true;
	return frame->kind == FRAME_CALL && frame->size <= MUX_SMALL &&
	       rest_len(out) + FRAME_HEADER + frame->size <= SMALL_OUT;
}

/* What the socket takes; the kernel takes one buffer faster. */
static ssize_t transmit(int fd, struct iovec *parts, size_t count)
{
	struct msghdr message = { .msg_iov = parts, .msg_iovlen = count };
	ssize_t n;

	do
		n = count == 1 ? send(fd, parts->iov_base, parts->iov_len, SEND_FLAGS) :
				 sendmsg(fd, &message, SEND_FLAGS);
	while (n < 0 && errno == EINTR);
	return n < 0 ? -errno : n;
}

/* With out.lock held.  0, -EAGAIN: nothing was sent and it need not be, or the socket's errno. */
static int put(struct mux *mux, const struct frame *frame, struct iovec *parts, size_t count)
{
	struct mux_out *out = &mux->out;
	int rc = flush(mux);
	ssize_t n = 0;

	if (rc < 0)
		return rc;
	if (!rest_len(out)) {
		n = transmit(mux->fd, parts, count);
		if (n < 0 && n != -EAGAIN)
			return (int)n;
		if (n < 0)
			n = 0;
		out->sent += (uint64_t)n;
	}
	if (!n && !lines_up(out, frame))
		return -EAGAIN;
	return keep(out, parts, count, (size_t)n);
}

static int broken(struct mux *mux, int rc)
{
	if (rc == -ENOBUFS)
		return mux_break(mux, "the agent does not read what is sent to it");
	return mux_break(mux, "the connection to the agent broke: %s", strerror(-rc));
}

static void gather(unsigned char *to, const struct iovec body[2])
{
	for (int i = 0; i < 2; i++) {
		if (body[i].iov_len)
			memcpy(to, body[i].iov_base, body[i].iov_len);
		to += body[i].iov_len;
	}
}

/* A frame of a call of OP.  END gets where in the stream of all bytes it ends. */
static int send_frame(struct mux *mux, uint16_t op, const struct frame *frame,
		      const struct iovec body[2], uint64_t *end)
{
	unsigned char bytes[IN_ONE]; /* the header, and of a small frame all */
	struct iovec parts[3] = { { bytes, FRAME_HEADER }, body[0], body[1] };
	size_t count = 3;
	struct traffic_count more = { .requests = frame->kind == FRAME_CALL,
				      .bytes_sent = FRAME_HEADER + frame->size };
	struct mux_out *out = &mux->out;
	bool kept;
	int rc;

	frame_encode(frame, bytes);
	if (FRAME_HEADER + frame->size <= sizeof(bytes)) {
		parts[0].iov_len = FRAME_HEADER + frame->size;
		gather(bytes + FRAME_HEADER, body);
		count = 1;
	}
	pthread_mutex_lock(&out->lock);
	rc = put(mux, frame, parts, count);
	kept = rest_len(out) > 0;
	atomic_store(&out->any, kept);
	*end = out->sent + rest_len(out);
	pthread_mutex_unlock(&out->lock);

	if (rc == -EAGAIN)
		return rc;
	if (rc < 0)
		return broken(mux, rc);
	mux_counted(mux, op, &more);
	if (more.requests)
		mux_beats(mux, false);
	if (kept)
		mux_poke(mux); /* the reader is to wait for room, too */
	return 0;
}

void mux_send_small(struct mux *mux, uint16_t op, const struct frame *frame, const void *body)
{
	/* iovec has no const; sendmsg only reads. */
	const struct iovec parts[2] = { { (void *)(uintptr_t)body, frame->size } };
	uint64_t end;

	send_frame(mux, op, frame, parts, &end);
}

/* Until the socket can take something, or there is no need any more. */
static int wait_for_room(struct mux_ticket *ticket, const struct call *call)
{
	struct mux *mux = ticket->mux;
	uint64_t room;
	int rc = 0;

	pthread_mutex_lock(&mux->lock);
	room = mux->room;
	mux->wanting_room++;
	if (mux->reading)
		mux_poke(mux);
	while (rc == 0 && room == mux->room && !mux->dead && !ticket->done)
		rc = mux_turn(ticket, call);
	if (room == mux->room)
		mux->wanting_room--; /* else the reader has taken us all off */
	if (ticket->done)
		rc = -ECANCELED;
	else if (mux->dead)
		rc = -ECONNRESET;
	else if (room != mux->room)
		rc = 0;
	mux_pass_on(mux);
	pthread_mutex_unlock(&mux->lock);
	return rc;
}

int mux_send(struct mux_ticket *ticket, const struct call *call, const struct frame *frame,
	     const struct iovec body[2])
{
	struct mux *mux = ticket->mux;
	uint64_t end;
	int rc;

	do
		rc = send_frame(mux, ticket->op, frame, body, &end);
	while (rc == -EAGAIN && (rc = wait_for_room(ticket, call)) == 0);
	if (rc < 0)
		return rc;
	if (frame->kind == FRAME_CALL)
		ticket->call_end = end;
	return 0;
}

uint64_t mux_sent(struct mux *mux)
{
	uint64_t sent;

	pthread_mutex_lock(&mux->out.lock);
	sent = mux->out.sent;
	pthread_mutex_unlock(&mux->out.lock);
	return sent;
}

void mux_send_rest(struct mux *mux)
{
	struct mux_ticket *ticket;
	bool kept;
	int rc;

	pthread_mutex_lock(&mux->out.lock);
	rc = flush(mux);
	kept = rest_len(&mux->out) > 0;
	atomic_store(&mux->out.any, kept);
	pthread_mutex_unlock(&mux->out.lock);

	if (rc < 0) {
		broken(mux, rc);
		return;
	}
	if (kept)
		return;
	pthread_mutex_lock(&mux->lock);
	if (mux->wanting_room) {
		mux->wanting_room = 0;
		mux->room++;
		for (ticket = mux->sleepers; ticket; ticket = ticket->next)
			call_event_signal(&ticket->event);
	}
	pthread_mutex_unlock(&mux->lock);
}
