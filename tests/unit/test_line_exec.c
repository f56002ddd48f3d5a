/*
 * test_line_exec.c - the request without an action, and the rules that all requests share.
 */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "protocol/line/line.h"
#include "script.h"

static int exec(struct script *script, const char *command, struct line_exec_reply *out)
{
	const struct line_exec in = { .command = command, .timeout_seconds = 30 };

	return line_exec(script_guest(script), script_call(script), &in, out, script_error(script));
}

static void expect_text(const struct line_text *text, const char *bytes, size_t len)
{
	assert_int_equal(text->len, len);
	assert_memory_equal(text->data, bytes, len);
	assert_int_equal(text->data[len], '\0');
}

/* The protocol's vector 1. */
static void test_vector_1_exec(void **state)
{
	struct script *script = *state;
	struct line_exec_reply reply;

	script_reply(script,
		     "{\"stdout\":\"ok\\n\",\"stderr\":\"\",\"exit_code\":0,\"duration_ms\":7}");
	assert_int_equal(exec(script, "echo ok", &reply), 0);
	script_expect(script, "{\"command\": \"echo ok\", \"timeout_seconds\": 30, \"env\": {}}\n");
	expect_text(&reply.out, "ok\n", 3);
	expect_text(&reply.err, "", 0);
	assert_int_equal(reply.exit_code, 0);
	assert_int_equal(reply.duration_ms, 7);
	line_exec_reply_free(&reply);
}

static void test_env_keeps_its_order_and_its_bytes(void **state)
{
	static const struct line_env env[] = { { "Z", "1" },
					       { "_a2", "\"q\"\n\xc3\xa9\xff" },
					       { "EMPTY", "" } };
	const struct line_exec in = { "env", 5, env, 3 };
	struct script *script = *state;
	struct line_exec_reply reply;

	script_reply(script, "{}");
	assert_int_equal(line_exec(script_guest(script), script_call(script), &in, &reply,
				   script_error(script)),
			 0);
	script_expect(script,
		      "{\"command\": \"env\", \"timeout_seconds\": 5, \"env\": {\"Z\": \"1\", "
		      "\"_a2\": \"\\\"q\\\"\\n\\u00e9\\udcff\", \"EMPTY\": \"\"}}\n");
	line_exec_reply_free(&reply);
}

static void test_bad_env_is_never_sent(void **state)
{
	static const char *const names[] = {
		"",
		"1A",
		"A-B",
		"A=B",
		"A B",
		"\xc3\xa9",
		"A23456789_123456789_123456789_123456789_123456789_123456789_12345"
	};
	struct script *script = *state;
	struct line_exec_reply reply;

	script_reply(script, "{}");
	for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++) {
		const struct line_env env = { names[i], "x" };
		const struct line_exec in = { "true", 5, &env, 1 };

		assert_int_equal(line_exec(script_guest(script), script_call(script), &in, &reply,
					   script_error(script)),
				 -EINVAL);
		script_expect_error(script, "environment variable");
		line_exec_reply_free(&reply);
	}
	script_expect_nothing(script);
}

static void test_longest_env_name_is_sent(void **state)
{
	static const struct line_env env = {
		"A23456789_123456789_123456789_123456789_123456789_123456789_1234", "x"
	};
	const struct line_exec in = { "true", 5, &env, 1 };
	struct script *script = *state;
	struct line_exec_reply reply;

	script_reply(script, "{}");
	assert_int_equal(line_exec(script_guest(script), script_call(script), &in, &reply,
				   script_error(script)),
			 0);
	line_exec_reply_free(&reply);
}

static void test_bad_arguments_are_never_sent(void **state)
{
	struct line_exec in = { .command = "true", .timeout_seconds = -1 };
	struct script *script = *state;
	struct line_exec_reply reply;
	char *command = malloc(LIMIT_EXEC_COMMAND + 2);

	script_reply(script, "{}");
	assert_int_equal(line_exec(script_guest(script), script_call(script), &in, &reply,
				   script_error(script)),
			 -EINVAL);
	script_expect_error(script, "timeout_seconds");
	memset(command, 'x', LIMIT_EXEC_COMMAND + 1);
	command[LIMIT_EXEC_COMMAND + 1] = '\0';
	assert_int_equal(exec(script, command, &reply), -E2BIG);
	script_expect_error(script, "131071");
	command[LIMIT_REQUEST_LINE] = '\0'; /* with the keys around it, too much for one line */
	assert_int_equal(exec(script, command, &reply), -E2BIG);
	script_expect_error(script, "limit of 102400");
	script_expect_nothing(script);
	free(command);
}

