/* test_agent_shell.c - shells on terminals, through a real agent. */
#include <poll.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "agent_fixture.h"
#include "protocol/agent/clock.h"
#include "protocol/buf.h"

#define WAIT_MS 20000
#define SHELL "shell_id cwd cols rows state started_at ended_at exit_code"

static json_t *open_shell(const struct agent_fixture *fixture, const char *id, const char *more)
{
	json_t *reply = agent_call(fixture, "{\"action\": \"open_shell\", \"shell_id\": \"%s\"%s}",
				   id, more);

	if (json_object_get(reply, "error"))
		fail_msg("%s", json_string_value(json_object_get(reply, "error")));
	return reply;
}

static json_t *read_shell(const struct agent_fixture *fixture, const char *id, int64_t cursor)
{
	return agent_call(fixture,
			  "{\"action\": \"read_shell\", \"shell_id\": \"%s\", \"cursor\": %lld, "
			  "\"max_chars\": 100000}",
			  id, (long long)cursor);
}

static void type(const struct agent_fixture *fixture, const char *id, const char *input)
{
	json_t *reply = agent_call(fixture,
				   "{\"action\": \"write_shell\", \"shell_id\": \"%s\", "
				   "\"input\": \"%s\"}",
				   id, input);

	agent_expect_text(reply, "shell_id", id);
	json_decref(reply);
}

/* Until PART is in the transcript. */
static void wait_for(const struct agent_fixture *fixture, const char *id, const char *part)
{
	int64_t deadline = clock_ms() + WAIT_MS;
	bool found = false;

	while (!found) {
		json_t *reply = read_shell(fixture, id, 0);
		const char *output = json_string_value(json_object_get(reply, "output"));

		found = output && strstr(output, part);
		if (!found && !clock_until(deadline))
			fail_msg("'%s' is not in '%s'", part, output);
		json_decref(reply);
		poll(NULL, 0, 10);
	}
}

/* The number behind PART. */
static pid_t wait_for_number(const struct agent_fixture *fixture, const char *id, const char *part)
{
	json_t *reply;
	pid_t number;

	wait_for(fixture, id, part);
	wait_for(fixture, id, ".\r\n");
	reply = read_shell(fixture, id, 0);
	number = (pid_t)atoi(strstr(json_string_value(json_object_get(reply, "output")), part) +
			     strlen(part));
	json_decref(reply);
	return number;
}

static void wait_stopped(const struct agent_fixture *fixture, const char *id)
{
	int64_t deadline = clock_ms() + WAIT_MS;
	bool stopped = false;

	while (!stopped) {
		json_t *reply = read_shell(fixture, id, 0);

		stopped = !strcmp(json_string_value(json_object_get(reply, "state")), "stopped");
		json_decref(reply);
		assert_true(stopped || clock_until(deadline));
		poll(NULL, 0, 10);
	}
}

static json_t *close_shell(const struct agent_fixture *fixture, const char *id)
{
	json_t *reply = agent_call(fixture, "{\"action\": \"close_shell\", \"shell_id\": \"%s\"}",
				   id);

	agent_expect_keys(reply, SHELL " closed");
	agent_expect_text(reply, "state", "stopped");
	return reply;
}

/* Vector 4 in the agent's role. */
static void test_vector(void **state)
{
	json_t *reply = open_shell(*state, "shell-1",
				   ", \"cwd\": \"/workspace\", \"cols\": 120, \"rows\": 30, "
				   "\"env\": null, \"redact_values\": []");

	agent_expect_keys(reply, SHELL);
	agent_expect_text(reply, "shell_id", "shell-1");
	agent_expect_text(reply, "cwd", "/workspace");
	agent_expect_int(reply, "cols", 120);
	agent_expect_int(reply, "rows", 30);
	agent_expect_text(reply, "state", "running");
	assert_true(json_is_null(json_object_get(reply, "ended_at")));
	json_decref(reply);
	wait_for(*state, "shell-1", "pyro$ ");

	reply = agent_call(*state, "{\"action\": \"write_shell\", \"shell_id\": \"shell-1\", "
				   "\"input\": \"pwd\", \"append_newline\": true}");
	agent_expect_keys(reply, SHELL " input_length append_newline");
	agent_expect_int(reply, "input_length", 3);
	json_decref(reply);
	wait_for(*state, "shell-1", "/workspace\r\n");

	reply = agent_call(*state, "{\"action\": \"read_shell\", \"shell_id\": \"shell-1\", "
				   "\"cursor\": 0, \"max_chars\": 3}");
	agent_expect_keys(reply, SHELL " cursor next_cursor output truncated");
	agent_expect_int(reply, "cursor", 0);
	agent_expect_int(reply, "next_cursor", 3);
	assert_true(json_is_true(json_object_get(reply, "truncated")));
	json_decref(reply);

	reply = agent_call(*state, "{\"action\": \"signal_shell\", \"shell_id\": \"shell-1\", "
				   "\"signal\": \"INT\"}");
	agent_expect_keys(reply, SHELL " signal");
	agent_expect_text(reply, "state", "running");
	json_decref(reply);

	reply = close_shell(*state, "shell-1");
	assert_true(json_is_true(json_object_get(reply, "closed")));
	assert_true(json_is_real(json_object_get(reply, "ended_at")));
	json_decref(reply);
	agent_expect_error(read_shell(*state, "shell-1", 0), "shell 'shell-1' does not exist");
}

