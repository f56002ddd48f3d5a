/*
 * base64.c - strict base64 (base64.h).
 */
#include "protocol/base64.h"

#include <errno.h>
#include <stdint.h>
#include <stdlib.h>

#include "protocol/cleanup.h"

static const char alphabet[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";

size_t base64_encoded_len(size_t len)
{
	return (len + 2) / 3 * 4;
}

void base64_encode(const void *input, size_t len, char *out)
{
	const unsigned char *bytes = input;

	for (; len > 0; bytes += 3) {
		size_t take = len < 3 ? len : 3;
		uint32_t group = (uint32_t)bytes[0] << 16;

		if (take > 1)
			group |= (uint32_t)bytes[1] << 8;
		if (take > 2)
			group |= bytes[2];
		*out++ = alphabet[group >> 18];
		*out++ = alphabet[group >> 12 & 63];
		*out++ = (char)(take > 1 ? alphabet[group >> 6 & 63] : '=');
		*out++ = (char)(take > 2 ? alphabet[group & 63] : '=');
		len -= take;
	}
	*out = '\0';
}

static int digit_value(char c)
{
	if (c >= 'A' && c <= 'Z')
		return c - 'A';
	if (c >= 'a' && c <= 'z')
		return c - 'a' + 26;
	if (c >= '0' && c <= '9')
		return c - '0' + 52;
	if (c == '+')
		return 62;
	return c == '/' ? 63 : -1;
}

int base64_decode(const char *text, size_t len, char **out, size_t *out_len)
{
	autofree char *bytes = NULL;
	size_t pad = 0, used = 0;

	if (len % 4 != 0)
		return -EILSEQ;
	while (pad < 2 && pad < len && text[len - 1 - pad] == '=')
		pad++;
	bytes = malloc(len / 4 * 3 + 1);
	if (!bytes)
		return -ENOMEM;
	for (size_t i = 0; i < len; i += 4) {
		size_t missing = i + 4 == len ? pad : 0;
		uint32_t group = 0;

		for (size_t k = 0; k < 4; k++) {
			int value = k < 4 - missing ? digit_value(text[i + k]) : 0;

			if (value < 0)
				return -EILSEQ;
			group = group << 6 | (uint32_t)value;
		}
		if ((missing == 1 && (group & 0xff) != 0) ||
		    (missing == 2 && (group & 0xffff) != 0))
			return -EILSEQ;
		for (size_t k = 0; k < 3 - missing; k++)
			bytes[used++] = (char)(group >> (16 - 8 * k) & 0xff);
	}
	bytes[used] = '\0';
	*out = move_ptr(bytes);
	*out_len = used;
	return 0;
}
