/*
 * test_ctl_render.c - a terminal's output as plain text.
 */
#include <stdlib.h>
#include <string.h>

#include "ctl/render.h"
#include "tests/unit/cmocka_all.h"

/* What IN looks like: finished lines, then the unfinished one.  Fed whole and byte by byte. */
static void shows(const char *in, const char *out)
{
	struct render *render = malloc(sizeof(*render));

	for (size_t step = strlen(in) ? strlen(in) : 1; step > 0; step = step > 1 ? 1 : 0) {
		autobuf struct buf text = BUF_INIT(1 << 20);

		render_init(render);
		for (size_t at = 0; at < strlen(in); at += step)
			render_feed(render, in + at, step, &text);
		render_line(render, &text);
		assert_string_equal(buf_str(&text), out);
	}
	free(render);
}

static void test_plain(void **state)
{
	(void)state;
	shows("", "");
	shows("one\r\ntwo\r\nth", "one\ntwo\nth");
	shows("one\ntwo\n", "one\ntwo\n");
	shows("a\tb\n", "a\tb\n");
	shows("a\007b\n", "ab\n");
}

static void test_overwriting(void **state)
{
	(void)state;
	shows("10%\r20%\r100%\n", "100%\n");
	shows("long line\rab\n", "abng line\n");
	shows("lz\bs -l\n", "ls -l\n");
	shows("ab\b \b\b \bx\n", "x \n");
	shows("\b\b\bx\n", "x\n");
	shows("long line\r\033[Kab\n", "ab\n");
	shows("abc\033[2K\rx\n", "x\n");
	shows("abc\r\033[2Cx\n", "abx\n");
	shows("abcd\033[2Dx\n", "abxd\n");
	shows("abcd\033[2Gx\n", "axcd\n");
	shows("abcd\r\033[2Px\n", "xd\n");
	shows("abcd\r\033[2@x\n", "x abcd\n");
	shows("abc\033[1Kx\n", "   x\n");
	shows("a\033[4Cb\n", "a    b\n");
}

static void test_sequences_are_gone(void **state)
{
	(void)state;
	shows("\033[?2004hpyro$ ls\r\n\033[?2004l\r", "pyro$ ls\n");
	shows("\033[1;31mred\033[0m\n", "red\n");
	shows("\033]0;title\007x\n", "x\n");
	shows("\033]0;title\033\\x\n", "x\n");
	shows("\033Pq...\033\\x\n", "x\n");
	/* the same with the second half of Latin-1, as UTF-8 */
	shows("\xc2\x9b"
	      "1;31mred\xc2\x9b"
	      "0m\n",
	      "red\n");
	shows("\xc2\x9d"
	      "0;title\007x\xc2\x85y\n",
	      "xy\n");
	shows("\033(Bx\033=y\033>z\n", "xyz\n");
	shows("\033[38;5;196;1;2;3;4;5;6;7;8;9mx\n", "x\n");
	shows("a\033[99999999999999999999Db\n", "b\n");
}

static void test_characters(void **state)
{
	(void)state;
	shows("é€😀\n", "é€😀\n");
	shows("é\bx\n", "x\n");
	shows("\xff\xfe\n", "\xff\xfe\n");
	shows("\xc3\n", "\xc3\n");
	shows("\xe2\x82x\n", "\xe2\x82x\n");
	shows("\xc0\xaf\n", "\xc0\xaf\n");
	shows("\xed\xa0\x80\n", "\xed\xa0\x80\n");
	shows("\xf4\x90\x80\x80\n", "\xf4\x90\x80\x80\n");
}

static void test_a_line_without_end(void **state)
{
	struct render *render = malloc(sizeof(*render));
	autobuf struct buf text = BUF_INIT(1 << 20);

	(void)state;
	render_init(render);
	for (int i = 0; i < 10000; i++)
		render_feed(render, "x", 1, &text);
	/* Broken where the model ends, nothing lost. */
	assert_int_equal(text.len, 2 * (LIMIT_TEXT_LINE + 1));
	render_line(render, &text);
	assert_int_equal(text.len, 10000 + 2);
	free(render);
}

/* Any bytes at all keep within the line; the sanitizers watch. */
static void test_noise(void **state)
{
	struct render *render = malloc(sizeof(*render));
	unsigned seed = 1;

	(void)state;
	render_init(render);
	for (int round = 0; round < 200; round++) {
		autobuf struct buf text = BUF_INIT(1 << 20);
		char bytes[500];

		for (size_t i = 0; i < sizeof(bytes); i++) {
			seed = seed * 1103515245 + 12345;
			bytes[i] = "\033[0123456789;CDGKP@ab\r\b\n\xc3\xa9\xff"[(seed >> 16) % 28];
		}
		render_feed(render, bytes, sizeof(bytes), &text);
		assert_true(render->len <= LIMIT_TEXT_LINE);
		assert_true(render->column <= LIMIT_TEXT_LINE);
		assert_false(text.overflow);
		assert_null(memchr(buf_str(&text), '\033', text.len));
	}
	free(render);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_plain),
		cmocka_unit_test(test_overwriting),
		cmocka_unit_test(test_sequences_are_gone),
		cmocka_unit_test(test_characters),
		cmocka_unit_test(test_a_line_without_end),
		cmocka_unit_test(test_noise),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
