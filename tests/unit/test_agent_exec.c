/* test_agent_exec.c - the agent's exec, and how it meets good and bad clients. */
#include <errno.h>
#include <poll.h>
#include <pthread.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <sys/un.h>
#include <unistd.h>

#include <cmocka.h>

#include "agent_fixture.h"
#include "protocol/agent/clock.h"
#include "protocol/limits.h"

/* Vector 1 in the agent's role: these bytes, that reply. */
static void test_vector(void **state)
{
	json_t *reply = agent_call(*state, "{\"command\": \"echo ok\", \"timeout_seconds\": 30, "
					   "\"env\": null}");

	agent_expect_keys(reply, "stdout stderr exit_code duration_ms");
	agent_expect_text(reply, "stdout", "ok\n");
	agent_expect_text(reply, "stderr", "");
	agent_expect_int(reply, "exit_code", 0);
	json_decref(reply);
}

static void test_surroundings(void **state)
{
	json_t *reply = agent_call(
		*state, "{\"command\": \"pwd; cat; umask; echo $A; echo err >&2; exit 3\", "
			"\"env\": {\"A\": \"b c\"}}");

	agent_expect_text(reply, "stdout", "/\n0022\nb c\n");
	agent_expect_text(reply, "stderr", "err\n");
	agent_expect_int(reply, "exit_code", 3);
	json_decref(reply);

	/* A session of its own: the shell leads it.  */
	reply = agent_call(*state, "{\"command\": \"test $$ = $(cut -d' ' -f6 /proc/$$/stat)\"}");
	agent_expect_int(reply, "exit_code", 0);
	json_decref(reply);
}

static void test_bytes_travel_as_they_are(void **state)
{
	static const char line[] = "{\"command\": \"printf 'a\\\\r\\\\n\\\\377\\\\303\\\\251'\"}\n";
	int fd = agent_connect(*state);
	size_t len;
	char *text;

	agent_send(fd, line, sizeof(line) - 1);
	text = agent_receive(fd, &len);
	assert_non_null(strstr(text, "\"stdout\": \"a\\r\\n\\udcff\\u00e9\", \"stderr\": \"\""));
	free(text);
	close(fd);
}

static void test_timeout_keeps_output_and_kills_the_group(void **state)
{
	int64_t began = clock_ms();
	json_t *reply = agent_call(*state,
				   "{\"command\": \"echo a; (sleep 60; echo b) & sleep 60\", "
				   "\"timeout_seconds\": 1}");

	agent_expect_text(reply, "stdout", "a\n");
	agent_expect_text(reply, "stderr", "command timed out after 1s");
	agent_expect_int(reply, "exit_code", 124);
	assert_true(clock_ms() - began < 20000);
	json_decref(reply);
	reply = agent_call(*state, "{\"command\": \"exec sleep 60\", \"timeout_seconds\": 0}");
	agent_expect_int(reply, "exit_code", 124);
	json_decref(reply);
	/* A command that never stops writing does not escape its time. */
	reply = agent_call(*state, "{\"command\": \"while :; do echo; sleep 0.001; done\", "
				   "\"timeout_seconds\": 1}");
	agent_expect_int(reply, "exit_code", 124);
	json_decref(reply);
}

static void test_signal_is_negative(void **state)
{
	json_t *reply = agent_call(*state, "{\"command\": \"kill -9 $$\"}");

	agent_expect_int(reply, "exit_code", -9);
	json_decref(reply);
}

static void test_background_child_does_not_keep_the_request(void **state)
{
	int64_t began = clock_ms();
	json_t *reply = agent_call(*state, "{\"command\": \"sleep 60 & echo $!\"}");
	int pid = atoi(json_string_value(json_object_get(reply, "stdout")));

	assert_true(clock_ms() - began < 20000);
	agent_expect_int(reply, "exit_code", 0);
	json_decref(reply);
	/* It lives on: what is started detached is wanted. */
	reply = agent_call(*state, "{\"command\": \"kill %d\"}", pid);
	agent_expect_int(reply, "exit_code", 0);
	json_decref(reply);
}

static void test_too_much_output_is_an_error(void **state)
{
	agent_expect_error(agent_call(*state, "{\"command\": \"yes\"}"), "16777216");
	/* What fits as bytes may not fit when it is escaped. */
	agent_expect_error(agent_call(*state, "{\"command\": \"head -c 8000000 /dev/zero\"}"),
			   "16777216");
}

static void test_unknown_action_is_the_empty_command(void **state)
{
	json_t *reply = agent_call(*state, "{\"action\": \"frobnicate\", \"x\": 1}");

	agent_expect_text(reply, "stdout", "");
	agent_expect_int(reply, "exit_code", 0);
	json_decref(reply);
}

