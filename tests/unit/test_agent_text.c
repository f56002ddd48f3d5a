/* test_agent_text.c - the shells' transcript and what is taken out of it. */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "protocol/agent/redact.h"
#include "protocol/agent/transcript.h"

static void expect(const struct transcript *transcript, int64_t cursor, int64_t max,
		   const char *text, int64_t begin, int64_t next)
{
	struct buf out = BUF_INIT(1 << 20);

	assert_int_equal(transcript_read(transcript, &cursor, max, &out), next);
	assert_int_equal(cursor, begin);
	assert_string_equal(buf_str(&out), text);
	buf_free(&out);
}

static void test_cursors_count_characters(void **state)
{
	struct transcript transcript;

	(void)state;
	transcript_init(&transcript, 1 << 20);
	transcript_add(&transcript, "a\xc3\xa9\xf0\x9f\x98\x80z", 8);
	expect(&transcript, 0, 100, "a\xc3\xa9\xf0\x9f\x98\x80z", 0, 4);
	expect(&transcript, 1, 2, "\xc3\xa9\xf0\x9f\x98\x80", 1, 3);
	expect(&transcript, 3, 1, "z", 3, 4);
	expect(&transcript, 4, 1, "", 4, 4);
	expect(&transcript, 99, 1, "", 4, 4);
	expect(&transcript, -5, 1, "a", 0, 1);
	transcript_free(&transcript);
}

static void test_characters_may_come_in_pieces(void **state)
{
	static const char text[] = "\xe2\x82\xac\xf0\x9f\x98\x80";
	struct transcript transcript;

	(void)state;
	transcript_init(&transcript, 1 << 20);
	for (size_t i = 0; i < sizeof(text) - 1; i++)
		transcript_add(&transcript, &text[i], 1);
	expect(&transcript, 0, 100, text, 0, 2);
	transcript_free(&transcript);
}

static void test_wrong_bytes_become_replacements(void **state)
{
	static const struct {
		const char *in, *out;
	} cases[] = {
		{ "\xff", "\xef\xbf\xbd" },
		{ "a\x80z", "a\xef\xbf\xbdz" },
		{ "\xe2\x82z", "\xef\xbf\xbdz" },           /* cut by what is no part of it */
		{ "\xe2\x82", "\xef\xbf\xbd" },             /* cut by the end */
		{ "\xf0\x9f\x98", "\xef\xbf\xbd" },         /* likewise */
		{ "\xc3\xc3\xa9", "\xef\xbf\xbd\xc3\xa9" }, /* the second begins one */
		{ "\xc0\xaf", "\xef\xbf\xbd\xef\xbf\xbd" }, /* overlong */
		{ "\xed\xa0\x80", "\xef\xbf\xbd\xef\xbf\xbd\xef\xbf\xbd" }, /* a surrogate */
	};

	(void)state;
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		/* At once and byte by byte come to the same. */
		for (size_t step = 1; step <= 4; step += 3) {
			size_t len = strlen(cases[i].in);
			struct transcript transcript;
			struct buf out = BUF_INIT(1 << 20);
			int64_t cursor = 0;

			transcript_init(&transcript, 1 << 20);
			for (size_t at = 0; at < len; at += step)
				transcript_add(&transcript, cases[i].in + at,
					       len - at < step ? len - at : step);
			transcript_finish(&transcript);
			transcript_read(&transcript, &cursor, 100, &out);
			assert_string_equal(buf_str(&out), cases[i].out);
			buf_free(&out);
			transcript_free(&transcript);
		}
	}
}