static void test_ids(void **state)
{
	json_decref(open_shell(*state, "taken", ""));
	agent_expect_error(
		agent_call(*state, "{\"action\": \"open_shell\", \"shell_id\": \"taken\"}"),
		"already exists");
	json_decref(close_shell(*state, "taken"));
	json_decref(open_shell(*state, "taken", ""));
	json_decref(close_shell(*state, "taken"));
	agent_expect_error(agent_call(*state, "{\"action\": \"open_shell\", \"shell_id\": \"s\", "
					      "\"cwd\": \"/no/such\"}"),
			   "/no/such");
	agent_expect_error(agent_call(*state, "{\"action\": \"close_shell\", \"shell_id\": \"s\"}"),
			   "does not exist");
}

static void test_terminal_and_environment(void **state)
{
	json_decref(
		open_shell(*state, "t", ", \"cols\": 91, \"rows\": 17, \"env\": {\"A\": \"b\"}"));
	type(*state, "t", "stty size; echo \\\"=$A=$TERM=\\\"; tty");
	wait_for(*state, "t", "17 91\r\n=b=xterm-256color=\r\n/dev/pts/");
	json_decref(close_shell(*state, "t"));
}

static void test_ended_shell_stays_readable(void **state)
{
	json_t *reply;

	json_decref(open_shell(*state, "e", ""));
	type(*state, "e", "echo la''st; exit 7");
	wait_stopped(*state, "e");
	/* What it showed is complete when it is said to have stopped. */
	reply = read_shell(*state, "e", 0);
	assert_non_null(strstr(json_string_value(json_object_get(reply, "output")), "last\r\n"));
	agent_expect_int(reply, "exit_code", 7);
	json_decref(reply);
	agent_expect_error(agent_call(*state, "{\"action\": \"write_shell\", \"shell_id\": \"e\", "
					      "\"input\": \"x\"}"),
			   "not running");
	agent_expect_error(
		agent_call(*state, "{\"action\": \"signal_shell\", \"shell_id\": \"e\"}"),
		"not running");
	reply = close_shell(*state, "e");
	agent_expect_int(reply, "exit_code", 7);
	json_decref(reply);
}

static void test_signal_reaches_the_foreground_job(void **state)
{
	json_decref(open_shell(*state, "f", ""));
	wait_for(*state, "f", "pyro$ ");
	type(*state, "f", "echo go''ing; sleep 1000; echo ba''ck $?");
	wait_for(*state, "f", "going\r\n");
	/* The job has its process group a moment after the echo. */
	for (int64_t deadline = clock_ms() + WAIT_MS; clock_until(deadline);) {
		json_t *reply = agent_call(*state, "{\"action\": \"signal_shell\", "
						   "\"shell_id\": \"f\", \"signal\": \"INT\"}");
		bool back;

		json_decref(reply);
		poll(NULL, 0, 50);
		reply = read_shell(*state, "f", 0);
		back = strstr(strstr(json_string_value(json_object_get(reply, "output")),
				     "going\r"),
			      "pyro$ ") != NULL;
		json_decref(reply);
		if (back)
			break;
	}
	type(*state, "f", "echo us''able");
	wait_for(*state, "f", "usable\r\n");
	agent_expect_error(agent_call(*state, "{\"action\": \"signal_shell\", \"shell_id\": \"f\", "
					      "\"signal\": \"USR1\"}"),
			   "HUP, INT, TERM or KILL");
	json_decref(agent_call(*state, "{\"action\": \"signal_shell\", \"shell_id\": \"f\", "
				       "\"signal\": \"KILL\"}"));
	wait_stopped(*state, "f");
	json_decref(close_shell(*state, "f"));
}

