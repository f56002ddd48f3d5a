/*
 * wire.c - JSON whose strings are bytes (wire.h).
 *
 * jansson does the grammar.  What it does not take is rewritten in front of it:
 * one pass over the text counts levels and items, so that nothing is built
 * from a reply that would cost many times its own size, and notes whether any string has
 * to be rewritten at all, which is rare.
 */
#include "protocol/wire.h"

#include <errno.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "protocol/buf.h"
#include "protocol/cleanup.h"
#include "protocol/limits.h"
#include "protocol/utf8.h"

/* Byte B is this character plus B inside a json_t. */
#define BYTE_BASE 0x10ff00u
#define REPLACEMENT 0xfffdu

static bool stands_for_byte(uint32_t code)
{
	return code >= BYTE_BASE + 0x80 && code <= BYTE_BASE + 0xff;
}

static bool is_high(uint32_t unit)
{
	return unit >= 0xd800 && unit <= 0xdbff;
}

static bool is_low(uint32_t unit)
{
	return unit >= 0xdc00 && unit <= 0xdfff;
}

/* The XXXX of an escape \uXXXX, or UINT32_MAX if TEXT does not begin with one. */
static uint32_t escaped_unit(const char *text, size_t len)
{
	uint32_t unit = 0;

	if (len < 6 || text[0] != '\\' || text[1] != 'u')
		return UINT32_MAX;
	for (size_t i = 2; i < 6; i++) {
		char c = text[i];
		uint32_t digit;

		if (c >= '0' && c <= '9')
			digit = (uint32_t)(c - '0');
		else if ((c | 0x20) >= 'a' && (c | 0x20) <= 'f')
			digit = (uint32_t)((c | 0x20) - 'a') + 10;
		else
			return UINT32_MAX;
		unit = unit << 4 | digit;
	}
	return unit;
}

/* What the first pass over a text finds. */
struct survey {
	size_t depth, deepest;
	size_t containers; /* arrays and objects */
	size_t items;      /* separators: an upper bound for the values, keys included */
	bool rewrite;      /* has a string that jansson must not see as it is */
};

static void survey_structure(struct survey *survey, char c)
{
	switch (c) {
	case '{':
	case '[':
		survey->containers++;
		survey->items++;
		if (++survey->depth > survey->deepest)
			survey->deepest = survey->depth;
		break;
	case '}':
	case ']':
		if (survey->depth > 0)
			survey->depth--;
		break;
	case ',':
	case ':':
		survey->items++;
		break;
	default:
		break;
	}
}

static struct survey survey_text(const char *text, size_t len)
{
	struct survey survey = { 0 };
	bool in_string = false;

	for (size_t i = 0; i < len; i++) {
		char c = text[i];

		if (c == '"') {
			in_string = !in_string;
		} else if (!in_string) {
			survey_structure(&survey, c);
		} else if (c == '\\') {
			uint32_t unit = escaped_unit(text + i, len - i);

			if (unit != UINT32_MAX && unit >= 0xd800 && unit <= 0xdfff)
				survey.rewrite = true;
			i++; /* whatever is escaped, it does not end the string */
		} else if ((unsigned char)c == 0xf4) {
			survey.rewrite = true;
		}
	}
	return survey;
}

/* Objects and arrays, and values. */
struct parts {
	size_t containers, items;
};

static int survey_check(const struct survey *survey, const struct parts *most, struct error *err)
{
	if (survey->deepest > LIMIT_REPLY_DEPTH)
		return error_set(err, EPROTO,
				 "message is more than %d levels deep, and must be a JSON object "
				 "within that limit",
				 LIMIT_REPLY_DEPTH);
	if (survey->containers > most->containers || survey->items > most->items)
		return error_set(
			err, EPROTO,
			"message has more than %zu objects and arrays or more than %zu items, "
			"and must be a JSON object within that limit",
			most->containers, most->items);
	return 0;
}

static void add_char(struct buf *out, uint32_t code)
{
	char utf8[4];

	buf_add(out, utf8, utf8_put(utf8, code));
}

static void add_byte(struct buf *out, char byte)
{
	add_char(out, BYTE_BASE + (unsigned char)byte);
}

/* A genuine character of the range that stands for bytes: byte by byte. */
static void add_genuine(struct buf *out, uint32_t code)
{
	char utf8[4];
	size_t len = utf8_put(utf8, code);

	for (size_t i = 0; i < len; i++)
		add_byte(out, utf8[i]);
}

/* One escape of a surrogate, or of a pair of them; returns how much of TEXT it took. */
static size_t rewrite_surrogate(struct buf *out, const char *text, size_t len, uint32_t unit)
{
	uint32_t low = is_high(unit) ? escaped_unit(text + 6, len - 6) : UINT32_MAX;

	if (low != UINT32_MAX && is_low(low)) {
		uint32_t code = 0x10000 + ((unit - 0xd800) << 10) + (low - 0xdc00);

		if (stands_for_byte(code))
			add_genuine(out, code);
		else
			add_char(out, code);
		return 12;
	}
	if (unit >= 0xdc80 && unit <= 0xdcff)
		add_byte(out, (char)(unit - 0xdc00));
	else
		add_char(out, REPLACEMENT);
	return 6;
}

