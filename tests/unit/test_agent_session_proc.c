/* test_agent_session_proc.c - services and shells in a session, on a real agent. */
#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "protocol/agent/dispatch.h"
#include "protocol/wire.h"
#include "tests/unit/proc_client.h"

struct fixture {
	struct agent_world world;
	struct agent_client client;
};

static int setup(void **state)
{
	struct fixture *f = calloc(1, sizeof(*f));

	flow_reset();
	agent_world_open(&f->world);
	client_open(&f->client, &f->world);
	*state = f;
	return 0;
}

static int teardown(void **state)
{
	struct fixture *f = *state;

	client_close(&f->client);
	agent_world_close(&f->world);
	free(f);
	return 0;
}

/* One request of the line dialect to the same agent. */
static json_t *line(struct fixture *f, const char *request)
{
	struct agent_client client;
	json_t *reply;
	char *text;

	client_connect(&client, &f->world);
	client_raw(&client, request, strlen(request));
	client_raw(&client, "\n", 1);
	text = client_line(&client);
	client_close(&client);
	reply = wire_parse(text, strlen(text), NULL);
	assert_non_null(reply);
	free(text);
	return reply;
}

static void drop(json_t *object)
{
	json_decref(object);
}

/* A FIFO that tells a service or command to go on, and whose opening waits for the other end. */
static void make_gate(struct fixture *f, const char *name)
{
	char command[100];

	snprintf(command, sizeof(command), "mkfifo %s", name);
	agent_world_run(&f->world, command);
}

static void open_gate(struct fixture *f, const char *name)
{
	char command[100];

	snprintf(command, sizeof(command), "echo >%s", name);
	agent_world_run(&f->world, command);
}

#define START OP_SERVICE_START

static void service_is_started_followed_and_ends(void **state)
{
	struct fixture *f = *state;
	struct agent_client *c = &f->client;
	struct flow *out, *err, *end;
	json_t *service;

	make_gate(f, "one");
	make_gate(f, "two");
	service = proc_call(c, START,
			    "{'service_name': 'app', 'command': 'printf one; read x <one; "
			    "printf two; echo bad >&2; read x <two; exit 3'}");
	proc_text(service, "state", "running");
	assert_true(json_is_real(json_object_get(service, "ready_at")));
	drop(service);
	out = flow_begin(c, OP_STREAM, "{'kind': 'service', 'name': 'app', 'follow': true}");
	err = flow_begin(c, OP_STREAM,
			 "{'kind': 'service', 'name': 'app', 'stream': 2, 'follow': true}");
	end = flow_begin(c, OP_WAIT, "{'kind': 'service', 'name': 'app', 'for': 'end'}");
	flow_await(c, out, "one");
	open_gate(f, "one");
	flow_await(c, out, "onetwo");
	flow_await(c, err, "bad\n");
	assert_false(end->done);
	open_gate(f, "two");
	flow_finish(c, end);
	flow_finish(c, out);
	flow_finish(c, err);
	proc_text(end->result, "state", "exited");
	proc_int(end->result, "exit_code", 3);
	proc_int(end->result, "stdout_size", 6);
	proc_int(end->result, "stderr_size", 4);
	proc_int(out->result, "next", 6);
	assert_true(json_is_true(json_object_get(out->result, "ended")));
	proc_text(json_object_get(out->result, "status"), "state", "exited");
	assert_string_equal(buf_str(&out->data), "onetwo");
	flow_free(out);
	flow_free(err);
	flow_free(end);
	drop(proc_wait(c, "service", "app", "end")); /* at once */
	proc_expect_output(c, "service", "app", 1, "onetwo");
}

static void readiness_is_pushed(void **state)
{
	struct fixture *f = *state;
	struct agent_client *c = &f->client;
	struct flow *ready;
	json_t *service;

	service = proc_call(
		c, START,
		"{'service_name': 'web', 'command': 'sleep 100', 'ready_interval_ms': 10,"
		" 'readiness': {'type': 'file', 'path': 'ready'}}");
	proc_null(service, "ready_at");
	drop(service);
	proc_refused(c, EBUSY, START, "{'service_name': 'web', 'command': 'true'}");
	ready = flow_begin(c, OP_WAIT, "{'kind': 'service', 'name': 'web', 'for': 'ready'}");
	/* Other calls go on, and do not make it ready. */
	service = proc_call(c, OP_SERVICE_STATUS, "{'service_name': 'web'}");
	proc_null(service, "ready_at");
	drop(service);
	assert_false(ready->done);
	agent_world_write(&f->world, "ready", "");
	flow_finish(c, ready);
	assert_int_equal(ready->code, 0);
	proc_text(ready->result, "state", "running");
	assert_true(json_is_real(json_object_get(ready->result, "ready_at")));
	flow_free(ready);
	service = proc_call(c, OP_SERVICE_STOP, "{'service_name': 'web'}");
	proc_text(service, "state", "stopped");
	proc_text(service, "stop_reason", "sigterm");
	drop(service);
}

