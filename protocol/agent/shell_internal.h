/*
 * shell_internal.h - what shell.c (the table, the thread, the transcript as text) and shell_bytes.c
 * (output as bytes, the terminal's size) share.
 */
#ifndef VSOCKFS_AGENT_SHELL_INTERNAL_H
#define VSOCKFS_AGENT_SHELL_INTERNAL_H

#include <pthread.h>
#include <uthash.h>

#include "protocol/agent/redact.h"
#include "protocol/agent/shell.h"
#include "protocol/agent/transcript.h"

struct shells {
	struct agent *agent;
	pthread_mutex_t opening; /* before lock; held while one is made */
	pthread_mutex_t lock;    /* before a shell's own */
	struct shell *by_id;     /* lock */
	struct shell *all;       /* lock; also those that are in the table no more */
	unsigned count;          /* lock; of all */
};

struct shell {
	struct shells *shells;
	char id[LIMIT_ENTITY_NAME + 1];
	char *cwd;
	double started_at;
	struct child *child;
	int terminal; /* the master's side */
	int wake;     /* eventfd: input has come, or the end */
	pthread_t thread;

	unsigned refs;             /* shells->lock */
	UT_hash_handle hh;         /* shells->lock */
	bool listed;               /* shells->lock */
	struct shell *prev, *next; /* shells->lock; shells->all */

	pthread_mutex_t lock;
	int cols, rows;               /* lock */
	struct transcript transcript; /* lock */
	struct redact redact;         /* lock */
	struct buf input;             /* lock */
	bool drained;                 /* lock; it has ended and its output was read */
	bool closing;                 /* lock; the thread shall end */
};

/* Makes the thread look again. */
void shell_notify(struct shell *shell);

/*
 * Hold the lock.  Input for the terminal, for which there is room in input: to it, or kept.  0,
 * -EAGAIN where all shells keep too much, -ENOMEM.
 */
int shell_give(struct shell *shell, const char *bytes, size_t len);

/* Hold the lock.  Of how it ended, only that it has. */
void shell_describe(struct shell *shell, struct shell_status *status);
/* Hold nothing.  The rest, where STATUS says that it has ended. */
void shell_describe_end(struct shell *shell, struct shell_status *status);

#endif
