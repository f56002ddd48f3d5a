/*
 * test_export.c - an export is its header and then exactly the bytes it promised; whatever
 * a header says is checked before it is believed.
 */
#include <errno.h>
#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "guest_fixture.h"
#include "protocol/buf.h"

#define HEAD                                                                                       \
	"{\"workspace_path\": \"/workspace/n\", \"artifact_type\": \"file\", \"archive_size\": "
#define TAIL ", \"entry_count\": 1, \"bytes_written\": 6}"
#define ROOM 1000000 /* the caller's max_size */

struct sink {
	struct buf bytes;
	int calls;
	int rc; /* what it answers */
};

static int take(void *arg, const void *bytes, size_t len)
{
	struct sink *sink = arg;

	assert_true(len > 0);
	buf_add(&sink->bytes, bytes, len);
	sink->calls++;
	return sink->rc;
}

static int export(struct guest *guest, double seconds, struct sink *sink, struct error *err)
{
	struct exchange_request request = make_request("export", true);
	struct call call = call_within(seconds, NULL);
	json_t *header = NULL;
	int rc;

	buf_init(&sink->bytes, (size_t)2 * ROOM);
	rc = exchange_run_export(guest, &call, &request, ROOM, take, sink, &header, err);
	assert_int_equal(rc == 0, header != NULL);
	json_decref(header);
	return rc;
}

/* One export from a peer that plays SCRIPT; it must have been read to its end. */
static int one(const struct peer_step *script, struct sink *sink, struct error *err)
{
	const struct peer_step *scripts[] = { script };
	struct peer *peer = peer_start(scripts, 1, false);
	struct guest *guest = make_guest("unix:", peer_path(peer), LONG);
	int rc = export(guest, LONG, sink, err);

	assert_false(peer_left_early(peer, 0));
	wait_abandoned(guest, 0);
	assert_int_not_equal(status_of(guest).state, GUEST_GONE);
	guest_unref(guest);
	peer_stop(peer);
	return rc;
}

static void test_exact_bytes(void **state)
{
	static const struct peer_step together[] = { P_LINE, P_SAY(HEAD "6" TAIL "\nhello\n"),
						     P_CLOSE };
	static const struct peer_step dribbled[] = { P_LINE, P_DRIBBLE(HEAD "6" TAIL "\nhello\n"),
						     P_CLOSE };
	static const struct peer_step many[] = { P_LINE, P_SAY(HEAD "900000" TAIL "\n"),
						 P_FLOOD(900000), P_CLOSE };
	static const struct peer_step none[] = { P_LINE, P_SAY(HEAD "0" TAIL "\n"), P_CLOSE };
	static const struct peer_step missing[] = { P_LINE, P_SAY("{\"archive_size\": null}\n"),
						    P_CLOSE };
	struct sink sink = { 0 };

	(void)state;
	assert_int_equal(one(together, &sink, NULL), 0);
	assert_string_equal(buf_str(&sink.bytes), "hello\n");
	buf_free(&sink.bytes);
	assert_int_equal(one(dribbled, &sink, NULL), 0);
	assert_string_equal(buf_str(&sink.bytes), "hello\n");
	buf_free(&sink.bytes);
	assert_int_equal(one(many, &sink, NULL), 0);
	assert_int_equal(sink.bytes.len, 900000);
	buf_free(&sink.bytes);
	sink.calls = 0;
	assert_int_equal(one(none, &sink, NULL), 0);
	assert_int_equal(one(missing, &sink, NULL), 0);
	assert_int_equal(sink.calls, 0);
}

static void test_lies(void **state)
{
	static const struct {
		const char *reply;
		int code;
		const char *part;
	} cases[] = {
		{ HEAD "6" TAIL "\nhello\nx", EPROTO, "more than the 6" },
		{ HEAD "0" TAIL "\nx", EPROTO, "more than the 0" },
		{ HEAD "7" TAIL "\nhello\n", EPROTO, "1 bytes short of the 7" },
		{ HEAD "6" TAIL "\n", EPROTO, "6 bytes short" },
		{ HEAD "6" TAIL, EPROTO, "within its header" },
		{ HEAD "-1" TAIL "\n", EPROTO, "negative" },
		{ HEAD "6.0" TAIL "\nhello\n", EPROTO, "no whole number" },
		{ HEAD "\"6\"" TAIL "\nhello\n", EPROTO, "no whole number" },
		{ HEAD "[6]" TAIL "\nhello\n", EPROTO, "no whole number" },
		{ HEAD "1e3" TAIL "\n", EPROTO, "no whole number" },
		{ HEAD "1000001" TAIL "\nhello\n", EFBIG, "1000000" },
		{ HEAD "1099511627777" TAIL "\n", EPROTO, "1099511627776" },
		{ HEAD "99999999999999999999" TAIL "\n", EPROTO, "JSON object" },
		{ "\n", EPROTO, "JSON object" },
		{ "\nhello", EPROTO, "JSON object" },
		{ "[]\n", EPROTO, "JSON object" },
		{ "{\"archive_size\": 6\n", EPROTO, "JSON object" },
		{ "", EPROTO, "without an answer" },
		{ "{\"error\": \"path does not exist\"}", EREMOTEIO, "path does not exist" },
		{ "{\"error\": \"path does not exist\"}\n", EREMOTEIO, "path does not exist" },
		{ "{\"error\": \"odd\"}\nand more", EREMOTEIO, "odd" },
	};

	(void)state;
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		const struct peer_step script[] = { P_LINE, P_SAY(cases[i].reply), P_CLOSE };
		struct sink sink = { 0 };
		struct error err = { 0 };
		int rc = one(script, &sink, &err);

		if (rc != -cases[i].code || !strstr(err.text, cases[i].part))
			fail_msg("'%s' gave %d '%s'", cases[i].reply, rc, err.text);
		if (cases[i].code == EREMOTEIO)
			assert_string_equal(err.text, cases[i].part);
		buf_free(&sink.bytes);
	}
}

