/*
 * job.c - see job.h.
 */
#include "ctl/job.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

int job_cwd(struct object *object, const struct call *call, const struct cmd *cmd,
	    struct error *err)
{
	int rc;

	(void)call;
	pthread_mutex_lock(&object->lock);
	rc = settings_cwd(&job_of(object)->settings, cmd->argv[0], err);
	pthread_mutex_unlock(&object->lock);
	return rc;
}

int job_env(struct object *object, const struct call *call, const struct cmd *cmd,
	    struct error *err)
{
	int rc;

	(void)call;
	pthread_mutex_lock(&object->lock);
	rc = settings_env(&job_of(object)->settings, cmd->argv[0], err);
	pthread_mutex_unlock(&object->lock);
	return rc;
}

void job_print_settings(struct object *object, struct buf *out)
{
	pthread_mutex_lock(&object->lock);
	settings_print(&job_of(object)->settings, out);
	pthread_mutex_unlock(&object->lock);
}

const char *job_signal(const char *text, const char *allowed, struct error *err)
{
	const char *name = strncmp(text, "SIG", 3) == 0 ? text + 3 : text;
	size_t len = strlen(name);

	for (const char *p = allowed; *p; p += strspn(p, " ")) {
		size_t word = strcspn(p, " ");

		if (word == len && memcmp(p, name, len) == 0)
			return name;
		p += word;
	}
	error_set(err, EINVAL, "unknown signal '%.30s'; there are: %s", text, allowed);
	return NULL;
}

int job_collection(struct object *collection, const struct object_type *type, struct ctl *ctl,
		   struct cguest *guest, const char *name, struct object **out)
{
	int rc = collection ? tree_object_init(collection, type, ctl, guest, name) : -ENOMEM;

	if (rc < 0) {
		free(collection);
		return rc;
	}
	*out = tree_ref(collection);
	return 0;
}
