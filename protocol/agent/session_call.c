/* session_call.c - see session_call.h. */
#include "protocol/agent/session_call.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "protocol/agent/session_conn.h"
#include "protocol/agent/session_ops.h"
#include "protocol/session/frame.h"
#include "protocol/session/number.h"

/* A call without a deadline. */
#define FOREVER_SECONDS 1e9

/* A client that neither gives credit nor sends data for so long is not there any more. */
#define SILENCE_SECONDS 60

/* Credit is given in portions, not for every byte. */
#define CREDIT_PORTION (OPS_WINDOW / 4)

struct sess_call *sess_call_new(struct sess *sess, const struct sess_op *op, uint32_t id,
				uint32_t deadline_ms, const void *args, size_t len)
{
	struct budget *held = &sess->agent->held;
	struct sess_call *call;

	if (!budget_take(held, sizeof(*call) + len))
		return NULL;
	call = calloc(1, sizeof(*call));
	if (call)
		call->args = malloc(len + 1);
	if (!call || !call->args) {
		free(call);
		budget_give(held, sizeof(*call) + len);
		return NULL;
	}
	memcpy(call->args, args, len);
	call->args_len = len;
	call->sess = sess;
	call->op = op;
	call->id = id;
	call->slow = true;
	call->timed = deadline_ms > 0;
	call->credit = call->granted = OPS_WINDOW;
	call->limit = call_within(deadline_ms ? deadline_ms / 1e3 : FOREVER_SECONDS, &call->cancel);
	buf_init(&call->tail, SESS_PIECE);
	cancel_init(&call->cancel);
	call_event_init(&call->event);
	pthread_mutex_init(&call->lock, NULL);
	return call;
}

void sess_call_drop_args(struct sess_call *call)
{
	budget_give(&call->sess->agent->held, call->args_len);
	free(call->args);
	call->args = NULL;
	call->args_len = 0;
}

void sess_call_free(struct sess_call *call)
{
	sess_call_drop_args(call);
	budget_give(&call->sess->agent->held, sizeof(*call));
	pthread_mutex_destroy(&call->lock);
	call_event_destroy(&call->event);
	cancel_destroy(&call->cancel);
	buf_free(&call->tail);
	free(call->ring);
	free(call);
}

void sess_call_stop(struct sess_call *call, bool timed_out)
{
	pthread_mutex_lock(&call->lock);
	if (!cancel_fired(&call->cancel))
		call->timed_out = timed_out;
	pthread_mutex_unlock(&call->lock);
	cancel_fire(&call->cancel);
}

/* What the end of its patience is to a call. */
static int stopped(struct sess_call *call)
{
	bool timed_out;

	pthread_mutex_lock(&call->lock);
	timed_out = call->timed_out;
	pthread_mutex_unlock(&call->lock);
	return timed_out ? -ETIMEDOUT : -ECANCELED;
}

int sess_call_check(struct sess_call *call)
{
	if (!call->slow)
		return 0;
	if (cancel_fired(&call->cancel))
		return stopped(call);
	return call->timed && call_remaining_ms(&call->limit) == 0 ? -ETIMEDOUT : 0;
}

/* Waits for the client to give credit or to send. */
static int await(struct sess_call *call)
{
	struct call patience = call_extend(&call->limit, SILENCE_SECONDS);
	int rc;

	if (patience.deadline > call->limit.deadline)
		patience.deadline = call->limit.deadline;
	rc = call_event_wait(&call->event, &patience);
	return rc == -EINTR ? stopped(call) : rc;
}

/* Takes LEN bytes of credit if there are so many. */
static bool take_credit(struct sess_call *call, size_t len)
{
	bool enough;

	pthread_mutex_lock(&call->lock);
	enough = call->credit >= len;
	if (enough)
		call->credit -= len;
	pthread_mutex_unlock(&call->lock);
	return enough;
}

static int await_credit(struct sess_call *call, size_t len)
{
	int rc = 0;

	while (rc == 0 && !take_credit(call, len))
		rc = await(call);
	return rc;
}

static int send_data(struct sess_call *call, const void *bytes, size_t len, enum sess_send_how how)
{
	struct frame frame = { .size = (uint32_t)len, .id = call->id, .kind = FRAME_DATA };
	unsigned char header[FRAME_HEADER];
	struct iovec pieces[2] = {
		{ .iov_base = header, .iov_len = sizeof(header) },
		{ .iov_base = (void *)bytes, .iov_len = len },
	};

	frame_encode(&frame, header);
	return sess_send_frames(&call->sess->send, pieces, 2, how);
}

int sess_call_send(struct sess_call *call, const void *bytes, size_t len)
{
	const char *from = bytes;
	int rc = sess_call_check(call);

	while (len && rc == 0) {
		size_t piece = len < SESS_PIECE ? len : SESS_PIECE;

		rc = await_credit(call, piece);
		if (rc == 0)
			rc = send_data(call, from, piece, SESS_SEND_BULK);
		from += piece;
		len -= piece;
	}
	return rc;
}

int sess_call_send_last(struct sess_call *call, struct buf *piece)
{
	int rc = piece->len ? await_credit(call, piece->len) : 0;

	if (rc == 0) {
		buf_free(&call->tail);
		call->tail = *piece;
		buf_init(piece, piece->max);
	}
	return rc;
}

