/*
 * service_internal.h - what service.c (the table, starting) and service_end.c (ending)
 * share.
 */
#ifndef VSOCKFS_AGENT_SERVICE_INTERNAL_H
#define VSOCKFS_AGENT_SERVICE_INTERNAL_H

#include <pthread.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <uthash.h>

#include "protocol/agent/service.h"

struct services {
	struct agent *agent;
	int dir;       /* RUN/pyro-services */
	int interrupt; /* eventfd */

	pthread_mutex_t lock;    /* before a service's own */
	struct service *by_name; /* lock; entries stay */
};

struct service {
	struct services *services;
	UT_hash_handle hh; /* services->lock */
	char name[LIMIT_ENTITY_NAME + 1];

	pthread_mutex_t changing; /* held by the one start that is under way */

	pthread_mutex_t lock;
	struct service_record record; /* lock */
	struct child *child;          /* lock; NULL when an agent before us started it */
	bool known;                   /* lock; there is a record */
	bool starting;                /* lock; not ready yet, and somebody waits for it */
};

/* An entry that has a record; NULL: -ENOENT. */
struct service *service_find(struct services *services, const char *name, struct error *err);
int service_snapshot(struct service *service, struct service_record *out, struct error *err);

/* Whoever waits for news of it looks at it again. */
void service_tell(struct service *service);

/* Hold the lock.  The process has ended: the state follows from why. */
void service_set_ended(struct service *service, double at);

/* Hold the lock.  An orphan of an agent before us has no reaper that tells us. */
void service_look_after(struct service *service);

/* The last one. */
struct service_run service_get_run(struct service *service);

/* Why it is going to end, if it has not yet: a literal. */
void service_set_reason(struct service *service, const struct service_run *run, const char *reason);

bool service_is_running(struct service *service, const struct service_run *run);

/* Waits until the run's leader has ended. */
bool service_wait_ended(struct service *service, const struct service_run *run, int64_t deadline);

/* Signals all that came of the run (0: looks for it); returns how many there are. */
size_t service_signal(struct service *service, const struct service_run *run, int signal);

/*
 * Ends it with all that came of it: TERM, after GRACE_MS KILL.  REASON is what stop_reason
 * will say.
 */
void service_end(struct service *service, const struct service_run *run, const char *reason,
		 int64_t grace_ms);

#endif
