/* session_conn.c - see session_conn.h. */
#include "protocol/agent/session_conn.h"

#include <errno.h>
#include <poll.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>

#include "protocol/agent/session_ops.h"

#define FRAME_MAX (FRAME_HEADER + FRAME_BODY_MAX)

/* Room for one whole frame and the beginnings of others. */
#define IN_SIZE (FRAME_MAX + (60u << 10))

/* Answers that wait for the end of what came together, at most. */
#define OUT_PIECE (64u << 10)

/* The connection's thread: what came and what goes. */
struct reader {
	struct sess *sess;
	struct sess_call quick; /* the call that is carried out in place */
	struct buf out;         /* answers not sent yet */
	size_t start, end;      /* of what was received and not read yet */
	unsigned char in[IN_SIZE];
};

void sess_thread_prepare(void)
{
	sigset_t all;

	/* SIGXFSZ, above all: a file that is too large is an errno. */
	sigfillset(&all);
	pthread_sigmask(SIG_SETMASK, &all, NULL);
	/* A umask of its own, where that can be had: what others make here is not our business. */
	unshare(CLONE_FS);
	umask(0);
}

struct iovec sess_answer(int rc, const struct buf *result, const struct error *err, uint32_t id,
			 unsigned char header[FRAME_HEADER])
{
	struct frame frame = { .id = id, .kind = FRAME_DONE };
	struct iovec body = { 0 };

	if (rc == 0 && result && result->overflow)
		rc = -EMSGSIZE;
	/* What waits in here is interrupted by its cancel token and nothing else. */
	if (rc == -EINTR)
		rc = -ECANCELED;
	if (rc == 0 && result)
		body = (struct iovec){ result->data, result->len };
	else if (rc < 0 && err && err->code == -rc)
		body = (struct iovec){ (char *)err->text, strlen(err->text) };
	frame.size = (uint32_t)body.iov_len;
	frame.code = (uint16_t)-rc;
	frame_encode(&frame, header);
	return body;
}

void sess_call_run(struct sess_call *call)
{
	struct unpack args = unpack_from(call->args, call->args_len);
	struct buf result = BUF_INIT(FRAME_BODY_MAX);
	struct error err = { 0 };
	int rc = sess_call_check(call);

	if (rc == 0 && call->op->changes && !sess_fence_begin_call(call))
		rc = -ECANCELED;
	if (rc == 0)
		rc = call->op->run(call, &args, &result, &err);
	if (rc != SESS_PARKED)
		sess_call_finish(call, rc, &result, &err);
	buf_free(&result);
}

static int flush(struct reader *reader)
{
	struct iovec piece = { .iov_base = reader->out.data, .iov_len = reader->out.len };

	if (!piece.iov_len)
		return 0;
	reader->out.len = 0;
	return sess_send_frames(&reader->sess->send, &piece, 1, SESS_SEND_SMALL);
}

/* Adds an answer without a result. */
static int answer(struct reader *reader, uint32_t id, int rc, const char *why)
{
	struct error err = { .code = -rc };
	unsigned char header[FRAME_HEADER];
	struct iovec body;

	snprintf(err.text, sizeof(err.text), "%s", why);
	body = sess_answer(rc, NULL, &err, id, header);
	reader->out.max = reader->out.len + FRAME_MAX;
	buf_add(&reader->out, header, sizeof(header));
	buf_add(&reader->out, body.iov_base, body.iov_len);
	return reader->out.overflow ? -ENOMEM : 0;
}

/* In place, the result right behind its header.  SESS_SLOWLY, or an error of the connection. */
static int run_quick(struct reader *reader, const struct sess_op *op, uint32_t id,
		     struct unpack args)
{
	size_t start = reader->out.len;
	struct frame frame = { .id = id, .kind = FRAME_DONE };
	struct error err = { 0 };
	int rc;

