/*
 * agent.h - the agent as its parts know it: the settings and the rooms of
 * what it started.
 *
 * Made once before the first connection, ended after the last; everything in
 * it is shared by the threads that serve connections.
 */
#ifndef VSOCKFS_AGENT_AGENT_H
#define VSOCKFS_AGENT_AGENT_H

#include <stdbool.h>

#include "protocol/budget.h"
#include "protocol/error.h"

struct children;
struct commands;
struct proc_hub;
struct sess_room;
struct services;
struct shells;

struct agent_options {
	const char *workspace; /* host directory behind /workspace */
	const char *run_dir;   /* NULL: /run when writable, else a private directory */
	bool any_peer;         /* a vsock peer need not be the host */
	bool lifeline;         /* services end with the agent as well */
	bool no_session;       /* the line dialect only */
	int idle_exit_seconds; /* end after so long without a connection; 0: never */
};

struct agent {
	struct agent_options options;
	char *run_dir; /* owned */
	struct proc_hub *procs;
	struct children *children;
	struct commands *commands;
	struct shells *shells;
	struct services *services;
	struct sess_room *sessions;
	struct budget uploads; /* what archives take that come in */
	struct budget held;    /* what waits for clients, or for what they asked for */
};

/* Call it before any other thread is made: it blocks SIGCHLD, ignores SIGPIPE. */
int agent_new(const struct agent_options *options, struct agent **out, struct error *err);

/*
 * Ends shells and commands, and services where options say so, and frees the
 * agent.  Nothing may be served any more.
 */
void agent_free(struct agent *agent);

/*
 * Ends the same, but frees nothing: for a process that is about to exit while some request is
 * still served.
 */
void agent_abandon(struct agent *agent);

/* Ends what runs on behalf of a request, so that the threads that serve it come back. */
void agent_interrupt(struct agent *agent);

#endif
