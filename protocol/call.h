/*
 * call.h - how long a caller is willing to wait, and how it says "stop".
 *
 * Every function that may wait takes a `const struct call *`: it waits no
 * longer than the deadline (-ETIMEDOUT), and returns soon after the cancel
 * token has fired (-EINTR).  Giving up is giving up waiting: what has been
 * sent to a guest is always finished behind the caller's back.
 */
#ifndef VSOCKFS_CALL_H
#define VSOCKFS_CALL_H

#include <pthread.h>
#include <semaphore.h>
#include <stdbool.h>
#include <stdint.h>

#include "protocol/traffic.h"

/*
 * A cancel token.  It belongs to the caller and outlives the calls that use
 * it.  cancel_fire() may come from any thread, any number of times; the first
 * marks the token and runs the waker that is installed at that moment.
 */
struct cancel {
	pthread_mutex_t lock;
	bool fired;              /* lock */
	void (*wake)(void *arg); /* lock; only signals, takes no lock that a waiter holds */
	void *arg;               /* lock */
};

void cancel_init(struct cancel *cancel);
void cancel_destroy(struct cancel *cancel);
void cancel_fire(struct cancel *cancel);
bool cancel_fired(struct cancel *cancel);

/*
 * For the code that waits: installs WAKE for the time of one wait.  Returns
 * false, installing nothing, if the token has fired.  cancel_unset_wake() comes
 * back only when no WAKE is running any more.  CANCEL may be NULL in all of
 * these: such a caller is never interrupted.
 */
bool cancel_set_wake(struct cancel *cancel, void (*wake)(void *arg), void *arg);
void cancel_unset_wake(struct cancel *cancel);

struct call {
	int64_t deadline; /* nanoseconds of CLOCK_MONOTONIC */
	struct cancel *cancel;
	enum traffic_kind kind; /* what a request over the line dialect is counted as */
};

int64_t call_now(void); /* nanoseconds of CLOCK_MONOTONIC */

/* A call that ends SECONDS from now and that CANCEL (or NULL) can end. */
struct call call_within(double seconds, struct cancel *cancel);

/* The same in all but the deadline: SECONDS from now. */
struct call call_extend(const struct call *call, double seconds);

/* The same, counted as KIND. */
struct call call_as(const struct call *call, enum traffic_kind kind);

/* Milliseconds that poll(2) may wait, rounded up; 0 when the deadline has passed. */
int call_remaining_ms(const struct call *call);

/* Sleeps SECONDS or to the deadline.  0, -ETIMEDOUT at the deadline, -EINTR when cancelled. */
int call_sleep(const struct call *call, double seconds);

/*
 * What a thread sleeps on until another one has news for it.  Signals are not
 * counted: one that comes before the wait ends it at once, many are as good as
 * one.  call_event_wait returns 0 when signalled, -ETIMEDOUT at the deadline,
 * -EINTR when cancelled.  Hold no lock while waiting.  The event belongs to the
 * waiter; whoever signals it does so under a lock that keeps it alive.
 */
struct call_event {
	sem_t sem;
};

void call_event_init(struct call_event *event);
void call_event_destroy(struct call_event *event);
void call_event_signal(struct call_event *event);
int call_event_wait(struct call_event *event, const struct call *call);

#endif