static void test_missing_and_null_fields_have_defaults(void **state)
{
	static const char *const replies[] = {
		"{}",
		"{\"stdout\": null, \"stderr\": null, \"exit_code\": null, \"duration_ms\": null}",
		"{\"unknown\": [1, {}]}\n",
	};
	struct script *script = *state;
	struct line_exec_reply reply;

	for (size_t i = 0; i < sizeof(replies) / sizeof(replies[0]); i++) {
		script_reply(script, replies[i]);
		assert_int_equal(exec(script, "true", &reply), 0);
		expect_text(&reply.out, "", 0);
		expect_text(&reply.err, "", 0);
		assert_int_equal(reply.exit_code, -1);
		assert_int_equal(reply.duration_ms, 0);
		line_exec_reply_free(&reply);
	}
}

static void test_output_is_bytes(void **state)
{
	struct script *script = *state;
	struct line_exec_reply reply;

	script_reply(script, "{\"stdout\": \"a\\u0000\\u00e9\\udcff\\ud83d\\ude00\", "
			     "\"stderr\": \"\\u001b[0m\", \"exit_code\": -9}");
	assert_int_equal(exec(script, "true", &reply), 0);
	expect_text(&reply.out, "a\0\xc3\xa9\xff\xf0\x9f\x98\x80", 9);
	expect_text(&reply.err, "\x1b[0m", 4);
	assert_int_equal(reply.exit_code, -9);
	line_exec_reply_free(&reply);
}

static void test_wrong_fields_are_named(void **state)
{
	static const char *const wrong[][2] = {
		{ "{\"stdout\": 1}", "stdout must be a string" },
		{ "{\"stderr\": [\"x\"]}", "stderr must be a string" },
		{ "{\"exit_code\": \"0\"}", "exit_code must be an integer" },
		{ "{\"exit_code\": 0.5}", "exit_code must be an integer" },
		{ "{\"exit_code\": true}", "exit_code must be an integer" },
		{ "{\"exit_code\": 2147483648}", "exit_code is 2147483648" },
		{ "{\"duration_ms\": -1}", "duration_ms is -1" },
		/* The first of several. */
		{ "{\"duration_ms\": -1, \"stderr\": {}}", "stderr must be a string" },
	};
	struct script *script = *state;
	struct line_exec_reply reply;

	for (size_t i = 0; i < sizeof(wrong) / sizeof(wrong[0]); i++) {
		script_reply(script, wrong[i][0]);
		assert_int_equal(exec(script, "true", &reply), -EPROTO);
		script_expect_error(script, wrong[i][1]);
		line_exec_reply_free(&reply);
	}
}

static void test_a_caller_may_want_the_number_only(void **state)
{
	const struct line_exec in = { .command = "true", .timeout_seconds = 1 };
	struct script *script = *state;
	struct line_exec_reply reply;

	script_reply(script, "{\"stdout\": 1}");
	assert_int_equal(line_exec(script_guest(script), script_call(script), &in, &reply, NULL),
			 -EPROTO);
	line_exec_reply_free(&reply);
}

#define SCRIPTED(test) cmocka_unit_test_setup_teardown(test, script_setup, script_teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		SCRIPTED(test_vector_1_exec),
		SCRIPTED(test_env_keeps_its_order_and_its_bytes),
		SCRIPTED(test_bad_env_is_never_sent),
		SCRIPTED(test_longest_env_name_is_sent),
		SCRIPTED(test_bad_arguments_are_never_sent),
		SCRIPTED(test_missing_and_null_fields_have_defaults),
		SCRIPTED(test_output_is_bytes),
		SCRIPTED(test_wrong_fields_are_named),
		SCRIPTED(test_a_caller_may_want_the_number_only),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
