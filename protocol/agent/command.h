/*
 * command.h - commands of the session dialect: processes in the background whose input comes from
 * the client and whose output goes into files.
 *
 *   RUN/pyro-commands/TOKEN/ID.stdout, ID.stderr, ID.stdin
 *
 * TOKEN is this agent's, which holds a lock on the directory while it lives; what an agent that is
 * gone left there is removed by the next.  A command has a session of its own, a time limit if that
 * is wished, and ends with the agent.
 *
 * It is counted: the table holds a reference until it is forgotten.  Its owner is whoever
 * named it last; one that has ended is forgotten when nobody has owned it for ten minutes.
 */
#ifndef VSOCKFS_AGENT_COMMAND_H
#define VSOCKFS_AGENT_COMMAND_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include "protocol/error.h"
#include "protocol/limits.h"

struct agent;
struct command;
struct commands;

int commands_new(struct agent *agent, struct commands **out, struct error *err);
/* After the reaper has ended; removes the files. */
void commands_free(struct commands *commands);
/* Where the files are, for the caller to free; NULL where there are none yet, or no memory. */
char *commands_path(struct commands *commands);

/* OWNER has gone. */
void commands_leave(struct commands *commands, const void *owner);
/*
 * Does what time has come for: limits, and what nobody owns.  Milliseconds until it has again, -1:
 * never.
 */
int commands_tend(struct commands *commands);

enum command_input {
	COMMAND_NO_INPUT,
	COMMAND_STREAM, /* a pipe */
	COMMAND_SPOOL,  /* a file: it starts when its input is complete */
};

struct command_spec {
	const char *id; /* a valid name, or NULL: one is made */
	const void *owner;
	char **argv;    /* taken over, always; a name without a slash is looked for in env's PATH */
	char *host_cwd; /* likewise; as chdir takes it */
	char **env;     /* likewise */
	char mark[64];  /* of env, by which its processes are known */
	enum command_input input;
	int64_t timeout_ms; /* 0: none */
};

/*
 * Starts it, or makes it wait for its input.  -EEXIST; -EAGAIN where there are too many.
 * Referenced.
 */
int commands_start(struct commands *commands, struct command_spec *spec, struct command **out,
		   struct error *err);
/* The command ID, which is OWNER's from now on, referenced; NULL and -ENOENT in ERR. */
struct command *commands_find(struct commands *commands, const char *id, const void *owner,
			      struct error *err);
void command_unref(struct command *command);

enum command_state { COMMAND_WAITING, COMMAND_RUNNING, COMMAND_ENDED };

struct command_status {
	const char *id; /* the command's */
	enum command_state state;
	int exit_code; /* once ended: 0..255; 128+N for signal N; 124 for the time limit */
	pid_t pid;     /* 0 while waiting */
	double started_at, ended_at;
	int64_t out_size, err_size;
	int64_t input_taken; /* bytes of input that it was given, or that are in the file */
};
void command_look(struct command *command, struct command_status *out);

/* Reads of output STREAM (1 or 2).  Bytes, 0 at the present end. */
ssize_t command_read(struct command *command, int stream, int64_t offset, void *bytes, size_t len);

/* To the process group.  -EBUSY where it does not run. */
int command_signal(struct command *command, int signal, struct error *err);

/*
 * Its input, given by one at a time: -EBUSY where another one does, or it is closed; COMMAND_UNREAD
 * where it has ended and none is wanted.  command_give: as many as it takes now, -EAGAIN, or -EPIPE
 * when it does not read any more.  *OUT of command_begin_input is what poll(2) waits for, -1 for a
 * file. COMPLETE closes it (and starts what waited for it, whose error is told); otherwise somebody
 * else may go on.
 */
#define COMMAND_UNREAD 1
int command_begin_input(struct command *command, int *out, struct error *err);
ssize_t command_give(struct command *command, const void *bytes, size_t len);
int command_end_input(struct command *command, bool complete, struct error *err);

/* Ends it if it runs, with what came of it, and removes its files.  The id is free afterwards. */
void command_forget(struct command *command);

#endif
