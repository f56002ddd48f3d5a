/*
 * session_hub.h - the inside of the watch: what its thread and the operations share.
 * Internal to session_watch.c and session_watch_ops.c.
 */
#ifndef VSOCKFS_AGENT_SESSION_HUB_H
#define VSOCKFS_AGENT_SESSION_HUB_H

#include <pthread.h>
#include <stdbool.h>
#include <stdint.h>

#include "protocol/agent/session_call.h"
#include "protocol/agent/session_dirs.h"
#include "protocol/agent/session_ring.h"
#include "protocol/agent/session_watch.h"

/* An OP_WATCH. */
struct watcher {
	struct sess_call *call; /* parked */
	uint64_t since;
	uint64_t at;                 /* the thread's: position in the ring */
	bool behind;                 /* hub->lock; there are events that it was not sent */
	struct watcher *prev, *next; /* hub->lock, where they are changed */
};

/* An OP_BARRIER. */
struct barrier {
	struct sess_call *call; /* parked */
	bool drained;           /* the thread's, as all that follows */
	uint64_t sequence;
	uint64_t target; /* position that its session's watchers must have reached */
	struct barrier *prev, *next;
};

struct sess_hub {
	struct agent *agent;
	int wake; /* eventfd */

	pthread_mutex_t lock;
	pthread_cond_t ended;
	bool running;             /* lock; the thread */
	bool busy;                /* lock; it may hold events that were not sent */
	bool held;                /* lock; to a session that has no room */
	int events;               /* lock; the inotify descriptor, -1: not watching */
	uint64_t sequence;        /* lock; of the last event, while not busy */
	struct watcher *watchers; /* lock; changed by the thread alone, which reads it without */
	struct watcher *new_watchers; /* lock; not met by the thread yet */
	struct barrier *new_barriers; /* lock; likewise */

	/* The thread's own. */
	struct barrier *barriers;
	struct sess_ring ring;
	struct sess_dirs *dirs;
	int root;
};

/* The thread, to which ARG is the hub. */
void *sess_hub_run(void *arg);

/* Makes the thread look again. */
void sess_hub_wake(void *hub);

#endif
