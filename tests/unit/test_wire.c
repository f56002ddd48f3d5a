/*
 * test_wire.c - JSON whose strings are bytes, and the two codecs under it.
 */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "protocol/base64.h"
#include "protocol/cleanup.h"
#include "protocol/limits.h"
#include "protocol/utf8.h"
#include "protocol/wire.h"

#define BYTES(literal) (literal), sizeof(literal) - 1

static json_t *parse(const char *text)
{
	struct error err = { 0 };
	json_t *object = wire_parse(text, strlen(text), &err);

	if (!object)
		fail_msg("%s: %s", text, err.text);
	return object;
}

/* The bytes of the string under "s" in TEXT. */
static void expect_bytes(const char *text, const char *want, size_t want_len)
{
	json_t *object = parse(text);
	size_t len;
	autofree char *bytes = wire_bytes(json_object_get(object, "s"), &len);

	assert_int_equal(len, want_len);
	assert_memory_equal(bytes, want, want_len);
	assert_int_equal(bytes[len], '\0');
	json_decref(object);
}

/* What a string of these bytes is on the wire, and that it comes back. */
static void expect_dump(const char *bytes, size_t len, const char *want)
{
	json_t *object = json_object();
	autofree char *dumped = NULL;
	size_t dumped_len;

	json_object_set_new(object, "s", wire_string(bytes, len));
	dumped = wire_dump(object, &dumped_len);
	assert_string_equal(dumped, want);
	assert_int_equal(dumped_len, strlen(want));
	expect_bytes(dumped, bytes, len);
	json_decref(object);
}

static void test_text_travels_as_text(void **state)
{
	(void)state;
	expect_dump(BYTES(""), "{\"s\": \"\"}");
	expect_dump(BYTES("plain \"text\" \\ /"), "{\"s\": \"plain \\\"text\\\" \\\\ /\"}");
	expect_dump(BYTES("a\n\t\x1b[0m\x7f"), "{\"s\": \"a\\n\\t\\u001b[0m\x7f\"}");
	expect_dump(BYTES("\xc3\xa9"), "{\"s\": \"\\u00e9\"}");
	expect_dump(BYTES("\xf0\x9f\x98\x80"), "{\"s\": \"\\ud83d\\ude00\"}");
	expect_dump(BYTES("a\0b"), "{\"s\": \"a\\u0000b\"}");
}

static void test_other_bytes_travel_as_lone_surrogates(void **state)
{
	(void)state;
	expect_dump(BYTES("\xff"), "{\"s\": \"\\udcff\"}");
	expect_dump(BYTES("\x80x\xc3"), "{\"s\": \"\\udc80x\\udcc3\"}");
	expect_dump(BYTES("\xed\xb2\x80"), "{\"s\": \"\\udced\\udcb2\\udc80\"}"); /* a surrogate */
	expect_dump(BYTES("\xc0\xaf"), "{\"s\": \"\\udcc0\\udcaf\"}");            /* overlong */
	/* After a character that is a pair of escapes itself. */
	expect_dump(BYTES("\xf0\x9f\x98\x80\xff"), "{\"s\": \"\\ud83d\\ude00\\udcff\"}");
	/* Behind a backslash: not to be taken for a part of an escape. */
	expect_dump(BYTES("\\\xff\\uDBFF\\uDFFF"), "{\"s\": \"\\\\\\udcff\\\\uDBFF\\\\uDFFF\"}");
}

static void test_every_byte_is_lossless(void **state)
{
	char bytes[512];

	(void)state;
	for (int i = 0; i < 256; i++) {
		bytes[i] = (char)i;
		bytes[511 - i] = (char)(i * 7 + 3);
	}
	for (size_t from = 0; from < 256; from += 17) {
		json_t *string = wire_string(bytes + from, sizeof(bytes) - from);
		size_t len;
		autofree char *back = wire_bytes(string, &len);

		assert_int_equal(len, sizeof(bytes) - from);
		assert_memory_equal(back, bytes + from, len);
		json_decref(string);
	}
}

/* A genuine character of the range that stands for bytes inside a json_t. */
static void test_stand_in_characters_are_carried_byte_by_byte(void **state)
{
	(void)state;
	expect_dump(BYTES("\xf4\x8f\xbe\x80"), "{\"s\": \"\\udcf4\\udc8f\\udcbe\\udc80\"}");
	expect_dump(BYTES("\xf4\x8f\xbc\x80"),
		    "{\"s\": \"\\udbff\\udf00\"}"); /* not of that range */
	expect_bytes("{\"s\": \"\xf4\x8f\xbf\xbf\"}", BYTES("\xf4\x8f\xbf\xbf"));
	expect_bytes("{\"s\": \"\\udbff\\udf80\"}", BYTES("\xf4\x8f\xbe\x80"));
}

