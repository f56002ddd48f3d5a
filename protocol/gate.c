/*
 * gate.c - the queue in front of a guest.
 *
 * Who decides a waiter's fate takes it out of the queue under the lock, so that a
 * place is never handed to somebody who has left: the waiter itself, when its wait
 * ends, looks under the same lock which of the two came first.
 */
#include "protocol/gate.h"

#include <errno.h>
#include <stddef.h>

enum fate { WAITING, GRANTED, TURNED_AWAY };

struct gate_waiter { /* on the stack of the thread that waits */
	struct call_event event;
	enum fate fate;                     /* gate->lock */
	struct gate_waiter *before, *after; /* gate->lock */
};

void gate_init(struct gate *gate, int places)
{
	*gate = (struct gate){ .places = places };
	pthread_mutex_init(&gate->lock, NULL);
}

void gate_destroy(struct gate *gate)
{
	pthread_mutex_destroy(&gate->lock);
}

/* gate->lock is held. */
static void enqueue(struct gate *gate, struct gate_waiter *waiter)
{
	waiter->before = gate->last;
	if (gate->last)
		gate->last->after = waiter;
	else
		gate->first = waiter;
	gate->last = waiter;
}

/* gate->lock is held. */
static void dequeue(struct gate *gate, struct gate_waiter *waiter)
{
	if (waiter->before)
		waiter->before->after = waiter->after;
	else
		gate->first = waiter->after;
	if (waiter->after)
		waiter->after->before = waiter->before;
	else
		gate->last = waiter->before;
	waiter->before = NULL;
	waiter->after = NULL;
}

/* gate->lock is held; the waiter may be gone as soon as it is released. */
static void decide(struct gate *gate, struct gate_waiter *waiter, enum fate fate)
{
	dequeue(gate, waiter);
	waiter->fate = fate;
	call_event_signal(&waiter->event);
}

static int explain(int rc, struct error *err)
{
	switch (rc) {
	case -ETIMEDOUT:
		return error_set(err, ETIMEDOUT,
				 "the guest was still busy with earlier requests when the time was "
				 "up: try again, or raise the timeout");
	case -EINTR:
		return error_set(err, EINTR, "interrupted while waiting for earlier requests");
	default:
		return error_set(err, ENOTCONN,
				 "the guest is gone: it stopped answering while "
				 "this request waited for its turn");
	}
}

int gate_enter(struct gate *gate, const struct call *call, struct error *err)
{
	struct gate_waiter self = { .fate = WAITING };
	int rc = 0;

	pthread_mutex_lock(&gate->lock);
	if (gate->taken < gate->places && !gate->first) {
		gate->taken++;
		pthread_mutex_unlock(&gate->lock);
		return 0;
	}
	call_event_init(&self.event);
	enqueue(gate, &self);
	while (self.fate == WAITING && rc == 0) {
		pthread_mutex_unlock(&gate->lock);
		rc = call_event_wait(&self.event, call);
		pthread_mutex_lock(&gate->lock);
	}
	/* A place that came together with the deadline is taken: it must not get lost. */
	if (self.fate == GRANTED)
		rc = 0;
	else if (self.fate == TURNED_AWAY)
		rc = -ENOTCONN;
	else
		dequeue(gate, &self);
	pthread_mutex_unlock(&gate->lock);
	call_event_destroy(&self.event);
	return rc == 0 ? 0 : explain(rc, err);
}

void gate_leave(struct gate *gate)
{
	pthread_mutex_lock(&gate->lock);
	if (gate->first)
		decide(gate, gate->first, GRANTED); /* taken stays: the place changes hands */
	else
		gate->taken--;
	pthread_mutex_unlock(&gate->lock);
}

void gate_turn_away(struct gate *gate)
{
	pthread_mutex_lock(&gate->lock);
	while (gate->first)
		decide(gate, gate->first, TURNED_AWAY);
	pthread_mutex_unlock(&gate->lock);
}
