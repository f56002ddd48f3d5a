/*
 * test_buf.c - a buf grows up to its ceiling and not a byte further.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "protocol/buf.h"

static void test_builds_text(void **state)
{
	autobuf struct buf buf = BUF_INIT(1000);

	(void)state;
	assert_string_equal(buf_str(&buf), "");
	buf_adds(&buf, "one ");
	buf_addf(&buf, "%d %s ", 2, "three");
	buf_add(&buf, "f\0ur", 4);
	assert_int_equal(buf.len, 16);
	assert_memory_equal(buf.data, "one 2 three f\0ur", 17); /* with the NUL behind */
	buf_add(&buf, NULL, 0);
	assert_int_equal(buf.len, 16);
	assert_false(buf.overflow);
}

static void test_ceiling_is_exact_and_latches(void **state)
{
	autobuf struct buf buf = BUF_INIT(600);
	static char bytes[600];

	(void)state;
	memset(bytes, 'b', sizeof(bytes));
	buf_add(&buf, bytes, 600);
	assert_false(buf.overflow);
	assert_int_equal(buf.len, 600);
	assert_int_equal(buf.data[600], '\0');
	buf_adds(&buf, "x");
	assert_true(buf.overflow);
	assert_int_equal(buf.len, 600);

	/* it stays latched, also for what would fit */
	buf_consume(&buf, 600);
	buf_adds(&buf, "x");
	assert_int_equal(buf.len, 0);
	buf_free(&buf);
	assert_false(buf.overflow);
	assert_int_equal(buf.max, 600);
	buf_adds(&buf, "x");
	assert_string_equal(buf_str(&buf), "x");
}

static void test_absurd_sizes_overflow(void **state)
{
	autobuf struct buf buf = BUF_INIT(SIZE_MAX);

	(void)state;
	buf_adds(&buf, "abc");
	assert_null(buf_reserve(&buf, SIZE_MAX - 1));
	assert_true(buf.overflow);
	assert_string_equal(buf_str(&buf), "abc");
}

static void test_addf_over_the_ceiling_adds_nothing(void **state)
{
	autobuf struct buf buf = BUF_INIT(10);

	(void)state;
	buf_addf(&buf, "%s", "12345");
	buf_addf(&buf, "%s", "678901");
	assert_true(buf.overflow);
	assert_string_equal(buf_str(&buf), "12345");
}

static void test_reserve_and_commit(void **state)
{
	autobuf struct buf buf = BUF_INIT(5000);
	char *room = buf_reserve(&buf, 4000);

	(void)state;
	assert_non_null(room);
	assert_string_equal(buf_str(&buf), "");
	memset(room, 'r', 4000);
	buf_commit(&buf, 3);
	assert_string_equal(buf_str(&buf), "rrr");
	buf_commit(&buf, 0);
	assert_int_equal(buf.len, 3);
}

static void test_consume(void **state)
{
	autobuf struct buf buf = BUF_INIT(100);

	(void)state;
	buf_consume(&buf, 0);
	buf_adds(&buf, "hello world");
	buf_consume(&buf, 6);
	assert_string_equal(buf_str(&buf), "world");
	buf_consume(&buf, 99);
	assert_string_equal(buf_str(&buf), "");
}

static void test_steal(void **state)
{
	struct buf buf = BUF_INIT(100);
	char *text;

	(void)state;
	assert_null(buf_steal(&buf));
	buf_adds(&buf, "mine");
	text = buf_steal(&buf);
	assert_string_equal(text, "mine");
	assert_null(buf.data);
	assert_int_equal(buf.len, 0);
	assert_int_equal(buf.max, 100);
	free(text);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_builds_text),
		cmocka_unit_test(test_ceiling_is_exact_and_latches),
		cmocka_unit_test(test_absurd_sizes_overflow),
		cmocka_unit_test(test_addf_over_the_ceiling_adds_nothing),
		cmocka_unit_test(test_reserve_and_commit),
		cmocka_unit_test(test_consume),
		cmocka_unit_test(test_steal),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
