/*
 * test_frame.c - every kind of frame survives the wire, and nothing else is taken for one.
 */
#include "tests/unit/cmocka_all.h"

#include <errno.h>
#include <string.h>

#include "protocol/session/frame.h"

static const struct frame good[] = {
	{ .size = 4, .id = 1, .kind = FRAME_CALL, .code = 1 },
	{ .size = FRAME_BODY_MAX, .id = UINT32_MAX, .kind = FRAME_CALL, .code = UINT16_MAX },
	{ .size = 0, .id = 2, .kind = FRAME_DONE },
	{ .size = 17, .id = 2, .kind = FRAME_DONE, .code = ENOENT },
	{ .size = 1, .id = 3, .kind = FRAME_DATA },
	{ .size = FRAME_BODY_MAX, .id = 3, .kind = FRAME_DATA, .flags = FRAME_END },
	{ .size = 0, .id = 3, .kind = FRAME_DATA, .flags = FRAME_END },
	{ .size = 4, .id = 0x01020304, .kind = FRAME_CREDIT },
	{ .size = 0, .id = 0xa0b0c0d0, .kind = FRAME_CANCEL },
};

static void test_every_kind_comes_back(void **state)
{
	(void)state;
	for (size_t i = 0; i < sizeof(good) / sizeof(good[0]); i++) {
		unsigned char header[FRAME_HEADER];
		struct frame back;
		struct error err = { 0 };

		frame_encode(&good[i], header);
		memset(&back, 0xff, sizeof(back));
		assert_int_equal(frame_decode(header, &back, &err), 0);
		assert_int_equal(back.size, good[i].size);
		assert_int_equal(back.id, good[i].id);
		assert_int_equal(back.kind, good[i].kind);
		assert_int_equal(back.flags, good[i].flags);
		assert_int_equal(back.code, good[i].code);
		assert_int_equal(err.code, 0);
	}
}

static void test_the_bytes_are_little_endian(void **state)
{
	static const struct frame frame = {
		.size = 0x00012345, .id = 0x8899aabb, .kind = FRAME_CALL, .code = 0x0203
	};
	static const unsigned char expected[FRAME_HEADER] = { 0x45, 0x23, 0x01, 0x00, 0xbb, 0xaa,
							      0x99, 0x88, 1,    0,    0x03, 0x02 };
	unsigned char header[FRAME_HEADER];

	(void)state;
	frame_encode(&frame, header);
	assert_memory_equal(header, expected, FRAME_HEADER);
}

static void test_bad_headers_are_refused_in_a_sentence(void **state)
{
	static const struct {
		struct frame frame;
		const char *says;
	} bad[] = {
		{ { .size = 4, .id = 1, .kind = 0 }, "unknown kind 0" },
		{ { .size = 4, .id = 1, .kind = 6 }, "unknown kind 6" },
		{ { .size = 4, .id = 1, .kind = 255 }, "unknown kind 255" },
		{ { .size = FRAME_BODY_MAX + 1, .id = 1, .kind = FRAME_DATA }, "more than 135168" },
		{ { .size = UINT32_MAX, .id = 1, .kind = FRAME_DONE }, "4294967295 bytes" },
		{ { .size = 4, .id = 0, .kind = FRAME_CALL, .code = 1 }, "the call 0" },
		{ { .size = 4, .id = 1, .kind = FRAME_CALL, .flags = FRAME_END }, "flags 1" },
		{ { .size = 4, .id = 1, .kind = FRAME_DATA, .flags = 3 }, "flags 3" },
		{ { .size = 4, .id = 1, .kind = FRAME_DATA, .code = 1 }, "code 1" },
		{ { .size = 4, .id = 1, .kind = FRAME_CREDIT, .code = 9 }, "code 9" },
		{ { .size = 3, .id = 1, .kind = FRAME_CALL, .code = 1 }, "without a deadline" },
		{ { .size = 0, .id = 1, .kind = FRAME_DATA }, "without a byte" },
		{ { .size = 5, .id = 1, .kind = FRAME_CREDIT }, "not a number" },
		{ { .size = 0, .id = 1, .kind = FRAME_CREDIT }, "not a number" },
		{ { .size = 1, .id = 1, .kind = FRAME_CANCEL }, "cancel with a body" },
	};

	(void)state;
	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
		unsigned char header[FRAME_HEADER];
		struct frame out = { .id = 77 };
		struct error err = { 0 };

		frame_encode(&bad[i].frame, header);
		assert_int_equal(frame_decode(header, &out, &err), -EPROTO);
		assert_int_equal(err.code, EPROTO);
		if (!strstr(err.text, bad[i].says))
			fail_msg("'%s' does not say '%s'", err.text, bad[i].says);
		assert_int_equal(out.id, 77);
	}
}

int main(void)
{
	static const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_every_kind_comes_back),
		cmocka_unit_test(test_the_bytes_are_little_endian),
		cmocka_unit_test(test_bad_headers_are_refused_in_a_sentence),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
