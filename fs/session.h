/*
 * session.h - one mount from its first thread to its last.
 *
 *   session_new      after daemonizing: signals are taken from here on
 *   session_host     what ctl/ gets; attach guests with it
 *   session_mount    the tree is there
 *   session_wait     until it is unmounted or a signal comes
 *   session_drain    nothing is under way, all that was written is in the guests, unmounted
 *   session_free
 *
 * Between wait and drain the caller ends whatever requests may be waiting for
 * (ctl_shutdown).  SIGINT, SIGTERM and SIGHUP are a clean end; before the mount is there they
 * fire session_cancel, which attaching waits with.
 */
#ifndef VSOCKFS_SESSION_H
#define VSOCKFS_SESSION_H

#include "fs/options.h"
#include "fs/vnode.h"

struct session;

/* OPTIONS outlives the session. */
int session_new(const struct options *options, struct session **out, struct error *err);

const struct vn_host *session_host(struct session *session);
struct cancel *session_cancel(struct session *session);

/* Mounts ROOT (a reference is taken) at the absolute path MOUNTPOINT and begins to serve it. */
int session_mount(struct session *session, struct vnode *root, const char *mountpoint,
		  struct error *err);

/* After it no further request is taken. */
void session_wait(struct session *session);

/*
 * Ends what is under way, closes what is open, waits until the guests have everything,
 * unmounts, drops what the kernel knew of the tree.  Always before session_free; in any state.
 */
void session_drain(struct session *session);

/* After ctl/ is gone, which may still call its host. */
void session_free(struct session *session);

#endif
