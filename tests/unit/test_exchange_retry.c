/*
 * test_exchange_retry.c - what is tried again and what is not: refused connections of a guest
 * that has answered before, and requests that were not answered only where that is harmless.
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
static const struct peer_step silent_end[] = { P_LINE, P_CLOSE };

struct job {
	pthread_t thread;
	struct guest *guest;
	struct cancel *cancel;
	double seconds;
	int rc;
	struct error err;
};

static void *work(void *arg)
{
	struct job *job = arg;

	job->rc = run_cancellable(job->guest, job->seconds, job->cancel, &job->err);
	return NULL;
}

static void test_refusal_is_waited_out(void **state)
{
	const struct peer_step *scripts[] = { good };
	struct peer *before = peer_start(scripts, 1, false), *after;
	struct job job = { .guest = make_guest("unix:", peer_path(before), LONG), .seconds = LONG };

	(void)state;
	assert_int_equal(run(job.guest, LONG, NULL), 0);
	peer_wait_served(before, 1); /* that was its only script: it refuses now */
	assert_int_equal(pthread_create(&job.thread, NULL, work, &job), 0);
	wait_retries(job.guest, 3);
	after = peer_start_at(peer_path(before), scripts, 1, false);
	pthread_join(job.thread, NULL);
	assert_int_equal(job.rc, 0);
	assert_string_equal(peer_received(after, 0), REQUEST);
	assert_int_equal(status_of(job.guest).state, GUEST_UP);
	assert_int_equal(status_of(job.guest).traffic.requests, 2);
	guest_unref(job.guest);
	peer_stop(after);
	peer_stop(before);
}

static void test_refusal_up_to_the_deadline(void **state)
{
	const struct peer_step *scripts[] = { good };
	struct peer *peer = peer_start(scripts, 1, false);
	struct guest *guest = make_guest("unix:", peer_path(peer), LONG);
	struct error err = { 0 };

	(void)state;
	assert_int_equal(run(guest, LONG, NULL), 0);
	peer_wait_served(peer, 1);
	assert_int_equal(run(guest, 0.05, &err), -ENOTCONN);
	expect_text(&err, "nobody listens");
	assert_true(status_of(guest).traffic.retries >= 2);
	assert_int_equal(status_of(guest).state, GUEST_UP); /* LONG has not passed yet */
	guest_unref(guest);
	peer_stop(peer);
}

/* Whoever waits the guest's whole timeout in vain is the only one who pays it. */
static void test_refusal_for_the_whole_timeout(void **state)
{
	const struct peer_step *scripts[] = { good };
	struct peer *peer = peer_start(scripts, 1, false);
	struct guest *guest = make_guest("unix:", peer_path(peer), 0.5);
	struct error err = { 0 };

	(void)state;
	assert_int_equal(run(guest, LONG, NULL), 0);
	peer_wait_served(peer, 1);
	assert_int_equal(run(guest, 0.5, &err), -ENOTCONN);
	expect_text(&err, "nobody listens");
	assert_int_equal(status_of(guest).state, GUEST_GONE);
	guest_unref(guest);
	peer_stop(peer);
}

static void test_new_guest_is_not_waited_for(void **state)
{
	struct guest *guest = make_guest("unix:", "/tmp/there-is-no-such-socket", LONG);
	struct error err = { 0 };

	(void)state;
	assert_int_equal(run(guest, LONG, &err), -ENOTCONN);
	expect_text(&err, "is the agent running?");
	assert_int_equal(status_of(guest).traffic.retries, 0);
	assert_int_equal(status_of(guest).state, GUEST_GONE);
	guest_unref(guest);
}

/* The bridge closes without OK: nobody listens on the port just now. */
static void test_bridge_is_tried_again(void **state)
{
	static const struct peer_step accepts[] = { P_LINE, P_SAY("OK 1\n"), P_LINE, P_SAY(ANSWER),
						    P_CLOSE };
	static const struct peer_step refuses[] = { P_LINE, P_CLOSE };
	const struct peer_step *scripts[] = { accepts, refuses, refuses, accepts };
	struct peer *peer = peer_start(scripts, 4, false);
	struct guest *guest = make_guest("firecracker:", peer_path(peer), LONG);

	(void)state;
	assert_int_equal(run(guest, LONG, NULL), 0);
	assert_int_equal(run(guest, LONG, NULL), 0);
	assert_string_equal(peer_received(peer, 3), "CONNECT 5005\n" REQUEST);
	assert_int_equal(status_of(guest).traffic.retries, 2);
	assert_string_equal(status_of(guest).transport, "bridge");
	guest_unref(guest);
	peer_stop(peer);
}

