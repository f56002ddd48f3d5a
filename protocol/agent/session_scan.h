/*
 * session_scan.h - looks through directories, puts watches on them, and keeps the nodes as what is
 * there. Internal to the watch (session_dirs.h).
 */
#ifndef VSOCKFS_AGENT_SESSION_SCAN_H
#define VSOCKFS_AGENT_SESSION_SCAN_H

#include <stdbool.h>

#include "protocol/agent/session_nodes.h"
#include "protocol/agent/session_ring.h"
#include "protocol/error.h"

struct sess_scan {
	int inotify; /* owned */
	int root;    /* the workspace, O_PATH; not owned */
	struct sess_nodes nodes;
	struct sess_ring *ring;
	struct sess_dir *pending; /* to be looked through */
	bool quiet;               /* the first time: nothing is news */
	unsigned told;            /* of what was found this time */
};

/* Watches everything.  Whatever comes back, sess_scan_destroy is to be called. */
int sess_scan_init(struct sess_scan *scan, int root, struct sess_ring *ring, struct error *err);
void sess_scan_destroy(struct sess_scan *scan);

/*
 * There is, or was a moment ago, a directory NAME in PARENT: watches it and all below, and tells
 * what is in it, or learns that one it knows is there now.
 */
int sess_scan_adopt(struct sess_scan *scan, struct sess_dir *parent, const char *name,
		    struct error *err);

/* Whether DIR is still where its node is. */
bool sess_scan_is_there(const struct sess_scan *scan, const struct sess_dir *dir);

/* Forgets DIR and all below it; UNWATCH: the kernel has not forgotten it yet. */
void sess_scan_drop(struct sess_scan *scan, struct sess_dir *dir, bool unwatch);

#endif
