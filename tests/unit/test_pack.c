/*
 * test_pack.c - fields survive the wire; what is cut, too long or too much is told once, at the
 * end.
 */
#include "tests/unit/cmocka_all.h"

#include <errno.h>
#include <string.h>

#include "protocol/session/pack.h"

static void pack_all(struct buf *buf)
{
	pack_u8(buf, 0xfe);
	pack_u16(buf, 0xfedc);
	pack_u32(buf, 0xfedcba98);
	pack_u64(buf, 0xfedcba9876543210);
	pack_bytes(buf, "a\0b", 3);
	pack_text(buf, "text");
	pack_bytes(buf, NULL, 0);
	buf_adds(buf, "rest");
}

/* Everything that pack_all packed, the rest as bytes of 4. */
static void unpack_all(struct unpack *in)
{
	char text[5];
	size_t len;

	unpack_u8(in);
	unpack_u16(in);
	unpack_u32(in);
	unpack_u64(in);
	unpack_bytes(in, 3, &len);
	unpack_text(in, text, sizeof(text));
	unpack_bytes(in, 0, &len);
	for (int i = 0; i < 4; i++)
		unpack_u8(in);
}

static void test_every_field_comes_back(void **state)
{
	autobuf struct buf buf = BUF_INIT(1000);
	struct error err = { 0 };
	struct unpack in;
	char text[5];
	const char *bytes;
	size_t len;

	(void)state;
	pack_all(&buf);
	in = unpack_from(buf.data, buf.len);
	assert_int_equal(unpack_u8(&in), 0xfe);
	assert_int_equal(unpack_u16(&in), 0xfedc);
	assert_int_equal(unpack_u32(&in), 0xfedcba98);
	assert_true(unpack_u64(&in) == 0xfedcba9876543210);
	bytes = unpack_bytes(&in, 3, &len);
	assert_int_equal(len, 3);
	assert_memory_equal(bytes, "a\0b", 3);
	assert_true(unpack_text(&in, text, sizeof(text)));
	assert_string_equal(text, "text");
	unpack_bytes(&in, 0, &len);
	assert_int_equal(len, 0);
	bytes = unpack_rest(&in, &len);
	assert_int_equal(len, 4);
	assert_memory_equal(bytes, "rest", 4);
	assert_int_equal(unpack_done(&in, "the answer", &err), 0);
}

static void test_the_bytes(void **state)
{
	static const unsigned char expected[] = { 0x01, 0x03, 0x02, 0x07, 0x06, 0x05, 0x04,
						  0x0f, 0x0e, 0x0d, 0x0c, 0x0b, 0x0a, 0x09,
						  0x08, 2,    0,    0,    0,    'h',  'i' };
	autobuf struct buf buf = BUF_INIT(100);

	(void)state;
	pack_u8(&buf, 0x01);
	pack_u16(&buf, 0x0203);
	pack_u32(&buf, 0x04050607);
	pack_u64(&buf, 0x08090a0b0c0d0e0f);
	pack_text(&buf, "hi");
	assert_int_equal(buf.len, sizeof(expected));
	assert_memory_equal(buf.data, expected, sizeof(expected));
}

static void test_cut_anywhere_fails_once_at_the_end(void **state)
{
	autobuf struct buf buf = BUF_INIT(1000);

	(void)state;
	pack_all(&buf);
	for (size_t len = 0; len < buf.len; len++) {
		/* Of its exact size, so that a byte read behind it is found. */
		char *cut = test_malloc(len ? len : 1);
		struct unpack in = unpack_from(cut, len);
		struct error err = { 0 };

		memcpy(cut, buf.data, len);
		unpack_all(&in);
		assert_true(in.failed);
		assert_int_equal(unpack_done(&in, "the answer", &err), -EPROTO);
		assert_non_null(strstr(err.text, "the answer is cut short"));
		test_free(cut);
	}
}

static void test_after_a_failure_everything_is_nothing(void **state)
{
	struct unpack in = unpack_from("\1\2\3\4\5\6\7", 7);
	char text[8] = "before";
	size_t len = 9;

	(void)state;
	assert_int_equal(unpack_u64(&in), 0);
	assert_true(in.failed);
	assert_int_equal(unpack_u8(&in), 0);
	assert_int_equal(unpack_u32(&in), 0);
	assert_non_null(unpack_bytes(&in, 100, &len));
	assert_int_equal(len, 0);
	len = 9;
	assert_non_null(unpack_rest(&in, &len));
	assert_int_equal(len, 0);
	assert_false(unpack_text(&in, text, sizeof(text)));
	assert_string_equal(text, "");
}

static void test_lengths_are_not_believed(void **state)
{
	static const char body[] = "\xff\xff\xff\xff"
				   "bytes";
	struct unpack in = unpack_from(body, sizeof(body) - 1);
	size_t len;

	(void)state;
	unpack_bytes(&in, SIZE_MAX, &len);
	assert_true(in.failed);
	assert_int_equal(len, 0);

	/* there, but more than the caller takes */
	in = unpack_from("\4\0\0\0four", 8);
	unpack_bytes(&in, 3, &len);
	assert_true(in.failed);
}

static void test_text_is_bounded_and_has_no_nul(void **state)
{
	struct unpack in = unpack_from("\4\0\0\0four", 8);
	char text[5];

	(void)state;
	assert_false(unpack_text(&in, text, 4));
	assert_string_equal(text, "");
	in = unpack_from("\4\0\0\0four", 8);
	assert_true(unpack_text(&in, text, 5));
	assert_string_equal(text, "four");
	in = unpack_from("\4\0\0\0fo\0r", 8);
	assert_false(unpack_text(&in, text, 5));
	assert_string_equal(text, "");
	assert_int_equal(unpack_done(&in, "it", NULL), -EPROTO);
}

static void test_what_is_left_over_is_an_error(void **state)
{
	struct unpack in = unpack_from("abc", 3);
	struct error err = { 0 };

	(void)state;
	unpack_u8(&in);
	assert_int_equal(unpack_done(&in, "it", &err), -EPROTO);
	assert_string_equal(err.text, "it has 2 bytes too many");
}

static void test_packing_over_the_ceiling_latches(void **state)
{
	autobuf struct buf buf = BUF_INIT(8);

	(void)state;
	pack_u32(&buf, 1);
	pack_text(&buf, "x");
	assert_true(buf.overflow);
	pack_u8(&buf, 1);
	assert_true(buf.len <= 8);
	assert_true(buf.overflow);
}

int main(void)
{
	static const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_every_field_comes_back),
		cmocka_unit_test(test_the_bytes),
		cmocka_unit_test(test_cut_anywhere_fails_once_at_the_end),
		cmocka_unit_test(test_after_a_failure_everything_is_nothing),
		cmocka_unit_test(test_lengths_are_not_believed),
		cmocka_unit_test(test_text_is_bounded_and_has_no_nul),
		cmocka_unit_test(test_what_is_left_over_is_an_error),
		cmocka_unit_test(test_packing_over_the_ceiling_latches),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
