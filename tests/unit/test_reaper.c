/*
 * test_reaper.c - whoever gives up leaves nothing half done: what the peer sees is a client that
 * sends everything and takes everything, and the guest's health follows what came of it.
 */
#include <errno.h>
#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "guest_fixture.h"
#include "protocol/line/exchange_io.h"
#include "protocol/line/line.h"
#include "protocol/reaper.h"

#define REQUEST "{\"command\": \"echo ok\", \"timeout_seconds\": 30}\n"

static const struct peer_step slow[] = { P_LINE, P_PAUSE, P_SAY(ANSWER), P_CLOSE };
static const struct peer_step good[] = { P_LINE, P_SAY(ANSWER), P_CLOSE };

struct job {
	pthread_t thread;
	struct guest *guest;
	struct cancel cancel;
	int rc;
	struct error err;
};

static void *work(void *arg)
{
	struct job *job = arg;

	job->rc = run_cancellable(job->guest, LONG, &job->cancel, &job->err);
	return NULL;
}

static void start(struct job *job, struct guest *guest)
{
	job->guest = guest;
	cancel_init(&job->cancel);
	assert_int_equal(pthread_create(&job->thread, NULL, work, job), 0);
}

static void join(struct job *job)
{
	pthread_join(job->thread, NULL);
	cancel_destroy(&job->cancel);
}

static void test_deadline(void **state)
{
	const struct peer_step *scripts[] = { slow, good };
	struct peer *peer = peer_start(scripts, 2, false);
	struct guest *guest = make_guest("unix:", peer_path(peer), LONG);
	struct error err = { 0 };

	(void)state;
	assert_int_equal(run(guest, 0.05, &err), -ETIMEDOUT);
	expect_text(&err, "did not answer within 0.05 s");
	assert_int_equal(status_of(guest).abandoned, 1);
	peer_wait_paused(peer);
	/* a short deadline says nothing about the guest, and the place at the gate is taken */
	assert_int_equal(status_of(guest).state, GUEST_NEW);
	assert_int_equal(run(guest, 0.05, &err), -ETIMEDOUT);
	expect_text(&err, "busy with earlier requests");
	assert_int_equal(peer_accepted(peer), 1);

	peer_go(peer);
	assert_false(peer_left_early(peer, 0));
	wait_state(guest, GUEST_UP);
	assert_int_equal(run(guest, LONG, NULL), 0);
	assert_int_equal(status_of(guest).abandoned, 0);
	assert_string_equal(peer_received(peer, 0), REQUEST);
	guest_unref(guest);
	peer_stop(peer);
}

static void test_cancel(void **state)
{
	const struct peer_step *scripts[] = { slow };
	struct peer *peer = peer_start(scripts, 1, false);
	struct guest *guest = make_guest("unix:", peer_path(peer), LONG);
	struct job job;

	(void)state;
	start(&job, guest);
	peer_wait_paused(peer);
	cancel_fire(&job.cancel);
	join(&job);
	assert_int_equal(job.rc, -EINTR);
	assert_int_equal(status_of(guest).abandoned, 1);
	peer_go(peer);
	assert_false(peer_left_early(peer, 0));
	wait_abandoned(guest, 0);
	assert_int_equal(status_of(guest).state, GUEST_UP);
	guest_unref(guest);
	peer_stop(peer);
}

/* A cancel may come at any moment: before, while and after it is of use. */
static void test_cancel_at_any_moment(void **state)
{
	const struct peer_step *scripts[] = { good };
	struct peer *peer = peer_start(scripts, 1, true);
	struct guest *guest = make_guest("unix:", peer_path(peer), LONG);
	int accepted;

	(void)state;
	for (int round = 0; round < 300; round++) {
		struct call call = call_within(LONG, NULL);
		struct job job;

		start(&job, guest);
		if (round % 3)
			call_sleep(&call, (round % 30) * 1e-5);
		cancel_fire(&job.cancel);
		join(&job);
		assert_true(job.rc == 0 || job.rc == -EINTR);
	}
	wait_abandoned(guest, 0);
	assert_int_equal(run(guest, LONG, NULL), 0); /* no place at the gate was lost */
	accepted = peer_accepted(peer);
	for (int i = 0; i < accepted && i < PEER_MAX_CONNECTIONS; i++)
		assert_false(peer_left_early(peer, i));
	guest_unref(guest);
	peer_stop(peer);
}

static ssize_t read_bytes(void *arg, void *bytes, size_t len)
{
	(void)arg;
	memset(bytes, 'p', len);
	return (ssize_t)len;
}

static void count_destroyed(void *arg)
{
	__atomic_add_fetch((int *)arg, 1, __ATOMIC_SEQ_CST);
}

