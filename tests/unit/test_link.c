/*
 * test_link.c - which dialect a guest speaks, and sessions with scripted agents.
 */
#include <errno.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "tests/unit/cmocka_all.h"

#include "guest_fixture.h"
#include "protocol/session/link.h"

#define SESSION                                                                                    \
	"{\"dialect\": \"session/1\", \"agent\": \"test\", \"version\": \"7\", \"build\": "        \
	"\"b0\"}\n"

/* A call's frame without arguments: the header and the deadline. */
#define P_CALL P_BYTES(16)

/* A call of OP without arguments, to a scripted agent. */
static int ask(struct guest *guest, enum session_op op, struct error *err)
{
	struct call call = call_within(LONG, NULL);

	return link_call(guest_link(guest), &call, op, NULL, NULL, NULL, err);
}

static int hello(struct guest *guest, struct error *err)
{
	struct call call = call_within(LONG, NULL);

	return guest_hello(guest, &call, err);
}

static struct link_info info_of(struct guest *guest)
{
	struct link_info info;

	link_get_info(guest_link(guest), &info);
	return info;
}

/* What a line-dialect agent answers; needs the guest's token. */
static const char *line_answer(struct guest *guest, char *text, size_t size)
{
	snprintf(text, size, "{\"stdout\": \"\\nvsockfs-hello %s yes m68k lacks:\\n\"}",
		 guest_token(guest));
	return text;
}

static void test_line_dialect(void **state)
{
	static char answer[256];
	const struct peer_step script[] = { P_LINE, P_SAY(answer), P_CLOSE };
	const struct peer_step *scripts[] = { script };
	struct peer *peer = peer_start(scripts, 1, true);
	struct guest *guest = make_guest("unix:", peer_path(peer), LONG);
	struct call call = call_within(LONG, NULL);
	struct error err = { 0 };
	enum dialect dialect;
	struct mux *mux;
	const char *sent;

	(void)state;
	line_answer(guest, answer, sizeof(answer));
	assert_false(info_of(guest).decided);
	assert_int_equal(link_dialect(guest_link(guest), &call, &dialect, &err), 0);
	assert_int_equal(dialect, DIALECT_LINE);
	assert_true(info_of(guest).decided);
	assert_string_equal(status_of(guest).machine, "m68k");
	assert_int_equal(link_mux(guest_link(guest), &call, &mux, &err), -EOPNOTSUPP);
	assert_int_equal(ask(guest, OP_INFO, &err), -EOPNOTSUPP);
	expect_text(&err, "unix:");
	assert_int_equal(peer_accepted(peer), 1);
	sent = peer_received(peer, 0);
	assert_int_equal(strncmp(sent,
				 "{\"action\": \"hello\", \"dialects\": [\"session/1\"], "
				 "\"command\": \"",
				 59),
			 0);
	sent = strstr(sent, "\", \"timeout_seconds\": 10, \"client\": \"");
	assert_non_null(sent);
	assert_non_null(strstr(sent, "\", \"attempt\": 0}\n"));
	assert_false(peer_left_early(peer, 0));

	/* asked again, it is one request again */
	assert_int_equal(hello(guest, &err), 0);
	assert_int_equal(peer_accepted(peer), 2);
	guest_unref(guest);
	peer_stop(peer);
}

/* Answers that are neither: the command is then asked plainly. */
static void falls_back(const char *first, const char *why)
{
	static char answer[256];
	const struct peer_step strange[] = { P_LINE, P_SAY(first), P_CLOSE };
	const struct peer_step plain[] = { P_LINE, P_SAY(answer), P_CLOSE };
	const struct peer_step *scripts[] = { strange, plain };
	struct peer *peer = peer_start(scripts, 2, false);
	struct guest *guest = make_guest("unix:", peer_path(peer), LONG);
	struct error err = { 0 };
	struct link_info info;

	line_answer(guest, answer, sizeof(answer));
	if (hello(guest, &err))
		fail_msg("%s", err.text);
	info = info_of(guest);
	assert_int_equal(info.dialect, DIALECT_LINE);
	if (!strstr(info.why_line, why))
		fail_msg("'%s' does not have '%s'", info.why_line, why);
	assert_int_equal(strncmp(peer_received(peer, 1), "{\"command\": ", 12), 0);
	guest_unref(guest);
	peer_stop(peer);
}

