/*
 * vlock.c - the queue behind vlock.h: each waiter sleeps on an event of its own.
 */
#include "ctl/vlock.h"

struct vlock_waiter {
	struct call_event event;
	bool owner; /* vlock->lock; the lock was handed to this one */
	struct vlock_waiter *next;
};

void vlock_init(struct vlock *vlock)
{
	pthread_mutex_init(&vlock->lock, NULL);
	vlock->held = false;
	vlock->first = NULL;
	vlock->place = &vlock->first;
}

void vlock_destroy(struct vlock *vlock)
{
	pthread_mutex_destroy(&vlock->lock);
}

static void unlink_waiter(struct vlock *vlock, struct vlock_waiter *waiter)
{
	struct vlock_waiter **link = &vlock->first;

	while (*link != waiter)
		link = &(*link)->next;
	*link = waiter->next;
	if (vlock->place == &waiter->next)
		vlock->place = link;
}

int vlock_take(struct vlock *vlock, const struct call *call)
{
	struct vlock_waiter waiter = { .owner = false };
	int rc;

	pthread_mutex_lock(&vlock->lock);
	if (!vlock->held) {
		vlock->held = true;
		pthread_mutex_unlock(&vlock->lock);
		return 0;
	}
	call_event_init(&waiter.event);
	*vlock->place = &waiter;
	vlock->place = &waiter.next;
	pthread_mutex_unlock(&vlock->lock);

	rc = call_event_wait(&waiter.event, call);

	/* The lock may have been handed over just as the wait was given up: then it is ours. */
	pthread_mutex_lock(&vlock->lock);
	if (waiter.owner)
		rc = 0;
	else
		unlink_waiter(vlock, &waiter);
	pthread_mutex_unlock(&vlock->lock);
	call_event_destroy(&waiter.event);
	return rc;
}

void vlock_release(struct vlock *vlock)
{
	struct vlock_waiter *next;

	pthread_mutex_lock(&vlock->lock);
	next = vlock->first;
	if (next) {
		unlink_waiter(vlock, next);
		next->owner = true;
		call_event_signal(&next->event);
	} else {
		vlock->held = false;
	}
	pthread_mutex_unlock(&vlock->lock);
}
