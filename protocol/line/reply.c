/*
 * reply.c - typed getters over a reply object (reply.h).
 */
#include "protocol/line/reply.h"

#include <errno.h>
#include <math.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "protocol/limits.h"
#include "protocol/wire.h"

/* The end of the year 9999: a time that fits every clock and every way to print it. */
#define TIME_MAX 253402300799.0

void line_text_free(struct line_text *text)
{
	free(text->data);
	*text = (struct line_text){ 0 };
}

static void latch(struct line_reply *reply, int code, const char *text)
{
	if (reply->rc == 0)
		reply->rc = error_set(reply->err, code, "%s", text);
}

void line_reply_fail(struct line_reply *reply, const char *format, ...)
{
	char text[LIMIT_ERROR_TEXT];
	va_list args;

	va_start(args, format);
	vsnprintf(text, sizeof(text), format, args);
	va_end(args);
	latch(reply, EPROTO, text);
}

static const json_t *get(const struct line_reply *reply, const char *key)
{
	const json_t *value = json_object_get(reply->object, key);

	return json_is_null(value) ? NULL : value;
}

static void wrong_type(struct line_reply *reply, const char *key, const char *want)
{
	line_reply_fail(reply, "the guest's reply is not valid: %s must be %s", key, want);
}

void line_reply_text(struct line_reply *reply, const char *key, const char *fallback,
		     struct line_text *out)
{
	const json_t *value = get(reply, key);

	*out = (struct line_text){ 0 };
	if (value && !json_is_string(value)) {
		wrong_type(reply, key, "a string");
		value = NULL;
	}
	if (value) {
		out->data = wire_bytes(value, &out->len);
	} else {
		out->data = strdup(fallback ? fallback : "");
		out->len = out->data ? strlen(out->data) : 0;
	}
	if (!out->data)
		latch(reply, ENOMEM, "out of memory");
}

void line_reply_word(struct line_reply *reply, const char *key, const char *fallback, char *out,
		     size_t size)
{
	const json_t *value = get(reply, key);
	const char *word = fallback;
	size_t len;

	if (value && !json_is_string(value)) {
		wrong_type(reply, key, "a string");
	} else if (value) {
		word = json_string_value(value);
		len = strspn(word, "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"
				   "0123456789._-");
		if (len != json_string_length(value) || len >= size) {
			line_reply_fail(
				reply,
				"the guest's reply is not valid: %s must be a word of at most "
				"%zu letters, digits, '.', '_' and '-'",
				key, size - 1);
			word = fallback;
		}
	}
	snprintf(out, size, "%s", word);
}

int64_t line_reply_int(struct line_reply *reply, const char *key, int64_t fallback, int64_t min,
		       int64_t max)
{
	const json_t *value = get(reply, key);
	json_int_t number;

	if (!value)
		return fallback;
	if (!json_is_integer(value)) {
		wrong_type(reply, key, "an integer");
		return fallback;
	}
	number = json_integer_value(value);
	if (number < min || number > max) {
		line_reply_fail(reply,
				"the guest's reply is not valid: %s is %" JSON_INTEGER_FORMAT
				", which is not from %jd to %jd",
				key, number, (intmax_t)min, (intmax_t)max);
		return fallback;
	}
	return number;
}

int64_t line_reply_count(struct line_reply *reply, const char *key)
{
	return line_reply_int(reply, key, 0, 0, INT64_MAX);
}

double line_reply_time(struct line_reply *reply, const char *key)
{
	const json_t *value = get(reply, key);
	double seconds;

	if (!value)
		return 0;
	if (!json_is_number(value)) {
		wrong_type(reply, key, "a number");
		return 0;
	}
	seconds = json_number_value(value);
	if (!isfinite(seconds) || seconds < 0 || seconds > TIME_MAX) {
		line_reply_fail(reply, "the guest's reply is not valid: %s is not a time", key);
		return 0;
	}
	return seconds;
}

bool line_reply_bool(struct line_reply *reply, const char *key, bool fallback)
{
	const json_t *value = get(reply, key);

	if (!value)
		return fallback;
	if (!json_is_boolean(value)) {
		wrong_type(reply, key, "true or false");
		return fallback;
	}
	return json_is_true(value);
}

bool line_reply_exit_code(struct line_reply *reply, int64_t *exit_code)
{
	*exit_code = line_reply_int(reply, "exit_code", 0, INT32_MIN, INT32_MAX);
	return get(reply, "exit_code") != NULL && reply->rc == 0;
}

const json_t *line_reply_array(struct line_reply *reply, const char *key)
{
	const json_t *value = get(reply, key);

	if (value && !json_is_array(value)) {
		wrong_type(reply, key, "an array");
		return NULL;
	}
	return value;
}

const json_t *line_reply_object(struct line_reply *reply, const char *key)
{
	const json_t *value = get(reply, key);

	if (value && !json_is_object(value)) {
		wrong_type(reply, key, "an object");
		return NULL;
	}
	return value;
}