/* The rest of the payload is sent, although nobody waits for the end. */
static void test_payload_is_sent_to_its_end(void **state)
{
	static const struct peer_step script[] = { P_LINE, P_PAUSE, P_BYTES(8000000), P_SAY(ANSWER),
						   P_CLOSE };
	const struct peer_step *scripts[] = { script };
	struct peer *peer = peer_start(scripts, 1, false);
	struct guest *guest = make_guest("unix:", peer_path(peer), LONG);
	struct exchange_request request = make_request("echo ok", false);
	struct call call = call_within(0.1, NULL);
	json_t *reply = NULL;
	int destroyed = 0;

	(void)state;
	request.payload = (struct line_payload){
		.size = 8000000,
		.arg = &destroyed,
		.read = read_bytes,
		.destroy = count_destroyed,
	};
	assert_int_equal(exchange_run(guest, &call, &request, &reply, NULL), -ETIMEDOUT);
	assert_int_equal(__atomic_load_n(&destroyed, __ATOMIC_SEQ_CST), 0);
	peer_wait_paused(peer);
	peer_go(peer);
	assert_false(peer_left_early(peer, 0));
	assert_int_equal(peer_received_len(peer, 0), strlen(REQUEST) + 8000000);
	wait_abandoned(guest, 0);
	assert_int_equal(__atomic_load_n(&destroyed, __ATOMIC_SEQ_CST), 1);
	guest_unref(guest);
	peer_stop(peer);
}

/* No connection stays silent: what was not sent is replaced by something harmless. */
static void test_cancel_within_the_handshake(void **state)
{
	static const struct peer_step script[] = { P_LINE, P_PAUSE,       P_SAY("OK 7\n"),
						   P_LINE, P_SAY(ANSWER), P_CLOSE };
	const struct peer_step *scripts[] = { script };
	struct peer *peer = peer_start(scripts, 1, false);
	struct guest *guest = make_guest("firecracker:", peer_path(peer), LONG);
	struct job job;

	(void)state;
	start(&job, guest);
	peer_wait_paused(peer);
	cancel_fire(&job.cancel);
	join(&job);
	assert_int_equal(job.rc, -EINTR);
	peer_go(peer);
	assert_false(peer_left_early(peer, 0));
	assert_string_equal(peer_received(peer, 0), "CONNECT 5005\n" EXCHANGE_NOTHING);
	wait_abandoned(guest, 0);
	assert_int_equal(status_of(guest).state, GUEST_UP);
	guest_unref(guest);
	peer_stop(peer);
}

/* Silence for `timeout` makes it gone, at once for everybody; a late answer brings it back. */
static void test_silence_and_a_late_answer(void **state)
{
	const struct peer_step *scripts[] = { good, slow, good };
	struct peer *peer = peer_start(scripts, 3, true);
	struct guest *guest = make_guest("unix:", peer_path(peer), 0.3);
	struct error err = { 0 };
	int64_t start_of_wait;
	struct job waiter;

	(void)state;
	assert_int_equal(run(guest, LONG, NULL), 0);
	assert_int_equal(run(guest, 0.05, NULL), -ETIMEDOUT);
	assert_int_equal(status_of(guest).state, GUEST_UP);
	start(&waiter, guest); /* stands at the gate when the guest falls */
	wait_state(guest, GUEST_GONE);
	join(&waiter);
	assert_int_equal(waiter.rc, -ENOTCONN);

	start_of_wait = call_now();
	assert_int_equal(run(guest, LONG, &err), -ENOTCONN);
	expect_text(&err, "gone");
	expect_text(&err, "has not answered");
	assert_true(call_now() - start_of_wait < INT64_C(5000000000));

	peer_wait_paused(peer);
	peer_go(peer);
	wait_state(guest, GUEST_UP);
	assert_int_equal(run(guest, LONG, NULL), 0);
	assert_false(peer_left_early(peer, 1));
	guest_unref(guest);
	peer_stop(peer);
}

/* The place at the gate comes back when the peer dies without an answer. */
static void test_peer_that_dies(void **state)
{
	static const struct peer_step dies[] = { P_LINE, P_PAUSE, P_CLOSE };
	const struct peer_step *scripts[] = { dies, good };
	struct peer *peer = peer_start(scripts, 2, true);
	struct guest *guest = make_guest("unix:", peer_path(peer), LONG);

	(void)state;
	assert_int_equal(run(guest, 0.05, NULL), -ETIMEDOUT);
	peer_wait_paused(peer);
	peer_go(peer);
	wait_abandoned(guest, 0);
	assert_int_equal(status_of(guest).state, GUEST_NEW); /* that was no answer */
	assert_int_equal(run(guest, LONG, NULL), 0);
	guest_unref(guest);
	peer_stop(peer);
}