/* The token still works on a second attempt, and between two. */
static void test_cancel_behind_a_retry(void **state)
{
	static const struct peer_step accepts[] = { P_LINE, P_SAY("OK 1\n"), P_LINE, P_SAY(ANSWER),
						    P_CLOSE };
	static const struct peer_step slow[] = { P_LINE,  P_SAY("OK 1\n"), P_LINE,
						 P_PAUSE, P_SAY(ANSWER),   P_CLOSE };
	static const struct peer_step refuses[] = { P_LINE, P_CLOSE };
	const struct peer_step *scripts[] = { accepts, refuses, slow, refuses };
	struct peer *peer = peer_start(scripts, 4, true);
	struct guest *guest = make_guest("firecracker:", peer_path(peer), LONG);
	struct cancel first, second;
	struct job job = { .guest = guest, .seconds = LONG, .cancel = &first };

	(void)state;
	cancel_init(&first);
	cancel_init(&second);
	assert_int_equal(run(guest, LONG, NULL), 0);
	assert_int_equal(pthread_create(&job.thread, NULL, work, &job), 0);
	peer_wait_paused(peer);
	cancel_fire(&first);
	pthread_join(job.thread, NULL);
	assert_int_equal(job.rc, -EINTR);
	peer_go(peer);
	wait_abandoned(guest, 0);

	job.cancel = &second;
	assert_int_equal(pthread_create(&job.thread, NULL, work, &job), 0);
	wait_retries(guest, 4);
	cancel_fire(&second);
	pthread_join(job.thread, NULL);
	assert_int_equal(job.rc, -EINTR);
	assert_int_equal(status_of(guest).state, GUEST_UP);
	cancel_destroy(&first);
	cancel_destroy(&second);
	guest_unref(guest);
	peer_stop(peer);
}

static void test_bridge_of_a_new_guest(void **state)
{
	const struct peer_step *scripts[] = { silent_end };
	struct peer *peer = peer_start(scripts, 1, true);
	struct guest *guest = make_guest("firecracker:", peer_path(peer), LONG);
	struct error err = { 0 };

	(void)state;
	assert_int_equal(run(guest, LONG, &err), -ENOTCONN);
	expect_text(&err, "port 5005");
	assert_int_equal(peer_accepted(peer), 1);
	guest_unref(guest);
	peer_stop(peer);
}

/* What the peer sees of one request when it closes without an answer every time but the first. */
static int requests_sent(bool repeatable)
{
	const struct peer_step *scripts[] = { good, silent_end };
	struct peer *peer = peer_start(scripts, 2, true);
	struct guest *guest = make_guest("unix:", peer_path(peer), LONG);
	struct exchange_request request = make_request("echo ok", repeatable);
	struct call call = call_within(LONG, NULL);
	struct error err = { 0 };
	json_t *reply = NULL;
	int accepted;

	assert_int_equal(run(guest, LONG, NULL), 0);
	assert_int_equal(exchange_run(guest, &call, &request, &reply, &err), -EPROTO);
	expect_text(&err, "closed the connection without an answer");
	accepted = peer_accepted(peer);
	guest_unref(guest);
	peer_stop(peer);
	return accepted - 1;
}

static void test_no_answer_is_repeated_only_where_allowed(void **state)
{
	(void)state;
	assert_int_equal(requests_sent(false), 1);
	assert_int_equal(requests_sent(true), 4); /* an agent that dies of it gets it no more */
}

static void test_no_answer_then_an_answer(void **state)
{
	const struct peer_step *scripts[] = { good, silent_end, good };
	struct peer *peer = peer_start(scripts, 3, false);
	struct guest *guest = make_guest("unix:", peer_path(peer), LONG);
	struct exchange_request request = make_request("again", true);
	struct call call = call_within(LONG, NULL);
	json_t *reply = NULL;

	(void)state;
	assert_int_equal(run(guest, LONG, NULL), 0);
	assert_int_equal(exchange_run(guest, &call, &request, &reply, NULL), 0);
	json_decref(reply);
	assert_string_equal(peer_received(peer, 1), peer_received(peer, 2));
	guest_unref(guest);
	peer_stop(peer);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_refusal_is_waited_out),
		cmocka_unit_test(test_refusal_up_to_the_deadline),
		cmocka_unit_test(test_refusal_for_the_whole_timeout),
		cmocka_unit_test(test_new_guest_is_not_waited_for),
		cmocka_unit_test(test_bridge_is_tried_again),
		cmocka_unit_test(test_cancel_behind_a_retry),
		cmocka_unit_test(test_bridge_of_a_new_guest),
		cmocka_unit_test(test_no_answer_is_repeated_only_where_allowed),
		cmocka_unit_test(test_no_answer_then_an_answer),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
