/*
 * mirror.h - a guest's workspace as nodes.
 *
 * A node stands for one name in one directory and remembers which of the
 * guest's files that name led to.  Nothing is kept of a file but that and what the
 * kernel was told, so every question goes to the guest; when a name leads to another file
 * than before, the old node is detached (its open files go on working) and a new one is
 * made.
 *
 * A mirror lives as long as any of its nodes and holds the guest.  Lock order: the
 * mirror's lock is taken last, and never held over a call to the guest.
 */
#ifndef VSOCKFS_MIRROR_H
#define VSOCKFS_MIRROR_H

#include <pthread.h>

#include "fs/vnode.h"

struct guest;
struct mirror;

struct mirror_options {
	double attr_timeout; /* seconds that the kernel may believe an answer */
	bool raw_symlinks;   /* links as the guest has them, wherever they lead */
	bool guest_ids;      /* files belong to the guest's users; else to uid and gid */
	bool read_only;
	bool sync_write;
	uid_t uid;
	gid_t gid;
};

/* The mirrors of one mount. */
struct mirror_set {
	pthread_mutex_t lock;
	struct mirror *first; /* lock */
	uint64_t next_index;  /* lock */
};

void mirror_set_init(struct mirror_set *set);
void mirror_set_destroy(struct mirror_set *set);

/* Waits until the guests have what was written, up to TIMEOUT seconds each; logs what fails. */
void mirror_set_sync(struct mirror_set *set, double timeout);

/* A mirror of GUEST's workspace; *ROOT comes with a reference, and holds GUEST.  -ENOMEM. */
int mirror_new(struct mirror_set *set, struct guest *guest, const struct mirror_options *options,
	       struct vnode **root);

/* Where the kernel may have something in its caches. */
struct mirror_place {
	struct vnode *node; /* references */
	struct vnode *dir;  /* NULL for the root */
	char *name;
	bool is_dir;
};

/*
 * Calls EACH, with no lock held, for every node of ROOT's mirror, or at and below PATH,
 * that the kernel was told of so lately that it may still believe it, or that is open.
 */
int mirror_each_told(struct vnode *root, const char *path,
		     void (*each)(void *arg, const struct mirror_place *place), void *arg);

#endif