/* A shell that reads nothing: its input waits in a queue, and nobody else does. */
static void test_input_never_blocks(void **state)
{
	char input[1025];
	int64_t began = clock_ms();
	bool full = false;

	memset(input, 'x', 1024);
	input[1024] = '\0';
	json_decref(open_shell(*state, "b", ""));
	wait_for(*state, "b", "pyro$ ");
	type(*state, "b", "stty -icanon -echo; echo si''lent; exec sleep 1000");
	wait_for(*state, "b", "silent\r\n");
	for (int i = 0; i < 1200 && !full; i++) {
		json_t *reply = agent_call(*state,
					   "{\"action\": \"write_shell\", "
					   "\"shell_id\": \"b\", \"input\": \"%s\"}",
					   input);

		full = json_object_get(reply, "error") != NULL;
		json_decref(reply);
	}
	assert_true(full);
	assert_true(clock_ms() - began < 60000);
	json_decref(close_shell(*state, "b"));
}

static void test_secrets_are_not_shown(void **state)
{
	json_t *reply;

	json_decref(open_shell(*state, "r",
			       ", \"env\": {\"S\": \"hunter2\"}, "
			       "\"redact_values\": [\"hunter2\"]"));
	type(*state, "r", "echo is:$S:");
	wait_for(*state, "r", "is:[REDACTED]:");
	reply = read_shell(*state, "r", 0);
	assert_null(strstr(json_string_value(json_object_get(reply, "output")), "hunter2"));
	json_decref(reply);
	json_decref(close_shell(*state, "r"));
}

static void test_close_kills_what_does_not_hear(void **state)
{
	json_t *reply;

	json_decref(open_shell(*state, "k", ""));
	wait_for(*state, "k", "pyro$ ");
	type(*state, "k", "trap '' HUP; echo de''af; while :; do sleep 0.1; done");
	wait_for(*state, "k", "deaf\r\n");
	reply = close_shell(*state, "k");
	agent_expect_int(reply, "exit_code", -9);
	json_decref(reply);
}

/* Cursors go on from read to read without a gap, whatever the pieces. */
static void test_reading_in_pieces(void **state)
{
	struct buf text = BUF_INIT(1 << 20);
	int64_t cursor = 0;
	json_t *reply;

	json_decref(open_shell(*state, "p", ""));
	type(*state, "p",
	     "stty -echo; for i in $(seq 300); do printf '<%d\\u00e9>' $i; done; exit");
	wait_stopped(*state, "p");
	for (;;) {
		int64_t next;

		reply = agent_call(*state,
				   "{\"action\": \"read_shell\", \"shell_id\": \"p\", "
				   "\"cursor\": %lld, \"max_chars\": 7}",
				   (long long)cursor);
		buf_adds(&text, json_string_value(json_object_get(reply, "output")));
		next = json_integer_value(json_object_get(reply, "next_cursor"));
		json_decref(reply);
		if (next == cursor)
			break;
		cursor = next;
	}
	for (int i = 1; i <= 300; i++) {
		char part[32];

		snprintf(part, sizeof(part), "<%d\xc3\xa9>", i);
		assert_non_null(strstr(text.data, part));
	}
	buf_free(&text);
	json_decref(close_shell(*state, "p"));
}

/* Shells that are open when the agent ends do not keep it; their jobs end with them. */
static void test_shells_end_with_the_agent(void **state)
{
	struct agent_fixture fixture;
	pid_t pid;

	(void)state;
	agent_make(&fixture);
	fixture.services_end = false;
	agent_start(&fixture);
	json_decref(open_shell(&fixture, "s", ""));
	wait_for(&fixture, "s", "pyro$ ");
	type(&fixture, "s", "trap '' HUP TERM; sh -c 'p=pid; echo $p=$$.; exec sleep 1000'");
	pid = wait_for_number(&fixture, "s", "pid=");
	agent_stop(&fixture);
	agent_expect_gone(pid);
	agent_remove(&fixture);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_vector),
		cmocka_unit_test(test_ids),
		cmocka_unit_test(test_terminal_and_environment),
		cmocka_unit_test(test_ended_shell_stays_readable),
		cmocka_unit_test(test_signal_reaches_the_foreground_job),
		cmocka_unit_test(test_input_never_blocks),
		cmocka_unit_test(test_secrets_are_not_shown),
		cmocka_unit_test(test_close_kills_what_does_not_hear),
		cmocka_unit_test(test_reading_in_pieces),
		cmocka_unit_test(test_shells_end_with_the_agent),
	};

	return cmocka_run_group_tests_name("agent shell", tests, agent_setup, agent_teardown);
}
