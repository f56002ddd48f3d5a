/*
 * server.h - takes connections and serves each in a thread of its own.
 *
 * At most so many at once; more wait in the sockets' backlogs.
 */
#ifndef VSOCKFS_AGENT_SERVER_H
#define VSOCKFS_AGENT_SERVER_H

#include <stdbool.h>
#include <stddef.h>

#include "protocol/agent/agent.h"
#include "protocol/agent/listen.h"
#include "protocol/error.h"

struct server;

/* AGENT and LISTENERS stay the caller's and outlive the server. */
int server_new(struct agent *agent, const struct listener *listeners, size_t count,
	       struct server **out, struct error *err);

/*
 * Serves until one of the descriptors STOP (-1: none) is readable, or, true, until the agent has
 * had no connection for its idle_exit_seconds and no service of it is running.
 */
bool server_run(struct server *server, const int stop[2]);

/*
 * Interrupts what is being served and waits for it.  False, freeing nothing, when some of
 * it does not come to an end within a few seconds: then only leaving the process helps.
 */
bool server_free(struct server *server);

#endif
