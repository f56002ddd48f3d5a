/*
 * ws_latch.c - a sleeping lock with a deadline.  See ws_latch.h.
 */
#include "protocol/line/ws_latch.h"

#include <errno.h>
#include <stddef.h>

/* On the stack of who waits; linked while it waits, guarded by the latch's lock. */
struct ws_waiter {
	struct ws_waiter *next;
	enum ws_latch_how how;
	bool granted;
	struct call_event event;
};

void ws_latch_init(struct ws_latch *latch)
{
	*latch = (struct ws_latch){ 0 };
	pthread_mutex_init(&latch->lock, NULL);
}

void ws_latch_destroy(struct ws_latch *latch)
{
	pthread_mutex_destroy(&latch->lock);
}

/* Takes it if HOW is possible now.  lock held. */
static bool grant(struct ws_latch *latch, enum ws_latch_how how)
{
	if (latch->exclusive || (how == WS_EXCLUSIVE && latch->shared))
		return false;
	if (how == WS_EXCLUSIVE)
		latch->exclusive = true;
	else
		latch->shared++;
	return true;
}

/* Hands it on to those in front for whom it is free.  lock held. */
static void hand_on(struct ws_latch *latch)
{
	while (latch->first && grant(latch, latch->first->how)) {
		struct ws_waiter *waiter = latch->first;

		latch->first = waiter->next;
		if (!latch->first)
			latch->last = NULL;
		waiter->granted = true;
		call_event_signal(&waiter->event);
	}
}

static void enqueue(struct ws_latch *latch, struct ws_waiter *waiter)
{
	if (latch->last)
		latch->last->next = waiter;
	else
		latch->first = waiter;
	latch->last = waiter;
}

static void dequeue(struct ws_latch *latch, struct ws_waiter *waiter)
{
	struct ws_waiter *before = NULL;

	for (struct ws_waiter *at = latch->first; at != waiter; at = at->next)
		before = at;
	if (before)
		before->next = waiter->next;
	else
		latch->first = waiter->next;
	if (latch->last == waiter)
		latch->last = before;
}

static int wait_for(struct ws_latch *latch, const struct call *call, struct ws_waiter *waiter)
{
	int rc = 0;
	bool granted = false;

	while (!rc && !granted) {
		rc = call_event_wait(&waiter->event, call);
		pthread_mutex_lock(&latch->lock);
		granted = waiter->granted;
		if (rc && !granted) {
			dequeue(latch, waiter);
			hand_on(latch); /* who came after may have waited only for this one */
		}
		pthread_mutex_unlock(&latch->lock);
	}
	return granted ? 0 : rc;
}

int ws_latch_take(struct ws_latch *latch, const struct call *call, enum ws_latch_how how,
		  struct error *err)
{
	struct ws_waiter waiter = { .how = how };
	bool taken;
	int rc;

	pthread_mutex_lock(&latch->lock);
	taken = !latch->first && grant(latch, how);
	if (!taken) {
		call_event_init(&waiter.event);
		enqueue(latch, &waiter);
	}
	pthread_mutex_unlock(&latch->lock);
	if (taken)
		return 0;
	rc = wait_for(latch, call, &waiter);
	call_event_destroy(&waiter.event);
	if (rc == -EINTR)
		return error_set(err, EINTR, "interrupted while waiting for another request");
	return rc ? error_set(err, ETIMEDOUT, "another request for this file takes too long") : 0;
}

void ws_latch_drop(struct ws_latch *latch)
{
	pthread_mutex_lock(&latch->lock);
	if (latch->exclusive)
		latch->exclusive = false;
	else
		latch->shared--;
	hand_on(latch);
	pthread_mutex_unlock(&latch->lock);
}
