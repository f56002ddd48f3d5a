/*
 * local.h - a guest without a VM: the bundled agent in a bubblewrap sandbox.
 *
 * The sandbox sees DIR as /workspace (read-write), the host's /usr and what programs need of /etc
 * (read-only), fresh /tmp, /run, /proc and /dev, its own PID, IPC, UTS and user namespaces, and no
 * network unless asked.  It ends when the handle is freed or this process ends, however that
 * happens and whatever state it is in: a guard process outside of it sees that a socket is closed
 * whose other end is only here, gives it some seconds, and kills it.
 */
#ifndef VSOCKFS_LOCAL_H
#define VSOCKFS_LOCAL_H

#include <stdbool.h>

#include "protocol/call.h"
#include "protocol/error.h"

struct local;

/*
 * Starts the sandbox and waits until its agent listens.  -ENOENT where DIR or
 * bwrap or the agent is missing, -EPERM where bubblewrap cannot run here; the sentence says
 * what to install or allow.
 */
int local_start(const char *dir, bool network, const struct call *call, struct local **out,
		struct error *err);
/* A path, in this process, of the Unix socket that the agent listens on. */
const char *local_socket(const struct local *local);
/* Ends the sandbox and reaps it. */
void local_free(struct local *local);

#endif
