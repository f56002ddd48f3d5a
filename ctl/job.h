/*
 * job.h - what a service, a shell and a command have in common: settings and their verbs.
 */
#ifndef VSOCKFS_CTL_JOB_H
#define VSOCKFS_CTL_JOB_H

#include "ctl/settings.h"
#include "ctl/tree.h"

struct job {
	struct object object;
	struct settings settings; /* changed under object.verbs and object.lock */
};

static inline struct job *job_of(struct object *object)
{
	return (struct job *)object;
}

/* The rows of a verb table that every job has. */
#define JOB_VERBS                                                                                  \
	{ "cwd", CMD_ONE, 1, 1, 0, "cwd DIR", job_cwd, NULL },                                     \
	{                                                                                          \
		"env", CMD_ONE, 1, 1, 0, "env NAME=VALUE", job_env, NULL                           \
	}

int job_cwd(struct object *object, const struct call *call, const struct cmd *cmd,
	    struct error *err);
int job_env(struct object *object, const struct call *call, const struct cmd *cmd,
	    struct error *err);

/* The settings' lines in ctl; takes object->lock. */
void job_print_settings(struct object *object, struct buf *out);

/* [SIG]NAME among ALLOWED (blank-separated); the name without SIG, or NULL and -EINVAL in err. */
const char *job_signal(const char *text, const char *allowed, struct error *err);

/* A new collection for GUEST: the tree's reference is retired with it, *OUT holds another. */
int job_collection(struct object *collection, const struct object_type *type, struct ctl *ctl,
		   struct cguest *guest, const char *name, struct object **out);

#endif
