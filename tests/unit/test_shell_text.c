/*
 * test_shell_text.c - quoting, base64 and framed scripts, against the shells that are here.
 */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "fake_line.h"
#include "protocol/line/shell_text.h"

static void quote_gives(const char *bytes, const char *expected)
{
	struct buf buf = BUF_INIT(100);

	shtext_quote(&buf, bytes, strlen(bytes));
	assert_string_equal(buf_str(&buf), expected);
	buf_free(&buf);
}

static void test_quote(void **state)
{
	(void)state;
	quote_gives("", "''");
	quote_gives("plain", "'plain'");
	quote_gives("'", "''\\'''");
	quote_gives("it's $HOME `x` \\ \"q\"\n", "'it'\\''s $HOME `x` \\ \"q\"\n'");
}

static void test_quote_full(void **state)
{
	struct buf buf = BUF_INIT(4);

	(void)state;
	shtext_quote(&buf, "too long", 8);
	assert_true(buf.overflow);
	buf_free(&buf);
}

static void test_base64(void **state)
{
	struct buf text = BUF_INIT(1000), back = BUF_INIT(1000);
	unsigned char bytes[256];

	(void)state;
	for (int i = 0; i < 256; i++)
		bytes[i] = (unsigned char)i;
	for (size_t len = 0; len <= 256; len++) {
		shtext_base64_encode(&text, bytes, len);
		assert_int_equal(text.len, (len + 2) / 3 * 4);
		assert_int_equal(shtext_base64_decode(&back, text.data, text.len), 0);
		assert_int_equal(back.len, len);
		if (len)
			assert_memory_equal(back.data, bytes, len);
		buf_free(&text);
		buf_free(&back);
	}
	assert_int_equal(shtext_base64_decode(&back, "aGVs\nbG8g \r\nd29ybGQ=\n", 21), 0);
	assert_string_equal(buf_str(&back), "hello world");
	assert_int_equal(shtext_base64_decode(&back, "aGVs*G8=", 8), -EPROTO);
	assert_int_equal(shtext_base64_decode(&back, "aGVsb", 5), -EPROTO);
	assert_int_equal(shtext_base64_decode(&back, "aG=Vs", 5), -EPROTO);
	buf_free(&back);
}

static void test_base64_full(void **state)
{
	struct buf back = BUF_INIT(4);

	(void)state;
	assert_int_equal(shtext_base64_decode(&back, "aGVsbG8gd29ybGQ=", 16), -EOVERFLOW);
	buf_free(&back);
}

static void run(struct guest *guest, const char *script, struct shtext_reply *reply)
{
	struct call call = call_within(30, NULL);
	struct buf buf = BUF_INIT(LIMIT_EXEC_COMMAND);
	struct error err = { 0 };

	buf_adds(&buf, script);
	if (shtext_run(guest, &call, TRAFFIC_EXEC, &buf, reply, &err))
		fail_msg("%s", err.text);
	buf_free(&buf);
}

static void frames(enum fake_tools tools)
{
	struct guest *guest = fake_guest_new(tools);
	struct shtext_reply reply;

	if (!guest) {
		skip();
		return;
	}
	run(guest, "printf 'a\\r\\n\\000\\377b\\n\\n'; echo 'bad news' >&2; exit 7", &reply);
	assert_int_equal(reply.status, 7);
	assert_int_equal(reply.out_len, 8);
	assert_memory_equal(reply.out, "a\r\n\0\377b\n\n", 8);
	assert_string_equal(reply.err, "bad news");
	shtext_reply_free(&reply);

	/* no output at all, a body that ends in a here-document, and one that reads stdin */
	run(guest, "", &reply);
	assert_int_equal(reply.status, 0);
	assert_int_equal(reply.out_len, 0);
	assert_string_equal(reply.err, "");
	shtext_reply_free(&reply);
	run(guest, "cat; cat <<E\nx\nE", &reply);
	assert_string_equal(reply.out, "x\n");
	shtext_reply_free(&reply);

	/* a profile that talks, in bytes that are no text, and sets traps */
	guest->profile = "echo welcome; echo motd >&2; alias rm='rm -i'; set -e";
	run(guest, "false; rm /nonexistent/x; echo $?$(umask)", &reply);
	assert_string_equal(reply.out, "10000\n");
	assert_non_null(strstr(reply.err, "No such file or directory"));
	assert_null(strstr(reply.err, "motd"));
	assert_int_equal(shtext_failure(&reply, EIO, NULL), -ENOENT);
	shtext_reply_free(&reply);
	fake_guest_free(guest);
}