static void readiness_that_does_not_come_ends_the_wait(void **state)
{
	struct fixture *f = *state;
	struct agent_client *c = &f->client;
	json_t *service;

	drop(proc_call(c, START,
		       "{'service_name': 'late', 'command': 'sleep 100', 'ready_interval_ms': 10,"
		       " 'ready_timeout_seconds': 0.05,"
		       " 'readiness': {'type': 'file', 'path': 'never'}}"));
	service = proc_wait(c, "service", "late", "ready");
	proc_text(service, "state", "failed");
	proc_text(service, "stop_reason", "readiness_timeout");
	drop(service);
	/* And it can be started anew at once. */
	drop(proc_call(c, START,
		       "{'service_name': 'late', 'command': 'exit 4', 'ready_interval_ms': 10,"
		       " 'readiness': {'type': 'file', 'path': 'never'}}"));
	service = proc_wait(c, "service", "late", "ready");
	proc_text(service, "stop_reason", "process_exited_before_ready");
	proc_int(service, "exit_code", 4);
	drop(service);
}

static void run_that_is_replaced_has_ended(void **state)
{
	struct fixture *f = *state;
	struct agent_client *c = &f->client;
	struct flow *out;

	drop(proc_call(c, START, "{'service_name': 'app', 'command': 'echo old; sleep 100'}"));
	out = flow_begin(c, OP_STREAM, "{'kind': 'service', 'name': 'app', 'follow': true}");
	flow_await(c, out, "old\n");
	drop(proc_call(c, OP_SERVICE_STOP, "{'service_name': 'app'}"));
	drop(proc_call(c, START, "{'service_name': 'app', 'command': 'echo newer; sleep 100'}"));
	flow_finish(c, out);
	assert_true(json_is_true(json_object_get(out->result, "ended")));
	assert_string_equal(buf_str(&out->data), "old\n");
	flow_free(out);
	drop(proc_call(c, OP_SERVICE_STOP, "{'service_name': 'app'}"));
}

static void dialects_share_services_and_shells(void **state)
{
	struct fixture *f = *state;
	struct agent_client *c = &f->client;
	json_t *reply, *list;

	drop(line(f, "{\"action\": \"start_service\", \"service_name\": \"b\", "
		     "\"command\": \"echo from line\"}"));
	drop(line(f, "{\"action\": \"open_shell\", \"shell_id\": \"s\"}"));
	drop(proc_wait(c, "service", "b", "end"));
	proc_expect_output(c, "service", "b", 1, "from line\n");
	drop(proc_call(c, OP_SHELL_STATUS, "{'shell_id': 's'}"));
	drop(proc_call(c, START, "{'service_name': 'a', 'command': 'echo here'}"));
	drop(proc_wait(c, "service", "a", "end"));
	reply = line(f, "{\"action\": \"logs_service\", \"service_name\": \"a\"}");
	proc_text(reply, "stdout", "here\n");
	drop(reply);
	list = proc_call(c, OP_SERVICE_LIST, "{}");
	assert_int_equal(json_array_size(json_object_get(list, "services")), 2);
	proc_text(json_array_get(json_object_get(list, "services"), 0), "service_name", "a");
	assert_true(json_is_false(json_object_get(list, "more")));
	drop(list);
	list = proc_call(c, OP_SERVICE_LIST, "{'after': 'a'}");
	assert_int_equal(json_array_size(json_object_get(list, "services")), 1);
	drop(list);
}

