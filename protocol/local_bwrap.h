/*
 * local_bwrap.h - what bubblewrap is told, and what its refusals mean.  Internal to local.c.
 */
#ifndef VSOCKFS_LOCAL_BWRAP_H
#define VSOCKFS_LOCAL_BWRAP_H

#include <stdbool.h>
#include <stddef.h>

#include "protocol/error.h"

/* The descriptors that the sandbox starts with, besides 0, 1 and 2. */
enum { LOCAL_FD_LIFELINE = 3, LOCAL_FD_READY = 4, LOCAL_FD_END = 5 };

/* Where the agent listens, as the sandbox sees it; the directory is the host's RUN_DIR. */
#define LOCAL_SOCKET_NAME "agent.sock"
#define LOCAL_LISTEN "unix:/.vsockfs/run/" LOCAL_SOCKET_NAME

struct local_plan {
	const char *bwrap;   /* path of the program */
	const char *agent;   /* path of vsockfs-agent */
	const char *dir;     /* becomes /workspace */
	const char *run_dir; /* where the agent makes its socket */
	bool network;
	bool user_namespace;
};

/*
 * The argument vector for PLAN, the guard's and bubblewrap's in it, NULL-terminated;
 * local_args_free() it.  NULL when out of memory.
 */
char **local_bwrap_args(const struct local_plan *plan);
void local_args_free(char **args);

/*
 * Turns what bubblewrap said before it failed into an error: -EPERM with what to allow
 * where the host forbids sandboxes, -EIO otherwise.
 */
int local_bwrap_error(const char *said, struct error *err);

#endif
