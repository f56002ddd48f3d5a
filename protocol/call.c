/*
 * call.c - deadlines, cancel tokens and the event that a thread sleeps on.
 */
#include "protocol/call.h"

#include <errno.h>
#include <limits.h>
#include <stddef.h>
#include <time.h>

#define NSEC_PER_SEC INT64_C(1000000000)
#define NSEC_PER_MSEC INT64_C(1000000)
#define FOREVER 1e9 /* seconds: far enough, and far from overflow */

void cancel_init(struct cancel *cancel)
{
	pthread_mutex_init(&cancel->lock, NULL);
	cancel->fired = false;
	cancel->wake = NULL;
	cancel->arg = NULL;
}

void cancel_destroy(struct cancel *cancel)
{
	pthread_mutex_destroy(&cancel->lock);
}

void cancel_fire(struct cancel *cancel)
{
	pthread_mutex_lock(&cancel->lock);
	/* The waker runs under the lock: that is what lets cancel_unset_wake wait for its end. */
	if (!cancel->fired && cancel->wake)
		cancel->wake(cancel->arg);
	cancel->fired = true;
	pthread_mutex_unlock(&cancel->lock);
}

bool cancel_fired(struct cancel *cancel)
{
	bool fired;

	if (!cancel)
		return false;
	pthread_mutex_lock(&cancel->lock);
	fired = cancel->fired;
	pthread_mutex_unlock(&cancel->lock);
	return fired;
}

bool cancel_set_wake(struct cancel *cancel, void (*wake)(void *arg), void *arg)
{
	bool fired;

	if (!cancel)
		return true;
	pthread_mutex_lock(&cancel->lock);
	fired = cancel->fired;
	if (!fired) {
		cancel->wake = wake;
		cancel->arg = arg;
	}
	pthread_mutex_unlock(&cancel->lock);
	return !fired;
}

void cancel_unset_wake(struct cancel *cancel)
{
	if (!cancel)
		return;
	pthread_mutex_lock(&cancel->lock);
	cancel->wake = NULL;
	cancel->arg = NULL;
	pthread_mutex_unlock(&cancel->lock);
}

int64_t call_now(void)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	return now.tv_sec * NSEC_PER_SEC + now.tv_nsec;
}

static int64_t from_now(double seconds)
{
	if (!(seconds > 0)) /* NaN too */
		seconds = 0;
	if (seconds > FOREVER)
		seconds = FOREVER;
	return call_now() + (int64_t)(seconds * (double)NSEC_PER_SEC);
}

struct call call_within(double seconds, struct cancel *cancel)
{
	return (struct call){ .deadline = from_now(seconds), .cancel = cancel };
}

struct call call_extend(const struct call *call, double seconds)
{
	return (struct call){ .deadline = from_now(seconds),
			      .cancel = call->cancel,
			      .kind = call->kind };
}

struct call call_as(const struct call *call, enum traffic_kind kind)
{
	struct call same = *call;

	same.kind = kind;
	return same;
}

int call_remaining_ms(const struct call *call)
{
	int64_t left = call->deadline - call_now();

	if (left <= 0)
		return 0;
	left = (left + NSEC_PER_MSEC - 1) / NSEC_PER_MSEC;
	return left > INT_MAX ? INT_MAX : (int)left;
}

int call_sleep(const struct call *call, double seconds)
{
	struct call nap = call_extend(call, seconds);
	bool cut = nap.deadline > call->deadline;
	struct call_event event;
	int rc;

	if (cut)
		nap.deadline = call->deadline;
	call_event_init(&event);
	rc = call_event_wait(&event, &nap);
	call_event_destroy(&event);
	return rc == -ETIMEDOUT && !cut ? 0 : rc;
}

void call_event_init(struct call_event *event)
{
	sem_init(&event->sem, 0, 0);
}

void call_event_destroy(struct call_event *event)
{
	sem_destroy(&event->sem);
}

void call_event_signal(struct call_event *event)
{
	int value = 0;

	/* One that nobody has taken yet stands for this one too. */
	if (sem_getvalue(&event->sem, &value) == 0 && value > 0)
		return;
	sem_post(&event->sem);
}

/* The cancel token's waker: the same as a signal, told apart by the token itself. */
static void wake_event(void *arg)
{
	struct call_event *event = arg;

	sem_post(&event->sem);
}

int call_event_wait(struct call_event *event, const struct call *call)
{
	struct timespec until = {
		.tv_sec = call->deadline / NSEC_PER_SEC,
		.tv_nsec = call->deadline % NSEC_PER_SEC,
	};
	int rc;

	if (!cancel_set_wake(call->cancel, wake_event, event))
		return -EINTR;
	do
		rc = sem_clockwait(&event->sem, CLOCK_MONOTONIC, &until) == 0 ? 0 : -errno;
	while (rc == -EINTR); /* a signal handler ran: no business of ours */
	cancel_unset_wake(call->cancel);

	if (cancel_fired(call->cancel))
		return -EINTR;
	if (rc == 0)
		while (sem_trywait(&event->sem) == 0)
			;
	return rc == 0 ? 0 : -ETIMEDOUT;
}
