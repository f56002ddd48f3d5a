/* test_agent_service.c - services, their readiness and their end, through a real agent. */
#include <poll.h>
#include <pthread.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "agent_services.h"
#include "protocol/agent/clock.h"

static bool is_null(const json_t *reply, const char *key)
{
	return json_is_null(json_object_get(reply, key));
}

static bool is_alive(pid_t pid)
{
	return kill(pid, 0) == 0;
}

/* Vector 5 in the agent's role. */
static void test_vector(void **state)
{
	json_t *reply = service_start(*state, "app", "echo ok; touch .ready; exec sleep 1000",
				      "{\"type\": \"file\", \"path\": \"/workspace/.ready\"}", 30);
	pid_t pid = (pid_t)json_integer_value(json_object_get(reply, "pid"));

	agent_expect_keys(reply, SERVICE);
	agent_expect_text(reply, "service_name", "app");
	agent_expect_text(reply, "state", "running");
	assert_true(json_is_real(json_object_get(reply, "ready_at")));
	assert_true(is_null(reply, "ended_at") && is_null(reply, "exit_code"));
	assert_true(is_alive(pid));
	json_decref(reply);

	reply = service_ask(*state, "status_service", "app");
	agent_expect_keys(reply, SERVICE);
	agent_expect_text(reply, "state", "running");
	json_decref(reply);

	reply = agent_call(*state, "{\"action\": \"logs_service\", \"service_name\": \"app\", "
				   "\"tail_lines\": 200}");
	agent_expect_keys(reply, SERVICE " stdout stderr tail_lines truncated");
	agent_expect_text(reply, "stdout", "ok\n");
	agent_expect_int(reply, "tail_lines", 200);
	assert_true(json_is_false(json_object_get(reply, "truncated")));
	json_decref(reply);

	reply = service_ask(*state, "stop_service", "app");
	agent_expect_keys(reply, SERVICE);
	agent_expect_text(reply, "state", "stopped");
	agent_expect_text(reply, "stop_reason", "sigterm");
	agent_expect_int(reply, "exit_code", -15);
	assert_true(json_is_real(json_object_get(reply, "ended_at")));
	assert_false(is_alive(pid));
	json_decref(reply);
	/* Stopping what has ended is no error, and changes nothing. */
	reply = service_ask(*state, "stop_service", "app");
	agent_expect_text(reply, "stop_reason", "sigterm");
	json_decref(reply);
}

static void test_start_is_refused(void **state)
{
	static const struct {
		const char *fields, *part;
	} cases[] = {
		{ "\"service_name\": \"a/b\", \"command\": \"x\"", "service_name" },
		{ "\"service_name\": \"x\"", "command is required" },
		{ "\"service_name\": \"x\", \"command\": \"\"", "empty" },
		{ "\"service_name\": \"x\", \"command\": \"y\", \"cwd\": \"rel\"", "absolute" },
		{ "\"service_name\": \"x\", \"command\": \"y\", \"cwd\": \"/no/such\"",
		  "/no/such" },
		{ "\"service_name\": \"x\", \"command\": \"y\", \"readiness\": {}", "type" },
		{ "\"service_name\": \"x\", \"command\": \"y\", \"readiness\": {\"type\": \"tcp\", "
		  "\"address\": \"nowhere\"}",
		  "HOST:PORT" },
		{ "\"service_name\": \"x\", \"command\": \"y\", \"readiness\": {\"type\": "
		  "\"http\", "
		  "\"url\": \"https://x\"}",
		  "http://" },
		{ "\"service_name\": \"x\", \"command\": \"y\", \"readiness\": {\"type\": "
		  "\"http\", "
		  "\"url\": \"http://127.0.0.1/a b\"}",
		  "http://" },
	};

	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++)
		agent_expect_error(
			agent_call(*state, "{\"action\": \"start_service\", %s}", cases[i].fields),
			cases[i].part);
	/* None of them left anything behind. */
	agent_expect_error(service_ask(*state, "status_service", "x"),
			   "service 'x' does not exist");
	agent_expect_error(service_ask(*state, "stop_service", "x"), "service 'x' does not exist");
	agent_expect_error(service_ask(*state, "logs_service", "x"), "service 'x' does not exist");
}

