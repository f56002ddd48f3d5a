/*
 * service.h - services/NAME: a long-running program of the guest's.
 */
#ifndef VSOCKFS_CTL_SERVICE_H
#define VSOCKFS_CTL_SERVICE_H

#include "ctl/job.h"
#include "ctl/waitq.h"
#include "protocol/process.h"

struct service {
	struct job job;
	/* object.lock for all that follows; the readiness is changed under the verb lock, too. */
	enum proc_ready_kind ready;
	char *ready_value; /* owned; NULL for none */
	double ready_timeout;
	unsigned ready_interval;
	bool known;               /* the guest has it: started here, or found there */
	bool starting;            /* a start is under way */
	struct cancel start;      /* while starting: what ends it */
	struct proc_service last; /* what the guest said last; zeros unless known */
	struct waitq wait;
};

extern const struct object_type service_type;

int service_new(struct object *dir, const char *name, struct service **out, struct error *err);
/* rmdir. */
int service_end(struct object *object, const struct call *call, struct error *err);

/* service_news.c */

bool service_runs(const struct proc_service *service);
/* Takes over what the guest said (FRESH is empty afterwards) and tells who waits. */
void service_update(struct service *service, struct proc_service *fresh);

/*
 * Asks the guest, if it has the service.  -ENOENT from it makes the service new again, and is no
 * error but for those who wait for its end.
 */
int service_refresh(struct service *service, const struct call *call, struct error *err);

/* service_files.c */
#define SERVICE_FILES 6
extern const struct file_type service_file_types[SERVICE_FILES];

#endif
