/*
 * exchange_reply.c - takes the reply's bytes as they come and judges the whole.
 */
#include "protocol/line/exchange_reply.h"

#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "protocol/cleanup.h"
#include "protocol/line/exchange_io.h"
#include "protocol/wire.h"

#define WHITE " \t\r\n"

/* The text of a JSON value that should have been a string. */
static int judge_odd_error(const json_t *value, struct error *err)
{
	autofree char *text = json_dumps(value, JSON_ENCODE_ANY | JSON_COMPACT);

	return error_set(err, EREMOTEIO, "%s", text ? text : "an error that is no text");
}

int exchange_judge(const json_t *object, struct error *err)
{
	const json_t *value = json_object_get(object, "error");
	autofree char *text = NULL;
	size_t len = 0;

	if (!value || json_is_null(value))
		return 0;
	if (!json_is_string(value))
		return judge_odd_error(value, err);
	text = wire_bytes(value, &len);
	if (!text)
		return error_set(err, ENOMEM, "out of memory for a reply");
	if (strspn(text, WHITE) == strlen(text))
		return error_set(err, EREMOTEIO, "the agent reported an error without a text");
	return error_set(err, EREMOTEIO, "%s", text);
}

/* Parses what the buffer holds, as far as LEN, into x->object. */
static int parse(struct exchange *x, size_t len, const char *what, struct error *err)
{
	x->object = wire_parse(buf_str(&x->reply), len, err);
	if (!x->object)
		return error_wrap(err, -EPROTO, "%s", what);
	return exchange_judge(x->object, err);
}

static int over_cap(const struct exchange *x, const char *what, struct error *err)
{
	return error_set(err, EPROTO, "the guest's %s is over the limit of %zu bytes", what,
			 x->reply.max);
}

static void note_first(struct exchange *x, const char *bytes, size_t len)
{
	for (size_t i = 0; i < len && !x->begun; i++) {
		x->begun = !bytes[i] || !strchr(WHITE, bytes[i]);
		x->braced = bytes[i] == '{';
	}
}

static int take_object(struct exchange *x, const char *bytes, size_t len, struct error *err)
{
	buf_add(&x->reply, bytes, len);
	return x->reply.overflow ? over_cap(x, "reply", err) : 0;
}

/*
 * The first line of a hello's reply: a session's says so, and nothing comes behind it before we
 * have spoken. Anything else is for the end of the connection to judge.
 */
static int take_hello(struct exchange *x, const char *bytes, size_t len, struct error *err)
{
	int rc = take_object(x, bytes, len, err);
	const char *newline = rc == 0 && !x->lined ? memchr(x->reply.data, '\n', x->reply.len) :
						     NULL;
	size_t head;

	if (!newline)
		return rc;
	x->lined = true;
	head = (size_t)(newline - x->reply.data);
	if (head > LIMIT_HELLO_LINE)
		return 0;
	x->object = wire_parse(x->reply.data, head, NULL);
	x->session = json_is_string(json_object_get(x->object, "dialect")) &&
		     exchange_judge(x->object, NULL) == 0;
	if (!x->session) {
		json_decref(x->object);
		x->object = NULL;
		return 0;
	}
	if (head + 1 != x->reply.len || !exchange_all_sent(x))
		return error_set(err, EPROTO, "the agent spoke before it was asked");
	return 0;
}

/* archive_size: absent and null are 0; a number that is none, or is out of range, is a lie. */
static int take_size(struct exchange *x, struct error *err)
{
	const json_t *value = json_object_get(x->object, "archive_size");
	json_int_t size = json_integer_value(value);

	if (value && !json_is_null(value) && !json_is_integer(value))
		return error_set(err, EPROTO,
				 "the guest's export has an archive_size that is no "
				 "whole number");
	if (size < 0)
		return error_set(err, EPROTO,
				 "the guest's export has an archive_size of %" JSON_INTEGER_FORMAT
				 ", which is negative",
				 size);
	if (size > LIMIT_ARCHIVE_SIZE)
		return error_set(err, EPROTO,
				 "the guest's export has an archive_size of %" JSON_INTEGER_FORMAT
				 ", over the limit of %" PRId64,
				 size, LIMIT_ARCHIVE_SIZE);
	if (size > x->max_size)
		return error_set(err, EFBIG,
				 "the guest's export has %" JSON_INTEGER_FORMAT
				 " bytes, more than the %" PRId64 " there is room for",
				 size, x->max_size);
	x->body_size = size;
	x->body_left = size;
	x->shape = EXCHANGE_BODY;
	return 0;
}

