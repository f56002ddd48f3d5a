/*
 * test_line_shell.c - shells: what is sent, what is understood, what is refused.
 */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "protocol/line/line.h"
#include "script.h"

#define SHELL(state_and_more)                                                                      \
	"{\"shell_id\": \"shell-1\", \"cwd\": \"/workspace\", \"cols\": 120, \"rows\": 30, "       \
	"\"started_at\": 1.0, " state_and_more "}"

static const struct line_shell_open opening = {
	.shell_id = "shell-1", .cwd = "/workspace", .cols = 120, .rows = 30
};

static void expect_shell(const struct line_shell *shell, const char *state)
{
	assert_string_equal(shell->shell_id, "shell-1");
	assert_string_equal(shell->cwd.data, "/workspace");
	assert_int_equal(shell->cols, 120);
	assert_int_equal(shell->rows, 30);
	assert_string_equal(shell->state, state);
	assert_true(shell->started_at == 1.0);
}

/* The protocol's vector 4, one request after the other. */
static void test_vector_4_shell(void **state)
{
	struct script *script = *state;
	struct guest *guest = script_guest(script);
	struct line_shell shell;

	script_reply(script,
		     SHELL("\"state\": \"running\", \"ended_at\": null, \"exit_code\": null"));
	assert_int_equal(
		line_open_shell(guest, script_call(script), &opening, &shell, script_error(script)),
		0);
	script_expect(script, "{\"action\": \"open_shell\", \"shell_id\": \"shell-1\", \"cwd\": "
			      "\"/workspace\", \"cols\": 120, \"rows\": 30, \"env\": {}, "
			      "\"redact_values\": []}\n");
	expect_shell(&shell, "running");
	assert_true(shell.ended_at == 0);
	assert_false(shell.has_exit_code);
	line_shell_free(&shell);

	script_reply(script, SHELL("\"state\": \"running\", \"cursor\": 0, \"next_cursor\": 12, "
				   "\"output\": \"pyro$ pwd\\n\", \"truncated\": false"));
	assert_int_equal(line_read_shell(guest, script_call(script), "shell-1", 0, 1024, &shell,
					 script_error(script)),
			 0);
	script_expect(script, "{\"action\": \"read_shell\", \"shell_id\": \"shell-1\", "
			      "\"cursor\": 0, \"max_chars\": 1024}\n");
	expect_shell(&shell, "running");
	assert_int_equal(shell.cursor, 0);
	assert_int_equal(shell.next_cursor, 12);
	assert_string_equal(shell.output.data, "pyro$ pwd\n");
	assert_false(shell.truncated);
	line_shell_free(&shell);

	script_reply(script, SHELL("\"state\": \"running\", \"input_length\": 3, "
				   "\"append_newline\": true"));
	assert_int_equal(line_write_shell(guest, script_call(script), "shell-1", "pwd", 3, true,
					  &shell, script_error(script)),
			 0);
	script_expect(script, "{\"action\": \"write_shell\", \"shell_id\": \"shell-1\", "
			      "\"input\": \"pwd\", \"append_newline\": true}\n");
	assert_int_equal(shell.input_length, 3);
	line_shell_free(&shell);

	script_reply(script, SHELL("\"state\": \"running\", \"signal\": \"INT\""));
	assert_int_equal(line_signal_shell(guest, script_call(script), "shell-1", "INT", &shell,
					   script_error(script)),
			 0);
	script_expect(script, "{\"action\": \"signal_shell\", \"shell_id\": \"shell-1\", "
			      "\"signal\": \"INT\"}\n");
	expect_shell(&shell, "running");
	line_shell_free(&shell);

	script_reply(script, SHELL("\"state\": \"stopped\", \"ended_at\": 2.0, \"exit_code\": 0, "
				   "\"closed\": true"));
	assert_int_equal(line_close_shell(guest, script_call(script), "shell-1", &shell,
					  script_error(script)),
			 0);
	script_expect(script, "{\"action\": \"close_shell\", \"shell_id\": \"shell-1\"}\n");
	expect_shell(&shell, "stopped");
	assert_true(shell.ended_at == 2.0);
	assert_true(shell.has_exit_code);
	assert_int_equal(shell.exit_code, 0);
	assert_true(shell.closed);
	line_shell_free(&shell);
}

