/*
 * test_gate.c - the gate lets in as many as it has places, in the order they came, and
 * loses no place, whoever gives up.
 */
#include <errno.h>
#include <pthread.h>
#include <sched.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "protocol/gate.h"

#define LONG 60.0
#define MANY 12

struct visitor {
	pthread_t thread;
	struct gate *gate;
	struct call call;
	struct cancel cancel;
	int *served; /* how many were let in before; changed by whoever holds the only place */
	int turn;    /* which of them this one was */
	int rc;
	struct error err;
};

static void *visit(void *arg)
{
	struct visitor *visitor = arg;

	visitor->rc = gate_enter(visitor->gate, &visitor->call, &visitor->err);
	if (visitor->rc == 0) {
		visitor->turn = (*visitor->served)++;
		gate_leave(visitor->gate);
	}
	return NULL;
}

static int waiting(struct gate *gate)
{
	struct gate_waiter *last;

	pthread_mutex_lock(&gate->lock);
	last = gate->last;
	pthread_mutex_unlock(&gate->lock);
	return last != NULL;
}

/* Starts a visitor and comes back when it stands in the queue. */
static void queue_up(struct visitor *visitor, struct gate *gate, int *served, double seconds)
{
	struct gate_waiter *before, *now;

	pthread_mutex_lock(&gate->lock);
	before = gate->last;
	pthread_mutex_unlock(&gate->lock);
	cancel_init(&visitor->cancel);
	visitor->gate = gate;
	visitor->served = served;
	visitor->call = call_within(seconds, &visitor->cancel);
	assert_int_equal(pthread_create(&visitor->thread, NULL, visit, visitor), 0);
	do {
		sched_yield();
		pthread_mutex_lock(&gate->lock);
		now = gate->last;
		pthread_mutex_unlock(&gate->lock);
	} while (now == before);
}

static void join(struct visitor *visitor)
{
	pthread_join(visitor->thread, NULL);
	cancel_destroy(&visitor->cancel);
}

static void take(struct gate *gate)
{
	struct call call = call_within(LONG, NULL);

	assert_int_equal(gate_enter(gate, &call, NULL), 0);
}

static void test_places(void **state)
{
	struct call brief = call_within(0, NULL);
	struct gate gate;
	struct error err;

	(void)state;
	gate_init(&gate, 2);
	take(&gate);
	take(&gate);
	assert_int_equal(gate_enter(&gate, &brief, &err), -ETIMEDOUT);
	assert_non_null(strstr(err.text, "busy"));
	gate_leave(&gate);
	take(&gate);
	gate_leave(&gate);
	gate_leave(&gate);
	assert_int_equal(gate.taken, 0);
	gate_destroy(&gate);
}

static void test_first_come_first_served(void **state)
{
	struct visitor visitors[MANY];
	struct gate gate;
	int served = 0;

	(void)state;
	gate_init(&gate, 1);
	take(&gate);
	for (int i = 0; i < MANY; i++)
		queue_up(&visitors[i], &gate, &served, LONG);
	gate_leave(&gate);
	for (int i = 0; i < MANY; i++) {
		join(&visitors[i]);
		assert_int_equal(visitors[i].rc, 0);
		assert_int_equal(visitors[i].turn, i);
	}
	assert_int_equal(gate.taken, 0);
	gate_destroy(&gate);
}

/* First, middle and last of the queue leave it; those behind move up. */
static void test_leaving_the_queue(void **state)
{
	struct visitor visitors[5];
	struct gate gate;
	int served = 0;

	(void)state;
	gate_init(&gate, 1);
	take(&gate);
	for (int i = 0; i < 5; i++)
		queue_up(&visitors[i], &gate, &served, i == 2 ? 0.02 : LONG);
	cancel_fire(&visitors[0].cancel);
	cancel_fire(&visitors[4].cancel);
	join(&visitors[0]);
	join(&visitors[2]);
	join(&visitors[4]);
	assert_int_equal(visitors[0].rc, -EINTR);
	assert_int_equal(visitors[2].rc, -ETIMEDOUT);
	assert_int_equal(visitors[4].rc, -EINTR);
	gate_leave(&gate);
	join(&visitors[1]);
	join(&visitors[3]);
	assert_int_equal(visitors[1].turn, 0);
	assert_int_equal(visitors[3].turn, 1);
	assert_int_equal(gate.taken, 0);
	gate_destroy(&gate);
}

/* A place that is granted while its waiter is being cancelled is used or passed on, never lost. */
static void test_no_place_is_lost(void **state)
{
	struct gate gate;

	(void)state;
	gate_init(&gate, 1);
	for (int round = 0; round < 300; round++) {
		struct visitor first, second;
		int served = 0;

		take(&gate);
		queue_up(&first, &gate, &served, LONG);
		queue_up(&second, &gate, &served, LONG);
		cancel_fire(&first.cancel);
		gate_leave(&gate);
		join(&first);
		join(&second);
		assert_true(first.rc == 0 || first.rc == -EINTR);
		assert_int_equal(second.rc, 0);
		assert_int_equal(gate.taken, 0);
		assert_false(waiting(&gate));
	}
	gate_destroy(&gate);
}

static void test_turn_away(void **state)
{
	struct visitor visitors[3];
	struct gate gate;
	int served = 0;

	(void)state;
	gate_init(&gate, 1);
	take(&gate);
	for (int i = 0; i < 3; i++)
		queue_up(&visitors[i], &gate, &served, LONG);
	gate_turn_away(&gate);
	for (int i = 0; i < 3; i++) {
		join(&visitors[i]);
		assert_int_equal(visitors[i].rc, -ENOTCONN);
		assert_non_null(strstr(visitors[i].err.text, "gone"));
	}
	assert_int_equal(gate.taken, 1); /* whoever is inside stays */
	gate_leave(&gate);
	take(&gate);
	gate_leave(&gate);
	gate_destroy(&gate);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_places),
		cmocka_unit_test(test_first_come_first_served),
		cmocka_unit_test(test_leaving_the_queue),
		cmocka_unit_test(test_no_place_is_lost),
		cmocka_unit_test(test_turn_away),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
