/*
 * test_settings.c - cwd and env, and that their lines give them again.
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "ctl/cmd.h"
#include "ctl/settings.h"
#include "tests/unit/cmocka_all.h"

static void test_defaults(void **state)
{
	struct settings settings = { 0 };
	autobuf struct buf out = BUF_INIT(1000);
	struct proc_settings proc = settings_proc(&settings);

	(void)state;
	settings_print(&settings, &out);
	assert_string_equal(buf_str(&out), "");
	assert_string_equal(settings_dir(&settings), "/workspace");
	assert_null(proc.cwd);
	assert_int_equal(proc.env_count, 0);
}

static void test_values_replace(void **state)
{
	struct settings settings = { 0 };
	autobuf struct buf out = BUF_INIT(1000);

	(void)state;
	assert_int_equal(settings_cwd(&settings, "/a", NULL), 0);
	assert_int_equal(settings_cwd(&settings, "/b c", NULL), 0);
	assert_int_equal(settings_env(&settings, "A=1", NULL), 0);
	assert_int_equal(settings_env(&settings, "B=x=y", NULL), 0);
	assert_int_equal(settings_env(&settings, "A=", NULL), 0);
	settings_print(&settings, &out);
	assert_string_equal(buf_str(&out), "cwd /b c\nenv A=\nenv B=x=y\n");
	assert_int_equal(settings_proc(&settings).env_count, 2);
	settings_free(&settings);
}

static void test_bad_values(void **state)
{
	static const char *const envs[] = { "", "=", "A", "=x", "1A=x", "A-B=x", "A B=x", "Ä=x" };
	struct settings settings = { 0 };
	struct error err = { 0 };
	char name[LIMIT_ENV_NAME + 4];

	(void)state;
	for (size_t i = 0; i < sizeof(envs) / sizeof(envs[0]); i++)
		assert_int_equal(settings_env(&settings, envs[i], &err), -EINVAL);
	memset(name, 'A', sizeof(name));
	strcpy(name + LIMIT_ENV_NAME + 1, "=");
	assert_int_equal(settings_env(&settings, name, &err), -EINVAL);
	assert_int_equal(settings_env(&settings, name + 1, &err), 0);
	assert_int_equal(settings_cwd(&settings, "relative", &err), -EINVAL);
	assert_non_null(strstr(err.text, "'relative'"));
	assert_int_equal(settings_cwd(&settings, "", &err), -EINVAL);
	settings_free(&settings);
}

static void test_too_many_variables(void **state)
{
	struct settings settings = { 0 };
	char text[32];

	(void)state;
	for (int i = 0; i < LIMIT_ENV_VALUES; i++) {
		snprintf(text, sizeof(text), "V%d=x", i);
		assert_int_equal(settings_env(&settings, text, NULL), 0);
	}
	assert_int_equal(settings_env(&settings, "MORE=x", NULL), -ENOSPC);
	assert_int_equal(settings_env(&settings, "V0=y", NULL), 0);
	assert_int_equal(settings.env_count, LIMIT_ENV_VALUES);
	settings_free(&settings);
}

/* Applies the lines of TEXT, as ctl does it. */
static void apply(struct settings *settings, char *text)
{
	static const struct cmd_verb verbs[] = {
		{ "cwd", CMD_ONE, 1, 1, 0, "cwd DIR", NULL, NULL },
		{ "env", CMD_ONE, 1, 1, 0, "env NAME=VALUE", NULL, NULL },
	};

	for (char *line = strsep(&text, "\n"); line; line = strsep(&text, "\n")) {
		struct cmd cmd;

		assert_int_equal(cmd_parse(verbs, 2, line, strlen(line), &cmd, NULL), 0);
		if (cmd.verb == &verbs[0])
			assert_int_equal(settings_cwd(settings, cmd.argv[0], NULL), 0);
		else if (cmd.verb)
			assert_int_equal(settings_env(settings, cmd.argv[0], NULL), 0);
		cmd_free(&cmd);
	}
}

static void test_the_lines_give_them_again(void **state)
{
	static const char *const values[] = { "X=two words", "Q=\"'\\", "N=line\nline\n", "S= x ",
					      "E=",          "T=\t",    "B=\xff\x01" };
	struct settings settings = { 0 }, again = { 0 };
	autobuf struct buf first = BUF_INIT(10000);
	autobuf struct buf second = BUF_INIT(10000);
	char *copy;

	(void)state;
	assert_int_equal(settings_cwd(&settings, "/a dir/with \"quotes\"\nand lines", NULL), 0);
	for (size_t i = 0; i < sizeof(values) / sizeof(values[0]); i++)
		assert_int_equal(settings_env(&settings, values[i], NULL), 0);
	settings_print(&settings, &first);
	copy = strdup(buf_str(&first));
	apply(&again, copy);
	free(copy);
	settings_print(&again, &second);
	assert_string_equal(buf_str(&first), buf_str(&second));
	assert_string_equal(again.cwd, settings.cwd);
	for (size_t i = 0; i < settings.env_count; i++)
		assert_string_equal(again.env[i].value, settings.env[i].value);
	settings_free(&settings);
	settings_free(&again);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_defaults),
		cmocka_unit_test(test_values_replace),
		cmocka_unit_test(test_bad_values),
		cmocka_unit_test(test_too_many_variables),
		cmocka_unit_test(test_the_lines_give_them_again),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
