/* proc_client.c - see proc_client.h. */
#include "tests/unit/proc_client.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "protocol/session/pack.h"
#include "protocol/wire.h"

#define MAX_FLOWS 2048

/* Of all clients: ids differ little, and there is one client mostly. */
static struct {
	struct agent_client *client;
	struct flow *flow;
} flows[MAX_FLOWS];

/* Uses ARGS up. */
static struct flow *begin_with(struct agent_client *client, unsigned op, struct buf *args)
{
	struct flow *flow = calloc(1, sizeof(*flow));
	int slot = 0;

	assert_non_null(flow);
	buf_init(&flow->data, SIZE_MAX / 2);
	flow->id = client_begin(client, op, args, 0);
	buf_free(args);
	while (flows[slot].flow)
		assert_true(++slot < MAX_FLOWS);
	flows[slot].client = client;
	flows[slot].flow = flow;
	return flow;
}

__attribute__((format(printf, 3, 0))) static struct flow *begin(struct agent_client *client,
								unsigned op, const char *format,
								va_list list)
{
	struct buf args = BUF_INIT(FRAME_BODY_MAX);
	char *text = NULL;

	assert_true(vasprintf(&text, format, list) >= 0);
	for (char *at = text; *at; at++)
		*at = *at == '\'' ? '"' : *at;
	buf_adds(&args, text);
	free(text);
	return begin_with(client, op, &args);
}

struct flow *flow_begin(struct agent_client *client, unsigned op, const char *args, ...)
{
	struct flow *flow;
	va_list list;

	va_start(list, args);
	flow = begin(client, op, args, list);
	va_end(list);
	return flow;
}

static struct flow *find(struct agent_client *client, uint32_t id)
{
	for (int i = 0; i < MAX_FLOWS; i++) {
		if (flows[i].flow && flows[i].client == client && flows[i].flow->id == id)
			return flows[i].flow;
	}
	fail_msg("a frame for %u, which is not under way", id);
	return NULL;
}

void flow_pump(struct agent_client *client)
{
	struct got *got = malloc(sizeof(*got));
	struct error err = { 0 };
	struct flow *flow;

	assert_non_null(got);
	client_get(client, got);
	flow = find(client, got->frame.id);
	if (got->frame.kind == FRAME_DATA) {
		buf_add(&flow->data, got->body, got->frame.size);
		if (!flow->held)
			client_credit(client, flow->id, got->frame.size);
	} else if (got->frame.kind == FRAME_DONE) {
		flow->done = true;
		flow->code = got->frame.code;
		if (flow->code)
			snprintf(flow->why, sizeof(flow->why), "%.199s", (char *)got->body);
		else if (got->body[0] == '{')
			flow->result = wire_parse((char *)got->body, got->frame.size, &err);
		else
			buf_add(&flow->data, got->body, got->frame.size);
		if (err.code)
			fail_msg("%s", err.text);
	} else {
		assert_int_equal(got->frame.kind, FRAME_CREDIT);
	}
	free(got);
}

void flow_finish(struct agent_client *client, struct flow *flow)
{
	while (!flow->done)
		flow_pump(client);
}

void flow_await(struct agent_client *client, struct flow *flow, const char *text)
{
	while (!memmem(buf_str(&flow->data), flow->data.len, text, strlen(text))) {
		assert_false(flow->done);
		flow_pump(client);
	}
}

void flow_free(struct flow *flow)
{
	for (int i = 0; i < MAX_FLOWS; i++) {
		if (flows[i].flow == flow)
			flows[i].flow = NULL;
	}
	buf_free(&flow->data);
	json_decref(flow->result);
	free(flow);
}

void flow_reset(void)
{
	memset(flows, 0, sizeof(flows));
}

json_t *proc_call(struct agent_client *client, unsigned op, const char *args, ...)
{
	struct flow *flow;
	json_t *result;
	va_list list;

	va_start(list, args);
	flow = begin(client, op, args, list);
	va_end(list);
	flow_finish(client, flow);
	if (flow->code)
		fail_msg("'%s' failed with %u: %s", ops_name(op), flow->code, flow->why);
	result = json_incref(flow->result);
	flow_free(flow);
	return result;
}

void proc_refused(struct agent_client *client, unsigned code, unsigned op, const char *args, ...)
{
	struct flow *flow;
	va_list list;

	va_start(list, args);
	flow = begin(client, op, args, list);
	va_end(list);
	flow_finish(client, flow);
	if (flow->code != code)
		print_error("%s\n", flow->why);
	assert_int_equal(flow->code, code);
	assert_true(flow->why[0]);
	flow_free(flow);
}

void proc_text(const json_t *object, const char *key, const char *text)
{
	const char *value = json_string_value(json_object_get(object, key));

	assert_non_null(value);
	assert_string_equal(value, text);
}

int64_t proc_get(const json_t *object, const char *key)
{
	assert_true(json_is_integer(json_object_get(object, key)));
	return json_integer_value(json_object_get(object, key));
}

void proc_int(const json_t *object, const char *key, int64_t value)
{
	assert_int_equal(proc_get(object, key), value);
}

void proc_null(const json_t *object, const char *key)
{
	assert_true(json_is_null(json_object_get(object, key)));
}

json_t *proc_wait(struct agent_client *client, const char *kind, const char *name, const char *what)
{
	return proc_call(client, OP_WAIT, "{'kind': '%s', 'name': '%s', 'for': '%s'}", kind, name,
			 what);
}

char *proc_output(struct agent_client *client, const char *kind, const char *name, int stream)
{
	struct flow *flow = flow_begin(client, OP_STREAM,
				       "{'kind': '%s', 'name': '%s', 'stream': %d}", kind, name,
				       stream);
	char *text;

	flow_finish(client, flow);
	assert_int_equal(flow->code, 0);
	proc_int(flow->result, "next", (int64_t)flow->data.len);
	text = flow->data.len ? buf_steal(&flow->data) : strdup("");
	flow_free(flow);
	return text;
}

void proc_expect_output(struct agent_client *client, const char *kind, const char *name, int stream,
			const char *text)
{
	char *output = proc_output(client, kind, name, stream);

	assert_string_equal(output, text);
	free(output);
}

int proc_type(struct agent_client *client, const char *shell, const char *bytes, size_t len)
{
	struct buf args = BUF_INIT(FRAME_BODY_MAX);
	struct flow *flow;
	struct unpack in;
	int taken;

	pack_text(&args, shell);
	buf_add(&args, bytes, len);
	flow = begin_with(client, OP_SHELL_WRITE, &args);
	flow_finish(client, flow);
	in = unpack_from(flow->data.data, flow->data.len);
	taken = flow->code ? -(int)flow->code : (int)unpack_u32(&in);
	flow_free(flow);
	return taken;
}

void proc_say(struct agent_client *client, const char *shell, const char *text)
{
	assert_int_equal(proc_type(client, shell, text, strlen(text)), strlen(text));
}
