/*
 * test_error.c - sentences are one line, bounded, and keep their errno.
 */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "protocol/error.h"

static void test_set_records_both(void **state)
{
	struct error err = { 0 };

	(void)state;
	assert_int_equal(error_set(&err, ENOENT, "no %s here: make %d", "cat", 2), -ENOENT);
	assert_int_equal(err.code, ENOENT);
	assert_string_equal(err.text, "no cat here: make 2");
	assert_int_equal(error_set(NULL, EIO, "nobody %s", "listens"), -EIO);
}

static void test_set_replaces_control_characters(void **state)
{
	struct error err = { 0 };

	(void)state;
	error_set(&err, EIO, "%s",
		  "a\033[2Jb\nc\td\x7f"
		  "e");
	assert_string_equal(err.text, "a?[2Jb?c?d?e");
	error_set(&err, EIO, "%s",
		  "\xc2\x9b"
		  "31m and \xc3\xa9 \xc2\xa0");
	assert_string_equal(err.text, "??31m and \xc3\xa9 \xc2\xa0");
	/* what an 8-bit terminal takes for the same, and what breaks a line */
	error_set(&err, EIO, "%s",
		  "\x9b"
		  "31m \xc4\x9b \xe2\x80\xa8 x");
	assert_string_equal(err.text, "?31m \xc4\x9b ??? x");
}

static void test_set_cuts_at_the_limit(void **state)
{
	static char text[2 * LIMIT_ERROR_TEXT];
	struct error err = { 0 };

	(void)state;
	memset(text, 'x', sizeof(text) - 1);
	error_set(&err, EIO, "%s", text);
	assert_int_equal(strlen(err.text), LIMIT_ERROR_TEXT - 1);

	/* never in the middle of a character: two bytes each, an odd room */
	for (size_t i = 0; i + 1 < sizeof(text); i++)
		text[i] = i % 2 ? '\xa9' : '\xc3';
	text[sizeof(text) - 2] = '\0';
	error_set(&err, EIO, "%s", text);
	assert_int_equal(strlen(err.text), LIMIT_ERROR_TEXT - 2);
}

static void test_set_from_its_own_text(void **state)
{
	struct error err = { 0 };

	(void)state;
	error_set(&err, EIO, "inner");
	error_set(&err, ENOENT, "outer (%s)", err.text);
	assert_string_equal(err.text, "outer (inner)");
}

static void test_wrap_keeps_the_code(void **state)
{
	struct error err = { 0 };

	(void)state;
	error_set(&err, EACCES, "no");
	assert_int_equal(error_wrap(&err, -EIO, "guest '%s'", "a\nb"), -EACCES);
	assert_int_equal(err.code, EACCES);
	assert_string_equal(err.text, "guest 'a?b': no");
	assert_int_equal(error_wrap(NULL, -EPERM, "x"), -EPERM);
}

static void test_copy(void **state)
{
	struct error from = { 0 }, to = { 0 };

	(void)state;
	error_set(&from, ESTALE, "old");
	assert_int_equal(error_copy(&to, &from), -ESTALE);
	assert_string_equal(to.text, "old");
	assert_int_equal(to.code, ESTALE);
	assert_int_equal(error_copy(NULL, &from), -ESTALE);
	assert_int_equal(error_copy(&to, NULL), 0);
	assert_int_equal(error_copy(&to, &to), -ESTALE);
	assert_string_equal(to.text, "old");
}

static void test_from_text(void **state)
{
	static const struct {
		const char *text;
		int code;
	} cases[] = {
		{ "mkdir: cannot create directory 'x': File exists", EEXIST },
		{ "rm: can't remove 'd': Directory not empty\n", ENOTEMPTY },
		{ "mv: cannot move: Invalid cross-device link", EXDEV }, /* glibc */
		{ "mv: can't rename 'a': Cross-device link", EXDEV },    /* musl */
		{ "ln: x: Symbolic link loop", ELOOP },                  /* musl */
		{ "ln: x: Too many levels of symbolic links", ELOOP },   /* glibc */
		{ "sh: x: Filename too long", ENAMETOOLONG },
		{ "touch: x: Read-only file system", EROFS },
		{ "dd: No space left on device", ENOSPC },
		{ "x: No such device or address", ENXIO },
		{ "x: No such device", ENODEV },
		{ "Too many open files in system", ENFILE },
		{ "cp: error reading 'x': Input/output error.", EIO },
		{ "dd: quota: Disk quota exceeded", EDQUOT },
		{ "[Errno 2] No such file or directory: '/workspace/File exists'", ENOENT },
		{ "[Errno 28] No space left on device", ENOSPC },
		{ "", 4242 },
		{ "all is well", 4242 },
		{ "File exists, but who cares", 4242 },
		{ "the profile exists", 4242 }, /* no word begins there */
		{ "[Errno", 4242 },
		{ "[Errno 5", 4242 },
	};

	(void)state;
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++)
		if (error_from_text(cases[i].text, 4242) != cases[i].code)
			fail_msg("'%s' gave %d", cases[i].text,
				 error_from_text(cases[i].text, 4242));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_set_records_both),
		cmocka_unit_test(test_set_replaces_control_characters),
		cmocka_unit_test(test_set_cuts_at_the_limit),
		cmocka_unit_test(test_set_from_its_own_text),
		cmocka_unit_test(test_wrap_keeps_the_code),
		cmocka_unit_test(test_copy),
		cmocka_unit_test(test_from_text),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
