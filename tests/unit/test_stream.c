/*
 * test_stream.c - the spool behind transcripts.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "ctl/spool.h"
#include "tests/unit/cmocka_all.h"

static void test_empty(void **state)
{
	struct spool spool;
	char bytes[4];

	(void)state;
	spool_init(&spool, 10);
	assert_int_equal(spool_read(&spool, 0, bytes, 4), 0);
	assert_int_equal(spool_base(&spool), 0);
	spool_close(&spool);
}

static void test_grows_and_is_read_anywhere(void **state)
{
	struct spool spool;
	char bytes[16];

	(void)state;
	spool_init(&spool, 100);
	assert_int_equal(spool_append(&spool, "hello ", 6), 0);
	assert_int_equal(spool_append(&spool, "world", 5), 0);
	assert_int_equal(spool.end, 11);
	assert_int_equal(spool_read(&spool, 4, bytes, 4), 4);
	assert_memory_equal(bytes, "o wo", 4);
	assert_int_equal(spool_read(&spool, 9, bytes, 16), 2);
	assert_int_equal(spool_read(&spool, 11, bytes, 16), 0);
	assert_int_equal(spool_read(&spool, 12, bytes, 16), 0);
	spool_close(&spool);
}

/* Whatever the sizes of appends and reads: the newest `cap` bytes are there, the others are not. */
static void test_forgets_the_oldest(void **state)
{
	enum { CAP = 13, TOTAL = 200 };
	unsigned char all[TOTAL];
	struct spool spool;

	(void)state;
	for (int i = 0; i < TOTAL; i++)
		all[i] = (unsigned char)(i * 7);
	spool_init(&spool, CAP);
	for (int at = 0, step = 1; at < TOTAL; at += step, step = step % 31 + 1) {
		if (step > TOTAL - at)
			step = TOTAL - at;
		assert_int_equal(spool_append(&spool, all + at, (size_t)step), 0);
		assert_int_equal(spool.end, at + step);
		assert_int_equal(spool_base(&spool), at + step > CAP ? at + step - CAP : 0);
		for (int64_t from = spool_base(&spool); from <= spool.end; from++) {
			unsigned char got[TOTAL];
			ssize_t len = spool_read(&spool, from, got, sizeof(got));

			assert_int_equal(len, spool.end - from);
			assert_memory_equal(got, all + from, (size_t)len);
		}
		if (spool_base(&spool) > 0)
			assert_int_equal(spool_read(&spool, spool_base(&spool) - 1, all, 0),
					 -ESTALE);
	}
	spool_close(&spool);
}

static void test_no_room_is_an_error(void **state)
{
	struct spool spool;

	(void)state;
	spool_init(&spool, 100);
	assert_int_equal(spool_append(&spool, "abc", 3), 0);
	close(spool.fd);
	spool.fd = 12345; /* no such descriptor */
	assert_int_equal(spool_append(&spool, "def", 3), -EBADF);
	assert_int_equal(spool.end, 3);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_empty),
		cmocka_unit_test(test_grows_and_is_read_anywhere),
		cmocka_unit_test(test_forgets_the_oldest),
		cmocka_unit_test(test_no_room_is_an_error),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
