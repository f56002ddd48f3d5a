/*
 * fuzz_exchange.c - a guest's reply as it comes off the socket, in pieces of any size: an object up
 * to EOF, or an export's header and body.
 *
 * The first two bytes say which of the two it is and how large the pieces are. An export gives its
 * sink exactly what its header promised, or fails.
 */
#include <errno.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "protocol/line/exchange_io.h"
#include "protocol/line/exchange_reply.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

#define MAX_SIZE 4096

#define REQUIRE(condition)                                                                         \
	do {                                                                                       \
		if (!(condition))                                                                  \
			abort();                                                                   \
	} while (0)

/* What arrived, copied so that each byte is read under the sanitizer's eyes. */
struct arrived {
	char bytes[MAX_SIZE];
	size_t len;
};

static int take(void *arg, const void *bytes, size_t len)
{
	struct arrived *arrived = arg;

	REQUIRE(len <= sizeof(arrived->bytes) - arrived->len);
	memcpy(arrived->bytes + arrived->len, bytes, len);
	arrived->len += len;
	return 0;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct exchange x = { .max_size = MAX_SIZE, .sink = take };
	struct error err = { 0 };
	struct arrived arrived = { .len = 0 };
	size_t piece;
	int rc = 0;

	if (size < 2)
		return 0;
	x.shape = data[0] & 1 ? EXCHANGE_HEADER : EXCHANGE_OBJECT;
	x.sink_arg = &arrived;
	piece = data[1] + 1u;
	buf_init(&x.reply, x.shape == EXCHANGE_HEADER ? LIMIT_EXPORT_HEADER : LIMIT_REPLY_OBJECT);
	for (size_t at = 2; at < size && rc == 0; at += piece) {
		size_t len = size - at < piece ? size - at : piece;

		rc = reply_take(&x, (const char *)data + at, len, &err);
	}
	if (rc == 0)
		rc = reply_end(&x, data[0] & 2 ? ECONNRESET : 0, &err);
	if (rc < 0) {
		REQUIRE(err.code == -rc && err.text[0] != '\0');
	} else {
		REQUIRE(json_is_object(x.object));
		if (data[0] & 1)
			REQUIRE((json_int_t)arrived.len ==
				json_integer_value(json_object_get(x.object, "archive_size")));
	}
	json_decref(x.object);
	buf_free(&x.reply);
	return 0;
}
