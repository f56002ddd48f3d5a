/*
 * request.c - building a request of the line dialect (request.h).
 */
#include "protocol/line/request.h"

#include <ctype.h>
#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "protocol/limits.h"
#include "protocol/wire.h"

void line_payload_destroy(struct line_payload *payload)
{
	if (payload->destroy)
		payload->destroy(payload->arg);
	*payload = (struct line_payload){ 0 };
}

void line_request_fail(struct line_request *request, int code, const char *format, ...)
{
	char text[LIMIT_ERROR_TEXT];
	va_list args;

	if (request->rc < 0)
		return;
	va_start(args, format);
	vsnprintf(text, sizeof(text), format, args);
	va_end(args);
	request->rc = error_set(request->err, code, "%s", text);
}

void line_request_add(struct line_request *request, const char *key, json_t *value)
{
	if (request->rc < 0) {
		json_decref(value);
		return;
	}
	/* This takes VALUE over also when it fails. */
	if (json_object_set_new(request->exchange.object, key, value) < 0)
		line_request_fail(request, ENOMEM, "out of memory");
}

/* The one without an action is exec. */
static enum traffic_kind kind_of(const char *action)
{
	static const struct {
		const char *action;
		enum traffic_kind kind;
	} kinds[] = {
		{ "extract_archive", TRAFFIC_IMPORT },
		{ "install_secrets", TRAFFIC_IMPORT },
		{ "export_archive", TRAFFIC_EXPORT },
		{ "list_workspace", TRAFFIC_LIST },
		{ "read_workspace_file", TRAFFIC_READ },
		{ "write_workspace_file", TRAFFIC_WRITE },
		{ "delete_workspace_path", TRAFFIC_CHANGE },
		{ "open_shell", TRAFFIC_SHELL },
		{ "read_shell", TRAFFIC_OUTPUT },
		{ "write_shell", TRAFFIC_SHELL },
		{ "signal_shell", TRAFFIC_SHELL },
		{ "close_shell", TRAFFIC_SHELL },
		{ "start_service", TRAFFIC_SERVICE },
		{ "status_service", TRAFFIC_SERVICE },
		{ "logs_service", TRAFFIC_OUTPUT },
		{ "stop_service", TRAFFIC_SERVICE },
	};

	for (size_t i = 0; action && i < sizeof(kinds) / sizeof(kinds[0]); i++)
		if (strcmp(action, kinds[i].action) == 0)
			return kinds[i].kind;
	return action ? TRAFFIC_UNSAID : TRAFFIC_EXEC;
}

void line_request_init(struct line_request *request, const char *action, struct error *err)
{
	*request = (struct line_request){ .exchange.kind = kind_of(action), .err = err };
	request->exchange.object = json_object();
	if (!request->exchange.object)
		line_request_fail(request, ENOMEM, "out of memory");
	if (action)
		line_request_add(request, "action", json_string(action));
}

void line_request_bytes(struct line_request *request, const char *key, const char *bytes,
			size_t len)
{
	line_request_add(request, key, wire_string(bytes, len));
}

void line_request_text(struct line_request *request, const char *key, const char *text)
{
	if (text)
		line_request_bytes(request, key, text, strlen(text));
	else
		line_request_add(request, key, json_null());
}

void line_request_int(struct line_request *request, const char *key, int64_t value)
{
	line_request_add(request, key, json_integer(value));
}

void line_request_bool(struct line_request *request, const char *key, bool value)
{
	line_request_add(request, key, json_boolean(value));
}

void line_request_range(struct line_request *request, const char *key, int64_t value, int64_t min,
			int64_t max)
{
	if (value < min || value > max)
		line_request_fail(request, EINVAL, "%s must be from %jd to %jd, not %jd", key,
				  (intmax_t)min, (intmax_t)max, (intmax_t)value);
	line_request_int(request, key, value);
}

void line_request_name(struct line_request *request, const char *key, const char *name)
{
	size_t len = strlen(name);
	bool good = len > 0 && len <= LIMIT_ENTITY_NAME && isalnum((unsigned char)name[0]) &&
		    strspn(name, "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"
				 "0123456789._-") == len;

	if (!good)
		line_request_fail(request, EINVAL,
				  "%s '%s' must be 1 to %d letters, digits, '.', '_' and '-', "
				  "beginning with a letter or digit",
				  key, name, LIMIT_ENTITY_NAME);
	line_request_text(request, key, name);
}

static bool env_name_is_good(const char *name)
{
	static const char letters[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz_"
				      "0123456789";
	size_t len = strlen(name);

	return len > 0 && len <= LIMIT_ENV_NAME && strspn(name, letters) == len &&
	       !(name[0] >= '0' && name[0] <= '9');
}

void line_request_env(struct line_request *request, const struct line_env *env, size_t count)
{
	json_t *object = json_object();

	if (count > LIMIT_ENV_VALUES)
		line_request_fail(request, EINVAL, "more than %d environment variables",
				  LIMIT_ENV_VALUES);
	for (size_t i = 0; i < count && request->rc == 0; i++) {
		if (!env_name_is_good(env[i].name))
			line_request_fail(
				request, EINVAL,
				"environment variable '%s' must be 1 to %d letters, digits and "
				"'_', not beginning with a digit",
				env[i].name, LIMIT_ENV_NAME);
		else if (json_object_set_new(object, env[i].name,
					     wire_string(env[i].value, strlen(env[i].value))) < 0)
			line_request_fail(request, ENOMEM, "out of memory");
	}
	line_request_add(request, "env", object);
}

void line_request_payload(struct line_request *request, struct line_payload payload)
{
	request->exchange.payload = payload;
	if (payload.size <= 0)
		line_request_fail(request, EINVAL, "the archive is empty");
	else if (payload.size > LIMIT_ARCHIVE_SIZE)
		line_request_fail(request, EFBIG, "the archive is larger than %jd bytes",
				  (intmax_t)LIMIT_ARCHIVE_SIZE);
	line_request_int(request, "archive_size", payload.size);
}

int line_request_drop(struct line_request *request)
{
	json_decref(request->exchange.object);
	line_payload_destroy(&request->exchange.payload);
	request->exchange.object = NULL;
	return request->rc;
}

int line_request_run(struct line_request *request, struct guest *guest, const struct call *call,
		     json_t **reply)
{
	if (request->rc < 0)
		return line_request_drop(request);
	return exchange_run(guest, call, &request->exchange, reply, request->err);
}
