/*
 * command_internal.h - what command.c (the table, forgetting), command_run.c (a command's process
 * and files) and command_dir.c (the directory) share.
 *
 * Locks: commands->lock, then a command's.
 */
#ifndef VSOCKFS_AGENT_COMMAND_INTERNAL_H
#define VSOCKFS_AGENT_COMMAND_INTERNAL_H

#include <pthread.h>
#include <stdatomic.h>
#include <uthash.h>

#include "protocol/agent/child.h"
#include "protocol/agent/command.h"

#define COMMAND_TOKEN 16 /* digits */

struct commands {
	struct agent *agent;
	int room;                      /* RUN/pyro-commands; -1 before it was needed */
	int dir;                       /* TOKEN in it, locked; -1 before the first command */
	char token[COMMAND_TOKEN + 1]; /* constant */

	pthread_mutex_t lock;  /* also of room and dir, which do not change once they are there */
	struct command *by_id; /* lock */
	uint64_t count;        /* lock; that were made, for ids */
	int64_t due;           /* lock; of clock_ms(): nothing is to be done before; INT64_MAX */
};

struct command {
	struct commands *commands;
	char id[LIMIT_ENTITY_NAME + 1];
	char mark[64];
	bool spool; /* input is a file, and starts it */
	int64_t timeout_ms;

	UT_hash_handle hh;   /* commands->lock */
	const void *owner;   /* commands->lock; NULL: nobody */
	int64_t owned_until; /* commands->lock; where owner is NULL */
	atomic_uint refs;
	bool listed; /* commands->lock */

	bool timed_out; /* lock; it was told to end */
	bool feeding;   /* lock; somebody gives it input */
	bool unread;    /* lock; it ended before its input was closed */
	pthread_mutex_t lock;
	char **argv;                 /* lock; owned; until it runs, as the next two */
	char *host_cwd;              /* lock */
	char **env;                  /* lock */
	size_t held;                 /* lock; of these, in the agent's budget, while it waits */
	struct child *child;         /* lock; once it runs */
	double started_at, ended_at; /* lock */
	int64_t ended_ms;            /* lock; of clock_ms() */
	int64_t limit;               /* lock; of clock_ms(): when it is struck next; 0: never */
	int64_t input_taken;         /* lock */
	enum command_state state;    /* lock */
	pid_t pid;                   /* lock; 0 before */
	int exit_code;               /* lock; once ended */
	int input;                   /* lock; pipe or file, -1: closed */
};

/* command_run.c */

/* Hold the lock.  Makes the files and the process; STREAM: its input is a pipe. */
int command_run(struct command *command, bool stream, struct error *err);
/* Opens what its input comes through where it is a file. */
int command_open_spool(struct command *command, struct error *err);
void command_remove_files(struct command *command);
/* What time has come for; when it is the next. */
int64_t command_tend(struct command *command, int64_t now);

/* command.c */

/* Hold the lock, or be the only one to have it.  Frees what it was to be started with. */
void command_drop_spec(struct command *command);
/* It has ended: for who waits for that, and for who has to forget it. */
void command_tell_end(struct command *command);

/* Some time has been set: it will be looked at. */
void commands_set_due(struct commands *commands, int64_t due);

/* command_dir.c */

/* Hold commands->lock.  The directory, made and locked when it is needed. */
int commands_open_dir(struct commands *commands, struct error *err);
/* Removes what agents that are gone have left. */
void commands_sweep(struct commands *commands);
void commands_remove_dir(struct commands *commands);

#endif