static void test_fallback(void **state)
{
	(void)state;
	falls_back("{\"dialect\": \"session/9\"}\n", "session/9");
	falls_back("{\"dialect\": \"\\u001b[2J\"}\n", "dialect");
	falls_back("{\"error\": \"this agent speaks session/9 only\"}\n", "session/9 only");
	falls_back("{\"error\": \"unknown action\", \"dialect\": \"session/1\"}\n",
		   "unknown action");
}

static void fails(const struct peer_step *script, int rc)
{
	const struct peer_step *scripts[] = { script };
	struct peer *peer = peer_start(scripts, 1, true);
	struct guest *guest = make_guest("unix:", peer_path(peer), 2);
	struct error err = { 0 };

	assert_int_equal(hello(guest, &err), rc);
	assert_int_not_equal(err.text[0], '\0');
	guest_unref(guest);
	peer_stop(peer);
}

static void test_no_answer_at_all(void **state)
{
	static const struct peer_step eager[] = { P_LINE, P_SAY("{\"dialect\": \"session/1\"}\nx"),
						  P_CLOSE };
	static const struct peer_step number[] = { P_LINE, P_SAY("{\"dialect\": 1}\n"), P_CLOSE };
	static const struct peer_step nothing[] = { P_LINE, P_CLOSE };
	static const struct peer_step list[] = { P_LINE, P_SAY("[]\n"), P_CLOSE };

	(void)state;
	fails(eager, -EPROTO);
	fails(number, -EPROTO);
	fails(nothing, -EPROTO);
	fails(list, -EPROTO);
}

/* The session may come in pieces; what the agent calls itself is not shown as it stands. */
static void test_hello_in_pieces(void **state)
{
	static const struct peer_step script[] = {
		P_LINE,
		P_DRIBBLE("{\"dialect\": \"session/1\", \"agent\": \"a\\nb\", \"build\": 7, "
			  "\"machine\": \"riscv64\", \"more\": {}}\n"),
		P_PAUSE,
		P_CLOSE,
	};
	const struct peer_step *scripts[] = { script };
	struct peer *peer = peer_start(scripts, 1, false);
	struct guest *guest = make_guest("unix:", peer_path(peer), LONG);
	struct error err = { 0 };

	(void)state;
	assert_int_equal(hello(guest, &err), 0);
	assert_int_equal(info_of(guest).dialect, DIALECT_SESSION);
	assert_string_equal(info_of(guest).agent, "a");
	assert_string_equal(info_of(guest).build, "");
	assert_string_equal(status_of(guest).machine, "riscv64");
	peer_wait_paused(peer);
	peer_go(peer);
	guest_unref(guest);
	peer_stop(peer);
}

/* What changes nothing goes over one more session; of the rest nobody knows. */
static void test_repeating(void **state)
{
	static const struct peer_step script[] = { P_LINE, P_SAY(SESSION), P_CALL, P_CLOSE };
	const struct peer_step *scripts[] = { script };
	struct peer *peer = peer_start(scripts, 1, true);
	struct guest *guest = make_guest("unix:", peer_path(peer), LONG);
	struct error err = { 0 };

	(void)state;
	assert_int_equal(ask(guest, OP_STAT, &err), -EIO);
	expect_text(&err, "again");
	assert_int_equal(peer_accepted(peer), 2);
	assert_int_equal(ask(guest, OP_MKDIR, &err), -EIO);
	expect_text(&err, "not known");
	expect_text(&err, "mkdir");
	assert_int_equal(peer_accepted(peer), 3);
	assert_int_equal(ask(guest, OP_READ, &err), -EINVAL);
	assert_int_equal(peer_accepted(peer), 3);
	guest_unref(guest);
	peer_stop(peer);
}

/* What the hello of CONNECTION says behind KEY. */
static const char *told(struct peer *peer, int connection, const char *key)
{
	const char *at = strstr(peer_received(peer, connection), key);

	assert_non_null(at);
	return at + strlen(key);
}

