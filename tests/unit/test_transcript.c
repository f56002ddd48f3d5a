/*
 * test_transcript.c - both views of what a terminal has shown, against a model that keeps
 * everything.
 */
#include "cmocka_all.h"

#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

#include "protocol/agent/transcript.h"
#include "protocol/utf8.h"

#define MANY (400u << 10)
#define KEPT (128u << 10)

static uint32_t next(uint32_t *seed)
{
	*seed = *seed * 1664525 + 1013904223;
	return *seed >> 16;
}

/* Characters whole and cut, and bytes that are none. */
static size_t make(uint32_t *seed, char *bytes)
{
	static const char *const pieces[] = { "a",
					      "\n",
					      "\xc3\xa9",
					      "\xe2\x82\xac",
					      "\xf0\x9f\x98\x80",
					      "\xf0\x9f\x98",
					      "\xe2\x82",
					      "\xff",
					      "\xc0\x80",
					      "\xed\xa0\x80",
					      "\x80" };
	size_t len = 0;

	while (len < MANY) {
		const char *piece = pieces[next(seed) % (sizeof(pieces) / sizeof(pieces[0]))];

		memcpy(bytes + len, piece, strlen(piece));
		len += strlen(piece);
	}
	return len;
}

/* How many characters BYTES are as text, U+FFFD for each longest piece that is none. */
static void decode(const char *bytes, size_t len, struct buf *out, int64_t *chars)
{
	uint32_t code;

	for (*chars = 0; len; ++*chars) {
		size_t used = utf8_char(bytes, len, &code);

		if (used) {
			buf_add(out, bytes, used);
		} else {
			buf_adds(out, "\xef\xbf\xbd");
			for (used = len < 3 ? len : 3; used > 1; used--) {
				if (utf8_split(bytes, used) == used)
					break;
			}
		}
		bytes += used;
		len -= used;
	}
}

static void add_in_pieces(struct transcript *transcript, uint32_t *seed, const char *bytes,
			  size_t len)
{
	for (size_t at = 0, n; at < len; at += n) {
		n = 1 + next(seed) % (next(seed) % 4 ? 5 : 5000);
		if (n > len - at)
			n = len - at;
		transcript_add(transcript, bytes + at, n);
		assert_int_equal(transcript_size(transcript), at + n);
	}
	transcript_finish(transcript);
}

static void both_views_are_of_the_same_bytes(void **state)
{
	char *bytes = malloc(MANY + 8), *window = malloc(70000);
	struct transcript transcript;
	uint32_t seed = 1;

	(void)state;
	for (int round = 0; round < 5; round++) {
		size_t len = make(&seed, bytes);
		struct buf text = BUF_INIT(8u << 20), seen = BUF_INIT(8u << 20);
		int64_t chars, cursor = 0, offset = 0;

		transcript_init(&transcript, round ? KEPT : 8u << 20);
		add_in_pieces(&transcript, &seed, bytes, len);
		decode(bytes, len, &text, &chars);
		assert_int_equal(transcript.end, chars);
		/* As text, to the end, in steps. */
		for (int64_t at = cursor; at < chars; at = cursor)
			cursor = transcript_read(&transcript, &at, 1 + next(&seed) % 3000, &seen);
		assert_true(seen.len <= text.len && seen.len >= KEPT / 2);
		assert_memory_equal(text.data + text.len - seen.len, seen.data, seen.len);
		/* As bytes: whatever is still there, anywhere. */
		transcript_read_bytes(&transcript, &offset, window, 1);
		assert_int_equal(offset == 0, round == 0);
		assert_true((int64_t)len - offset >= KEPT);
		for (int i = 0; i < 200; i++) {
			int64_t at = offset + (int64_t)(next(&seed) % (len - (size_t)offset));
			size_t want = next(&seed) % 70000;
			size_t got = transcript_read_bytes(&transcript, &at, window, want);
			size_t left = len - (size_t)at;

			assert_int_equal(got, want < left ? want : left);
			assert_memory_equal(window, bytes + at, got);
		}
		transcript_free(&transcript);
		buf_free(&text);
		buf_free(&seen);
	}
	free(bytes);
	free(window);
}

/* The beginning of a character is there as bytes at once, as text when it is whole. */
static void half_a_character_is_bytes_already(void **state)
{
	struct buf text = BUF_INIT(100);
	struct transcript transcript;
	int64_t cursor = 0, offset = 1;
	char bytes[8];

	(void)state;
	transcript_init(&transcript, 1000);
	transcript_add(&transcript, "x\xe2\x82", 3);
	assert_int_equal(transcript_read_bytes(&transcript, &offset, bytes, 8), 2);
	assert_memory_equal(bytes, "\xe2\x82", 2);
	assert_int_equal(transcript_read(&transcript, &cursor, 10, &text), 1);
	transcript_add(&transcript, "\xac", 1);
	assert_int_equal(transcript_read_bytes(&transcript, &offset, bytes, 8), 3);
	assert_int_equal(transcript.end, 2);
	offset = 100;
	assert_int_equal(transcript_read_bytes(&transcript, &offset, bytes, 8), 0);
	assert_int_equal(offset, 4);
	transcript_free(&transcript);
	buf_free(&text);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(both_views_are_of_the_same_bytes),
		cmocka_unit_test(half_a_character_is_bytes_already),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