static void shell_output_is_bytes_by_offset(void **state)
{
	struct fixture *f = *state;
	struct agent_client *c = &f->client;
	struct flow *out, *part;
	json_t *shell;

	shell = proc_call(c, OP_SHELL_OPEN, "{'shell_id': 's', 'cols': 80, 'rows': 24}");
	proc_text(shell, "state", "running");
	drop(shell);
	out = flow_begin(c, OP_STREAM, "{'kind': 'shell', 'name': 's', 'follow': true}");
	proc_say(c, "s", "printf '<\\377\\303\\251>\\n'\n");
	flow_await(c, out, "<\xff\xc3\xa9>\r\n");
	/* As text, the line dialect has characters. */
	shell = line(f, "{\"action\": \"read_shell\", \"shell_id\": \"s\"}");
	assert_non_null(strstr(json_string_value(json_object_get(shell, "output")),
			       "<\xef\xbf\xbd\xc3\xa9>"));
	drop(shell);
	part = flow_begin(c, OP_STREAM, "{'kind': 'shell', 'name': 's', 'offset': 5, 'max': 7}");
	flow_finish(c, part);
	proc_int(part->result, "next", 12);
	assert_memory_equal(part->data.data, out->data.data + 5, 7);
	flow_free(part);
	shell = proc_call(c, OP_SHELL_RESIZE, "{'shell_id': 's', 'cols': 100, 'rows': 50}");
	proc_int(shell, "cols", 100);
	drop(shell);
	proc_say(c, "s", "stty size\n");
	flow_await(c, out, "50 100\r\n");
	proc_say(c, "s", "exit 3\n");
	flow_finish(c, out);
	assert_true(json_is_true(json_object_get(out->result, "ended")));
	proc_int(json_object_get(out->result, "status"), "exit_code", 3);
	proc_int(json_object_get(out->result, "status"), "stdout_size", (int64_t)out->data.len);
	flow_free(out);
	assert_int_equal(proc_type(c, "s", "x", 1), -EBUSY);
	proc_refused(c, EBUSY, OP_SHELL_SIGNAL, "{'shell_id': 's', 'signal': 'INT'}");
	proc_refused(c, EBUSY, OP_SHELL_RESIZE, "{'shell_id': 's', 'cols': 1, 'rows': 1}");
	proc_refused(c, EEXIST, OP_SHELL_OPEN, "{'shell_id': 's'}");
	drop(proc_call(c, OP_SHELL_CLOSE, "{'shell_id': 's'}"));
	proc_refused(c, ENOENT, OP_SHELL_STATUS, "{'shell_id': 's'}");
	assert_int_equal(proc_type(c, "s", "x", 1), -ENOENT);
}

static void signal_reaches_the_job_and_close_ends_streams(void **state)
{
	struct fixture *f = *state;
	struct agent_client *c = &f->client;
	struct flow *out, *end;
	json_t *shell;

	drop(proc_call(c, OP_SHELL_OPEN, "{'shell_id': 's'}"));
	out = flow_begin(c, OP_STREAM, "{'kind': 'shell', 'name': 's', 'follow': true}");
	end = flow_begin(c, OP_WAIT, "{'kind': 'shell', 'name': 's', 'for': 'end'}");
	proc_say(c, "s", "sh -c 'echo jo''b runs; exec sleep 100'; echo j''ob over\n");
	flow_await(c, out, "job runs");
	drop(proc_call(c, OP_SHELL_SIGNAL, "{'shell_id': 's', 'signal': 'KILL'}"));
	flow_finish(c, end);
	proc_int(end->result, "exit_code", -SIGKILL);
	flow_finish(c, out);
	flow_free(out);
	flow_free(end);
	shell = proc_call(c, OP_SHELL_CLOSE, "{'shell_id': 's'}");
	proc_text(shell, "state", "stopped");
	drop(shell);
	/* Closing is an end, too. */
	drop(proc_call(c, OP_SHELL_OPEN, "{'shell_id': 't'}"));
	out = flow_begin(c, OP_STREAM, "{'kind': 'shell', 'name': 't', 'follow': true}");
	flow_await(c, out, "pyro$");
	end = flow_begin(c, OP_WAIT, "{'kind': 'shell', 'name': 't', 'for': 'end'}");
	drop(proc_call(c, OP_SHELL_CLOSE, "{'shell_id': 't'}"));
	flow_finish(c, end);
	assert_int_equal(end->code, 0);
	flow_finish(c, out);
	flow_free(out);
	flow_free(end);
}

