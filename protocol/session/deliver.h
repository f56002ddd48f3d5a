/*
 * deliver.h - brings vsockfs's own agent to a guest that has only a line-dialect one.
 *
 * By upload (line/line.h): a static vsockfs-agent for the guest's `uname -m`, into a private directory outside
 * /workspace, started detached on another vsock port, checked by its build id.  The file is removed as soon as
 * the agent runs.  The agent ends by itself when no host has been there for a while.  Another daemon's
 * delivered agent, of the same build, is used as it is.
 */
#ifndef VSOCKFS_SESSION_DELIVER_H
#define VSOCKFS_SESSION_DELIVER_H

#include <stdint.h>

#include "protocol/call.h"
#include "protocol/error.h"

struct guest;

/*
 * -EOPNOTSUPP with a sentence for status where it cannot be: another architecture, a unix: guest, no static
 * agent installed, no place in the guest to run it from.  *PORT is where it listens.
 */
int deliver_agent(struct guest *guest, const struct call *call, const char *machine, uint32_t *port,
		  struct error *err);

#endif