/* The text with every surrogate and every genuine stand-in character replaced. */
static void rewrite(struct buf *out, const char *text, size_t len)
{
	size_t plain = 0, at = 0; /* text[plain..at) goes out as it is */

	/* Outside strings these sequences are wrong anyway, and stay wrong. */
	while (at < len) {
		uint32_t unit, code;
		size_t step = 1;

		if (text[at] == '\\') {
			unit = escaped_unit(text + at, len - at);
			step = at + 1 < len ? 2 : 1;
			if (unit != UINT32_MAX && (is_high(unit) || is_low(unit))) {
				buf_add(out, text + plain, at - plain);
				at += rewrite_surrogate(out, text + at, len - at, unit);
				plain = at;
				continue;
			}
		} else if ((unsigned char)text[at] == 0xf4 &&
			   utf8_char(text + at, len - at, &code) == 4 && stands_for_byte(code)) {
			buf_add(out, text + plain, at - plain);
			add_genuine(out, code);
			at += 4;
			plain = at;
			continue;
		}
		at += step;
	}
	buf_add(out, text + plain, len - plain);
}

static json_t *parse(const char *text, size_t len, const struct parts *most, struct error *err)
{
	struct survey survey = survey_text(text, len);
	autobuf struct buf rewritten;
	json_error_t why;
	json_t *object;

	buf_init(&rewritten, 4 * len + 1); /* the worst: a 4-byte character as 4 stand-ins */
	if (survey_check(&survey, most, err) < 0)
		return NULL;
	if (survey.rewrite) {
		rewrite(&rewritten, text, len);
		if (rewritten.overflow) {
			error_set(err, ENOMEM, "out of memory");
			return NULL;
		}
		text = rewritten.data;
		len = rewritten.len;
	}
	object = json_loadb(text, len, JSON_ALLOW_NUL, &why);
	if (!object) {
		error_set(err, EPROTO, "message must be a JSON object: %s", why.text);
		return NULL;
	}
	if (!json_is_object(object)) {
		json_decref(object);
		error_set(err, EPROTO, "message must be a JSON object");
		return NULL;
	}
	return object;
}

json_t *wire_parse(const char *text, size_t len, struct error *err)
{
	static const struct parts most = { LIMIT_REPLY_CONTAINERS, LIMIT_REPLY_ITEMS };

	return parse(text, len, &most, err);
}

json_t *wire_parse_request(const char *text, size_t len, struct error *err)
{
	static const struct parts most = { LIMIT_REQUEST_CONTAINERS, LIMIT_REQUEST_ITEMS };

	return parse(text, len, &most, err);
}

static size_t put_escape(char *out, uint32_t unit)
{
	static const char hex[] = "0123456789abcdef";

	*out++ = '\\';
	*out++ = 'u';
	for (int shift = 12; shift >= 0; shift -= 4)
		*out++ = hex[unit >> shift & 15];
	return 6;
}

/*
 * Turns the stand-ins' escapes (\uDBFF\uDFxx) into those of single bytes (\udcxx), and all
 * into lower case, in place: what comes out is never longer.
 */
static size_t dump_bytes(char *text, size_t len)
{
	size_t used = 0;

	for (size_t at = 0; at < len;) {
		const char *escape = memchr(text + at, '\\', len - at);
		size_t plain = escape ? (size_t)(escape - (text + at)) : len - at;
		uint32_t unit, low;

		memmove(text + used, text + at, plain);
		used += plain;
		at += plain;
		unit = escaped_unit(text + at, len - at);
		if (unit != UINT32_MAX) {
			at += 6;
			low = unit == 0xdbff ? escaped_unit(text + at, len - at) : UINT32_MAX;
			if (low != UINT32_MAX && low >= 0xdf80 && low <= 0xdfff) {
				at += 6;
				unit = 0xdc00 + (low & 0xff);
			}
			used += put_escape(text + used, unit);
		} else {
			for (int i = 0; i < 2 && at < len; i++)
				text[used++] = text[at++];
		}
	}
	text[used] = '\0';
	return used;
}

char *wire_dump(const json_t *object, size_t *len)
{
	char *text = json_dumps(object, JSON_ENSURE_ASCII);

	if (text)
		*len = dump_bytes(text, strlen(text));
	return text;
}

/* How many of the first bytes are ASCII, and so themselves in every form of a string. */
static size_t ascii_run(const char *bytes, size_t len)
{
	size_t run = 0;

	while (run < len && (signed char)bytes[run] >= 0)
		run++;
	return run;
}

json_t *wire_string(const char *bytes, size_t len)
{
	autobuf struct buf out;

	if (len > SIZE_MAX / 4 - 1)
		return NULL;
	buf_init(&out, 4 * len + 1);
	for (size_t at = 0; at < len;) {
		size_t step = ascii_run(bytes + at, len - at);
		uint32_t code = 0;

		if (!step)
			step = utf8_char(bytes + at, len - at, &code);
		if (step > 0 && !stands_for_byte(code)) {
			buf_add(&out, bytes + at, step);
			at += step;
		} else {
			add_byte(&out, bytes[at++]);
		}
	}
	if (out.overflow)
		return NULL;
	return json_stringn(buf_str(&out), out.len);
}

char *wire_bytes(const json_t *string, size_t *len)
{
	const char *text = json_string_value(string);
	size_t text_len = json_string_length(string), used = 0;
	char *bytes = malloc(text_len + 1);

	if (!bytes)
		return NULL;
	for (size_t at = 0; at < text_len;) {
		size_t step = ascii_run(text + at, text_len - at);
		uint32_t code = 0;

		if (!step)
			step = utf8_char(text + at, text_len - at, &code);
		if (step == 4 && stands_for_byte(code)) {
			bytes[used++] = (char)(code - BYTE_BASE);
		} else {
			step = step > 0 ? step : 1;
			memcpy(bytes + used, text + at, step);
			used += step;
		}
		at += step;
	}
	bytes[used] = '\0';
	*len = used;
	return bytes;
}
