/*
 * ws_latch.h - a sleeping lock that a caller waits for no longer than its call.
 *
 * Shared or exclusive, first come first served.  It is meant to be held over
 * requests to a guest, and may be dropped by another thread than took it.
 */
#ifndef VSOCKFS_LINE_WS_LATCH_H
#define VSOCKFS_LINE_WS_LATCH_H

#include <pthread.h>
#include <stdbool.h>

#include "protocol/call.h"
#include "protocol/error.h"

struct ws_waiter;

struct ws_latch {
	pthread_mutex_t lock;
	unsigned shared;                /* lock: holders that share it */
	bool exclusive;                 /* lock: held by one alone */
	struct ws_waiter *first, *last; /* lock: in the order they came */
};

void ws_latch_init(struct ws_latch *latch);
void ws_latch_destroy(struct ws_latch *latch); /* nobody holds it or waits */

enum ws_latch_how { WS_SHARED, WS_EXCLUSIVE };

/* 0, -ETIMEDOUT, -EINTR.  Not recursive. */
int ws_latch_take(struct ws_latch *latch, const struct call *call, enum ws_latch_how how,
		  struct error *err);
void ws_latch_drop(struct ws_latch *latch);

#endif
