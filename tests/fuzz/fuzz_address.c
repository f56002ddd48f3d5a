/*
 * fuzz_address.c - whatever address_parse takes, address_format writes so that it comes back
 * the same.
 */
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include "protocol/address.h"
#include "tests/fuzz/require.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct address address, again;
	char text[2 * PATH_MAX], formatted[2 * PATH_MAX];
	struct error err = { 0 };

	if (size >= sizeof(text))
		return 0;
	memcpy(text, data, size);
	text[size] = '\0';
	if (address_parse(text, &address, &err) < 0) {
		REQUIRE(err.code > 0 && err.text[0] != '\0');
		return 0;
	}
	REQUIRE(address.name[0] == '\0' || address_check_name(address.name, NULL) == 0);
	address_format(&address, formatted, sizeof(formatted));
	REQUIRE(address_parse(formatted, &again, &err) == 0);
	REQUIRE(again.kind == address.kind && again.cid == address.cid &&
		again.port == address.port && strcmp(again.path, address.path) == 0);
	return 0;
}