static void test_bad_requests_are_errors(void **state)
{
	static const struct {
		const char *line, *part;
	} cases[] = {
		{ "[]", "JSON object" },
		{ "garbage", "JSON" },
		{ "{\"command\": 5}", "command must be a string" },
		{ "{\"command\": \"a\\u0000b\"}", "NUL" },
		{ "{\"command\": \"x\", \"timeout_seconds\": \"y\"}", "timeout_seconds" },
		{ "{\"command\": \"x\", \"env\": []}", "env" },
		{ "{\"command\": \"x\", \"env\": {\"1A\": \"b\"}}", "1A" },
		{ "{\"command\": \"x\", \"env\": {\"A\": 5}}", "A" },
		{ "{\"action\": \"read_shell\", \"shell_id\": \"../x\"}", "shell_id" },
		{ "{\"action\": \"status_service\"}", "service_name is required" },
		{ "{\"action\": \"read_workspace_file\", \"path\": \"/etc/passwd\"}", "below" },
		{ "{\"action\": \"extract_archive\", \"archive_size\": 0}", "archive_size" },
		{ "{\"action\": \"extract_archive\", \"archive_size\": -1}", "archive_size" },
	};

	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++)
		agent_expect_error(agent_call(*state, "%s", cases[i].line), cases[i].part);
}

static void test_line_without_newline_ends_with_the_stream(void **state)
{
	int fd = agent_connect(*state);
	size_t len;
	char *text;

	agent_send(fd, "{\"command\": \"echo eof\"}", 23);
	shutdown(fd, SHUT_WR);
	text = agent_receive(fd, &len);
	assert_non_null(strstr(text, "\"eof\\n\""));
	free(text);
	close(fd);
}

static void test_long_line_is_refused(void **state)
{
	char *line = malloc((size_t)2 * LIMIT_REQUEST_LINE);

	memset(line, ' ', (size_t)2 * LIMIT_REQUEST_LINE);
	line[(size_t)2 * LIMIT_REQUEST_LINE - 1] = '\0';
	line[0] = '{';
	agent_expect_error(agent_upload(*state, line, "", 0), "102400");
	free(line);
}

static void test_line_byte_by_byte(void **state)
{
	static const char line[] = "{\"command\": \"echo slow\"}\n";
	int fd = agent_connect(*state);
	size_t len;
	char *text;

	for (size_t i = 0; i < sizeof(line) - 1; i++)
		agent_send(fd, &line[i], 1);
	text = agent_receive(fd, &len);
	assert_non_null(strstr(text, "\"slow\\n\""));
	free(text);
	close(fd);
}

/* While commands wait for each other, all of them are served. */
static void *run_one(void *fixture)
{
	return agent_call(fixture,
			  "{\"command\": \"echo >>$D/in; "
			  "until [ $(wc -l <$D/in) -ge 8 ]; do sleep 0.02; done\", "
			  "\"env\": {\"D\": \"%s\"}}",
			  ((struct agent_fixture *)fixture)->workspace);
}

static void test_requests_run_concurrently(void **state)
{
	pthread_t threads[8];
	void *reply;

	for (int i = 0; i < 8; i++)
		assert_int_equal(pthread_create(&threads[i], NULL, run_one, *state), 0);
	for (int i = 0; i < 8; i++) {
		pthread_join(threads[i], &reply);
		agent_expect_int(reply, "exit_code", 0);
		json_decref(reply);
	}
}

static void test_clients_that_leave_early_are_harmless(void **state)
{
	static const char *const lines[] = {
		"",
		"{\"comm",
		"{\"command\": \"echo gone\"}\n",
		"{\"command\": \"head -c 400000 /dev/zero | tr '\\\\0' x\"}\n",
		"{\"action\": \"extract_archive\", \"archive_size\": 100000}\nabc",
		"{\"action\": \"export_archive\"}\n",
		"[]\n",
	};
	json_t *reply;

	for (int round = 0; round < 10; round++) {
		for (size_t i = 0; i < sizeof(lines) / sizeof(lines[0]); i++) {
			int fd = agent_connect(*state);

			agent_send(fd, lines[i], strlen(lines[i]));
			close(fd);
		}
	}
	reply = agent_call(*state, "{\"command\": \"echo alive\"}");
	agent_expect_text(reply, "stdout", "alive\n");
	json_decref(reply);
}

/* More clients than threads: those that say nothing do not keep the others for ever. */
static void test_more_connections_than_threads(void **state)
{
	int fds[80];
	json_t *reply;

	for (int i = 0; i < 80; i++)
		fds[i] = agent_connect(*state);
	for (int i = 0; i < 80; i += 2)
		close(fds[i]);
	reply = agent_call(*state, "{\"command\": \"echo in\"}");
	agent_expect_text(reply, "stdout", "in\n");
	json_decref(reply);
	for (int i = 1; i < 80; i += 2) {
		size_t len;
		char *text;

		agent_send(fds[i], "{}\n", 3);
		text = agent_receive(fds[i], &len);
		assert_non_null(strstr(text, "\"exit_code\": 0"));
		free(text);
		close(fds[i]);
	}
}