/* The protocol's vector 6. */
static void test_vector_6_the_agents_error_comes_through(void **state)
{
	struct script *script = *state;
	struct error *err = script_error(script);
	struct line_shell shell;

	script_reply(script, "{\"error\":\"shell is unavailable\"}");
	assert_int_equal(
		line_open_shell(script_guest(script), script_call(script), &opening, &shell, err),
		-EREMOTEIO);
	assert_int_equal(err->code, EREMOTEIO);
	assert_string_equal(err->text, "shell is unavailable");
	line_shell_free(&shell);
}

static void test_env_and_redactions(void **state)
{
	static const struct line_env env = { "TOKEN", "s3\xff" };
	static const char *const secrets[] = { "s3\xff", "\xc3\xa9" };
	const struct line_shell_open in = { "a", "/workspace/d", 1, 65535, &env, 1, secrets, 2 };
	struct script *script = *state;
	struct line_shell shell;

	script_reply(script, "{}");
	assert_int_equal(line_open_shell(script_guest(script), script_call(script), &in, &shell,
					 script_error(script)),
			 0);
	script_expect(script,
		      "{\"action\": \"open_shell\", \"shell_id\": \"a\", \"cwd\": "
		      "\"/workspace/d\", \"cols\": 1, \"rows\": 65535, \"env\": {\"TOKEN\": "
		      "\"s3\\udcff\"}, \"redact_values\": [\"s3\\udcff\", \"\\u00e9\"]}\n");
	line_shell_free(&shell);
}

static void test_missing_and_null_fields_have_defaults(void **state)
{
	static const char *const replies[] = { "{}",
					       "{\"shell_id\": null, \"state\": null, \"cursor\": "
					       "null, \"next_cursor\": null, \"output\": null, "
					       "\"started_at\": null, \"truncated\": null}" };
	struct script *script = *state;
	struct line_shell shell;

	for (size_t i = 0; i < sizeof(replies) / sizeof(replies[0]); i++) {
		script_reply(script, replies[i]);
		assert_int_equal(line_read_shell(script_guest(script), script_call(script),
						 "shell-1", 77, 10, &shell, script_error(script)),
				 0);
		assert_string_equal(shell.shell_id, "");
		assert_string_equal(shell.state, "stopped");
		assert_string_equal(shell.output.data, "");
		assert_int_equal(shell.cursor, 77);
		assert_int_equal(shell.next_cursor, 77);
		assert_true(shell.started_at == 0);
		assert_false(shell.has_exit_code);
		line_shell_free(&shell);
	}
}

static int write_shell(struct script *script, const char *input, size_t len)
{
	struct line_shell shell;
	int rc = line_write_shell(script_guest(script), script_call(script), "shell-1", input, len,
				  false, &shell, script_error(script));

	line_shell_free(&shell);
	return rc;
}

static void test_input_is_bytes_and_whole_characters(void **state)
{
	struct script *script = *state;
	char input[LIMIT_SHELL_WRITE + 1];

	script_reply(script, "{}");
	assert_int_equal(write_shell(script, "\x03\xe2\x82\xac\0\xff", 6), 0);
	script_expect(script, "{\"action\": \"write_shell\", \"shell_id\": \"shell-1\", "
			      "\"input\": \"\\u0003\\u20ac\\u0000\\udcff\", "
			      "\"append_newline\": false}\n");
	memset(input, 'x', sizeof(input));
	script_reply(script, "{}");
	assert_int_equal(write_shell(script, input, LIMIT_SHELL_WRITE), 0);
	script_reply(script, "{}");
	assert_int_equal(write_shell(script, input, LIMIT_SHELL_WRITE + 1), -EINVAL);
	script_expect_error(script, "1024 bytes");
	assert_int_equal(write_shell(script, "a\xe2\x82", 3), -EINVAL);
	script_expect_error(script, "middle of a character");
	script_expect_nothing(script);
}

