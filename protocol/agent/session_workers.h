/*
 * session_workers.h - the threads that carry out what is slow, for all sessions.
 *
 * They are made as they are needed and end by themselves after some seconds without work.  A slow
 * operation has a lane: what may be stuck with a client that takes nothing leaves places to the
 * others, and no session has all places of a lane.
 */
#ifndef VSOCKFS_AGENT_SESSION_WORKERS_H
#define VSOCKFS_AGENT_SESSION_WORKERS_H

#include <pthread.h>
#include <stdbool.h>

#include "protocol/agent/session_call.h"

#define SESS_MAX_WORKERS 32
#define SESS_LANES 3 /* enum sess_lane */

struct sess_queue {
	struct sess_call *first, **last;
	unsigned count;
};

struct sess_workers {
	pthread_mutex_t lock;
	pthread_cond_t work;  /* something is queued, or it is over */
	pthread_cond_t ended; /* a worker has, or is done with a call */

	struct sess_queue lanes[SESS_LANES]; /* lock */
	unsigned running[SESS_LANES];        /* lock; workers that have one of it */
	unsigned count, idle;                /* lock; of workers */
	bool over;                           /* lock */
};

void sess_workers_init(struct sess_workers *workers);
/* Nothing is queued any more.  Waits for them. */
void sess_workers_destroy(struct sess_workers *workers);

/*
 * Gives CALL to a worker.  How many may wait is counted where they are made.  -EAGAIN: there is no
 * thread.
 */
int sess_workers_submit(struct sess_workers *workers, struct sess_call *call);
/* Takes it back if none has it yet. */
bool sess_workers_withdraw(struct sess_workers *workers, struct sess_call *call);

/* Until no worker uses SESS, of which no call is left. */
void sess_workers_leave(struct sess_workers *workers, const struct sess *sess);

unsigned sess_workers_count(struct sess_workers *workers);

#endif