static void test_exit_is_known_at_once(void **state)
{
	json_t *reply = service_start(*state, "quick", "echo out; echo err >&2; exit 4", "null",
				      30);

	agent_expect_text(reply, "state", "running");
	assert_true(json_is_real(json_object_get(reply, "ready_at")));
	json_decref(reply);
	reply = service_wait(*state, "quick", "exited");
	agent_expect_int(reply, "exit_code", 4);
	assert_true(is_null(reply, "stop_reason"));
	json_decref(reply);
	/* A name can be used again, and its logs begin again. */
	json_decref(service_start(*state, "quick", "echo new", "null", 30));
	json_decref(service_wait(*state, "quick", "exited"));
	reply = service_ask(*state, "logs_service", "quick");
	agent_expect_text(reply, "stdout", "new\n");
	agent_expect_text(reply, "stderr", "");
	assert_true(is_null(reply, "tail_lines"));
	json_decref(reply);
}

struct starter {
	struct agent_fixture *fixture;
	json_t *reply;
};

static void *start_slowly(void *arg)
{
	struct starter *starter = arg;

	starter->reply = service_start(starter->fixture, "slow", "exec sleep 1000",
				       "{\"type\": \"file\", \"path\": \"no\"}", 60);
	return NULL;
}

/* A start that waits keeps neither others nor a stop. */
static void test_stop_during_start(void **state)
{
	struct starter starter = { .fixture = *state };
	pthread_t thread;
	json_t *reply;

	assert_int_equal(pthread_create(&thread, NULL, start_slowly, &starter), 0);
	reply = service_wait(*state, "slow", "running");
	assert_true(is_null(reply, "ready_at"));
	json_decref(reply);
	agent_expect_error(service_start(*state, "slow", "x", "null", 1), "being started");
	reply = service_ask(*state, "stop_service", "slow");
	agent_expect_text(reply, "state", "stopped");
	json_decref(reply);
	pthread_join(thread, NULL);
	agent_expect_text(starter.reply, "state", "stopped");
	agent_expect_text(starter.reply, "stop_reason", "sigterm");
	json_decref(starter.reply);
}

static void *stop_racing(void *arg)
{
	json_decref(service_ask(arg, "stop_service", "racing"));
	return NULL;
}

/*
 * A stop ends the run that it was asked to end, not one that somebody starts as soon as that is
 * gone.
 */
static void test_stop_ends_one_run(void **state)
{
	for (int i = 0; i < 5; i++) {
		json_t *reply = service_start(*state, "racing", "exec sleep 1000", "null", 1);
		pthread_t thread;
		pid_t pid;

		agent_expect_text(reply, "state", "running");
		json_decref(reply);
		assert_int_equal(pthread_create(&thread, NULL, stop_racing, *state), 0);
		for (;;) {
			reply = service_start(*state, "racing", "exec sleep 1000", "null", 1);
			if (!json_object_get(reply, "error"))
				break;
			json_decref(reply);
		}
		pid = (pid_t)json_integer_value(json_object_get(reply, "pid"));
		json_decref(reply);
		pthread_join(thread, NULL);
		assert_true(is_alive(pid));
		reply = service_wait(*state, "racing", "running");
		agent_expect_int(reply, "pid", pid);
		json_decref(reply);
		json_decref(service_ask(*state, "stop_service", "racing"));
	}
}

/* Also what has left its session, and what does not hear. */
static void test_stop_reaches_all_that_came_of_it(void **state)
{
	pid_t left, deaf;
	json_t *reply;

	json_decref(service_start(
		*state, "tree",
		"setsid sh -c 'echo $$ >left; exec sleep 1000' & "
		"sh -c 'trap \\\"\\\" TERM; echo $$ >deaf; while :; do sleep 1; done' & "
		"exec sleep 1000",
		"null", 30));
	left = service_read_pid(*state, "left");
	deaf = service_read_pid(*state, "deaf");
	assert_true(is_alive(left) && is_alive(deaf));
	reply = service_ask(*state, "stop_service", "tree");
	agent_expect_text(reply, "stop_reason", "sigterm");
	json_decref(reply);
	assert_false(is_alive(left) || is_alive(deaf));
}

