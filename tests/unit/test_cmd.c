/*
 * test_cmd.c - lines of ctl files, taken apart; every rule of cmd.h.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "ctl/cmd.h"
#include "tests/unit/cmocka_all.h"

static int nothing(struct object *object, const struct call *call, const struct cmd *cmd,
		   struct error *err)
{
	(void)object;
	(void)call;
	(void)cmd;
	(void)err;
	return 0;
}

static const struct cmd_verb verbs[] = {
	{ "stop", CMD_PLAIN, 0, 0, 0, "stop", nothing, NULL },
	{ "size", CMD_PLAIN, 2, 2, 0, "size COLS ROWS", nothing, NULL },
	{ "kill", CMD_PLAIN, 0, 1, 0, "kill [SIGNAL]", nothing, NULL },
	{ "cwd", CMD_ONE, 1, 1, 0, "cwd DIR", nothing, NULL },
	{ "refresh", CMD_ONE, 0, 1, 0, "refresh [PATH]", nothing, NULL },
	{ "run", CMD_REST, 1, 1, 0, "run COMMAND...", nothing, NULL },
};

static int parse(const char *line, struct cmd *cmd, struct error *err)
{
	*err = (struct error){ 0 };
	return cmd_parse(verbs, sizeof(verbs) / sizeof(verbs[0]), line, strlen(line), cmd, err);
}

/* LINE is VERB with the one argument ARG (NULL: with none). */
static void good(const char *line, const char *verb, const char *arg)
{
	struct cmd cmd;
	struct error err;

	assert_int_equal(parse(line, &cmd, &err), 0);
	assert_non_null(cmd.verb);
	assert_string_equal(cmd.verb->name, verb);
	assert_int_equal(cmd.argc, arg ? 1 : 0);
	if (arg)
		assert_string_equal(cmd.argv[0], arg);
	cmd_free(&cmd);
}

/* LINE is -EINVAL with a sentence that has WORD in it. */
static void bad(const char *line, const char *word)
{
	struct cmd cmd;
	struct error err;

	assert_int_equal(parse(line, &cmd, &err), -EINVAL);
	assert_int_equal(err.code, EINVAL);
	if (!strstr(err.text, word))
		fail_msg("'%s' is not in '%s'", word, err.text);
	cmd_free(&cmd);
}

static void test_blank_lines_are_nothing(void **state)
{
	struct cmd cmd;
	struct error err;

	(void)state;
	assert_int_equal(parse("", &cmd, &err), 0);
	assert_null(cmd.verb);
	assert_int_equal(parse(" \t\r", &cmd, &err), 0);
	assert_null(cmd.verb);
	cmd_free(&cmd);
}

static void test_verbs_match_exactly(void **state)
{
	(void)state;
	good("stop", "stop", NULL);
	good("  stop \t", "stop", NULL);
	good("stop\r", "stop", NULL);
	bad("sto", "'sto'");
	bad("stopp", "'stopp'");
	bad("STOP", "'STOP'");
	bad("frobnicate now", "'frobnicate'");
	bad("frobnicate", "stop, size, kill");
	bad("'stop'", "unknown verb");
}

static void test_arity(void **state)
{
	struct cmd cmd;
	struct error err;

	(void)state;
	bad("stop now", "usage is: stop");
	bad("size 80", "size COLS ROWS");
	bad("size 80 24 1", "size COLS ROWS");
	good("kill", "kill", NULL);
	good("kill TERM", "kill", "TERM");
	bad("kill TERM HUP", "kill [SIGNAL]");
	assert_int_equal(parse("size \t80   24 ", &cmd, &err), 0);
	assert_int_equal(cmd.argc, 2);
	assert_string_equal(cmd.argv[0], "80");
	assert_string_equal(cmd.argv[1], "24");
	cmd_free(&cmd);
}

