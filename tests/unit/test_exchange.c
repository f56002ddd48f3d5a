/*
 * test_exchange.c - one request, one reply: what is sent, what is taken, when it is repeated, and
 * that no peer is ever left before its reply was read.  When it is sent again:
 * test_exchange_retry.c; exports: test_export.c; what is left to the reaper: test_reaper.c.
 */
#include <errno.h>
#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "guest_fixture.h"
#include "protocol/line/line.h"

#define REQUEST "{\"command\": \"echo ok\", \"timeout_seconds\": 30}\n"

static const struct peer_step good[] = { P_LINE, P_SAY(ANSWER "\n"), P_CLOSE };

/* One guest on one script.  The result of one request that is no repeatable one. */
static int one(const struct peer_step *script, struct error *err)
{
	const struct peer_step *scripts[] = { script };
	struct peer *peer = peer_start(scripts, 1, false);
	struct guest *guest = make_guest("unix:", peer_path(peer), LONG);
	int rc = run(guest, LONG, err);

	peer_wait_served(peer, 1);
	assert_false(peer_left_early(peer, 0));
	assert_int_not_equal(status_of(guest).state, GUEST_GONE);
	guest_unref(guest);
	peer_stop(peer);
	return rc;
}

static void test_request_and_reply(void **state)
{
	const struct peer_step *scripts[] = { good };
	struct peer *peer = peer_start(scripts, 1, false);
	struct guest *guest = make_guest("unix:", peer_path(peer), 10);
	struct exchange_request request = make_request("echo ok", false);
	struct call call = guest_call(guest, NULL);
	struct guest_status status;
	json_t *reply = NULL;

	(void)state;
	assert_int_equal(exchange_run(guest, &call, &request, &reply, NULL), 0);
	assert_string_equal(json_string_value(json_object_get(reply, "stdout")), "ok\n");
	assert_int_equal(json_integer_value(json_object_get(reply, "duration_ms")), 7);
	json_decref(reply);
	assert_string_equal(peer_received(peer, 0), REQUEST); /* exactly, and nothing behind */
	assert_false(peer_left_early(peer, 0));

	status = status_of(guest);
	assert_int_equal(status.state, GUEST_UP);
	assert_int_equal(status.traffic.requests, 1);
	assert_int_equal(status.traffic.retries, 0);
	assert_int_equal(status.traffic.bytes_sent, strlen(REQUEST));
	assert_int_equal(status.traffic.bytes_received, strlen(ANSWER) + 1);
	assert_true(status.round_trip > 0);
	guest_unref(guest);
	peer_stop(peer);
}

static void test_reply_byte_by_byte(void **state)
{
	static const struct peer_step script[] = { P_LINE, P_DRIBBLE(ANSWER " \n\t "), P_CLOSE };

	(void)state;
	assert_int_equal(one(script, NULL), 0);
}

static void test_replies_that_are_none(void **state)
{
	static const struct {
		const char *reply, *part;
	} cases[] = {
		{ "[]", "JSON object" }, /* vector 7 */
		{ "\n\n []", "JSON object" },    { "null", "JSON object" },
		{ "garbage", "JSON object" },    { "   ", "JSON object" },
		{ "{", "JSON object" },          { "{\"stdout\": \"o", "JSON object" },
		{ "{} x", "JSON object" },       { "{}{}", "JSON object" },
		{ "\xff\xfe{}", "JSON object" }, { "", "without an answer" },
	};

	(void)state;
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		const struct peer_step script[] = { P_LINE, P_SAY(cases[i].reply), P_CLOSE };
		struct error err = { 0 };

		if (one(script, &err) != -EPROTO)
			fail_msg("'%s' was taken", cases[i].reply);
		assert_int_equal(err.code, EPROTO);
		expect_text(&err, cases[i].part);
	}
}

static void test_error_replies(void **state)
{
	static const struct {
		const char *reply, *text;
	} cases[] = {
		{ "{\"error\":\"shell is unavailable\"}", "shell is unavailable" }, /* vector 6 */
		{ "{\"error\": \"one \\u00e9\\udcff\", \"stdout\": \"x\"}\n", "one \xc3\xa9?" },
		{ "{\"error\": \"\"}", "the agent reported an error without a text" },
		{ "{\"error\": 17}", "17" },
		{ "{\"error\": {\"why\": []}}", "{\"why\":[]}" },
	};
	static const struct peer_step null[] = { P_LINE, P_SAY("{\"error\": null}"), P_CLOSE };

	(void)state;
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		const struct peer_step script[] = { P_LINE, P_SAY(cases[i].reply), P_CLOSE };
		struct error err = { 0 };

		assert_int_equal(one(script, &err), -EREMOTEIO);
		assert_string_equal(err.text, cases[i].text);
	}
	assert_int_equal(one(null, NULL), 0);
}