/* An agent can tell who comes again, and which hello is the later one. */
static void test_client(void **state)
{
	static const struct peer_step script[] = { P_LINE, P_SAY(SESSION), P_CALL, P_CLOSE };
	const struct peer_step *scripts[] = { script };
	struct peer *peer = peer_start(scripts, 1, true);
	struct guest *guest = make_guest("unix:", peer_path(peer), LONG);
	struct guest *other = make_guest("unix:", peer_path(peer), LONG);
	struct error err = { 0 };

	(void)state;
	assert_int_equal(ask(guest, OP_STAT, &err), -EIO);
	assert_int_equal(ask(other, OP_MKDIR, &err), -EIO);
	peer_wait_served(peer, 3);
	assert_int_equal(strspn(told(peer, 0, "\"client\": \""), "0123456789abcdef"), 32);
	assert_memory_equal(told(peer, 0, "\"client\": \""), told(peer, 1, "\"client\": \""), 32);
	assert_memory_not_equal(told(peer, 0, "\"client\": \""), told(peer, 2, "\"client\": \""),
				32);
	assert_int_equal(atoi(told(peer, 0, "\"attempt\": ")), 0);
	assert_int_equal(atoi(told(peer, 1, "\"attempt\": ")), 1);
	assert_int_equal(atoi(told(peer, 2, "\"attempt\": ")), 0);
	guest_unref(guest);
	guest_unref(other);
	peer_stop(peer);
}

/* Which of the guest's lives a session is in shows in the agent's verifier, if it has one. */
static void test_epoch(void **state)
{
	static const char with[] = "{\"dialect\": \"session/1\", \"verifier\": \"boot-a\"}\n";
	static const char other[] = "{\"dialect\": \"session/1\", \"verifier\": \"boot-b.1\"}\n";
	static const struct peer_step a[] = { P_LINE, P_SAY(with), P_CALL, P_CLOSE };
	static const struct peer_step b[] = { P_LINE, P_SAY(other), P_CALL, P_CLOSE };
	static const struct peer_step none[] = { P_LINE, P_SAY(SESSION), P_CALL, P_CLOSE };
	const struct peer_step *scripts[] = { none, a, a, none, a, b, none, b, a };
	static const uint64_t epochs[] = { 1, 1, 1, 1, 1, 2, 2, 2, 3 };
	struct peer *peer = peer_start(scripts, 9, false);
	struct guest *guest = make_guest("unix:", peer_path(peer), LONG);
	struct error err = { 0 };

	(void)state;
	assert_int_equal(link_epoch(guest_link(guest)), 0);
	for (int i = 0; i < 9; i++) {
		assert_int_equal(ask(guest, OP_MKDIR, &err), -EIO);
		assert_int_equal(link_epoch(guest_link(guest)), epochs[i]);
	}
	assert_int_equal(peer_accepted(peer), 9);
	guest_unref(guest);
	peer_stop(peer);
}

#define BUSY "{\"error\": \"a write goes on\", \"busy\": true}\n"

/* An agent that is not done with the last session is asked again. */
static void test_busy(void **state)
{
	static const struct peer_step busy[] = { P_LINE, P_SAY(BUSY), P_CLOSE };
	static const struct peer_step script[] = { P_LINE, P_SAY(SESSION), P_PAUSE, P_CLOSE };
	const struct peer_step *scripts[] = { busy, busy, script };
	struct peer *peer = peer_start(scripts, 3, false);
	struct guest *guest = make_guest("unix:", peer_path(peer), LONG);
	struct error err = { 0 };

	(void)state;
	assert_int_equal(hello(guest, &err), 0);
	assert_int_equal(info_of(guest).dialect, DIALECT_SESSION);
	assert_int_equal(peer_accepted(peer), 3);
	assert_int_equal(atoi(told(peer, 1, "\"attempt\": ")), 1);
	peer_wait_paused(peer);
	peer_go(peer);
	guest_unref(guest);
	peer_stop(peer);
}

/* For as long as the caller waits; it is neither gone nor a line-dialect agent because of that. */
static void test_busy_for_long(void **state)
{
	static const struct peer_step busy[] = { P_LINE, P_SAY(BUSY), P_CLOSE };
	const struct peer_step *scripts[] = { busy };
	struct peer *peer = peer_start(scripts, 1, true);
	struct guest *guest = make_guest("unix:", peer_path(peer), 0.5);
	struct call call = call_within(LONG, NULL), brief = call_within(0.5, NULL);
	struct error err = { 0 };

	(void)state;
	assert_int_equal(link_call(guest_link(guest), &brief, OP_STAT, NULL, NULL, NULL, &err),
			 -ETIMEDOUT);
	/* the attempt's own end comes a moment later */
	while (link_call(guest_link(guest), &call, OP_STAT, NULL, NULL, NULL, &err) != -ETIMEDOUT ||
	       !strstr(err.text, "a write goes on"))
		assert_true(call_remaining_ms(&call));
	assert_int_equal(status_of(guest).state, GUEST_UP);
	assert_true(peer_accepted(peer) > 1);
	guest_unref(guest);
	peer_stop(peer);
}

