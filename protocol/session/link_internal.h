/*
 * link_internal.h - what the files of the link share.
 *
 *     link.c       life; who waits for what; calls
 *     link_make.c  one attempt at a session, on a thread of its own
 *     link_beat.c  what was asked and heard on sessions: silence
 *
 * Lock order: link->lock before mux's and guest's; link->beat_lock last of all.
 */
#ifndef VSOCKFS_SESSION_LINK_INTERNAL_H
#define VSOCKFS_SESSION_LINK_INTERNAL_H

#include <pthread.h>
#include <stdatomic.h>
#include <stdint.h>

#include "protocol/guest_internal.h"
#include "protocol/session/hello.h"
#include "protocol/session/link.h"

/* Whoever waits for the end of an attempt, on its own stack. */
struct link_waiter {
	struct call_event event;
	struct link_waiter *prev, *next; /* link->lock */
};

#define LINK_CLIENT_DIGITS 32

struct link {
	struct guest *guest; /* constant; whoever makes a session has a hold on it */
	char client[LINK_CLIENT_DIGITS + 1]; /* constant; random: what the agent knows us by */
	_Atomic int64_t hellos;              /* that were sent */
	struct cancel cancel;                /* fires at link_end */
	_Atomic int64_t moved_at; /* call_now() when an attempt last got on; 0 for never */

	pthread_mutex_t lock;
	struct link_waiter *waiters; /* lock */
	struct link_info info;       /* lock */
	bool ended;                  /* lock */
	struct mux *mux;             /* lock; a reference; the last session, maybe dead; or NULL */
	uint64_t generation;         /* lock; of mux */
	uint64_t epoch;              /* lock; of mux */
	char verifier[128];          /* lock; the last that an agent has told; "" for none */
	bool silent;                 /* lock; mux did not answer: it must before it is used again */
	uint32_t port;               /* lock; where our delivered agent was last, 0 for nowhere */

	bool making;       /* lock; an attempt is under way */
	bool greeted;      /* lock; in which the guest has answered a hello */
	double seconds;    /* lock; that it may take, what it delivers not counted */
	uint64_t attempts; /* lock; that have ended */
	int64_t ended_at;  /* lock; call_now() of the last one's end */
	struct error why;  /* lock; how it ended: code 0 is well */

	pthread_mutex_t beat_lock;
	unsigned unanswered; /* beat_lock; calls sent since it was clear that none was, at most */
	int64_t asked_at; /* beat_lock; when there was one first, with nothing heard since; or 0 */
	int64_t heard_at; /* beat_lock */
};

/* link_make.c */

/*
 * One attempt, with `making` set by the caller, who tells the result with link_made.  PROBE: the
 * guest is believed gone, which may be wrong.
 */
int link_make(struct link *link, const struct call *call, bool probe, struct error *err);

/* link.c */

/* The guest has answered a hello: those who only wait for that may go. */
void link_greeted(struct link *link);
/* The attempt has got on: who waits for it may wait longer. */
void link_moved(void *link);

/* link_beat.c */

/* A mux_beat. */
void link_beat(void *link, bool news);
/* Starts anew, with a new session. */
void link_beat_reset(struct link *link);
/* Since when nothing was heard although something was asked; 0 if that is not so. */
int64_t link_silent_since(struct link *link);
/* Whether that has been so for the guest's `timeout`: then it is to be asked whether it lives. */
bool link_is_suspicious(struct link *link);
int64_t link_heard_at(struct link *link);

#endif
