/*
 * exchange_io.c - the life of one connection: dial, send while watching for an early
 * reply, read to EOF.  What the bytes of the reply mean is in exchange_reply.c.
 */
#include "protocol/line/exchange_io.h"

#include <errno.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>

#include "protocol/cleanup.h"
#include "protocol/line/exchange_reply.h"
#include "protocol/wire.h"

#define CHUNK (64u << 10)

static void drop_payload(struct line_payload *payload)
{
	if (payload->destroy)
		payload->destroy(payload->arg);
	*payload = (struct line_payload){ 0 };
}

/* The request as it goes over the wire, with its newline. */
static int write_line(struct exchange *x, const json_t *object, struct error *err)
{
	size_t len = 0;
	autofree char *text = object ? wire_dump(object, &len) : NULL;

	if (!text)
		return error_set(err, ENOMEM, "out of memory for a request");
	if (len + 1 > LIMIT_REQUEST_LINE)
		return error_set(err, E2BIG,
				 "the request is %zu bytes long, over the limit of %u for one line",
				 len + 1, LIMIT_REQUEST_LINE);
	x->line = malloc(len + 1);
	if (!x->line)
		return error_set(err, ENOMEM, "out of memory for a request");
	memcpy(x->line, text, len);
	x->line[len] = '\n';
	x->line_len = len + 1;
	return 0;
}

static int fill(struct exchange *x, const json_t *object, struct error *err)
{
	if (x->payload.size < 0 || x->payload.size > LIMIT_ARCHIVE_SIZE)
		return error_set(err, EINVAL, "a payload of %lld bytes cannot be sent",
				 (long long)x->payload.size);
	if (x->payload.size > 0) {
		x->chunk = malloc(CHUNK);
		if (!x->chunk)
			return error_set(err, ENOMEM, "out of memory for an upload");
	}
	return write_line(x, object, err);
}

int exchange_new(struct guest *guest, struct exchange_request *request, struct exchange **out,
		 struct error *err)
{
	struct exchange *x = calloc(1, sizeof(*x));
	int rc;

	if (x) {
		x->guest = guest;
		x->kind = request->kind;
		x->dial.fd = -1;
		x->fd = -1;
		x->payload = request->payload;
		buf_init(&x->reply, LIMIT_REPLY_OBJECT);
		rc = fill(x, request->object, err);
	} else {
		drop_payload(&request->payload);
		rc = error_set(err, ENOMEM, "out of memory for a request");
	}
	request->payload = (struct line_payload){ 0 };
	json_decref(request->object);
	request->object = NULL;
	if (rc < 0) {
		exchange_free(x);
		return rc;
	}
	*out = x;
	return 0;
}

void exchange_free(struct exchange *x)
{
	if (!x)
		return;
	dial_close(&x->dial);
	cleanup_close(&x->fd);
	drop_payload(&x->payload);
	buf_free(&x->reply);
	json_decref(x->object);
	free(x->chunk);
	free(x->line);
	free(x);
}

/* The connection stands. */
static void begin_talk(struct exchange *x)
{
	x->fd = move_fd(x->dial.fd);
	x->state = EXCHANGE_TALK;
	x->heard_at = call_now();
	x->traffic.requests++;
}

int exchange_dial(struct exchange *x, struct error *err)
{
	int rc;

	x->dialled_at = call_now();
	rc = dial_start(&x->dial, &x->guest->ops, x->aside ? x->aside : &x->guest->dial, err);
	if (rc < 0)
		return rc;
	x->state = EXCHANGE_DIAL;
	if (x->dial.state == DIAL_DONE)
		begin_talk(x);
	return 0;
}

bool exchange_untouched(const struct exchange *x)
{
	return x->line_sent == 0;
}

void exchange_rewind(struct exchange *x)
{
	dial_close(&x->dial);
	cleanup_close(&x->fd);
	x->fd = -1;
	x->state = EXCHANGE_IDLE;
	x->line_sent = 0;
	x->mute = false;
	buf_free(&x->reply);
	x->received = 0;
	x->begun = false;
	x->braced = false;
	x->lined = false;
}

int exchange_fd(const struct exchange *x)
{
	return x->state == EXCHANGE_DIAL ? x->dial.fd : x->fd;
}

bool exchange_all_sent(const struct exchange *x)
{
	return x->line_sent == x->line_len && x->chunk_sent == x->chunk_len &&
	       x->payload_read == x->payload.size;
}

static bool wants_to_send(const struct exchange *x)
{
	return !x->mute && !exchange_all_sent(x);
}

