/*
 * guest.c - a guest's life here: made by attach, retired by detach or the end of the mount.
 */
#include "ctl/guest.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "ctl/tree_internal.h"
#include "protocol/workspace.h"

struct cguest *cguest_of(struct object *object)
{
	return object->type == &cguest_type ? (struct cguest *)object : object->guest;
}

struct poller *cguest_poller(struct object *object)
{
	return &cguest_of(object)->poller;
}

struct guest *cguest_guest(struct object *object)
{
	return cguest_of(object)->guest;
}

struct call cguest_call(struct cguest *guest, struct cancel *cancel)
{
	return guest_call(guest->guest, cancel);
}

struct call cguest_call_long(struct cguest *guest, struct cancel *cancel, double extra)
{
	return call_within(guest_options(guest->guest)->timeout + extra, cancel);
}

int cguest_sync(struct cguest *guest, const struct call *call, struct error *err)
{
	struct call within = cguest_call(guest, call->cancel);
	int rc = ws_sync(guest_workspace(guest->guest), &within, err);

	return error_wrap(err, rc, "what was written before could not be put into the guest");
}

void cguest_changed(struct cguest *guest, const char *path)
{
	const struct vn_host *host = ctl_host(guest->object.ctl);

	cguest_notice(guest);
	host->invalidate(host->arg, guest->mirror, path);
}

void cguest_notice(struct cguest *guest)
{
	struct guest_status status;
	bool gone;

	guest_get_status(guest->guest, &status);
	if (status.state == GUEST_NEW) /* it is being asked: nothing is known yet */
		return;
	gone = status.state == GUEST_GONE || status.state == GUEST_STUCK;
	if (atomic_exchange(&guest->seen_gone, gone) != gone)
		events_add(&guest->events, "guest %s %s", guest->object.name,
			   gone ? cguest_state_name(status.state) : "back");
}

/* The three collections, each with a reference for the tree and one for the pointer here. */
static int make_collections(struct cguest *guest)
{
	struct ctl *ctl = guest->object.ctl;
	int rc = services_new(ctl, guest, &guest->services);

	if (rc == 0)
		rc = shells_new(ctl, guest, &guest->shells);
	if (rc == 0)
		rc = execs_new(ctl, guest, &guest->execs);
	return rc;
}

int cguest_new(struct ctl *ctl, struct guest *guest, const char *name, struct object **out,
	       struct error *err)
{
	const struct vn_host *host = ctl_host(ctl);
	struct cguest *made = calloc(1, sizeof(*made));
	int rc;

	if (!made)
		return error_set(err, ENOMEM, "out of memory");
	if (tree_object_init(&made->object, &cguest_type, ctl, NULL, name) < 0) {
		free(made);
		return error_set(err, ENOMEM, "out of memory");
	}
	made->guest = guest_ref(guest);
	events_init(&made->events);
	poller_init(&made->poller, guest);
	rc = host->mirror(host->arg, guest, &made->mirror);
	if (rc == 0)
		rc = make_collections(made);
	if (rc < 0) {
		cguest_retire(&made->object, ENOENT);
		tree_discard(&made->object);
		return error_set(err, -rc, "the guest's tree cannot be made: %s", strerror(-rc));
	}
	*out = &made->object;
	return 0;
}
