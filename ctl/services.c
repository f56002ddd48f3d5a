/*
 * services.c - GUEST/services: which services are shown.
 *
 * Those made here by mkdir, and those that a lookup found in the guest.  The guest
 * never forgets a service and does not list them, so what was removed here has to
 * be remembered: a removed service stays away until somebody starts one of that name anew.
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "ctl/guest.h"
#include "ctl/service.h"
#include "protocol/cleanup.h"

/* A service that rmdir took away; the oldest is dropped over LIMIT_CTL_MEMBERS. */
struct removed {
	struct removed *next;
	double started_at; /* of the run that was removed */
	char name[LIMIT_ENTITY_NAME + 1];
};

struct services {
	struct object object;
	struct removed *removed; /* object.lock; the newest first */
};

/* Whether what the guest knows under NAME is only what was removed here. */
static bool was_removed(struct services *dir, const char *name, double started_at)
{
	bool found = false;

	pthread_mutex_lock(&dir->object.lock);
	for (struct removed *r = dir->removed; r && !found; r = r->next)
		found = strcmp(r->name, name) == 0 && r->started_at == started_at;
	pthread_mutex_unlock(&dir->object.lock);
	return found;
}

static void remember_removed(struct services *dir, struct service *service)
{
	struct removed *entry = calloc(1, sizeof(*entry));
	struct removed **link;
	size_t count = 0;

	/* Without memory it merely shows up again. */
	if (!entry)
		return;
	snprintf(entry->name, sizeof(entry->name), "%s", service->job.object.name);
	pthread_mutex_lock(&service->job.object.lock);
	entry->started_at = service->last.started_at;
	pthread_mutex_unlock(&service->job.object.lock);
	/* It never ran: what was removed under this name before is still what the guest knows. */
	if (entry->started_at == 0) {
		free(entry);
		return;
	}
	pthread_mutex_lock(&dir->object.lock);
	entry->next = dir->removed;
	dir->removed = entry;
	link = &entry->next;
	while (*link) {
		struct removed *other = *link;

		if (strcmp(other->name, entry->name) == 0 || ++count >= LIMIT_CTL_MEMBERS) {
			*link = other->next;
			free(other);
		} else {
			link = &other->next;
		}
	}
	pthread_mutex_unlock(&dir->object.lock);
}

static int make(struct object *dir, const char *name, struct object **out, struct error *err)
{
	struct service *service;
	int rc = service_new(dir, name, &service, err);

	if (rc == 0)
		*out = &service->job.object;
	return rc;
}

/* A lookup of a name that nobody made here. */
static int find(struct object *dir, const struct call *call, const char *name, struct object **out,
		struct error *err)
{
	struct call within = cguest_call(dir->guest, call->cancel);
	struct proc_service found = { 0 };
	struct service *service;
	int rc = proc_service_status(cguest_guest(dir), &within, name, &found, err);

	if (rc == 0 && was_removed((struct services *)dir, name, found.started_at))
		rc = -ENOENT;
	if (rc == 0)
		rc = service_new(dir, name, &service, err);
	if (rc == 0) {
		if (found.cwd && found.cwd[0] == '/')
			settings_cwd(&service->job.settings, found.cwd, NULL);
		service->last = found;
		service->known = true;
		*out = &service->job.object;
		return 0;
	}
	proc_service_free(&found);
	return rc;
}

static int stop(struct object *member, const struct call *call, struct error *err)
{
	struct service *service = (struct service *)member;
	int rc = service_end(member, call, err);

	if (rc == 0)
		remember_removed((struct services *)member->parent, service);
	return rc;
}

static const struct member_ops members = { .make = make, .find = find, .stop = stop };

static void free_services(struct object *object)
{
	struct services *dir = (struct services *)object;
	struct removed *entry;

	while ((entry = dir->removed)) {
		dir->removed = entry->next;
		free(entry);
	}
	free(dir);
}

static const struct object_type services_type = {
	.what = "directory of services",
	.members = &members,
	.free = free_services,
};

int services_new(struct ctl *ctl, struct cguest *guest, struct object **out)
{
	struct services *dir = calloc(1, sizeof(*dir));

	return job_collection(dir ? &dir->object : NULL, &services_type, ctl, guest, "services",
			      out);
}