static void test_tail_lines(void **state)
{
	json_t *reply;

	json_decref(service_start(*state, "log", "printf '1\\\\n2\\\\n3\\\\n\\\\377'; exit", "null",
				  30));
	json_decref(service_wait(*state, "log", "exited"));
	reply = agent_call(*state, "{\"action\": \"logs_service\", \"service_name\": \"log\", "
				   "\"tail_lines\": 2}");
	assert_true(json_is_true(json_object_get(reply, "truncated")));
	assert_int_equal(strncmp(json_string_value(json_object_get(reply, "stdout")), "3\n", 2), 0);
	json_decref(reply);
	/* More than a reply can carry: its end is what is told. */
	json_decref(service_start(*state, "log", "yes | head -c 20000000; echo end", "null", 30));
	json_decref(service_wait(*state, "log", "exited"));
	reply = service_ask(*state, "logs_service", "log");
	assert_true(json_is_true(json_object_get(reply, "truncated")));
	assert_non_null(strstr(json_string_value(json_object_get(reply, "stdout")), "y\nend\n"));
	json_decref(reply);
}

/* Without a lifeline services go on when the agent ends, and the next agent has them. */
static void test_services_outlive_the_agent(void **state)
{
	struct agent_fixture fixture;
	json_t *reply;
	pid_t pid;

	(void)state;
	agent_make(&fixture);
	fixture.services_end = false;
	agent_start(&fixture);
	json_decref(service_start(&fixture, "stays", "exec sleep 1000", "null", 30));
	json_decref(service_start(&fixture, "gone", "exit 5", "null", 30));
	json_decref(service_wait(&fixture, "gone", "exited"));
	agent_stop(&fixture);
	agent_start(&fixture);

	reply = service_ask(&fixture, "status_service", "gone");
	agent_expect_int(reply, "exit_code", 5);
	json_decref(reply);
	reply = service_ask(&fixture, "status_service", "stays");
	agent_expect_text(reply, "state", "running");
	pid = (pid_t)json_integer_value(json_object_get(reply, "pid"));
	assert_true(is_alive(pid));
	json_decref(reply);
	agent_expect_error(service_start(&fixture, "stays", "x", "null", 1), "already running");
	reply = service_ask(&fixture, "stop_service", "stays");
	agent_expect_text(reply, "state", "stopped");
	json_decref(reply);
	agent_stop(&fixture);
	agent_remove(&fixture);
}

/* With one, everything ends. */
static void test_lifeline_ends_services(void **state)
{
	struct agent_fixture fixture;
	pid_t pid, left;

	(void)state;
	agent_make(&fixture);
	agent_start(&fixture);
	json_decref(service_start(&fixture, "ends",
				  "setsid sh -c 'echo $$ >left; exec sleep 1000' & echo $$ >pid; "
				  "trap '' TERM; while :; do sleep 1; done",
				  "null", 30));
	pid = service_read_pid(&fixture, "pid");
	left = service_read_pid(&fixture, "left");
	agent_stop(&fixture);
	agent_expect_gone(pid);
	agent_expect_gone(left);
	agent_remove(&fixture);
}

/* Gently: a service may put its things in order. */
static void test_lifeline_asks_before_it_kills(void **state)
{
	struct agent_fixture fixture;

	(void)state;
	agent_make(&fixture);
	agent_start(&fixture);
	json_decref(service_start(&fixture, "tidy",
				  "trap 'touch tidied; exit' TERM; touch up; "
				  "while :; do sleep 0.05; done",
				  "{\"type\": \"file\", \"path\": \"up\"}", 30));
	agent_stop(&fixture);
	assert_true(agent_has(&fixture, "tidied"));
	agent_remove(&fixture);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_vector),
		cmocka_unit_test(test_start_is_refused),
		cmocka_unit_test(test_exit_is_known_at_once),
		cmocka_unit_test(test_stop_during_start),
		cmocka_unit_test(test_stop_ends_one_run),
		cmocka_unit_test(test_stop_reaches_all_that_came_of_it),
		cmocka_unit_test(test_tail_lines),
		cmocka_unit_test(test_services_outlive_the_agent),
		cmocka_unit_test(test_lifeline_ends_services),
		cmocka_unit_test(test_lifeline_asks_before_it_kills),
	};

	return cmocka_run_group_tests_name("agent service", tests, agent_setup, agent_teardown);
}
