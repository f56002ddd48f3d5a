/*
 * vlock.h - a lock that may be held for minutes, so that waiting for it can be given up.
 *
 * A verb holds its object's vlock while it runs, guest requests included;
 * whoever waits behind it can be interrupted.  First come, first served.
 */
#ifndef VSOCKFS_CTL_VLOCK_H
#define VSOCKFS_CTL_VLOCK_H

#include <pthread.h>
#include <stdbool.h>

#include "protocol/call.h"

struct vlock_waiter;

struct vlock {
	pthread_mutex_t lock;
	bool held;                   /* lock */
	struct vlock_waiter *first;  /* lock; the longest waiting */
	struct vlock_waiter **place; /* lock; where the next one goes */
};

void vlock_init(struct vlock *vlock);
void vlock_destroy(struct vlock *vlock);

/* 0, -EINTR when CALL is cancelled, -ETIMEDOUT at its deadline. */
int vlock_take(struct vlock *vlock, const struct call *call);
void vlock_release(struct vlock *vlock);

#endif