static void test_frame(void **state)
{
	(void)state;
	frames(FAKE_COREUTILS);
}

static void test_frame_busybox(void **state)
{
	(void)state;
	frames(FAKE_BUSYBOX);
}

/* Every byte but NUL goes through the shell and comes back. */
static void any_bytes(enum fake_tools tools)
{
	struct guest *guest = fake_guest_new(tools);
	struct call call = call_within(30, NULL);
	struct buf script = BUF_INIT(LIMIT_EXEC_COMMAND);
	struct shtext_reply reply;
	char bytes[512];

	if (!guest) {
		skip();
		return;
	}
	for (size_t i = 0; i < 510; i++)
		bytes[i] = (char)(i / 2 + 1); /* also pairs, for shells that escape inside */
	shtext_assign(&script, "v", bytes, 510);
	buf_adds(&script, "printf '%s' \"$v\"; printf '%s' \"$v\" >&2\n");
	assert_int_equal(shtext_run(guest, &call, TRAFFIC_EXEC, &script, &reply, NULL), 0);
	assert_int_equal(reply.out_len, 510);
	assert_memory_equal(reply.out, bytes, 510);
	assert_memory_equal(reply.err, bytes, 510);
	shtext_reply_free(&reply);
	buf_free(&script);
	fake_guest_free(guest);
}

static void test_any_bytes(void **state)
{
	(void)state;
	any_bytes(FAKE_COREUTILS);
}

static void test_any_bytes_busybox(void **state)
{
	(void)state;
	any_bytes(FAKE_BUSYBOX);
}

static void test_failures(void **state)
{
	struct guest *guest = fake_guest_new(FAKE_COREUTILS);
	struct call call = call_within(30, NULL);
	struct buf script = BUF_INIT(LIMIT_EXEC_COMMAND);
	struct shtext_reply reply;
	struct error err = { 0 };

	(void)state;
	assert_non_null(guest);
	buf_adds(&script, "true");
	guest->profile = "PATH=/nonexistent";
	assert_int_equal(shtext_run(guest, &call, TRAFFIC_EXEC, &script, &reply, &err),
			 -EOPNOTSUPP);
	assert_non_null(strstr(err.text, "base64"));
	guest->profile = "echo nope; exit 3";
	assert_int_equal(shtext_run(guest, &call, TRAFFIC_EXEC, &script, &reply, &err), -EPROTO);
	guest->profile = "printf '\\377'";
	assert_int_equal(shtext_run(guest, &call, TRAFFIC_EXEC, &script, &reply, &err), -EIO);
	assert_non_null(strstr(err.text, "codec"));
	while (!script.overflow)
		buf_adds(&script, ": padding padding padding padding padding padding\n");
	assert_int_equal(shtext_run(guest, &call, TRAFFIC_EXEC, &script, &reply, &err), -E2BIG);
	buf_free(&script);
	fake_guest_free(guest);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_quote),     cmocka_unit_test(test_quote_full),
		cmocka_unit_test(test_base64),    cmocka_unit_test(test_base64_full),
		cmocka_unit_test(test_frame),     cmocka_unit_test(test_frame_busybox),
		cmocka_unit_test(test_any_bytes), cmocka_unit_test(test_any_bytes_busybox),
		cmocka_unit_test(test_failures),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
