/*
 * test_text.c - flat-keyed text and slices.
 */
#include <errno.h>
#include <string.h>

#include "ctl/text.h"
#include "tests/unit/cmocka_all.h"

static void test_keys(void **state)
{
	autobuf struct buf out = BUF_INIT(1000);

	(void)state;
	text_str(&out, "a", "plain text");
	text_str(&out, "b", NULL);
	text_int(&out, "c", -5);
	text_time(&out, "d", 12.3456);
	text_time(&out, "e", 0);
	text_str(&out, "f", "");
	assert_string_equal(buf_str(&out), "a plain text\nb null\nc -5\nd 12.346\ne null\nf \n");
}

static void test_values_stay_on_their_line(void **state)
{
	autobuf struct buf out = BUF_INIT(1000);

	(void)state;
	text_str(&out, "k", "a\nb\tc\\d\x1b[0m\x7f é");
	text_str(&out, "l",
		 "\xc2\x9b"
		 "0m\xff");
	assert_string_equal(buf_str(&out),
			    "k a\\nb\\tc\\\\d\\x1b[0m\\x7f é\nl \\xc2\\x9b0m\\xff\n");
}

static void test_slices(void **state)
{
	char bytes[8];

	(void)state;
	assert_int_equal(text_slice("hello", 5, 0, bytes, 8), 5);
	assert_int_equal(text_slice("hello", 5, 3, bytes, 8), 2);
	assert_memory_equal(bytes, "lo", 2);
	assert_int_equal(text_slice("hello", 5, 1, bytes, 2), 2);
	assert_memory_equal(bytes, "el", 2);
	assert_int_equal(text_slice("hello", 5, 5, bytes, 8), 0);
	assert_int_equal(text_slice("hello", 5, INT64_MAX, bytes, 8), 0);
	assert_int_equal(text_slice("hello", 5, -1, bytes, 8), -EINVAL);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_keys),
		cmocka_unit_test(test_values_stay_on_their_line),
		cmocka_unit_test(test_slices),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