	reader->quick.op = op;
	reader->quick.id = id;
	reader->out.max = start + FRAME_MAX;
	if (!buf_reserve(&reader->out, FRAME_HEADER))
		return -ENOMEM;
	buf_commit(&reader->out, FRAME_HEADER);
	rc = sess_fence_run(op, &reader->quick, &args, &reader->out, &err);
	if (rc == 0 && !reader->out.overflow) {
		frame.size = (uint32_t)(reader->out.len - start - FRAME_HEADER);
		frame_encode(&frame, (unsigned char *)reader->out.data + start);
		return 0;
	}
	if (rc == 0)
		rc = -EMSGSIZE;
	reader->out.overflow = false;
	reader->out.len = start;
	if (rc == SESS_SLOWLY)
		return rc;
	return answer(reader, id, rc, err.code == -rc ? err.text : "");
}

/* Hands a call over to the workers, or answers that this cannot be. */
static int begin_slow(struct reader *reader, const struct sess_op *op, uint32_t id,
		      uint32_t deadline_ms, const struct unpack *args)
{
	struct sess *sess = reader->sess;
	struct sess_call *call;
	int rc;

	if (op->stream == SESS_UP && !sess_room_begin_upload(sess->room))
		return answer(reader, id, -EAGAIN, "too many uploads at once: try again");
	call = sess_call_new(sess, op, id, deadline_ms, args->at, (size_t)(args->end - args->at));
	if (!call) {
		if (op->stream == SESS_UP)
			sess_room_end_upload(sess->room);
		return answer(reader, id, -EAGAIN, "too much at once: try again");
	}
	call->upload = op->stream == SESS_UP;
	rc = sess_table_add(&sess->calls, call);
	if (rc < 0) {
		if (call->upload)
			sess_room_end_upload(sess->room);
		sess_call_free(call);
		return answer(reader, id, rc, "too many calls at once: try again");
	}
	if (op->parks) {
		sess_call_run(call);
		return 0;
	}
	rc = sess_workers_submit(sess_room_workers(sess->room), call);
	if (rc < 0)
		sess_call_finish(call, rc, NULL, NULL);
	return 0;
}

static int take_call(struct reader *reader, const struct frame *frame, const unsigned char *body)
{
	struct unpack in = unpack_from(body, frame->size);
	uint32_t deadline_ms = unpack_u32(&in);
	const struct sess_op *op = sess_op_find(frame->code);
	int rc = SESS_SLOWLY;

	if (in.failed || sess_table_has(&reader->sess->calls, frame->id))
		return -EPROTO;
	if (!op)
		return answer(reader, frame->id, -EOPNOTSUPP,
			      "this agent does not know the operation");
	if (op->class == SESS_QUICK && !(op->is_slow && op->is_slow(in)))
		rc = run_quick(reader, op, frame->id, in);
	if (rc == SESS_SLOWLY)
		rc = begin_slow(reader, op, frame->id, deadline_ms, &in);
	return rc;
}

struct piece {
	const struct frame *frame;
	const unsigned char *body;
	int rc;
};

static void feed(struct sess_call *call, void *arg)
{
	struct piece *piece = arg;

	if (call->op->stream == SESS_UP)
		piece->rc = sess_call_feed(call, piece->body, piece->frame->size,
					   piece->frame->flags & FRAME_END);
	else
		piece->rc = -EPROTO;
}

static void credit(struct sess_call *call, void *arg)
{
	struct piece *piece = arg;
	struct unpack in = unpack_from(piece->body, piece->frame->size);

	sess_call_give_credit(call, unpack_u32(&in));
}

/* *ARG: the call, if no worker has it yet: then nobody but us will answer it. */
static void cancel(struct sess_call *call, void *arg)
{
	struct sess_call **ours = arg;

	sess_call_stop(call, false);
	if (sess_workers_withdraw(sess_room_workers(call->sess->room), call))
		*ours = call;
}

static int take_frame(struct reader *reader, const struct frame *frame, const unsigned char *body)
{
	struct piece piece = { frame, body, 0 };
	struct sess_table *calls = &reader->sess->calls;
	struct sess_call *withdrawn = NULL;

	/* What belongs to no call belongs to one that has ended meanwhile. */
	switch (frame->kind) {
	case FRAME_CALL:
		return take_call(reader, frame, body);
	case FRAME_DATA:
		sess_table_with(calls, frame->id, feed, &piece);
		return piece.rc;
	case FRAME_CREDIT:
		sess_table_with(calls, frame->id, credit, &piece);
		return 0;
	case FRAME_CANCEL:
		sess_table_with(calls, frame->id, cancel, &withdrawn);
		if (withdrawn)
			sess_call_finish(withdrawn, -ECANCELED, NULL, NULL);
		return 0;
	default:
		return -EPROTO; /* a DONE is ours to send */
	}
}

