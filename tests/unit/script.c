/*
 * script.c - one exchange of the line dialect with a scripted guest (script.h).
 * The exchange itself is faked: what would go over the wire is kept, what would come from
 * it is the script's.
 */
#include "script.h"

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <string.h>

#include <cmocka.h>

#include "protocol/buf.h"
#include "protocol/line/exchange.h"
#include "protocol/line/request.h"
#include "protocol/wire.h"

struct script {
	struct call call;
	struct error error;
	struct buf sent, reply;
	struct cancel cancel;
};

int script_setup(void **state)
{
	struct script *script = calloc(1, sizeof(*script));

	buf_init(&script->sent, 16 << 20);
	buf_init(&script->reply, 16 << 20);
	*state = script;
	return 0;
}

int script_teardown(void **state)
{
	struct script *script = *state;

	buf_free(&script->sent);
	buf_free(&script->reply);
	free(script);
	return 0;
}

void script_reply_bytes(struct script *script, const void *reply, size_t len)
{
	buf_free(&script->reply);
	buf_free(&script->sent);
	buf_add(&script->reply, reply, len);
}

void script_reply(struct script *script, const char *reply)
{
	script_reply_bytes(script, reply, strlen(reply));
}

struct guest *script_guest(struct script *script)
{
	return (struct guest *)script;
}

const struct call *script_call(struct script *script)
{
	script->call = (struct call){ .deadline = INT64_MAX };
	return &script->call;
}

struct error *script_error(struct script *script)
{
	script->error = (struct error){ 0 };
	return &script->error;
}

void script_expect_bytes(struct script *script, const void *sent, size_t len)
{
	assert_int_equal(script->sent.len, len);
	assert_memory_equal(script->sent.data, sent, len);
}

void script_expect(struct script *script, const char *sent)
{
	assert_string_equal(buf_str(&script->sent), sent);
	script_expect_bytes(script, sent, strlen(sent));
}

void script_expect_nothing(struct script *script)
{
	assert_int_equal(script->sent.len, 0);
}

void script_expect_error(struct script *script, const char *text)
{
	if (!strstr(script->error.text, text))
		fail_msg("'%s' does not contain '%s'", script->error.text, text);
}

static void send_all(struct script *script, struct exchange_request *request)
{
	int64_t left = request->payload.size;
	size_t len;
	char *line = wire_dump(request->object, &len);

	buf_add(&script->sent, line, len);
	buf_adds(&script->sent, "\n");
	free(line);
	while (left > 0) {
		char bytes[7]; /* odd on purpose */
		ssize_t got = request->payload.read(request->payload.arg, bytes,
						    left < 7 ? (size_t)left : 7);

		assert_true(got > 0);
		buf_add(&script->sent, bytes, (size_t)got);
		left -= got;
	}
	line_payload_destroy(&request->payload);
	json_decref(request->object);
}

int exchange_run(struct guest *guest, const struct call *call, struct exchange_request *request,
		 json_t **reply, struct error *err)
{
	struct script *script = (struct script *)guest;
	const char *text;

	(void)call;
	send_all(script, request);
	*reply = wire_parse(buf_str(&script->reply), script->reply.len, err);
	if (!*reply)
		return -EPROTO;
	text = json_string_value(json_object_get(*reply, "error"));
	if (text) {
		error_set(err, EREMOTEIO, "%s", text);
		json_decref(*reply);
		return -EREMOTEIO;
	}
	return 0;
}

int exchange_run_export(struct guest *guest, const struct call *call,
			struct exchange_request *request, int64_t max_size,
			int (*sink)(void *arg, const void *bytes, size_t len), void *arg,
			json_t **header, struct error *err)
{
	struct script *script = (struct script *)guest;
	const char *end = memchr(buf_str(&script->reply), '\n', script->reply.len);
	int rc;

	(void)call;
	(void)max_size;
	send_all(script, request);
	*header = wire_parse(script->reply.data, (size_t)(end - script->reply.data), err);
	if (!*header)
		return -EPROTO;
	rc = sink(arg, end + 1, script->reply.len - (size_t)(end + 1 - script->reply.data));
	if (rc < 0)
		json_decref(*header);
	return rc;
}