uint64_t sess_call_credit(struct sess_call *call)
{
	uint64_t credit;

	pthread_mutex_lock(&call->lock);
	credit = call->credit;
	pthread_mutex_unlock(&call->lock);
	return credit;
}

int sess_call_post(struct sess_call *call, const void *bytes, size_t len)
{
	return take_credit(call, len) ? send_data(call, bytes, len, SESS_SEND_POST) : -EAGAIN;
}

void sess_call_give_credit(struct sess_call *call, uint32_t more)
{
	pthread_mutex_lock(&call->lock);
	call->credit += more;
	pthread_mutex_unlock(&call->lock);
	call_event_signal(&call->event);
	if (call->op->on_news)
		call->op->on_news(call);
}

/* Lock held.  Into the ring, in at most two runs. */
static int put(struct sess_call *call, const char *bytes, size_t len)
{
	size_t at = call->put % OPS_WINDOW, first = OPS_WINDOW - at;

	if (call->ended || call->put + len > call->granted)
		return -EPROTO;
	if (!call->ring && len)
		call->ring = malloc(OPS_WINDOW);
	if (!call->ring && len)
		return -ENOMEM;
	if (len) {
		if (first > len)
			first = len;
		memcpy(call->ring + at, bytes, first);
		memcpy(call->ring, bytes + first, len - first);
	}
	call->put += len;
	return 0;
}

int sess_call_feed(struct sess_call *call, const void *bytes, size_t len, bool last)
{
	int rc;

	pthread_mutex_lock(&call->lock);
	rc = put(call, bytes, len);
	call->ended = call->ended || last;
	pthread_mutex_unlock(&call->lock);
	call_event_signal(&call->event);
	if (call->op->on_news)
		call->op->on_news(call);
	return rc;
}

/* Takes what is there; -EAGAIN where nothing is yet.  *GRANT: credit to give now. */
static ssize_t take(struct sess_call *call, char *bytes, size_t len, uint32_t *grant)
{
	size_t ready, first;

	pthread_mutex_lock(&call->lock);
	ready = (size_t)(call->put - call->taken);
	if (len > ready)
		len = ready;
	if (len) {
		size_t at = call->taken % OPS_WINDOW;

		first = OPS_WINDOW - at < len ? OPS_WINDOW - at : len;
		memcpy(bytes, call->ring + at, first);
		memcpy(bytes + first, call->ring, len - first);
		call->taken += len;
	}
	*grant = 0;
	if (!call->ended && call->taken + OPS_WINDOW - call->granted >= CREDIT_PORTION) {
		*grant = (uint32_t)(call->taken + OPS_WINDOW - call->granted);
		call->granted += *grant;
	}
	ready = len || call->ended;
	pthread_mutex_unlock(&call->lock);
	return ready ? (ssize_t)len : -EAGAIN;
}

static int give_credit(struct sess_call *call, uint32_t bytes)
{
	struct frame frame = { .size = 4, .id = call->id, .kind = FRAME_CREDIT };
	unsigned char message[FRAME_HEADER + 4];
	struct iovec piece = { .iov_base = message, .iov_len = sizeof(message) };

	frame_encode(&frame, message);
	put32(message + FRAME_HEADER, bytes);
	return sess_send_frames(&call->sess->send, &piece, 1, SESS_SEND_POST);
}

ssize_t sess_call_try_receive(struct sess_call *call, void *bytes, size_t len)
{
	uint32_t grant;
	ssize_t n = take(call, bytes, len, &grant);

	return grant && give_credit(call, grant) < 0 ? -EPIPE : n;
}

ssize_t sess_call_receive(struct sess_call *call, void *bytes, size_t len)
{
	for (;;) {
		ssize_t n;
		int rc = sess_call_check(call);

		if (rc < 0)
			return rc;
		n = sess_call_try_receive(call, bytes, len);
		if (n != -EAGAIN)
			return n;
		rc = await(call);
		if (rc < 0)
			return rc;
	}
}

void sess_call_finish(struct sess_call *call, int rc, const struct buf *result,
		      const struct error *err)
{
	struct sess *sess = call->sess;
	unsigned char data[FRAME_HEADER], done[FRAME_HEADER];
	struct iovec pieces[SESS_SEND_PIECES];
	struct frame frame = { .size = (uint32_t)call->tail.len, .id = call->id };
	int count = 0;

	cancel_unset_wake(&call->cancel);
	sess_fence_end_call(call);
	/* Before it is told: by then the client may begin another in its place. */
	sess_table_remove(&sess->calls, call);
	if (call->upload)
		sess_room_end_upload(sess->room);
	if (rc == 0 && call->tail.len) {
		frame.kind = FRAME_DATA;
		frame_encode(&frame, data);
		pieces[count++] = (struct iovec){ data, sizeof(data) };
		pieces[count++] = (struct iovec){ call->tail.data, call->tail.len };
	}
	pieces[count + 1] = sess_answer(rc, result, err, call->id, done);
	pieces[count] = (struct iovec){ done, sizeof(done) };
	sess_send_frames(&sess->send, pieces, count + 2,
			 call->parked ? SESS_SEND_POST : SESS_SEND_SMALL);
	sess_call_free(call);
	sess_table_forget(&sess->calls);
}