static int connect_bridge(const struct agent_fixture *fixture)
{
	struct sockaddr_un address = { .sun_family = AF_UNIX };
	int fd = socket(AF_UNIX, SOCK_STREAM, 0);

	snprintf(address.sun_path, sizeof(address.sun_path), "%s", fixture->bridge);
	assert_int_equal(connect(fd, (struct sockaddr *)&address, sizeof(address)), 0);
	return fd;
}

/* Vector 8, the bridge's side: also when all comes in one segment. */
static void test_bridge_handshake(void **state)
{
	static const char all[] = "CONNECT 5005\n{\"command\": \"echo ready\"}\n";
	int fd = connect_bridge(*state);
	size_t len;
	char *text;

	agent_send(fd, all, sizeof(all) - 1);
	text = agent_receive(fd, &len);
	assert_int_equal(strncmp(text, "OK ", 3), 0);
	assert_int_equal(strcspn(text + 3, "0123456789"), 0);
	assert_non_null(strstr(text, "\n{\"stdout\": \"ready\\n\""));
	free(text);
	close(fd);
}

static void test_bridge_refuses_without_a_word(void **state)
{
	static const char *const lines[] = { "CONNECT 5006\n", "CONNECT 5005x\n", "HELLO\n",
					     "CONNECT 99999999999\n" };

	for (size_t i = 0; i < sizeof(lines) / sizeof(lines[0]); i++) {
		int fd = connect_bridge(*state);
		size_t len;
		char *text;

		agent_send(fd, lines[i], strlen(lines[i]));
		text = agent_receive(fd, &len);
		assert_int_equal(len, 0);
		free(text);
		close(fd);
	}
}

/* With a lifeline nothing stays that was started, also not in the background. */
static void test_end_takes_background_children(void **state)
{
	struct agent_fixture fixture;
	json_t *reply;
	pid_t pid;

	(void)state;
	agent_make(&fixture);
	agent_start(&fixture);
	reply = agent_call(&fixture,
			   "{\"command\": \"setsid sleep 1000 >/dev/null 2>&1 & echo $!\"}");
	pid = (pid_t)atoi(json_string_value(json_object_get(reply, "stdout")));
	json_decref(reply);
	assert_int_equal(kill(pid, 0), 0);
	agent_stop(&fixture);
	agent_expect_gone(pid);
	agent_remove(&fixture);
}

/* A request that is under way when the agent must end is still answered. */
static void test_end_interrupts_a_command(void **state)
{
	struct agent_fixture fixture;
	int64_t began = clock_ms();
	char line[256], *text;
	size_t len;
	int fd;

	(void)state;
	agent_make(&fixture);
	agent_start(&fixture);
	fd = agent_connect(&fixture);
	snprintf(line, sizeof(line),
		 "{\"command\": \"touch %s/on; sleep 100\", \"timeout_seconds\": 200}\n",
		 fixture.workspace);
	agent_send(fd, line, strlen(line));
	while (!agent_has(&fixture, "on"))
		poll(NULL, 0, 5);
	agent_stop(&fixture);
	assert_true(clock_ms() - began < 30000);
	text = agent_receive(fd, &len);
	assert_non_null(strstr(text, "\"exit_code\": -9"));
	free(text);
	close(fd);
	agent_remove(&fixture);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_vector),
		cmocka_unit_test(test_surroundings),
		cmocka_unit_test(test_bytes_travel_as_they_are),
		cmocka_unit_test(test_timeout_keeps_output_and_kills_the_group),
		cmocka_unit_test(test_signal_is_negative),
		cmocka_unit_test(test_background_child_does_not_keep_the_request),
		cmocka_unit_test(test_too_much_output_is_an_error),
		cmocka_unit_test(test_unknown_action_is_the_empty_command),
		cmocka_unit_test(test_bad_requests_are_errors),
		cmocka_unit_test(test_line_without_newline_ends_with_the_stream),
		cmocka_unit_test(test_long_line_is_refused),
		cmocka_unit_test(test_line_byte_by_byte),
		cmocka_unit_test(test_requests_run_concurrently),
		cmocka_unit_test(test_clients_that_leave_early_are_harmless),
		cmocka_unit_test(test_more_connections_than_threads),
		cmocka_unit_test(test_bridge_handshake),
		cmocka_unit_test(test_bridge_refuses_without_a_word),
		cmocka_unit_test(test_end_interrupts_a_command),
		cmocka_unit_test(test_end_takes_background_children),
	};

	return cmocka_run_group_tests_name("agent exec", tests, agent_setup, agent_teardown);
}
