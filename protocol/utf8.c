/*
 * utf8.c - UTF-8, strictly (utf8.h).
 */
#include "protocol/utf8.h"

#include <string.h>

/* The length that a first byte announces, 0 for a byte that begins nothing. */
static size_t announced_len(unsigned char first)
{
	if (first < 0x80)
		return 1;
	if (first >= 0xc2 && first < 0xe0)
		return 2;
	if (first >= 0xe0 && first < 0xf0)
		return 3;
	if (first >= 0xf0 && first < 0xf5)
		return 4;
	return 0;
}

/* Whether SECOND may follow FIRST: this is what rules out overlong forms and surrogates. */
static bool second_fits(unsigned char first, unsigned char second)
{
	unsigned char low = 0x80, high = 0xbf;

	switch (first) {
	case 0xe0:
		low = 0xa0;
		break;
	case 0xed:
		high = 0x9f;
		break;
	case 0xf0:
		low = 0x90;
		break;
	case 0xf4:
		high = 0x8f;
		break;
	default:
		break;
	}
	return second >= low && second <= high;
}

/* How many of LEN bytes fit into the one character that they begin; *NEED its whole length. */
static size_t matching_len(const char *text, size_t len, size_t *need)
{
	const unsigned char *bytes = (const unsigned char *)text;
	size_t have;

	*need = len > 0 ? announced_len(bytes[0]) : 0;
	if (*need == 0)
		return 0;
	if (*need == 1 || len < 2)
		return 1;
	if (!second_fits(bytes[0], bytes[1]))
		return 1;
	for (have = 2; have < *need && have < len; have++) {
		if ((bytes[have] & 0xc0) != 0x80)
			break;
	}
	return have;
}

size_t utf8_char(const char *text, size_t len, uint32_t *code)
{
	static const unsigned char first_mask[] = { 0, 0x7f, 0x1f, 0x0f, 0x07 };
	const unsigned char *bytes = (const unsigned char *)text;
	size_t need;

	if (matching_len(text, len, &need) < need || need == 0)
		return 0;
	*code = bytes[0] & first_mask[need];
	for (size_t i = 1; i < need; i++)
		*code = *code << 6 | (bytes[i] & 0x3f);
	return need;
}

static bool is_visible(uint32_t code)
{
	if (code < 0x20 || (code >= 0x7f && code <= 0x9f))
		return false;
	return !(code >= 0x2028 && code <= 0x202e) && !(code >= 0x2066 && code <= 0x2069);
}

size_t utf8_visible(const char *bytes, size_t len)
{
	uint32_t code;
	size_t used = utf8_char(bytes, len, &code);

	return used && is_visible(code) ? used : 0;
}

void utf8_mask(char *text)
{
	char *end = text + strlen(text);

	while (text < end) {
		size_t used = utf8_visible(text, (size_t)(end - text));

		if (!used)
			*text = '?';
		text += used ? used : 1;
	}
}

bool utf8_valid(const char *bytes, size_t len)
{
	uint32_t code;

	while (len > 0) {
		size_t step = utf8_char(bytes, len, &code);

		if (step == 0)
			return false;
		bytes += step;
		len -= step;
	}
	return true;
}

size_t utf8_split(const char *bytes, size_t len)
{
	for (size_t tail = 1; tail <= 3 && tail <= len; tail++) {
		size_t need, have = matching_len(bytes + len - tail, tail, &need);

		if (need > 1)
			return have == tail && have < need ? tail : 0;
		if (need == 1)
			return 0;
	}
	return 0;
}

size_t utf8_put(char out[static 4], uint32_t code)
{
	if (code < 0x80) {
		out[0] = (char)code;
		return 1;
	}
	if (code < 0x800) {
		out[0] = (char)(0xc0 | code >> 6);
		out[1] = (char)(0x80 | (code & 0x3f));
		return 2;
	}
	if (code < 0x10000) {
		out[0] = (char)(0xe0 | code >> 12);
		out[1] = (char)(0x80 | (code >> 6 & 0x3f));
		out[2] = (char)(0x80 | (code & 0x3f));
		return 3;
	}
	out[0] = (char)(0xf0 | code >> 18);
	out[1] = (char)(0x80 | (code >> 12 & 0x3f));
	out[2] = (char)(0x80 | (code >> 6 & 0x3f));
	out[3] = (char)(0x80 | (code & 0x3f));
	return 4;
}
