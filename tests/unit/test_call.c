/*
 * test_call.c - deadlines pass, cancel tokens end waits, no signal is lost.
 */
#include <errno.h>
#include <limits.h>
#include <math.h>
#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "protocol/call.h"

#define LONG 60.0 /* seconds: a test that waits so long has failed */

static void test_deadlines(void **state)
{
	int64_t now = call_now();
	struct call call = call_within(10, NULL);

	(void)state;
	assert_true(call.deadline >= now + INT64_C(10000000000));
	assert_true(call.deadline < now + INT64_C(15000000000));
	assert_true(call_remaining_ms(&call) > 9000);
	assert_true(call_remaining_ms(&call) <= 10000);
	call = call_extend(&call, 100);
	assert_true(call_remaining_ms(&call) > 90000);
}

static void test_deadlines_that_are_odd(void **state)
{
	struct call call = call_within(-3, NULL);

	(void)state;
	assert_int_equal(call_remaining_ms(&call), 0);
	call = call_within(NAN, NULL);
	assert_int_equal(call_remaining_ms(&call), 0);
	call = call_within(INFINITY, NULL);
	assert_int_equal(call_remaining_ms(&call), INT_MAX);
	call.deadline = call_now() + 1; /* rounded up: poll must not return before it */
	assert_true(call_remaining_ms(&call) <= 1);
}

static int woken;

static void count_wake(void *arg)
{
	(void)arg;
	woken++;
}

static void test_token_fires_once(void **state)
{
	struct cancel cancel;

	(void)state;
	woken = 0;
	cancel_init(&cancel);
	assert_false(cancel_fired(&cancel));
	assert_true(cancel_set_wake(&cancel, count_wake, NULL));
	cancel_fire(&cancel);
	cancel_fire(&cancel);
	assert_int_equal(woken, 1);
	assert_true(cancel_fired(&cancel));
	cancel_unset_wake(&cancel);
	assert_false(cancel_set_wake(&cancel, count_wake, NULL));
	cancel_fire(&cancel);
	assert_int_equal(woken, 1);
	cancel_destroy(&cancel);
}

static void test_no_token(void **state)
{
	(void)state;
	assert_false(cancel_fired(NULL));
	assert_true(cancel_set_wake(NULL, count_wake, NULL));
	cancel_unset_wake(NULL);
}

static void test_signals_are_not_counted(void **state)
{
	struct call brief = call_within(0.01, NULL), patient = call_within(LONG, NULL);
	struct call_event event;

	(void)state;
	call_event_init(&event);
	for (int i = 0; i < 5; i++)
		call_event_signal(&event);
	assert_int_equal(call_event_wait(&event, &patient), 0);
	assert_int_equal(call_event_wait(&event, &brief), -ETIMEDOUT);
	assert_true(call_now() >= brief.deadline);
	call_event_destroy(&event);
}

static void test_wait_with_a_fired_token(void **state)
{
	struct cancel cancel;
	struct call call = call_within(LONG, &cancel);
	struct call_event event;

	(void)state;
	cancel_init(&cancel);
	cancel_fire(&cancel);
	call_event_init(&event);
	assert_int_equal(call_event_wait(&event, &call), -EINTR);
	assert_int_equal(call_sleep(&call, LONG), -EINTR);
	call_event_destroy(&event);
	cancel_destroy(&cancel);
}

struct waiting {
	struct call_event event;
	struct call call;
	int rc;
};

static void *wait_for_it(void *arg)
{
	struct waiting *waiting = arg;

	waiting->rc = call_event_wait(&waiting->event, &waiting->call);
	return NULL;
}

/* The thread may or may not wait already when the news come: both ways must end it. */
static void test_wait_ends(void **state)
{
	(void)state;
	for (int round = 0; round < 200; round++) {
		struct waiting waiting;
		struct cancel cancel;
		pthread_t thread;

		cancel_init(&cancel);
		waiting.call = call_within(LONG, &cancel);
		call_event_init(&waiting.event);
		assert_int_equal(pthread_create(&thread, NULL, wait_for_it, &waiting), 0);
		if (round % 2)
			cancel_fire(&cancel);
		else
			call_event_signal(&waiting.event);
		pthread_join(thread, NULL);
		assert_int_equal(waiting.rc, round % 2 ? -EINTR : 0);
		assert_null(cancel.wake);
		call_event_destroy(&waiting.event);
		cancel_destroy(&cancel);
	}
}

static void test_sleep(void **state)
{
	struct call patient = call_within(LONG, NULL), brief = call_within(0.01, NULL);
	int64_t start = call_now();

	(void)state;
	assert_int_equal(call_sleep(&patient, 0.02), 0);
	assert_true(call_now() - start >= 20000000);
	assert_int_equal(call_sleep(&brief, LONG), -ETIMEDOUT);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_deadlines),
		cmocka_unit_test(test_deadlines_that_are_odd),
		cmocka_unit_test(test_token_fires_once),
		cmocka_unit_test(test_no_token),
		cmocka_unit_test(test_signals_are_not_counted),
		cmocka_unit_test(test_wait_with_a_fired_token),
		cmocka_unit_test(test_wait_ends),
		cmocka_unit_test(test_sleep),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
