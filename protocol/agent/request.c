/* request.c - see request.h. */
#include "protocol/agent/request.h"

#include <errno.h>
#include <string.h>

#include "protocol/agent/name.h"
#include "protocol/cleanup.h"
#include "protocol/wire.h"

/* The value of KEY; NULL where it is missing or null. */
static const json_t *lookup(const struct request *request, const char *key)
{
	const json_t *value = json_object_get(request->object, key);

	return json_is_null(value) ? NULL : value;
}

int request_bytes(const struct request *request, const char *key, size_t max, char **out,
		  size_t *len, struct error *err)
{
	const json_t *value = lookup(request, key);
	autofree char *bytes = NULL;

	if (!value)
		return error_set(err, EINVAL, "%s is required", key);
	if (!json_is_string(value))
		return error_set(err, EINVAL, "%s must be a string", key);
	bytes = wire_bytes(value, len);
	if (!bytes)
		return error_set(err, ENOMEM, "out of memory");
	if (*len > max)
		return error_set(err, E2BIG, "%s is longer than %zu bytes", key, max);
	*out = move_ptr(bytes);
	return 0;
}

int request_text(const struct request *request, const char *key, const char *fallback, size_t max,
		 char **out, struct error *err)
{
	autofree char *text = NULL;
	size_t len;

	if (fallback && !lookup(request, key)) {
		*out = strdup(fallback);
		return *out ? 0 : error_set(err, ENOMEM, "out of memory");
	}

	int rc = request_bytes(request, key, max, &text, &len, err);

	if (rc < 0)
		return rc;
	if (strlen(text) != len)
		return error_set(err, EINVAL, "%s must not contain a NUL", key);
	*out = move_ptr(text);
	return 0;
}

int request_int(const struct request *request, const char *key, int64_t fallback, int64_t min,
		int64_t max, int64_t *out, struct error *err)
{
	const json_t *value = lookup(request, key);
	int64_t number;

	if (!value)
		number = fallback;
	else if (json_is_integer(value))
		number = json_integer_value(value);
	else if (json_is_real(value) && json_real_value(value) > -9e15 &&
		 json_real_value(value) < 9e15)
		number = (int64_t)json_real_value(value);
	else
		return error_set(err, EINVAL, "%s must be a number", key);
	if (number < min || number > max)
		return error_set(err, EINVAL, "%s must be between %lld and %lld", key,
				 (long long)min, (long long)max);
	*out = number;
	return 0;
}

int request_ms(const struct request *request, const char *key, int64_t fallback_seconds,
	       int64_t max_seconds, int64_t *ms, struct error *err)
{
	const json_t *value = lookup(request, key);
	double seconds = value ? json_number_value(value) : (double)fallback_seconds;

	if (value && !json_is_number(value))
		return error_set(err, EINVAL, "%s must be a number", key);
	if (!(seconds >= 0 && seconds <= (double)max_seconds))
		return error_set(err, EINVAL, "%s must be between 0 and %lld", key,
				 (long long)max_seconds);
	*ms = (int64_t)(seconds * 1000);
	if ((double)*ms < seconds * 1000)
		++*ms;
	return 0;
}

int request_bool(const struct request *request, const char *key, bool fallback, bool *out,
		 struct error *err)
{
	const json_t *value = lookup(request, key);

	if (value && !json_is_boolean(value))
		return error_set(err, EINVAL, "%s must be true or false", key);
	*out = value ? json_is_true(value) : fallback;
	return 0;
}

int request_name(const struct request *request, const char *key, char **out, struct error *err)
{
	autofree char *text = NULL;
	int rc = request_text(request, key, NULL, LIMIT_PATH, &text, err);

	if (rc < 0)
		return rc;
	name_trim(text);
	if (!name_is_valid(text))
		return error_set(err, EINVAL, "%s must match [A-Za-z0-9][A-Za-z0-9._-]{0,63}", key);
	*out = move_ptr(text);
	return 0;
}

int request_open_payload(struct request *request, struct error *err)
{
	int64_t size = 0;
	int rc = request_int(request, "archive_size", 0, 1, LIMIT_ARCHIVE_SIZE, &size, err);

	if (rc == 0)
		request->payload = size;
	return rc;
}

ssize_t request_payload(void *arg, void *bytes, size_t len)
{
	struct request *request = arg;
	ssize_t n;

	if (request->payload <= 0)
		return 0;
	if ((int64_t)len > request->payload)
		len = (size_t)request->payload;
	n = peer_read(request->peer, bytes, len);
	if (n > 0) {
		request->payload -= n;
		return n;
	}
	/* Whatever comes later is not worth waiting for. */
	request->payload = 0;
	return n < 0 ? n : -ENODATA;
}

void reply_value(struct reply *reply, const char *key, json_t *value)
{
	if (json_object_set_new(reply->object, key, value) < 0)
		reply->failed = true;
}

void reply_bytes(struct reply *reply, const char *key, const char *bytes, size_t len)
{
	reply_value(reply, key, wire_string(bytes, len));
}

void reply_text(struct reply *reply, const char *key, const char *text)
{
	if (text)
		reply_bytes(reply, key, text, strlen(text));
	else
		reply_null(reply, key);
}

void reply_int(struct reply *reply, const char *key, int64_t value)
{
	reply_value(reply, key, json_integer(value));
}

void reply_bool(struct reply *reply, const char *key, bool value)
{
	reply_value(reply, key, json_boolean(value));
}

void reply_null(struct reply *reply, const char *key)
{
	reply_value(reply, key, json_null());
}

void reply_time(struct reply *reply, const char *key, double seconds)
{
	reply_value(reply, key, seconds > 0 ? json_real(seconds) : json_null());
}
