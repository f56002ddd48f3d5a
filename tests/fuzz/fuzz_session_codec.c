/*
 * fuzz_session_codec.c - what the session dialect's codec takes it gives back the same, and what it
 * hands out is within its bounds: headers, attributes, entries, events.
 *
 * The first byte says what the rest is taken for.
 */
#include <stdint.h>
#include <string.h>

#include "protocol/session/frame.h"
#include "protocol/session/ops.h"
#include "tests/fuzz/require.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void header(const uint8_t *data, size_t size)
{
	unsigned char bytes[FRAME_HEADER];
	struct error err = { 0 };
	struct frame frame;

	if (size < FRAME_HEADER)
		return;
	if (frame_decode(data, &frame, &err) < 0) {
		REQUIRE(err.code > 0 && err.text[0]);
		return;
	}
	REQUIRE(frame.size <= FRAME_BODY_MAX && frame.id);
	frame_encode(&frame, bytes);
	REQUIRE(memcmp(bytes, data, FRAME_HEADER) == 0);
}

static void attr(const uint8_t *data, size_t size)
{
	struct unpack in = unpack_from(data, size);
	struct buf back = BUF_INIT(1000);
	struct ws_attr out;

	ops_unpack_attr(&in, &out);
	REQUIRE(out.size >= 0 && out.blocks >= 0);
	ops_pack_attr(&back, &out);
	/* all but the four bytes that are not looked at */
	if (!in.failed)
		REQUIRE(memcmp(back.data, data, OPS_ATTR_SIZE - 4) == 0);
	buf_free(&back);
}

/* Components that a directory may hold, each of them read. */
static void path(const char *path, size_t len)
{
	size_t component = 0;

	REQUIRE(len < LIMIT_PATH);
	for (size_t i = 0; i <= len; i++) {
		if (i < len && path[i] != '/') {
			REQUIRE(path[i]);
			component++;
			continue;
		}
		REQUIRE(component || !len);
		REQUIRE(component <= LIMIT_NAME);
		REQUIRE(component > 2 || component == 0 ||
			memcmp(path + i - component, "..", component) != 0);
		component = 0;
	}
}

static void entries(const uint8_t *data, size_t size)
{
	struct unpack in = unpack_from(data, size);
	struct ops_entry entry;

	while (ops_unpack_entry(&in, &entry)) {
		struct buf back = BUF_INIT(16384);
		struct ops_entry again;
		struct unpack one;

		REQUIRE(entry.path_len);
		path(entry.path, entry.path_len);
		REQUIRE(entry.target_len <= LIMIT_SYMLINK_TARGET);
		ops_pack_entry(&back, &entry);
		one = unpack_from(back.data, back.len);
		REQUIRE(ops_unpack_entry(&one, &again));
		REQUIRE(again.path_len == entry.path_len && again.target_len == entry.target_len);
		REQUIRE(memcmp(again.path, entry.path, entry.path_len) == 0);
		REQUIRE(memcmp(again.target, entry.target, entry.target_len) == 0);
		buf_free(&back);
	}
	REQUIRE(in.failed || in.at == in.end);
}

static void events(const uint8_t *data, size_t size)
{
	struct unpack in = unpack_from(data, size);
	struct ops_event event;

	while (ops_unpack_event(&in, &event)) {
		REQUIRE(event.kind >= EVENT_CHANGED && event.kind <= EVENT_RESCAN);
		REQUIRE(event.kind != EVENT_RESCAN || !event.path_len);
		path(event.path, event.path_len);
	}
	REQUIRE(in.failed || in.at == in.end);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static void (*const kinds[])(const uint8_t *data, size_t size) = { header, attr, entries,
									   events };

	if (size)
		kinds[data[0] % 4](data + 1, size - 1);
	return 0;
}
