/*
 * poller.h - asks a guest, again and again, about the objects somebody waits for.
 *
 * One thread per guest, which exists only while something of that guest is
 * parked or polled for.  Each object is asked about at intervals that grow from
 * 20 ms to 500 ms while nothing happens.
 */
#ifndef VSOCKFS_CTL_POLLER_H
#define VSOCKFS_CTL_POLLER_H

#include <pthread.h>
#include <stdbool.h>
#include <stdint.h>

#include "protocol/call.h"
#include "protocol/error.h"

struct guest;
struct object;

/* What one poll of an object found (object_type->poll). */
enum poller_news {
	POLLER_DONE,   /* nobody waits any more, or nothing more can come by asking */
	POLLER_QUIET,  /* nothing new: ask later */
	POLLER_ACTIVE, /* something new: more may come soon */
};

/* Every object's own; the poller's lock guards all of it. */
struct poller_entry {
	bool listed; /* and the poller holds a reference */
	bool again;  /* asked for while it was being polled */
	double interval;
	int64_t due;
	struct object *next;
};

struct poller {
	struct guest *guest; /* for deadlines; outlives the poller */
	pthread_mutex_t lock;
	struct object *first; /* lock */
	bool running;         /* lock; the thread is there and will see the list */
	bool joinable;        /* lock; thread is to be joined */
	bool stopped;         /* lock */
	pthread_t thread;     /* lock */
	struct cancel cancel; /* ends the request at hand when stopped */
	struct call_event event;
};

void poller_init(struct poller *poller, struct guest *guest);

/*
 * Polls OBJECT soon, and then until its poll says POLLER_DONE.  Cheap when it is already watched
 * (the interval starts anew).  -ENOTCONN once stopped, -EAGAIN when no thread can be made.
 */
int poller_watch(struct poller *poller, struct object *object);

/* Ends the thread and drops what was watched.  Not from the poller's own thread. */
void poller_stop(struct poller *poller);
void poller_destroy(struct poller *poller); /* stopped */

#endif