/* More than the terminal takes and the agent keeps for it. */
static void input_that_nobody_reads_is_bounded(void **state)
{
	struct fixture *f = *state;
	struct agent_client *c = &f->client;
	static char block[60000];
	struct flow *out;
	int taken = 0, last = 0;

	memset(block, 'x', sizeof(block));
	drop(proc_call(c, OP_SHELL_OPEN, "{'shell_id': 's'}"));
	out = flow_begin(c, OP_STREAM, "{'kind': 'shell', 'name': 's', 'follow': true}");
	proc_say(c, "s", "stty raw -echo; echo rea''dy; sleep 100\n");
	flow_await(c, out, "ready");
	while ((last = proc_type(c, "s", block, sizeof(block))) > 0)
		taken += last;
	assert_int_equal(last, -EAGAIN);
	assert_true(taken >= 1 << 20);
	assert_true(taken < 2 << 20);
	drop(proc_call(c, OP_SHELL_CLOSE, "{'shell_id': 's'}"));
	flow_finish(c, out);
	flow_free(out);
}

static void secrets_are_in_neither_view(void **state)
{
	struct fixture *f = *state;
	struct agent_client *c = &f->client;
	struct flow *out;

	drop(proc_call(
		c, OP_SHELL_OPEN,
		"{'shell_id': 's', 'env': {'KEY': 'hunter2'}, 'redact_values': ['hunter2']}"));
	out = flow_begin(c, OP_STREAM, "{'kind': 'shell', 'name': 's', 'follow': true}");
	proc_say(c, "s", "echo \"<$KEY>\"; exit\n");
	flow_finish(c, out);
	assert_non_null(strstr(buf_str(&out->data), "<[REDACTED]>"));
	assert_null(strstr(buf_str(&out->data), "hunter2"));
	flow_free(out);
}

static void what_makes_no_sense_is_refused(void **state)
{
	struct fixture *f = *state;
	struct agent_client *c = &f->client;

	proc_refused(c, EPROTO, OP_SERVICE_STATUS, "no object");
	proc_refused(c, EPROTO, OP_SERVICE_STATUS, "[]");
	proc_refused(c, EINVAL, OP_SERVICE_STATUS, "{}");
	proc_refused(c, EINVAL, OP_SERVICE_STATUS, "{'service_name': '../x'}");
	proc_refused(c, ENOENT, OP_SERVICE_STATUS, "{'service_name': 'x'}");
	proc_refused(c, EINVAL, START, "{'service_name': 'x'}");
	proc_refused(c, EINVAL, START,
		     "{'service_name': 'x', 'command': 'true', 'cwd': 'relative'}");
	proc_refused(c, ENOENT, START, "{'service_name': 'x', 'command': 'true', 'cwd': '/none'}");
	proc_refused(c, EINVAL, START, "{'service_name': 'x', 'command': 'true', 'readiness': {}}");
	proc_refused(c, EINVAL, OP_SHELL_OPEN, "{'shell_id': 's', 'cols': 0}");
	proc_refused(c, EINVAL, OP_STREAM, "{'kind': 'toaster', 'name': 'x'}");
	proc_refused(c, ENOENT, OP_STREAM, "{'kind': 'service', 'name': 'x'}");
	proc_refused(c, ENOENT, OP_WAIT, "{'kind': 'shell', 'name': 'x', 'for': 'end'}");
	drop(proc_call(c, START, "{'service_name': 'x', 'command': 'true'}"));
	proc_refused(c, EINVAL, OP_STREAM, "{'kind': 'service', 'name': 'x', 'stream': 3}");
	proc_refused(c, EINVAL, OP_STREAM, "{'kind': 'service', 'name': 'x', 'offset': -1}");
	proc_refused(c, EINVAL, OP_WAIT, "{'kind': 'service', 'name': 'x', 'for': 'ever'}");
}

#define test(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		test(service_is_started_followed_and_ends),
		test(readiness_is_pushed),
		test(readiness_that_does_not_come_ends_the_wait),
		test(run_that_is_replaced_has_ended),
		test(dialects_share_services_and_shells),
		test(shell_output_is_bytes_by_offset),
		test(signal_reaches_the_job_and_close_ends_streams),
		test(input_that_nobody_reads_is_bounded),
		test(secrets_are_in_neither_view),
		test(what_makes_no_sense_is_refused),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
