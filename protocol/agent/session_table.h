/*
 * session_table.h - the slow calls of a session by their ids.
 *
 * A call is in the table until just before it is answered, so that its id is free when the client
 * hears of it, and counts as living until it has been freed.
 */
#ifndef VSOCKFS_AGENT_SESSION_TABLE_H
#define VSOCKFS_AGENT_SESSION_TABLE_H

#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

#define SESS_MAX_CALLS 1024

struct sess_call;

struct sess_table {
	pthread_mutex_t lock;
	pthread_cond_t ended;
	struct sess_call *buckets[256]; /* lock */
	/* Changed under the lock.  Only the connection's thread adds: to it, none is none. */
	atomic_uint open;  /* in the table */
	atomic_uint timed; /* of those, with a deadline */
	unsigned living;   /* lock; not freed yet */
};

void sess_table_init(struct sess_table *table);
void sess_table_destroy(struct sess_table *table);

/* This and sess_table_has_timed: for the connection's thread. */
bool sess_table_has(struct sess_table *table, uint32_t id);
/* -EAGAIN when there are too many. */
int sess_table_add(struct sess_table *table, struct sess_call *call);
void sess_table_remove(struct sess_table *table, struct sess_call *call);
/* CALL, removed before, has been freed. */
void sess_table_forget(struct sess_table *table);

/*
 * Calls EACH with the call ID, if there is one, under the table's lock, which keeps it alive.
 */
void sess_table_with(struct sess_table *table, uint32_t id,
		     void (*each)(struct sess_call *call, void *arg), void *arg);
void sess_table_each(struct sess_table *table, void (*each)(struct sess_call *call, void *arg),
		     void *arg);

/* Whether one in the table has a deadline. */
bool sess_table_has_timed(struct sess_table *table);

/* Waits until no call is living. */
void sess_table_drain(struct sess_table *table);

#endif