/* Sessions that break at once do not keep a caller busy for ever. */
static void test_broken_at_once(void **state)
{
	static const struct peer_step script[] = { P_LINE, P_SAY(SESSION), P_CLOSE };
	const struct peer_step *scripts[] = { script };
	struct peer *peer = peer_start(scripts, 1, true);
	struct guest *guest = make_guest("unix:", peer_path(peer), LONG);
	struct error err = { 0 };

	(void)state;
	for (int i = 0; i < 3; i++)
		assert_int_equal(ask(guest, OP_MKDIR, &err), -EIO);
	assert_true(peer_accepted(peer) <= 9);
	guest_unref(guest);
	peer_stop(peer);
}

struct asker {
	pthread_t thread;
	struct guest *guest;
	struct mux *mux;
	int rc;
};

static void *ask_for_mux(void *arg)
{
	struct asker *asker = arg;
	struct call call = call_within(LONG, NULL);

	asker->rc = link_mux(guest_link(asker->guest), &call, &asker->mux, NULL);
	return NULL;
}

static void test_single_flight(void **state)
{
	static const struct peer_step script[] = { P_LINE, P_PAUSE, P_SAY(SESSION), P_BYTES(1000),
						   P_CLOSE };
	const struct peer_step *scripts[] = { script };
	struct peer *peer = peer_start(scripts, 1, true);
	struct guest *guest = make_guest("unix:", peer_path(peer), LONG);
	struct call moment = call_within(0.02, NULL);
	struct asker askers[8];
	struct error err = { 0 };
	struct mux *mux;

	(void)state;
	for (int i = 0; i < 8; i++) {
		askers[i] = (struct asker){ .guest = guest };
		pthread_create(&askers[i].thread, NULL, ask_for_mux, &askers[i]);
	}
	peer_wait_paused(peer);
	/* one who gives up changes nothing for the others */
	assert_int_equal(link_mux(guest_link(guest), &moment, &mux, &err), -ETIMEDOUT);
	peer_go(peer);
	for (int i = 0; i < 8; i++) {
		pthread_join(askers[i].thread, NULL);
		assert_int_equal(askers[i].rc, 0);
		assert_ptr_equal(askers[i].mux, askers[0].mux);
		mux_unref(askers[i].mux);
	}
	assert_int_equal(peer_accepted(peer), 1);
	guest_unref(guest);
	peer_stop(peer);
}

static void test_interrupted(void **state)
{
	static const struct peer_step script[] = { P_LINE, P_PAUSE, P_SAY(SESSION), P_CLOSE };
	const struct peer_step *scripts[] = { script };
	struct peer *peer = peer_start(scripts, 1, true);
	struct guest *guest = make_guest("unix:", peer_path(peer), LONG);
	struct cancel cancel;
	struct call call = call_within(LONG, &cancel);
	struct error err = { 0 };

	(void)state;
	cancel_init(&cancel);
	cancel_fire(&cancel);
	assert_int_equal(guest_hello(guest, &call, &err), -EINTR);
	peer_wait_paused(peer);
	peer_go(peer);
	guest_unref(guest); /* who makes the session is called back */
	cancel_destroy(&cancel);
	peer_stop(peer);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_line_dialect),     cmocka_unit_test(test_fallback),
		cmocka_unit_test(test_no_answer_at_all), cmocka_unit_test(test_hello_in_pieces),
		cmocka_unit_test(test_repeating),        cmocka_unit_test(test_broken_at_once),
		cmocka_unit_test(test_single_flight),    cmocka_unit_test(test_interrupted),
		cmocka_unit_test(test_client),           cmocka_unit_test(test_busy),
		cmocka_unit_test(test_busy_for_long),    cmocka_unit_test(test_epoch),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
