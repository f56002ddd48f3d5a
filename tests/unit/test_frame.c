/*
 * test_frame.c - every kind of frame survives the wire, and nothing else is taken for one.
 */
#include "tests/unit/cmocka_all.h"

#include <errno.h>
#include <string.h>

#include "protocol/session/frame.h"
#include "protocol/session/ops.h"

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

static void add_frame(struct buf *buf, uint32_t id, uint8_t kind, uint8_t flags, uint16_t code,
		      const struct buf *body)
{
	struct frame frame = { (uint32_t)body->len, id, kind, flags, code };
	unsigned char header[FRAME_HEADER];

	frame_encode(&frame, header);
	buf_add(buf, header, sizeof(header));
	buf_add(buf, buf_str(body), body->len);
}

static void expect_hex(const struct buf *buf, const char *hex)
{
	autobuf struct buf text = BUF_INIT(1000);
	autobuf struct buf expected = BUF_INIT(1000);

	for (size_t i = 0; i < buf->len; i++)
		buf_addf(&text, "%02x", (unsigned char)buf->data[i]);
	for (; *hex; hex++) {
		if (*hex != ' ')
			buf_add(&expected, hex, 1);
	}
	assert_string_equal(buf_str(&text), buf_str(&expected));
}

/* docs/protocol.md, 2.14 */
static void test_vectors(void **state)
{
	autobuf struct buf stream = BUF_INIT(1000);
	autobuf struct buf body = BUF_INIT(1000);
	autobuf struct buf open = BUF_INIT(1000);
	struct ops_event event = { 7, EVENT_ENTRIES, "d", 1 };

	(void)state;
	pack_u32(&body, 10000);
	pack_text(&body, "link");
	add_frame(&stream, 1, FRAME_CALL, 0, OP_READLINK, &body);
	body.len = 0;
	pack_text(&body, "to");
	add_frame(&stream, 1, FRAME_DONE, 0, 0, &body);
	body.len = 0;
	buf_adds(&body, "gone.");
	add_frame(&stream, 1, FRAME_DONE, 0, ENOENT, &body);
	expect_hex(&stream, "0c000000 01000000 01 00 0300 10270000 04000000 6c696e6b"
			    "06000000 01000000 02 00 0000 02000000 746f"
			    "05000000 01000000 02 00 0200 676f6e652e");

	stream.len = body.len = 0;
	buf_adds(&body, "x");
	add_frame(&stream, 3, FRAME_DATA, FRAME_END, 0, &body);
	body.len = 0;
	pack_u32(&body, OPS_WINDOW / 2);
	add_frame(&stream, 3, FRAME_CREDIT, 0, 0, &body);
	body.len = 0;
	add_frame(&stream, 3, FRAME_CANCEL, 0, 0, &body);
	expect_hex(&stream, "01000000 03000000 03 01 0000 78"
			    "04000000 03000000 04 00 0000 00000200"
			    "00000000 03000000 05 00 0000");

	stream.len = body.len = 0;
	pack_u32(&body, 0);
	pack_u8(&body, 0);
	pack_text(&open, "f");
	pack_u32(&open, OPEN_READ);
	pack_u32(&open, 0);
	pack_u16(&body, OP_OPEN);
	pack_bytes(&body, open.data, open.len);
	pack_u16(&body, OP_READ);
	pack_u32(&body, 16);
	pack_u32(&body, OPS_HANDLE_LAST);
	pack_u64(&body, 0);
	pack_u32(&body, 4096);
	pack_u16(&body, OP_CLOSE);
	pack_u32(&body, 4);
	pack_u32(&body, OPS_HANDLE_LAST);
	add_frame(&stream, 2, FRAME_CALL, 0, OP_BATCH, &body);
	expect_hex(&stream, "38000000 02000000 01 00 1400 00000000 00"
			    "0400 0d000000 01000000 66 01000000 00000000"
			    "0600 10000000 ffffffff 0000000000000000 00100000"
			    "0500 04000000 ffffffff");

	stream.len = 0;
	ops_pack_event(&stream, &event);
	expect_hex(&stream, "0700000000000000 02 01000000 64");
}

int main(void)
{
	static const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_every_kind_comes_back),
		cmocka_unit_test(test_the_bytes_are_little_endian),
		cmocka_unit_test(test_bad_headers_are_refused_in_a_sentence),
		cmocka_unit_test(test_vectors),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
