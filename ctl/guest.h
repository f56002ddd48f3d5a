/*
 * guest.h - MOUNT/GUEST: what ctl/ holds of one guest.
 */
#ifndef VSOCKFS_CTL_GUEST_H
#define VSOCKFS_CTL_GUEST_H

#include "ctl/events.h"
#include "ctl/poller.h"
#include "ctl/tree.h"
#include "protocol/guest.h"

struct cguest {
	struct object object;
	struct guest *guest;                      /* a reference */
	struct vnode *mirror;                     /* a reference: GUEST/workspace */
	struct object *services, *shells, *execs; /* object.lock; references, NULL once retired */
	struct events events;
	struct poller poller;
	atomic_bool seen_gone; /* what events was told last */
};

/*
 * Makes GUEST (a reference is taken) with its workspace, not in any directory yet.  The
 * reference is the caller's, for tree_add.
 */
int cguest_new(struct ctl *ctl, struct guest *guest, const char *name, struct object **out,
	       struct error *err);

static inline struct object *cguest_object(struct cguest *guest)
{
	return &guest->object;
}

/* The guest that OBJECT is or belongs to; NULL for the root. */
struct cguest *cguest_of(struct object *object);
struct poller *cguest_poller(struct object *object);
struct guest *cguest_guest(struct object *object);

/*
 * A request's deadline: the guest's `timeout`, plus EXTRA seconds that the request itself may take.
 */
struct call cguest_call(struct cguest *guest, struct cancel *cancel);
struct call cguest_call_long(struct cguest *guest, struct cancel *cancel, double extra);

/* Before a verb: what was written through the mount is in the guest. */
int cguest_sync(struct cguest *guest, const struct call *call, struct error *err);
/* After it: what the mount believed of PATH (NULL: everything) is forgotten.  Hold no lock. */
void cguest_changed(struct cguest *guest, const char *path);
/* Tells events when the guest has gone or is back.  Cheap; hold no lock. */
void cguest_notice(struct cguest *guest);

/* guest_files.c: the rows of the directory and the verbs. */
extern const struct object_type cguest_type;
void cguest_retire(struct object *object, int gone); /* its object_type.retire */
const char *cguest_state_name(enum guest_state state);

/* The collections. */
int services_new(struct ctl *ctl, struct cguest *guest, struct object **out);
int shells_new(struct ctl *ctl, struct cguest *guest, struct object **out);
int execs_new(struct ctl *ctl, struct cguest *guest, struct object **out);

#endif