short exchange_events(const struct exchange *x)
{
	if (x->state == EXCHANGE_DIAL)
		return dial_events(&x->dial);
	return (short)(POLLIN | (wants_to_send(x) ? POLLOUT : 0));
}

/*
 * The next piece of the payload.  The agent was promised its size, so what
 * cannot be read is made up with zeros: it must not wait for ever.
 */
static void fill_chunk(struct exchange *x)
{
	int64_t left = x->payload.size - x->payload_read;
	size_t want = left < (int64_t)CHUNK ? (size_t)left : CHUNK;
	ssize_t got = -EIO;

	if (!x->payload_error) {
		got = x->payload.read(x->payload.arg, x->chunk, want);
		if (got <= 0 || (size_t)got > want)
			x->payload_error = got < 0 ? (int)got : -EIO;
	}
	if (x->payload_error) {
		memset(x->chunk, 0, want);
		got = (ssize_t)want;
	}
	x->payload_read += got;
	x->chunk_len = (size_t)got;
	x->chunk_sent = 0;
}

static void send_some(struct exchange *x)
{
	bool bulk = x->line_sent == x->line_len;
	const char *bytes = x->line + x->line_sent;
	size_t len = x->line_len - x->line_sent;
	ssize_t sent;

	if (bulk) {
		if (x->chunk_sent == x->chunk_len)
			fill_chunk(x);
		bytes = x->chunk + x->chunk_sent;
		len = x->chunk_len - x->chunk_sent;
	}
	sent = send(x->fd, bytes, len, MSG_NOSIGNAL | MSG_DONTWAIT);
	if (sent < 0) {
		/* Nobody listens any more: the reply, which says why, may be there already. */
		if (errno != EAGAIN && errno != EINTR)
			x->mute = true;
		return;
	}
	x->heard_at = call_now();
	x->traffic.bytes_sent += (uint64_t)sent;
	if (bulk) {
		x->chunk_sent += (size_t)sent;
		x->bulk_at = x->heard_at;
	} else {
		x->line_sent += (size_t)sent;
	}
}

/* 1: there may be more; 0: nothing now; negative as exchange_step. */
static int receive_some(struct exchange *x, struct error *err)
{
	char bytes[CHUNK];
	ssize_t got = recv(x->fd, bytes, sizeof(bytes), MSG_DONTWAIT);

	if (got < 0 && (errno == EAGAIN || errno == EINTR))
		return 0;
	if (got <= 0) {
		x->state = EXCHANGE_END;
		return reply_end(x, got < 0 ? errno : 0, err);
	}
	x->heard_at = call_now();
	x->traffic.bytes_received += (uint64_t)got;
	if (x->shape == EXCHANGE_HEADER || x->shape == EXCHANGE_BODY)
		x->bulk_at = x->heard_at;

	int rc = reply_take(x, bytes, (size_t)got, err);

	if (x->session)
		x->state = EXCHANGE_END;
	return rc;
}

static int talk(struct exchange *x, struct error *err)
{
	bool whole = !x->payload_error;

	if (wants_to_send(x))
		send_some(x);
	if (whole && x->payload_error && x->shape != EXCHANGE_DISCARD)
		return error_set(err, -x->payload_error, "cannot read what is to be uploaded: %s",
				 strerror(-x->payload_error));
	return receive_some(x, err);
}

int exchange_step(struct exchange *x, struct error *err)
{
	int rc;

	switch (x->state) {
	case EXCHANGE_DIAL:
		rc = dial_step(&x->dial, err);
		if (rc < 0)
			x->state = EXCHANGE_IDLE;
		else if (x->dial.state == DIAL_DONE)
			begin_talk(x);
		return rc;
	case EXCHANGE_TALK:
		return talk(x, err);
	default:
		return 0;
	}
}

void exchange_discard(struct exchange *x)
{
	x->shape = EXCHANGE_DISCARD;
	buf_free(&x->reply);
	x->sink = NULL;
}

void exchange_abandon(struct exchange *x)
{
	x->abandoned = x->shape == EXCHANGE_HELLO && !exchange_untouched(x) && !x->lined;
	if (exchange_untouched(x)) {
		char *nothing = strdup(EXCHANGE_NOTHING);

		/* Without memory the request itself goes: rather late than a silent connection. */
		if (nothing) {
			drop_payload(&x->payload);
			free(x->line);
			x->line = nothing;
			x->line_len = strlen(nothing);
		}
	}
	if (!x->abandoned)
		exchange_discard(x);
}

void exchange_account(struct exchange *x)
{
	traffic_add(&x->guest->traffic, x->kind, &x->traffic);
	x->traffic = (struct traffic_count){ 0 };
}