static int take_body(struct exchange *x, const char *bytes, size_t len, struct error *err)
{
	if ((uint64_t)len > (uint64_t)x->body_left)
		return error_set(err, EPROTO,
				 "the guest sent more than the %" PRId64
				 " bytes that its export promised",
				 x->body_size);
	x->body_left -= (int64_t)len;
	if (!len)
		return 0;

	int rc = x->sink(x->sink_arg, bytes, len);

	if (rc < 0)
		return error_set(err, -rc, "cannot take the guest's export: %s", strerror(-rc));
	return 0;
}

static int take_header(struct exchange *x, const char *bytes, size_t len, struct error *err)
{
	const char *newline = memchr(bytes, '\n', len);
	size_t head = newline ? (size_t)(newline - bytes) : len;
	int rc;

	buf_add(&x->reply, bytes, head);
	if (x->reply.overflow)
		return over_cap(x, "export header", err);
	if (!newline)
		return 0;
	rc = parse(x, x->reply.len, "the export's header", err);
	if (rc == 0)
		rc = take_size(x, err);
	if (rc == 0)
		rc = take_body(x, newline + 1, len - head - 1, err);
	return rc;
}

/* The same for nobody: what begins no session is thrown away. */
static int take_late_hello(struct exchange *x, const char *bytes, size_t len)
{
	int rc = take_hello(x, bytes, len, NULL);

	if (!x->session && (rc < 0 || x->lined || x->reply.len > LIMIT_HELLO_LINE))
		exchange_discard(x);
	return 0;
}

int reply_take(struct exchange *x, const char *bytes, size_t len, struct error *err)
{
	note_first(x, bytes, len);
	x->received += (int64_t)len;
	/* What does not begin as an object will never be one: no need to wait for its end. */
	if (x->begun && !x->braced && x->shape != EXCHANGE_DISCARD)
		return error_set(err, EPROTO,
				 "what the guest answered must be a JSON object, and is none");
	switch (x->shape) {
	case EXCHANGE_OBJECT:
		return take_object(x, bytes, len, err);
	case EXCHANGE_HELLO:
		return x->abandoned ? take_late_hello(x, bytes, len) :
				      take_hello(x, bytes, len, err);
	case EXCHANGE_HEADER:
		return take_header(x, bytes, len, err);
	case EXCHANGE_BODY:
		return take_body(x, bytes, len, err);
	case EXCHANGE_DISCARD:
		break;
	}
	return 0;
}

static int unanswered(const struct exchange *x, int code, struct error *err)
{
	if (x->received == 0)
		return error_set(err, EPROTO,
				 "the guest closed the connection without an answer%s%s",
				 code ? ": " : "", code ? strerror(code) : "");
	return error_set(err, EPROTO, "the guest's answer broke off after %" PRId64 " bytes: %s",
			 x->received, strerror(code));
}

static int end_object(struct exchange *x, int code, struct error *err)
{
	int rc = parse(x, x->reply.len, "the guest's answer", err);

	if (rc == -EREMOTEIO && x->shape == EXCHANGE_HELLO &&
	    json_is_true(json_object_get(x->object, "busy")))
		return error_set(err, EBUSY, "%s", err ? err->text : "");
	/* A reset behind a whole reply is only how this peer says goodbye. */
	if (rc == -EPROTO && code)
		return unanswered(x, code, err);
	/* An error may come early; whatever else does is not about what was sent. */
	if (rc == 0 && !exchange_all_sent(x))
		return error_set(err, EPROTO,
				 "the guest answered before it had taken the whole request");
	return rc;
}

static int end_header(struct exchange *x, struct error *err)
{
	/* Older agents end an error, which has no body, without a newline. */
	int rc = parse(x, x->reply.len, "the export's header", err);

	if (rc < 0)
		return rc;
	return error_set(err, EPROTO, "the guest's export ended within its header");
}

int reply_end(struct exchange *x, int code, struct error *err)
{
	if (x->shape == EXCHANGE_DISCARD)
		return 0;
	if (x->received == 0)
		return unanswered(x, code, err);
	switch (x->shape) {
	case EXCHANGE_OBJECT:
	case EXCHANGE_HELLO:
		return end_object(x, code, err);
	case EXCHANGE_HEADER:
		return end_header(x, err);
	default:
		break;
	}
	if (x->body_left > 0)
		return error_set(err, EPROTO,
				 "the guest's export ended %" PRId64 " bytes short of the %" PRId64
				 " it promised",
				 x->body_left, x->body_size);
	return 0;
}