/* The oldest goes, what is left is right, cursors stay absolute. */
static void test_cap_drops_the_oldest(void **state)
{
	struct transcript transcript;
	struct buf out = BUF_INIT(1 << 20);
	int64_t cursor = 0, next;
	char line[16];

	(void)state;
	transcript_init(&transcript, 100000);
	for (int i = 0; i < 100000; i++) {
		snprintf(line, sizeof(line), "%08d\xc3\xa9", i); /* 9 characters */
		transcript_add(&transcript, line, 10);
	}
	assert_int_equal(transcript.end, 900000);
	assert_true(transcript.begin > 0);
	next = transcript_read(&transcript, &cursor, 9, &out);
	assert_int_equal(cursor, transcript.begin);
	assert_int_equal(next, cursor + 9);
	/* At least what was promised, and what the cursor says. */
	assert_true(transcript.end - transcript.begin >= 90000);
	buf_free(&out);
	cursor = INT64_C(9) * 99990;
	transcript_read(&transcript, &cursor, 9, &out);
	assert_string_equal(buf_str(&out), "00099990\xc3\xa9");
	buf_free(&out);
	transcript_free(&transcript);
}

static void collect(void *arg, const char *bytes, size_t len)
{
	buf_add(arg, bytes, len);
}

/* Feeds IN in pieces of STEP bytes. */
static void expect_redacted(json_t *values, const char *in, const char *out)
{
	for (size_t step = 1; step <= 7; step++) {
		struct buf shown = BUF_INIT(1 << 20);
		struct redact redact;
		size_t len = strlen(in);

		assert_int_equal(redact_init(&redact, values, NULL), 0);
		for (size_t at = 0; at < len; at += step)
			redact_add(&redact, in + at, len - at < step ? len - at : step, collect,
				   &shown);
		redact_finish(&redact, collect, &shown);
		assert_string_equal(buf_str(&shown), out);
		buf_free(&shown);
		redact_free(&redact);
	}
	json_decref(values);
}

static void test_secrets_are_taken_out(void **state)
{
	(void)state;
	expect_redacted(json_pack("[s]", "hunter2"), "my hunter2, hunter hunter2hunter2.",
			"my [REDACTED], hunter [REDACTED][REDACTED].");
	/* The longest that fits, and no part of one that does not come. */
	expect_redacted(json_pack("[s,s]", "abc", "abcdef"), "abcd abcdef abc",
			"[REDACTED]d [REDACTED] [REDACTED]");
	expect_redacted(json_pack("[s]", "aab"), "aaab aa", "a[REDACTED] aa");
	expect_redacted(json_pack("[s]", ""), "as it is", "as it is");
	expect_redacted(json_array(), "as it is", "as it is");
	expect_redacted(NULL, "as it is", "as it is");
}

/* What could be the beginning of a secret is not shown before it is known. */
static void test_half_a_secret_is_held_back(void **state)
{
	struct buf shown = BUF_INIT(1 << 20);
	json_t *values = json_pack("[s]", "hunter2");
	struct redact redact;

	(void)state;
	assert_int_equal(redact_init(&redact, values, NULL), 0);
	redact_add(&redact, "is hunt", 7, collect, &shown);
	assert_string_equal(buf_str(&shown), "is ");
	redact_add(&redact, "ing", 3, collect, &shown);
	assert_string_equal(buf_str(&shown), "is hunting");
	redact_free(&redact);
	buf_free(&shown);
	json_decref(values);
}

static void test_bad_values_are_refused(void **state)
{
	struct redact redact;
	struct error err;
	json_t *values = json_pack("[s,i]", "a", 5);

	(void)state;
	assert_int_equal(redact_init(&redact, values, &err), -EINVAL);
	json_decref(values);
	values = json_string("a");
	assert_int_equal(redact_init(&redact, values, &err), -EINVAL);
	json_decref(values);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_cursors_count_characters),
		cmocka_unit_test(test_characters_may_come_in_pieces),
		cmocka_unit_test(test_wrong_bytes_become_replacements),
		cmocka_unit_test(test_cap_drops_the_oldest),
		cmocka_unit_test(test_secrets_are_taken_out),
		cmocka_unit_test(test_half_a_secret_is_held_back),
		cmocka_unit_test(test_bad_values_are_refused),
	};

	return cmocka_run_group_tests_name("agent text", tests, NULL, NULL);
}
