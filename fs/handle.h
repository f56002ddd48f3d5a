/*
 * handle.h - what the kernel holds open: files and directories.
 *
 * A handle keeps its node alive, and the set knows all of them: what is still
 * open when the mount ends is released like everything else, so that no write is
 * lost.
 */
#ifndef VSOCKFS_HANDLE_H
#define VSOCKFS_HANDLE_H

#include <pthread.h>

#include "fs/dirsnap.h"
#include "fs/vnode.h"

struct handle {
	struct handle *prev, *next; /* the set's */
	struct vnode *node;         /* a reference */
	bool is_dir;
	struct vn_file file;  /* files */
	pthread_mutex_t lock; /* guards snap */
	struct dirsnap *snap; /* directories: a reference, or NULL before the first read */
};

struct handle_set {
	pthread_mutex_t lock;
	struct handle *first; /* lock */
};

void handle_set_init(struct handle_set *set);

/*
 * Releases and frees all that is left, within TIMEOUT seconds each; nobody else uses SET any more.
 */
void handle_set_close(struct handle_set *set, double timeout);

/* An empty handle, in no set yet.  NULL when out of memory. */
struct handle *handle_new(int flags, bool is_dir);

/* The file or directory is open now; takes a reference to NODE. */
void handle_add(struct handle_set *set, struct handle *handle, struct vnode *node);

/* Takes HANDLE out of the set again. */
void handle_remove(struct handle_set *set, struct handle *handle);

/* Frees a handle that is in no set; the node's release is the caller's. */
void handle_free(struct handle *handle);

#endif
