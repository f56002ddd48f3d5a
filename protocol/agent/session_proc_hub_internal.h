/*
 * session_proc_hub_internal.h - what session_proc_hub.c (who waits for what), session_proc_line.c
 * (connections that are full) and session_proc_loop.c (the thread) share.
 *
 * hub->lock is innermost: news are told with any lock held.  hub->using comes before a sender's
 * lock.
 */
#ifndef VSOCKFS_AGENT_SESSION_PROC_HUB_INTERNAL_H
#define VSOCKFS_AGENT_SESSION_PROC_HUB_INTERNAL_H

#include "protocol/agent/session_proc_hub.h"

/* A letter for the kind, and the name. */
#define PROC_KEY_SIZE (LIMIT_ENTITY_NAME + 2)

/* A process that calls wait for. */
struct proc_topic {
	char key[PROC_KEY_SIZE];
	struct proc_item *items; /* hub->lock; changed by the thread and by who parks */
	UT_hash_handle hh;       /* hub->lock */
};

struct proc_hub {
	struct agent *agent;
	int wake;  /* eventfd */
	int poll;  /* epoll */
	int lines; /* epoll, within poll: sockets that are full */

	pthread_mutex_t using; /* a line that lines has told of is being used */

	pthread_mutex_t lock;
	pthread_cond_t ended;      /* a thread */
	struct proc_topic *topics; /* lock */
	struct proc_item *by_call; /* lock */
	struct proc_item *marked;  /* lock; to be served */
	struct proc_line *stuck;   /* lock; sockets that are full, the longest first */
	bool asleep;               /* lock; the thread must be woken to look */
	bool running, over;        /* lock; the thread */
	unsigned helpers;          /* lock */

	/* The thread's own. */
	int files;                     /* inotify, -1: not made, or impossible */
	int watches[PROC_KINDS];       /* of inotify, -1 */
	unsigned watchers[PROC_KINDS]; /* items that need them */
	int64_t files_due;       /* of clock_ms(): when inotify is looked at again; 0: it is */
	struct proc_item *later; /* to be looked at again */
	int64_t later_due;       /* when */
};

/* Lock held.  ITEM is to be served. */
void proc_hub_mark(struct proc_hub *hub, struct proc_item *item);
/* Nobody finds ITEM any more. */
void proc_hub_forget(struct proc_hub *hub, struct proc_item *item);

/* Lock held.  The thread looks at what there is, once more. */
void proc_hub_wake(struct proc_hub *hub);
/* Lock held.  Makes the thread if it must. */
int proc_hub_start(struct proc_hub *hub);

/* Whether something can be posted for ITEM; if not, it is served when it can be. */
bool proc_line_has_room(struct proc_hub *hub, struct proc_item *item);
/* Sends on, where a socket can take more. */
void proc_lines_resume(struct proc_hub *hub);
/*
 * Ends those whose peers were silent for too long.  Milliseconds until it is to be called again,
 * -1: never.
 */
int proc_lines_tend(struct proc_hub *hub);

/* The thread, to which ARG is the hub. */
void *proc_hub_run(void *arg);

#endif