static void test_header_over_the_limit(void **state)
{
	static const struct peer_step script[] = { P_LINE, P_SAY("{\"x\": \""),
						   P_FLOOD(LIMIT_EXPORT_HEADER), P_SAY("\"}\n"),
						   P_CLOSE };
	struct sink sink = { 0 };
	struct error err = { 0 };

	(void)state;
	assert_int_equal(one(script, &sink, &err), -EPROTO);
	expect_text(&err, "65536");
	assert_int_equal(sink.calls, 0);
}

/* The caller has its error at once; the agent still gets rid of everything. */
static void test_sink_that_refuses(void **state)
{
	static const struct peer_step script[] = { P_LINE,          P_SAY(HEAD "900000" TAIL "\n"),
						   P_FLOOD(450000), P_PAUSE,
						   P_FLOOD(450000), P_CLOSE };
	const struct peer_step *scripts[] = { script };
	struct peer *peer = peer_start(scripts, 1, false);
	struct guest *guest = make_guest("unix:", peer_path(peer), LONG);
	struct sink sink = { .rc = -ENOSPC };
	struct error err = { 0 };

	(void)state;
	assert_int_equal(export(guest, LONG, &sink, &err), -ENOSPC);
	assert_int_equal(sink.calls, 1);
	peer_wait_paused(peer);
	assert_int_equal(status_of(guest).abandoned, 1);
	peer_go(peer);
	assert_false(peer_left_early(peer, 0));
	wait_abandoned(guest, 0);
	assert_int_equal(sink.calls, 1);
	buf_free(&sink.bytes);
	guest_unref(guest);
	peer_stop(peer);
}

static void *go_slowly(void *arg)
{
	struct call call = call_within(LONG, NULL);

	for (int i = 0; i < 4; i++) {
		peer_wait_paused(arg);
		call_sleep(&call, 0.4);
		peer_go(arg);
	}
	return NULL;
}

/* 1.6 s altogether, never more than 0.4 s of silence: a deadline of 1 s is kept. */
static void test_deadline_limits_silence(void **state)
{
	static const struct peer_step script[] = {
		P_LINE,     P_PAUSE,    P_SAY(HEAD "3" TAIL "\n"),
		P_PAUSE,    P_SAY("a"), P_PAUSE,
		P_SAY("b"), P_PAUSE,    P_SAY("c"),
		P_CLOSE
	};
	const struct peer_step *scripts[] = { script };
	struct peer *peer = peer_start(scripts, 1, false);
	struct guest *guest = make_guest("unix:", peer_path(peer), LONG);
	struct sink sink = { 0 };
	pthread_t thread;

	(void)state;
	assert_int_equal(pthread_create(&thread, NULL, go_slowly, peer), 0);
	assert_int_equal(export(guest, 1, &sink, NULL), 0);
	assert_string_equal(buf_str(&sink.bytes), "abc");
	pthread_join(thread, NULL);
	buf_free(&sink.bytes);
	guest_unref(guest);
	peer_stop(peer);
}

static void test_silence_within_an_export(void **state)
{
	static const struct peer_step script[] = { P_LINE, P_SAY(HEAD "3" TAIL "\na"), P_PAUSE,
						   P_SAY("bc"), P_CLOSE };
	const struct peer_step *scripts[] = { script };
	struct peer *peer = peer_start(scripts, 1, false);
	struct guest *guest = make_guest("unix:", peer_path(peer), LONG);
	struct sink sink = { 0 };

	(void)state;
	assert_int_equal(export(guest, 0.1, &sink, NULL), -ETIMEDOUT);
	assert_string_equal(buf_str(&sink.bytes), "a");
	peer_wait_paused(peer);
	peer_go(peer);
	assert_false(peer_left_early(peer, 0));
	wait_abandoned(guest, 0);
	assert_string_equal(buf_str(&sink.bytes), "a"); /* nobody writes to it any more */
	buf_free(&sink.bytes);
	guest_unref(guest);
	peer_stop(peer);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_exact_bytes),
		cmocka_unit_test(test_lies),
		cmocka_unit_test(test_header_over_the_limit),
		cmocka_unit_test(test_sink_that_refuses),
		cmocka_unit_test(test_deadline_limits_silence),
		cmocka_unit_test(test_silence_within_an_export),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
