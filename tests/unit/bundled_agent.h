/*
 * bundled_agent.h - vsockfs-agent on a Unix socket, without a sandbox, for tests of the session's
 * client.
 *
 * The program is $VSOCKFS_AGENT.  Its workspace is a directory of its own.
 */
#ifndef VSOCKFS_TESTS_BUNDLED_AGENT_H
#define VSOCKFS_TESTS_BUNDLED_AGENT_H

#include <sys/types.h>

struct bundled_agent {
	char top[64];       /* a private directory */
	char socket[96];    /* in it */
	char workspace[96]; /* in it */
	pid_t pid;          /* 0: it does not run */
};

/* Makes the directory, starts nothing. */
void bundled_agent_open(struct bundled_agent *agent);
/* Starts it, with MORE as another option (or NULL), and waits until it listens. */
void bundled_agent_start(struct bundled_agent *agent, const char *more);
/* Makes it stand still, until SIGCONT. */
void bundled_agent_stop(struct bundled_agent *agent);
/* Ends it at once; the socket's name stays. */
void bundled_agent_kill(struct bundled_agent *agent);
/* Ends it if it runs, and removes the directory. */
void bundled_agent_close(struct bundled_agent *agent);

#endif