/* Takes all frames that are there in full. */
static int take_frames(struct reader *reader)
{
	int rc = 0;

	/* Once its client has another session, what is left of this one is not even looked at. */
	while (rc == 0 && !sess_fence_is_raised(&reader->sess->fence) &&
	       reader->end - reader->start >= FRAME_HEADER) {
		struct frame frame;

		rc = frame_decode(reader->in + reader->start, &frame, NULL);
		if (rc < 0 || reader->end - reader->start < FRAME_HEADER + (size_t)frame.size)
			break;
		rc = take_frame(reader, &frame, reader->in + reader->start + FRAME_HEADER);
		reader->start += FRAME_HEADER + frame.size;
		if (rc == 0 && reader->out.len >= OUT_PIECE)
			rc = flush(reader);
	}
	return rc < 0 ? rc : flush(reader);
}

/* Room for the rest of the frame that begins in the buffer. */
static void make_room(struct reader *reader)
{
	if (reader->start == reader->end) {
		reader->start = reader->end = 0;
	} else if (reader->start && IN_SIZE - reader->start < FRAME_MAX) {
		memmove(reader->in, reader->in + reader->start, reader->end - reader->start);
		reader->end -= reader->start;
		reader->start = 0;
	}
}

struct expiry {
	int next;                    /* milliseconds to the next deadline, -1: there is none */
	struct sess_call *withdrawn; /* those that nobody but us will answer */
};

static void expire(struct sess_call *call, void *arg)
{
	struct expiry *expiry = arg;
	int left;

	if (!call->timed)
		return;
	left = call_remaining_ms(&call->limit);
	if (left > 0) {
		if (expiry->next < 0 || left < expiry->next)
			expiry->next = left;
		return;
	}
	sess_call_stop(call, true);
	if (sess_workers_withdraw(sess_room_workers(call->sess->room), call)) {
		call->next = expiry->withdrawn;
		expiry->withdrawn = call;
	}
}

/*
 * Who is parked or has no worker yet cannot look at its deadline: this does, for all.  What poll(2)
 * may wait until the next one.
 */
static int expire_calls(struct sess *sess)
{
	struct expiry expiry = { .next = -1 };

	if (sess_table_has_timed(&sess->calls))
		sess_table_each(&sess->calls, expire, &expiry);
	while (expiry.withdrawn) {
		struct sess_call *call = expiry.withdrawn;

		expiry.withdrawn = call->next;
		sess_call_finish(call, -ETIMEDOUT, NULL, NULL);
	}
	return expiry.next;
}

/* Waits for bytes, and meanwhile for deadlines.  0 at the end of the stream. */
static ssize_t receive(struct reader *reader)
{
	struct pollfd wait = { .fd = reader->sess->fd, .events = POLLIN };
	int ms;

	make_room(reader);
	while ((ms = expire_calls(reader->sess)) >= 0) {
		if (poll(&wait, 1, ms) > 0)
			break;
	}
	for (;;) {
		ssize_t n = recv(wait.fd, reader->in + reader->end, IN_SIZE - reader->end, 0);

		if (n >= 0 || errno != EINTR)
			return n;
	}
}

static void read_frames(struct reader *reader)
{
	ssize_t n = 1;

	while (n > 0 && take_frames(reader) == 0) {
		n = receive(reader);
		reader->end += n > 0 ? (size_t)n : 0;
	}
}

void sess_serve(struct sess *sess, const void *bytes, size_t len)
{
	struct reader *reader = len <= IN_SIZE ? malloc(sizeof(*reader)) : NULL;

	if (!reader)
		return;
	sess_thread_prepare();
	reader->sess = sess;
	reader->quick = (struct sess_call){ .sess = sess, .limit = call_within(0, NULL) };
	reader->start = 0;
	reader->end = len;
	buf_init(&reader->out, FRAME_MAX);
	memcpy(reader->in, bytes, len);
	read_frames(reader);
	buf_free(&reader->out);
	free(reader);
}