/* A reply that has no end: the connection is closed in the end, and the place given back. */
static void test_stuck(void **state)
{
	const struct peer_step *scripts[] = { slow, good };
	struct peer *peer = peer_start(scripts, 2, true);
	struct guest *guest = make_guest("unix:", peer_path(peer), LONG);
	struct exchange_request request = make_request("echo ok", false);
	struct call call = call_within(LONG, NULL);
	struct error err = { 0 };
	struct exchange *x;

	(void)state;
	assert_int_equal(exchange_new(guest, &request, &x, NULL), 0);
	assert_int_equal(gate_enter(&guest->gate, &call, NULL), 0);
	assert_int_equal(exchange_dial(x, NULL), 0);
	assert_int_equal(exchange_step(x, NULL), 0); /* sends the request */
	exchange_abandon(x);
	guest_hold(guest);
	x->patience = INT64_C(60000000000);
	x->reap_until = call_now() + INT64_C(50000000);
	peer_wait_paused(peer);
	reaper_take(x);
	wait_state(guest, GUEST_STUCK);
	wait_abandoned(guest, 0);
	assert_int_equal(run(guest, LONG, &err), -ENOTCONN);
	expect_text(&err, "the guest is stuck: ");
	expect_text(&err, "restart its agent");
	peer_go(peer);
	assert_true(peer_left_early(peer, 0)); /* the one case in which we do */
	wait_state(guest, GUEST_UP);           /* the refused request has started a probe */
	guest_unref(guest);
	peer_stop(peer);
}

#define SESSION "{\"ok\": true, \"dialect\": \"session/1\"}\n"
#define TWICE(text) text text
#define LONG_LINE TWICE(TWICE(TWICE(TWICE("0123456789 which goes on, and on"))))

/* An answer that begins a session has no end: who does not want it any more closes it. */
static void test_hello(void **state)
{
	static const struct peer_step session[] = { P_LINE, P_PAUSE, P_SAY(SESSION), P_LINE,
						    P_CLOSE };
	static const struct peer_step parts[] = { P_LINE,  P_SAY("{\"ok\": true, "),
						  P_PAUSE, P_SAY("\"dialect\": \"session/1\"}\n"),
						  P_LINE,  P_CLOSE };
	static const struct peer_step line[] = { P_LINE, P_PAUSE, P_SAY(ANSWER "\n" LONG_LINE),
						 P_CLOSE };
	static const struct peer_step endless[] = { P_LINE, P_PAUSE, P_SAY("{"), P_FLOOD(1000000),
						    P_CLOSE };
	const struct peer_step *scripts[] = { session, parts, line, endless, good };
	struct peer *peer = peer_start(scripts, 5, false);
	struct guest *guest = make_guest("unix:", peer_path(peer), LONG);
	json_t *reply = NULL;
	int fd;

	(void)state;
	for (int i = 0; i < 4; i++) {
		struct exchange_request request = make_request("hello", true);
		struct call call = call_within(0.1, NULL);

		assert_int_equal(
			exchange_run_hello(guest, &call, &request, NULL, false, &fd, &reply, NULL),
			-ETIMEDOUT);
		peer_wait_paused(peer);
		peer_go(peer);
		assert_int_equal(peer_left_early(peer, i), i < 2);
		wait_abandoned(guest, 0);
		assert_int_equal(status_of(guest).state, GUEST_UP);
	}
	assert_int_equal(run(guest, LONG, NULL), 0);
	guest_unref(guest);
	peer_stop(peer);
}

#define GUESTS 40

/* Many at once, on one thread. */
static void test_many(void **state)
{
	const struct peer_step *scripts[] = { slow };
	struct peer *peers[GUESTS];
	struct guest *guests[GUESTS];

	(void)state;
	for (int i = 0; i < GUESTS; i++) {
		peers[i] = peer_start(scripts, 1, false);
		guests[i] = make_guest("unix:", peer_path(peers[i]), LONG);
		assert_int_equal(run(guests[i], 0.02, NULL), -ETIMEDOUT);
	}
	for (int i = 0; i < GUESTS; i++) {
		peer_wait_paused(peers[i]);
		peer_go(peers[i]);
	}
	for (int i = 0; i < GUESTS; i++) {
		assert_false(peer_left_early(peers[i], 0));
		wait_abandoned(guests[i], 0);
		guest_unref(guests[i]);
		peer_stop(peers[i]);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_deadline),
		cmocka_unit_test(test_cancel),
		cmocka_unit_test(test_cancel_at_any_moment),
		cmocka_unit_test(test_payload_is_sent_to_its_end),
		cmocka_unit_test(test_cancel_within_the_handshake),
		cmocka_unit_test(test_silence_and_a_late_answer),
		cmocka_unit_test(test_peer_that_dies),
		cmocka_unit_test(test_stuck),
		cmocka_unit_test(test_hello),
		cmocka_unit_test(test_many),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
