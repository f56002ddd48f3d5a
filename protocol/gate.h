/*
 * gate.h - how many connections a guest has at once, first come, first served.
 *
 * A place that is given back goes straight to whoever has waited longest: a
 * newcomer cannot slip in between.  Thread-safe.
 */
#ifndef VSOCKFS_GATE_H
#define VSOCKFS_GATE_H

#include <pthread.h>

#include "protocol/call.h"
#include "protocol/error.h"

struct gate_waiter;

struct gate {
	pthread_mutex_t lock;
	int places;                       /* constant */
	int taken;                        /* lock */
	struct gate_waiter *first, *last; /* lock; the queue, oldest first */
};

void gate_init(struct gate *gate, int places);
void gate_destroy(struct gate *gate); /* nobody holds a place or waits */

/*
 * Takes a place.  0, -ETIMEDOUT at CALL's deadline, -EINTR when it is cancelled,
 * -ENOTCONN when gate_turn_away has come meanwhile.
 */
int gate_enter(struct gate *gate, const struct call *call, struct error *err);
/* Gives the place back; any thread may, not only the one that took it. */
void gate_leave(struct gate *gate);

/* Sends home everybody who waits now (the guest is gone). */
void gate_turn_away(struct gate *gate);

#endif