static void test_one_argument_needs_no_quotes(void **state)
{
	(void)state;
	good("cwd /a", "cwd", "/a");
	good("cwd /a b  c ", "cwd", "/a b  c");
	good("cwd \"/a b \"", "cwd", "/a b ");
	good("cwd '/a\"b'", "cwd", "/a\"b");
	good("cwd /a\\ b", "cwd", "/a b");
	good("cwd /a'b c'd", "cwd", "/ab cd");
	good("cwd \"\\n\\t\\r\\\\\\\"\\x41\"", "cwd", "\n\t\r\\\"A");
	good("cwd ''", "cwd", "");
	bad("cwd", "cwd DIR");
	bad("cwd   ", "cwd DIR");
	bad("cwd 'a' 'b'", "cwd DIR");
	good("refresh", "refresh", NULL);
	good("refresh a b", "refresh", "a b");
}

static void test_broken_quotes(void **state)
{
	(void)state;
	bad("cwd 'a", "not closed");
	bad("cwd \"a", "not closed");
	bad("cwd \"a\\", "not closed");
	bad("cwd a\\", "end of the line");
	bad("cwd \"\\q\"", "\\q");
	bad("cwd \"\\x0\"", "hex");
	bad("cwd \"\\x\"", "hex");
	bad("cwd \"\\x00\"", "hex");
	bad("cwd \"\\xzz\"", "hex");
}

static void test_rest_is_verbatim(void **state)
{
	(void)state;
	good("run echo \"a  b\" 'c' \\d ", "run", "echo \"a  b\" 'c' \\d ");
	good("run \techo", "run", "echo");
	good("run 'unbalanced", "run", "'unbalanced");
	bad("run", "run COMMAND");
	bad("run  ", "run COMMAND");
}

static void test_nul_is_refused(void **state)
{
	struct cmd cmd;
	struct error err = { 0 };

	(void)state;
	assert_int_equal(cmd_parse(verbs, 6, "run a\0b", 7, &cmd, &err), -EINVAL);
	assert_non_null(strstr(err.text, "NUL"));
	cmd_free(&cmd);
}

static void test_quote_is_the_inverse(void **state)
{
	static const char *const texts[] = {
		"a",    "",     "a b", " a",   "a ",   "\t",     "it's", "\"",   "\\",
		"a\nb", "\x01", "é",   "\xff", "\x7f", "a\rb\r", "'a'",  "x\\n",
	};

	(void)state;
	for (size_t i = 0; i < sizeof(texts) / sizeof(texts[0]); i++) {
		autobuf struct buf line = BUF_INIT(1000);

		buf_adds(&line, "cwd ");
		cmd_quote(&line, texts[i]);
		assert_null(strchr(buf_str(&line), '\n'));
		good(buf_str(&line), "cwd", texts[i]);
	}
}

static void test_numbers(void **state)
{
	static const char *const wrong[] = { "",    " 1",  "1 ",    "-1", "+1", "1e3", "0x10",
					     "inf", "nan", "1.2.3", ".",  "0",  "101", "1.5" };
	struct error err;
	double value;

	(void)state;
	assert_int_equal(cmd_number("7", 1, 100, true, "N", &value, &err), 0);
	assert_true(value == 7);
	assert_int_equal(cmd_number("1.5", 1, 100, false, "N", &value, &err), 0);
	assert_true(value == 1.5);
	for (size_t i = 0; i < sizeof(wrong) / sizeof(wrong[0]); i++)
		assert_int_equal(cmd_number(wrong[i], 1, 100, true, "N", &value, &err), -EINVAL);
	assert_non_null(strstr(err.text, "1.5"));
	assert_int_equal(cmd_number("x", 0.001, 31536000, false, "N", &value, &err), -EINVAL);
	assert_non_null(strstr(err.text, "from 0.001 to 31536000,"));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_blank_lines_are_nothing),
		cmocka_unit_test(test_verbs_match_exactly),
		cmocka_unit_test(test_arity),
		cmocka_unit_test(test_one_argument_needs_no_quotes),
		cmocka_unit_test(test_broken_quotes),
		cmocka_unit_test(test_rest_is_verbatim),
		cmocka_unit_test(test_nul_is_refused),
		cmocka_unit_test(test_quote_is_the_inverse),
		cmocka_unit_test(test_numbers),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
