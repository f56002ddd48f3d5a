/*
 * test_ws_dirty.c - extents and the spool of unsent writes, against a plain array.
 */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "protocol/line/ws_dirty.h"

static void has(const struct ws_extents *list, const char *expected)
{
	char text[200] = "";

	for (size_t i = 0; i < list->count; i++)
		snprintf(text + strlen(text), sizeof(text) - strlen(text), "%s%d+%d", i ? " " : "",
			 (int)list->at[i].offset, (int)list->at[i].len);
	assert_string_equal(text, expected);
}

static void test_extents(void **state)
{
	struct ws_extents list = { 0 };

	(void)state;
	assert_int_equal(ws_extents_add(&list, 10, 5), 0);
	assert_int_equal(ws_extents_add(&list, 30, 5), 0);
	assert_int_equal(ws_extents_add(&list, 20, 5), 0);
	assert_int_equal(ws_extents_add(&list, 0, 0), 0);
	has(&list, "10+5 20+5 30+5");
	assert_int_equal(ws_extents_add(&list, 15, 1), 0); /* touches */
	has(&list, "10+6 20+5 30+5");
	assert_int_equal(ws_extents_add(&list, 12, 2), 0); /* inside */
	has(&list, "10+6 20+5 30+5");
	assert_int_equal(ws_extents_add(&list, 8, 30), 0); /* around all */
	has(&list, "8+30");
	assert_int_equal(ws_extents_add(&list, 0, 8), 0);
	has(&list, "0+38");
	ws_extents_cut(&list, 0, 8);
	has(&list, "8+30");
	ws_extents_cut(&list, 9, 1); /* not where one begins */
	has(&list, "8+30");
	ws_extents_cut(&list, 8, 30);
	has(&list, "");
	ws_extents_free(&list);
}

#define SPAN 300

/* Random writes, launches and landings; what is shown is always what was written last. */
static void test_random(void **state)
{
	unsigned seed = (unsigned)getpid();
	struct ws_dirty dirty;
	char guest[SPAN], want[SPAN], got[SPAN];

	(void)state;
	print_message("seed %u\n", seed);
	ws_dirty_init(&dirty);
	memset(guest, 0, SPAN);
	memset(want, 0, SPAN);
	for (int step = 0; step < 5000; step++) {
		int offset = rand_r(&seed) % SPAN, len = rand_r(&seed) % 40;
		char bytes[40];

		if (len > SPAN - offset)
			len = SPAN - offset;
		memset(bytes, rand_r(&seed), sizeof(bytes));
		assert_int_equal(ws_dirty_write(&dirty, false, offset, bytes, (size_t)len, NULL),
				 0);
		memcpy(want + offset, bytes, (size_t)len);
		if (step % 7 == 0)
			assert_int_equal(ws_dirty_launch(&dirty), 0);
		if (step % 14 == 0 && dirty.flying.count) {
			/* the first lands as it is in the spool by then */
			struct ws_extents part = { .at = &dirty.flying.at[0], .count = 1 };
			struct ws_extent first = part.at[0];

			part.at = &first;
			assert_int_equal(pread(dirty.spool, guest + first.offset, (size_t)first.len,
					       first.offset),
					 first.len);
			ws_dirty_landed(&dirty, &part);
		}
		memcpy(got, guest, SPAN);
		assert_int_equal(ws_dirty_overlay(&dirty, SPAN, 0, got, SPAN), 0);
		assert_memory_equal(got, want, SPAN);
	}
	ws_dirty_free(&dirty);
}

static void test_append(void **state)
{
	struct ws_dirty dirty;
	struct ws_extents part = { .at = &(struct ws_extent){ 0, 3 }, .count = 1 };
	char got[12] = "guest\0\0\0\0\0\0";

	(void)state;
	ws_dirty_init(&dirty);
	assert_int_equal(ws_dirty_write(&dirty, true, 999, "abc", 3, NULL), 0);
	assert_int_equal(ws_dirty_launch(&dirty), 0);
	assert_int_equal(ws_dirty_write(&dirty, true, 0, "de", 2, NULL), 0);
	assert_int_equal(ws_dirty_write(&dirty, false, 0, "x", 1, NULL), -ENOBUFS);
	assert_int_equal(ws_dirty_size(&dirty, 5), 10);
	assert_false(ws_dirty_covers(&dirty, 5, 1));
	assert_int_equal(ws_dirty_overlay(&dirty, 5, 0, got, 11), 0);
	assert_string_equal(got, "guestabcde");
	ws_dirty_landed(&dirty, &part);
	assert_int_equal(ws_dirty_size(&dirty, 8), 10);
	snprintf(got, sizeof(got), "guestabc"); /* and zeros from before */
	memset(got + 8, 0, 4);
	assert_int_equal(ws_dirty_overlay(&dirty, 8, 0, got, 11), 0);
	assert_string_equal(got, "guestabcde");
	ws_dirty_free(&dirty);
	assert_false(ws_dirty_any(&dirty));
}

static void test_bounds(void **state)
{
	struct ws_dirty dirty;

	(void)state;
	ws_dirty_init(&dirty);
	for (int i = 0; i < WS_EXTENTS_MAX; i++)
		assert_int_equal(ws_dirty_write(&dirty, false, INT64_C(10) * i, "x", 1, NULL), 0);
	assert_int_equal(ws_dirty_write(&dirty, false, 5, "x", 1, NULL), -ENOBUFS);
	assert_true(ws_dirty_covers(&dirty, 20, 1));
	assert_false(ws_dirty_covers(&dirty, 20, 2));
	assert_int_equal(ws_dirty_size(&dirty, 0), INT64_C(10) * (WS_EXTENTS_MAX - 1) + 1);
	ws_dirty_free(&dirty);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_extents),
		cmocka_unit_test(test_random),
		cmocka_unit_test(test_append),
		cmocka_unit_test(test_bounds),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
