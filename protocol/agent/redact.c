/* redact.c - see redact.h. */
#include "protocol/agent/redact.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "protocol/wire.h"

/* Room for a secret that comes in pieces, and for one read of a terminal behind it. */
#define HELD_ROOM (256u << 10)

static int add_value(struct redact *redact, const json_t *value, struct error *err)
{
	struct redact_value *into = &redact->values[redact->count];

	if (!json_is_string(value))
		return error_set(err, EINVAL, "redact_values must be strings");
	into->bytes = wire_bytes(value, &into->len);
	if (!into->bytes)
		return error_set(err, ENOMEM, "out of memory");
	if (!into->len) {
		free(into->bytes);
		return 0;
	}
	redact->count++;
	redact->begins[(unsigned char)into->bytes[0]] = true;
	if (into->len > redact->longest)
		redact->longest = into->len;
	return 0;
}

int redact_init(struct redact *redact, const json_t *values, struct error *err)
{
	size_t count = json_array_size(values);

	*redact = (struct redact){ .held = BUF_INIT(HELD_ROOM) };
	if (!values || json_is_null(values))
		return 0;
	if (!json_is_array(values))
		return error_set(err, EINVAL, "redact_values must be an array");
	if (count > LIMIT_AGENT_REDACT_VALUES)
		return error_set(err, E2BIG, "redact_values has more than %d values",
				 LIMIT_AGENT_REDACT_VALUES);
	redact->values = calloc(count ? count : 1, sizeof(*redact->values));
	if (!redact->values)
		return error_set(err, ENOMEM, "out of memory");
	for (size_t i = 0; i < count; i++) {
		int rc = add_value(redact, json_array_get(values, i), err);

		if (rc < 0) {
			redact_free(redact);
			return rc;
		}
	}
	return 0;
}

void redact_free(struct redact *redact)
{
	for (size_t i = 0; i < redact->count; i++) {
		if (redact->values[i].bytes)
			explicit_bzero(redact->values[i].bytes, redact->values[i].len);
		free(redact->values[i].bytes);
	}
	free(redact->values);
	redact->values = NULL;
	redact->count = 0;
	buf_free(&redact->held);
}

/*
 * What is at the beginning of BYTES: the length of the longest secret, 0 for none.  *OPEN
 * says that more bytes could make it a secret, or a longer one.
 */
static size_t match(const struct redact *redact, const char *bytes, size_t len, bool *open)
{
	size_t longest = 0;

	*open = false;
	if (!redact->begins[(unsigned char)bytes[0]])
		return 0;
	for (size_t i = 0; i < redact->count; i++) {
		const struct redact_value *value = &redact->values[i];
		size_t common = value->len < len ? value->len : len;

		if (memcmp(value->bytes, bytes, common) != 0)
			continue;
		if (common < value->len)
			*open = true;
		else if (common > longest)
			longest = common;
	}
	return longest;
}

static void scan(struct redact *redact, bool at_end, redact_fn emit, void *arg)
{
	const char *bytes = buf_str(&redact->held);
	size_t len = redact->held.len, at = 0, shown = 0;

	while (at < len) {
		bool open;
		size_t secret = match(redact, bytes + at, len - at, &open);

		if (open && !at_end)
			break;
		if (!secret) {
			at++;
			continue;
		}
		emit(arg, bytes + shown, at - shown);
		emit(arg, REDACT_TEXT, sizeof(REDACT_TEXT) - 1);
		at += secret;
		shown = at;
	}
	emit(arg, bytes + shown, at - shown);
	buf_consume(&redact->held, at);
}

void redact_add(struct redact *redact, const char *bytes, size_t len, redact_fn emit, void *arg)
{
	if (!redact->count) {
		emit(arg, bytes, len);
		return;
	}
	buf_add(&redact->held, bytes, len);
	if (redact->held.overflow)
		buf_free(&redact->held); /* out of memory: losing output beats showing a secret */
	scan(redact, false, emit, arg);
}

void redact_finish(struct redact *redact, redact_fn emit, void *arg)
{
	scan(redact, true, emit, arg);
}
