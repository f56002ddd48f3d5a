/*
 * test_agent_session_ring.c - the ring of events: numbers, places, readers that are overtaken,
 * events that are there already.
 */
#include "tests/unit/agent_client.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "protocol/agent/session_ring.h"

#define FIRST 1000

static void add(struct sess_ring *ring, enum ops_event_kind kind, const char *path)
{
	sess_ring_add(ring, kind, path, strlen(path));
}

/* Everything that is there for a reader at *AT, as "number kind path" lines. */
static char *take(struct sess_ring *ring, uint64_t *at, size_t most)
{
	struct buf out = BUF_INIT(SESS_RING_BYTES), text = BUF_INIT(64 << 20);
	struct ops_event event;
	struct unpack in;

	sess_ring_take(ring, at, &out, most);
	assert_true(out.len <= most);
	in = unpack_from(out.data, out.len);
	while (ops_unpack_event(&in, &event))
		buf_addf(&text, "%llu %d %.*s\n", (unsigned long long)event.sequence - FIRST,
			 event.kind, (int)event.path_len, event.path);
	assert_false(in.failed);
	buf_free(&out);
	if (!text.data)
		buf_add(&text, "", 0);
	return buf_steal(&text);
}

static void expect(struct sess_ring *ring, uint64_t *at, size_t most, const char *want)
{
	char *got = take(ring, at, most);

	assert_string_equal(got, want);
	free(got);
}

static void test_numbers_and_pieces(void **state)
{
	struct sess_ring ring;
	uint64_t at;

	(void)state;
	assert_int_equal(sess_ring_init(&ring, FIRST), 0);
	at = sess_ring_seek(&ring, 0);
	expect(&ring, &at, 1000, "");
	add(&ring, EVENT_CHANGED, "a");
	add(&ring, EVENT_ENTRIES, "");
	add(&ring, EVENT_CHANGED, "b/c");
	/* Whole ones only, however little room there is. */
	expect(&ring, &at, 13, "");
	expect(&ring, &at, 14, "1 1 a\n");
	expect(&ring, &at, 28, "2 2 \n");
	expect(&ring, &at, 1000, "3 1 b/c\n");
	expect(&ring, &at, 1000, "");
	sess_ring_free(&ring);
}

static void test_seek(void **state)
{
	struct sess_ring ring;
	uint64_t at;

	(void)state;
	assert_int_equal(sess_ring_init(&ring, FIRST), 0);
	at = sess_ring_seek(&ring, FIRST);
	expect(&ring, &at, 1000, "");
	/* What was before this ring nobody knows. */
	at = sess_ring_seek(&ring, FIRST - 1);
	expect(&ring, &at, 5, "");
	expect(&ring, &at, 1000, "0 3 \n");
	expect(&ring, &at, 1000, "");
	add(&ring, EVENT_CHANGED, "a");
	add(&ring, EVENT_CHANGED, "b");
	at = sess_ring_seek(&ring, FIRST);
	expect(&ring, &at, 1000, "1 1 a\n2 1 b\n");
	at = sess_ring_seek(&ring, FIRST + 1);
	expect(&ring, &at, 1000, "2 1 b\n");
	at = sess_ring_seek(&ring, FIRST + 2);
	expect(&ring, &at, 1000, "");
	/* Nor what is to come. */
	at = sess_ring_seek(&ring, FIRST + 3);
	expect(&ring, &at, 1000, "2 3 \n");
	at = sess_ring_seek(&ring, FIRST - 1);
	expect(&ring, &at, 1000, "2 3 \n");
	at = sess_ring_seek(&ring, 0);
	expect(&ring, &at, 1000, "");
	sess_ring_free(&ring);
}

static void test_what_is_there_already(void **state)
{
	struct sess_ring ring;
	uint64_t at, other;

	(void)state;
	assert_int_equal(sess_ring_init(&ring, FIRST), 0);
	at = other = sess_ring_seek(&ring, 0);
	add(&ring, EVENT_CHANGED, "a");
	add(&ring, EVENT_CHANGED, "b");
	add(&ring, EVENT_CHANGED, "a");
	add(&ring, EVENT_ENTRIES, "a");
	add(&ring, EVENT_CHANGED, "b");
	expect(&ring, &at, 14, "1 1 a\n");
	/* One reader has the first "a": the next change of it is news. "b" nobody has. */
	add(&ring, EVENT_CHANGED, "b");
	add(&ring, EVENT_CHANGED, "a");
	expect(&ring, &at, 1000, "2 1 b\n3 2 a\n4 1 a\n");
	add(&ring, EVENT_CHANGED, "a");
	expect(&ring, &at, 1000, "5 1 a\n");
	expect(&ring, &other, 1000, "1 1 a\n2 1 b\n3 2 a\n4 1 a\n5 1 a\n");
	sess_ring_free(&ring);
}

/* Many times round, paths of all lengths, a reader that keeps up and one that does not. */
static void test_round_and_round(void **state)
{
	struct sess_ring ring;
	uint64_t at, lazy, number = 0;
	char path[LIMIT_PATH];

	(void)state;
	assert_int_equal(sess_ring_init(&ring, FIRST), 0);
	at = lazy = sess_ring_seek(&ring, 0);
	for (unsigned i = 0; i < 20000; i++) {
		size_t len = (i * 37) % 1500 + 8;
		char *got, want[LIMIT_PATH + 32];

		memset(path, 'p', len);
		/* Names are not longer than names are. */
		for (size_t slash = 199; slash + 1 < len; slash += 200)
			path[slash] = '/';
		snprintf(path, 8, "%07u", i);
		path[7] = 'x';
		sess_ring_add(&ring, EVENT_CHANGED, path, len);
		got = take(&ring, &at, SESS_RING_BYTES);
		snprintf(want, sizeof(want), "%llu 1 %.*s\n", (unsigned long long)++number,
			 (int)len, path);
		assert_string_equal(got, want);
		free(got);
	}
	expect(&ring, &lazy, 1000, "20000 3 \n");
	expect(&ring, &lazy, 1000, "");
	/* What is kept is what was last. */
	lazy = sess_ring_seek(&ring, FIRST + number - 100);
	for (unsigned i = 0; i < 100; i++) {
		char *got = take(&ring, &lazy, 13 + 8 + ((19900 + i) * 37) % 1500);

		assert_int_equal(strtoul(got, NULL, 10), number - 99 + i);
		free(got);
	}
	assert_int_equal(lazy, ring.tail);
	sess_ring_free(&ring);
}

/* A bound on their number, too. */
static void test_many_small(void **state)
{
	struct sess_ring ring;
	uint64_t at;
	char path[8];

	(void)state;
	assert_int_equal(sess_ring_init(&ring, FIRST), 0);
	at = sess_ring_seek(&ring, 0);
	for (unsigned i = 0; i < SESS_RING_EVENTS + 10; i++) {
		snprintf(path, sizeof(path), "%x", i);
		add(&ring, EVENT_CHANGED, path);
	}
	assert_int_equal(ring.count, SESS_RING_EVENTS);
	expect(&ring, &at, 1000, "65546 3 \n");
	sess_ring_free(&ring);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_numbers_and_pieces),
		cmocka_unit_test(test_seek),
		cmocka_unit_test(test_what_is_there_already),
		cmocka_unit_test(test_round_and_round),
		cmocka_unit_test(test_many_small),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