static void test_bad_arguments_are_never_sent(void **state)
{
	static const char *const names[] = {
		"",
		".a",
		"-",
		"a b",
		"a/b",
		"\xc3\xa9",
		"a123456789b123456789c123456789d123456789e123456789f123456789g1234"
	};
	struct line_shell_open in = opening;
	struct script *script = *state;
	struct guest *guest = script_guest(script);
	const struct call *call = script_call(script);
	struct line_shell shell;

	script_reply(script, "{}");
	for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++) {
		assert_int_equal(
			line_close_shell(guest, call, names[i], &shell, script_error(script)),
			-EINVAL);
		script_expect_error(script, "shell_id");
	}
	in.cols = 0;
	assert_int_equal(line_open_shell(guest, call, &in, &shell, script_error(script)), -EINVAL);
	script_expect_error(script, "cols");
	in.cols = 80;
	in.rows = 65536;
	assert_int_equal(line_open_shell(guest, call, &in, &shell, script_error(script)), -EINVAL);
	script_expect_error(script, "rows");
	assert_int_equal(line_read_shell(guest, call, "a", -1, 1, &shell, script_error(script)),
			 -EINVAL);
	script_expect_error(script, "cursor");
	assert_int_equal(line_read_shell(guest, call, "a", 0, 0, &shell, script_error(script)),
			 -EINVAL);
	assert_int_equal(line_read_shell(guest, call, "a", 0, LIMIT_SHELL_READ + 1, &shell,
					 script_error(script)),
			 -EINVAL);
	script_expect_error(script, "max_chars");
	assert_int_equal(line_signal_shell(guest, call, "a", "STOP", &shell, script_error(script)),
			 -EINVAL);
	script_expect_error(script, "HUP, INT, TERM or KILL");
	script_expect_nothing(script);
}

static void test_wrong_fields_are_named(void **state)
{
	static const char *const wrong[][2] = {
		{ "{\"shell_id\": 1}", "shell_id must be a string" },
		{ "{\"shell_id\": "
		  "\"a123456789b123456789c123456789d123456789e123456789f123456789g1234\"}",
		  "shell_id must be a word of at most 64" },
		{ "{\"shell_id\": \"a\\u0000b\"}", "shell_id" },
		{ "{\"state\": \"run\\nning\"}", "state must be a word" },
		{ "{\"state\": \"running-for-ever\"}", "state must be a word of at most 15" },
		{ "{\"cwd\": []}", "cwd must be a string" },
		{ "{\"cols\": 65536}", "cols is 65536" },
		{ "{\"rows\": -1}", "rows is -1" },
		{ "{\"started_at\": \"1\"}", "started_at must be a number" },
		{ "{\"started_at\": -1.5}", "started_at is not a time" },
		{ "{\"ended_at\": 1e300}", "ended_at is not a time" },
		{ "{\"exit_code\": []}", "exit_code must be an integer" },
		{ "{\"cursor\": -1}", "cursor is -1" },
		{ "{\"next_cursor\": 1.0}", "next_cursor must be an integer" },
		{ "{\"output\": {}}", "output must be a string" },
		{ "{\"truncated\": 0}", "truncated must be true or false" },
		{ "{\"input_length\": -3}", "input_length is -3" },
		{ "{\"closed\": \"true\"}", "closed must be true or false" },
	};
	struct script *script = *state;
	struct line_shell shell;

	for (size_t i = 0; i < sizeof(wrong) / sizeof(wrong[0]); i++) {
		script_reply(script, wrong[i][0]);
		assert_int_equal(line_close_shell(script_guest(script), script_call(script), "a",
						  &shell, script_error(script)),
				 -EPROTO);
		script_expect_error(script, wrong[i][1]);
		line_shell_free(&shell);
	}
}

#define SCRIPTED(test) cmocka_unit_test_setup_teardown(test, script_setup, script_teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		SCRIPTED(test_vector_4_shell),
		SCRIPTED(test_vector_6_the_agents_error_comes_through),
		SCRIPTED(test_env_and_redactions),
		SCRIPTED(test_missing_and_null_fields_have_defaults),
		SCRIPTED(test_input_is_bytes_and_whole_characters),
		SCRIPTED(test_bad_arguments_are_never_sent),
		SCRIPTED(test_wrong_fields_are_named),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
