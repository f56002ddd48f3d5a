/*
 * events.h - a guest's log of what changed: a bounded run of lines that is read blocking.
 *
 *   SECONDS.MMM WHAT NAME STATE [CODE]
 *
 * Every open file has a cursor of its own, which begins at the oldest line kept.
 */
#ifndef VSOCKFS_CTL_EVENTS_H
#define VSOCKFS_CTL_EVENTS_H

#include <pthread.h>

#include "ctl/waitq.h"
#include "protocol/buf.h"

struct events {
	pthread_mutex_t lock;
	struct buf lines; /* lock; the newest LIMIT_EVENTS bytes, whole lines */
	uint64_t base;    /* lock; how many bytes were there before them */
	struct waitq queue;
};

void events_init(struct events *events);
void events_destroy(struct events *events);

/* Adds a line (without time and newline, both are added).  Hold no lock. */
void events_add(struct events *events, const char *format, ...)
	__attribute__((format(printf, 2, 3)));

#endif
