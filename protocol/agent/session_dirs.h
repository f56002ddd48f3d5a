/*
 * session_dirs.h - the directories of the workspace under inotify, and what their events mean.
 *
 * Every directory has a watch, and a node with its name in the directory above, so that one that is
 * moved is one node that is linked elsewhere.  A directory that appears is watched first and looked
 * through then, and what is found in it is told: nothing that came in between is missed.
 *
 * What the kernel says about names is only a hint to look at what is there now: between an event
 * and its reading anything may have been moved again.
 *
 * Belongs to one thread, which has been prepared by sess_thread_prepare.
 */
#ifndef VSOCKFS_AGENT_SESSION_DIRS_H
#define VSOCKFS_AGENT_SESSION_DIRS_H

#include "protocol/agent/session_ring.h"
#include "protocol/error.h"

/* More directories than this are not watched. */
#define SESS_DIRS_MAX (128u << 10)

struct sess_dirs;

/*
 * Watches the directory ROOT (stays the caller's, outlives it) and all below it; what happens from
 * then on goes to RING.  -ENOSPC when there are too many directories for us or for the kernel,
 * -EOPNOTSUPP where others than this kernel change files (network file systems).
 */
int sess_dirs_new(int root, struct sess_ring *ring, struct sess_dirs **out, struct error *err);
void sess_dirs_free(struct sess_dirs *dirs);

/* Readable when something has happened. */
int sess_dirs_fd(const struct sess_dirs *dirs);

/*
 * Takes in all that the kernel has to tell so far.  -EOVERFLOW: it lost something, and all of this
 * has to be made anew.  Others as sess_dirs_new, and -ESTALE: the workspace itself has gone.
 */
int sess_dirs_drain(struct sess_dirs *dirs, struct error *err);

#endif