/* The caller is told at once, and the guest gets rid of every byte. */
static void test_reply_over_the_limit(void **state)
{
	static const struct peer_step script[] = { P_LINE,
						   P_SAY("{\"stdout\": \""),
						   P_FLOOD(LIMIT_REPLY_OBJECT + 5000000),
						   P_PAUSE,
						   P_SAY("\"}"),
						   P_CLOSE };
	const struct peer_step *scripts[] = { script };
	struct peer *peer = peer_start(scripts, 1, false);
	struct guest *guest = make_guest("unix:", peer_path(peer), LONG);
	struct error err = { 0 };

	(void)state;
	assert_int_equal(run(guest, LONG, &err), -EPROTO);
	expect_text(&err, "16777216");
	peer_wait_paused(peer);
	peer_go(peer);
	assert_false(peer_left_early(peer, 0));
	wait_abandoned(guest, 0);
	guest_unref(guest);
	peer_stop(peer);
}

static void test_line_over_the_limit(void **state)
{
	static char command[LIMIT_REQUEST_LINE + 1];
	const struct peer_step *scripts[] = { good };
	struct peer *peer = peer_start(scripts, 1, true);
	struct guest *guest = make_guest("unix:", peer_path(peer), LONG);
	size_t frame = strlen(REQUEST) - strlen("echo ok");
	struct exchange_request request;
	struct call call = call_within(LONG, NULL);
	struct error err = { 0 };
	json_t *reply = NULL;

	(void)state;
	memset(command, 'c', LIMIT_REQUEST_LINE - frame);
	request = make_request(command, false);
	assert_int_equal(exchange_run(guest, &call, &request, &reply, &err), 0);
	json_decref(reply);
	assert_int_equal(peer_received_len(peer, 0), LIMIT_REQUEST_LINE);
	command[LIMIT_REQUEST_LINE - frame] = 'c';
	request = make_request(command, false);
	assert_int_equal(exchange_run(guest, &call, &request, &reply, &err), -E2BIG);
	expect_text(&err, "102400");
	assert_int_equal(peer_accepted(peer), 1);
	guest_unref(guest);
	peer_stop(peer);
}

static void test_deadline_that_has_passed(void **state)
{
	const struct peer_step *scripts[] = { good };
	struct peer *peer = peer_start(scripts, 1, false);
	struct guest *guest = make_guest("unix:", peer_path(peer), LONG);
	struct cancel cancel;

	(void)state;
	assert_int_equal(run(guest, 0, NULL), -ETIMEDOUT);
	cancel_init(&cancel);
	cancel_fire(&cancel);
	assert_int_equal(run_cancellable(guest, LONG, &cancel, NULL), -EINTR);
	cancel_destroy(&cancel);
	/* no connection without a request was made: this one is the first */
	assert_int_equal(run(guest, LONG, NULL), 0);
	assert_string_equal(peer_received(peer, 0), REQUEST);
	guest_unref(guest);
	peer_stop(peer);
}

/* Payloads */

struct source {
	int64_t given;
	int64_t fail_at; /* 0: never */
	int destroyed;
};

static ssize_t read_source(void *arg, void *bytes, size_t len)
{
	struct source *source = arg;

	if (source->fail_at && source->given >= source->fail_at)
		return -ESTALE;
	if (len > 1000)
		len = 1000; /* short reads are allowed */
	memset(bytes, 'p', len);
	source->given += (int64_t)len;
	return (ssize_t)len;
}

static void destroy_source(void *arg)
{
	((struct source *)arg)->destroyed++;
}

static int upload(struct guest *guest, struct source *source, int64_t size, struct error *err)
{
	struct exchange_request request = make_request("take", true);
	struct call call = call_within(LONG, NULL);
	json_t *reply = NULL;
	int rc;

	request.payload = (struct line_payload){
		.size = size,
		.arg = source,
		.read = read_source,
		.destroy = destroy_source,
	};
	rc = exchange_run(guest, &call, &request, &reply, err);
	json_decref(reply);
	return rc;
}

#define TAKE "{\"command\": \"take\", \"timeout_seconds\": 30}\n"

