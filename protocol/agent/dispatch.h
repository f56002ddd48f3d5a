/*
 * dispatch.h - one connection's request, from its line to the last byte of
 * its reply.
 */
#ifndef VSOCKFS_AGENT_DISPATCH_H
#define VSOCKFS_AGENT_DISPATCH_H

#include "protocol/agent/agent.h"

/*
 * Serves the one request that the connected stream FD carries.  Blocks as long as
 * the request takes; a client that says nothing or goes away ends it early.  FD stays the
 * caller's.
 */
void dispatch_serve(struct agent *agent, int fd);

#endif