static void test_surrogates_are_understood(void **state)
{
	(void)state;
	expect_bytes("{\"s\": \"\\uDCFF\\udc80\"}", BYTES("\xff\x80"));
	expect_bytes("{\"s\": \"\\ud83d\\ude00\"}", BYTES("\xf0\x9f\x98\x80"));
	/* Lone ones that stand for no byte. */
	expect_bytes("{\"s\": \"\\ud800\"}", BYTES("\xef\xbf\xbd"));
	expect_bytes("{\"s\": \"\\udc00\"}", BYTES("\xef\xbf\xbd"));
	expect_bytes("{\"s\": \"\\udfff\\ud800\"}", BYTES("\xef\xbf\xbd\xef\xbf\xbd"));
	expect_bytes("{\"s\": \"\\ud800\\ud83d\\ude00\"}", BYTES("\xef\xbf\xbd\xf0\x9f\x98\x80"));
	/* An escaped backslash in front of something that looks like one. */
	expect_bytes("{\"s\": \"\\\\udcff\\udcff\"}", BYTES("\\udcff\xff"));
}

static void test_order_of_keys_is_kept(void **state)
{
	static const char text[] = "{\"z\": 1, \"a\": [true, null, -2], \"m\": {\"k\": 1.5}}";
	json_t *object = parse(text);
	size_t len;
	autofree char *dumped = wire_dump(object, &len);

	(void)state;
	assert_string_equal(dumped, text);
	json_decref(object);
}

static void expect_refused_bytes(const char *text, size_t len)
{
	struct error err = { 0 };
	json_t *object = wire_parse(text, len, &err);

	if (object)
		fail_msg("taken: %.*s", (int)(len < 200 ? len : 200), text);
	assert_int_equal(err.code, EPROTO);
	assert_non_null(strstr(err.text, "must be a JSON object"));
}

static void expect_refused(const char *text)
{
	expect_refused_bytes(text, strlen(text));
}

static void test_anything_but_one_object_is_refused(void **state)
{
	(void)state;
	expect_refused("");
	expect_refused("\n");
	expect_refused("[]");
	expect_refused("null");
	expect_refused("\"{}\"");
	expect_refused("{");
	expect_refused("{}x");
	expect_refused("{} {}");
	expect_refused("{\"a\": \"\xff\"}");
	expect_refused("{\"a\": \"\\ud83d");
	expect_refused("{\"a\": \"\\udcf\"}");
	expect_refused("{\"a\": NaN}");
	expect_refused("{\"a\": 1e999}");
	expect_refused("{\"a\": 99999999999999999999}");
	expect_refused("{\\udcff: 1}");
	expect_refused_bytes(BYTES("{}\0"));
	json_decref(parse(" \t{} \r\n "));
}

static void test_depth_is_limited(void **state)
{
	char text[3 * LIMIT_REPLY_DEPTH + 16];
	struct error err = { 0 };
	json_t *object;
	size_t len;

	(void)state;
	for (int levels = LIMIT_REPLY_DEPTH; levels <= LIMIT_REPLY_DEPTH + 1; levels++) {
		len = (size_t)snprintf(text, sizeof(text), "{\"[\\\"[\": ");
		memset(text + len, '[', (size_t)levels - 1);
		len += (size_t)levels - 1;
		memset(text + len, ']', (size_t)levels - 1);
		len += (size_t)levels - 1;
		text[len++] = '}';
		object = wire_parse(text, len, &err);
		assert_int_equal(object != NULL, levels == LIMIT_REPLY_DEPTH);
		json_decref(object);
	}
	assert_non_null(strstr(err.text, "32 levels"));
}

/* {"a": [ITEM, ITEM, ...]} with COUNT items. */
static char *many(const char *item, size_t count, size_t *len)
{
	size_t item_len = strlen(item);
	char *text = malloc(16 + count * (item_len + 1));
	char *to = stpcpy(text, "{\"a\":[");

	for (size_t i = 0; i < count; i++) {
		memcpy(to, item, item_len);
		to += item_len;
		*to++ = ',';
	}
	to = stpcpy(to - 1, "]}");
	*len = (size_t)(to - text);
	return text;
}

static void test_cost_is_limited(void **state)
{
	struct error err = { 0 };
	size_t len;
	autofree char *containers = many("{}", LIMIT_REPLY_CONTAINERS, &len);
	autofree char *items = NULL;
	json_t *object;

	(void)state;
	assert_null(wire_parse(containers, len, &err));
	assert_non_null(strstr(err.text, "objects and arrays"));
	items = many("0", LIMIT_REPLY_ITEMS, &len);
	assert_null(wire_parse(items, len, &err));
	assert_non_null(strstr(err.text, "items"));
	free(move_ptr(items));
	items = many("0", 100000, &len);
	object = wire_parse(items, len, &err);
	assert_int_equal(json_array_size(json_object_get(object, "a")), 100000);
	json_decref(object);
}