static void test_payload(void **state)
{
	static const struct peer_step script[] = { P_LINE, P_BYTES(150001), P_PAUSE, P_SAY(ANSWER),
						   P_CLOSE };
	const struct peer_step *scripts[] = { script };
	struct peer *peer = peer_start(scripts, 1, false);
	struct guest *guest = make_guest("unix:", peer_path(peer), LONG);
	struct source source = { 0 };
	const char *got;

	(void)state;
	peer_go(peer);
	assert_int_equal(upload(guest, &source, 150001, NULL), 0);
	assert_int_equal(source.destroyed, 1);
	assert_int_equal(source.given, 150001);
	got = peer_received(peer, 0);
	assert_int_equal(peer_received_len(peer, 0), strlen(TAKE) + 150001);
	assert_memory_equal(got, TAKE, strlen(TAKE));
	assert_int_equal(strspn(got + strlen(TAKE), "p"), 150001);
	guest_unref(guest);
	peer_stop(peer);
}

/* The agent refuses and closes while we are still sending: SIGPIPE must not end us either. */
static void test_early_error_during_payload(void **state)
{
	static const struct peer_step script[] = { P_LINE, P_BYTES(10),
						   P_SAY("{\"error\": \"no room\"}"), P_RESET };
	const struct peer_step *scripts[] = { script };

	(void)state;
	for (int round = 0; round < 20; round++) {
		struct peer *peer = peer_start(scripts, 1, false);
		struct guest *guest = make_guest("unix:", peer_path(peer), LONG);
		struct source source = { 0 };
		struct error err = { 0 };

		assert_int_equal(upload(guest, &source, 32 << 20, &err), -EREMOTEIO);
		assert_string_equal(err.text, "no room");
		assert_int_equal(source.destroyed, 1);
		assert_true(source.given < 32 << 20);
		guest_unref(guest);
		peer_stop(peer);
	}
}

/* A success that came before all was sent cannot be about what was sent. */
static void test_early_success_during_payload(void **state)
{
	static const struct peer_step script[] = { P_LINE, P_BYTES(10), P_SAY(ANSWER), P_RESET };
	const struct peer_step *scripts[] = { script };
	struct peer *peer = peer_start(scripts, 1, false);
	struct guest *guest = make_guest("unix:", peer_path(peer), LONG);
	struct source source = { 0 };
	struct error err = { 0 };

	(void)state;
	assert_int_equal(upload(guest, &source, 32 << 20, &err), -EPROTO);
	expect_text(&err, "before it had taken the whole request");
	guest_unref(guest);
	peer_stop(peer);
}

/* The size was promised: zeros come for what cannot be read. */
static void test_payload_that_cannot_be_read(void **state)
{
	static const struct peer_step script[] = { P_LINE, P_BYTES(200000), P_SAY(ANSWER),
						   P_CLOSE };
	const struct peer_step *scripts[] = { script };
	struct peer *peer = peer_start(scripts, 1, false);
	struct guest *guest = make_guest("unix:", peer_path(peer), LONG);
	struct source source = { .fail_at = 3000 };
	struct error err = { 0 };
	const char *got;

	(void)state;
	assert_int_equal(upload(guest, &source, 200000, &err), -ESTALE);
	expect_text(&err, "cannot read");
	assert_false(peer_left_early(peer, 0));
	got = peer_received(peer, 0) + strlen(TAKE);
	assert_int_equal(strspn(got, "p"), 3000);
	for (size_t i = 3000; i < 200000; i++)
		assert_int_equal(got[i], 0);
	wait_abandoned(guest, 0);
	assert_int_equal(source.destroyed, 1);
	guest_unref(guest);
	peer_stop(peer);
}

static void test_payload_is_destroyed_where_nothing_is_sent(void **state)
{
	struct guest *guest = make_guest("unix:", "/tmp/there-is-no-such-socket", LONG);
	struct source source = { 0 };

	(void)state;
	assert_int_equal(upload(guest, &source, 5, NULL), -ENOTCONN);
	assert_int_equal(upload(guest, &source, -5, NULL), -EINVAL);
	assert_int_equal(upload(guest, &source, LIMIT_ARCHIVE_SIZE + 1, NULL), -EINVAL);
	assert_int_equal(source.destroyed, 3);
	assert_int_equal(source.given, 0);
	guest_unref(guest);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_request_and_reply),
		cmocka_unit_test(test_reply_byte_by_byte),
		cmocka_unit_test(test_replies_that_are_none),
		cmocka_unit_test(test_error_replies),
		cmocka_unit_test(test_reply_over_the_limit),
		cmocka_unit_test(test_line_over_the_limit),
		cmocka_unit_test(test_deadline_that_has_passed),
		cmocka_unit_test(test_payload),
		cmocka_unit_test(test_early_error_during_payload),
		cmocka_unit_test(test_early_success_during_payload),
		cmocka_unit_test(test_payload_that_cannot_be_read),
		cmocka_unit_test(test_payload_is_destroyed_where_nothing_is_sent),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
