/*
 * fuzz_wire.c - whatever wire_parse takes, wire_dump writes so that it comes back the
 * same; and any bytes survive being a string.
 */
#include <stdint.h>
#include <string.h>

#include "protocol/cleanup.h"
#include "protocol/wire.h"
#include "tests/fuzz/require.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void bytes_survive(const char *bytes, size_t len)
{
	json_t *string = wire_string(bytes, len);
	size_t back_len;
	autofree char *back = NULL;

	REQUIRE(string);
	back = wire_bytes(string, &back_len);
	REQUIRE(back && back_len == len && memcmp(back, bytes, len) == 0 && back[len] == '\0');
	json_decref(string);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct error err = { 0 };
	json_t *object = wire_parse((const char *)data, size, &err), *again;
	autofree char *text = NULL;
	size_t len;

	bytes_survive((const char *)data, size);
	if (!object) {
		REQUIRE(err.code > 0 && err.text[0] != '\0');
		return 0;
	}
	text = wire_dump(object, &len);
	REQUIRE(text && strlen(text) == len);
	for (size_t i = 0; i < len; i++)
		REQUIRE((unsigned char)text[i] < 0x80 && text[i] != '\n');
	again = wire_parse(text, len, &err);
	REQUIRE(again && json_equal(object, again));
	json_decref(again);
	json_decref(object);
	return 0;
}
