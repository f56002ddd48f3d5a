/*
 * session_nodes.h - the watched directories as a tree, and by the numbers of their watches.
 * Internal to the watch (session_dirs.h).
 */
#ifndef VSOCKFS_AGENT_SESSION_NODES_H
#define VSOCKFS_AGENT_SESSION_NODES_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include "protocol/limits.h"

struct sess_dir {
	int wd;      /* inotify's number */
	bool fresh;  /* not looked through yet: what is in it is news */
	bool queued; /* pending */
	ino_t ino;
	dev_t dev;
	struct sess_dir *parent; /* NULL: the top */
	struct sess_dir *child;  /* the first */
	struct sess_dir *previous, *next;
	struct sess_dir *chain;   /* of the hash table */
	struct sess_dir *pending; /* the next to be looked through */
	char *name;               /* owned */
};

struct sess_nodes {
	struct sess_dir *top;
	struct sess_dir **buckets; /* owned */
	size_t room;               /* a power of two */
	size_t count;
};

struct sess_dir *sess_nodes_find(const struct sess_nodes *nodes, int wd);
/* A node NAME below PARENT; NULL when out of memory. */
struct sess_dir *sess_nodes_add(struct sess_nodes *nodes, struct sess_dir *parent, const char *name,
				int wd);
/* Its place is NAME in PARENT now.  -ENOMEM, or -ELOOP when PARENT is below it. */
int sess_nodes_move(struct sess_dir *dir, struct sess_dir *parent, const char *name);
/* Removes DIR, which has no children any more. */
void sess_nodes_remove(struct sess_nodes *nodes, struct sess_dir *dir);
void sess_nodes_free(struct sess_nodes *nodes);

/*
 * The path below the workspace, NUL-terminated; its length.  One that is too long is given as "".
 */
size_t sess_dir_path(const struct sess_dir *dir, char path[static LIMIT_PATH]);

#endif