static void test_utf8(void **state)
{
	uint32_t code = 0;
	char out[4];

	(void)state;
	assert_int_equal(utf8_char(BYTES("\xe2\x82\xac!"), &code), 3);
	assert_int_equal(code, 0x20ac);
	assert_int_equal(utf8_put(out, code), 3);
	assert_memory_equal(out, "\xe2\x82\xac", 3);
	assert_int_equal(utf8_char(BYTES("\xf4\x90\x80\x80"), &code), 0);
	assert_int_equal(utf8_char(BYTES("\xe0\x9f\xbf"), &code), 0);
	assert_int_equal(utf8_char(BYTES("\xed\xa0\x80"), &code), 0);
	assert_int_equal(utf8_char(BYTES("\xe2\x82"), &code), 0);
	assert_int_equal(utf8_char("", 0, &code), 0);
	assert_true(utf8_valid(BYTES("a\0\xc3\xa9\xf0\x9f\x98\x80")));
	assert_false(utf8_valid(BYTES("a\xa9")));

	assert_int_equal(utf8_split(BYTES("abc")), 0);
	assert_int_equal(utf8_split(BYTES("\xc3\xa9")), 0);
	assert_int_equal(utf8_split(BYTES("ab\xc3")), 1);
	assert_int_equal(utf8_split(BYTES("a\xe2\x82")), 2);
	assert_int_equal(utf8_split(BYTES("\xf0\x9f\x98")), 3);
	assert_int_equal(utf8_split(BYTES("\xf0\x9f\x98\x80")), 0);
	assert_int_equal(utf8_split(BYTES("a\xa9\xa9")), 0); /* nothing could complete these */
	assert_int_equal(utf8_split(BYTES("\xe0\x80")), 0);
	assert_int_equal(utf8_split(BYTES("a\xff")), 0);
	assert_int_equal(utf8_split("", 0), 0);
}

static void test_every_code_point_survives_utf8(void **state)
{
	(void)state;
	for (uint32_t want = 0; want <= 0x10ffff; want++) {
		bool surrogate = want >= 0xd800 && want <= 0xdfff;
		uint32_t code = 0;
		char out[4];
		size_t len = utf8_put(out, want);

		assert_int_equal(utf8_char(out, len, &code), surrogate ? 0 : len);
		if (!surrogate)
			assert_int_equal(code, want);
	}
}

static void expect_base64(const char *bytes, size_t len, const char *want)
{
	char text[64];
	autofree char *back = NULL;
	size_t back_len;

	base64_encode(bytes, len, text);
	assert_string_equal(text, want);
	assert_int_equal(base64_encoded_len(len), strlen(want));
	assert_int_equal(base64_decode(text, strlen(text), &back, &back_len), 0);
	assert_int_equal(back_len, len);
	assert_memory_equal(back, bytes, len);
}

static void test_base64(void **state)
{
	static const char *const wrong[] = { "Zg",   "Zg=",   "Zg==\n", "Zh==",     "Zm9=",
					     "Z===", "====",  "=Zg=",   "Zm9v=Zm9", "Zg==Zm9v",
					     "Zm-v", "Zm 9v", "Zm\xc3v" };
	char *out;
	size_t len;

	(void)state;
	expect_base64(BYTES(""), "");
	expect_base64(BYTES("f"), "Zg==");
	expect_base64(BYTES("fo"), "Zm8=");
	expect_base64(BYTES("foo"), "Zm9v");
	expect_base64(BYTES("foob\0\xff\xfe"), "Zm9vYgD//g==");
	for (size_t i = 0; i < sizeof(wrong) / sizeof(wrong[0]); i++)
		assert_int_equal(base64_decode(wrong[i], strlen(wrong[i]), &out, &len), -EILSEQ);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_text_travels_as_text),
		cmocka_unit_test(test_other_bytes_travel_as_lone_surrogates),
		cmocka_unit_test(test_every_byte_is_lossless),
		cmocka_unit_test(test_stand_in_characters_are_carried_byte_by_byte),
		cmocka_unit_test(test_surrogates_are_understood),
		cmocka_unit_test(test_order_of_keys_is_kept),
		cmocka_unit_test(test_anything_but_one_object_is_refused),
		cmocka_unit_test(test_depth_is_limited),
		cmocka_unit_test(test_cost_is_limited),
		cmocka_unit_test(test_utf8),
		cmocka_unit_test(test_every_code_point_survives_utf8),
		cmocka_unit_test(test_base64),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
