/*
 * shell.h - interactive shells on terminals of their own.
 *
 * A shell is counted: the table holds a reference until it is closed.  A thread per shell
 * moves bytes between the terminal, the transcript and the queue of input, so
 * that neither a silent nor a busy shell ever keeps a request.
 */
#ifndef VSOCKFS_AGENT_SHELL_H
#define VSOCKFS_AGENT_SHELL_H

#include <jansson.h>
#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

#include "protocol/agent/agent.h"
#include "protocol/buf.h"
#include "protocol/error.h"
#include "protocol/limits.h"

struct shell;
struct shells;

int shells_new(struct agent *agent, struct shells **out, struct error *err);
/* Kills all of them, with their jobs; they stay known. */
void shells_kill(struct shells *shells);
/* Likewise, and frees them.  No request may be using one. */
void shells_free(struct shells *shells);

struct shell_spec {
	const char *id;       /* a valid name */
	const char *cwd;      /* as the protocol names it */
	const char *host_cwd; /* as chdir takes it */
	int cols, rows;
	char *const *env;
	const json_t *redact_values;
};

/* -EEXIST where ID is taken.  The shell is referenced. */
int shells_open(struct shells *shells, const struct shell_spec *spec, struct shell **out,
		struct error *err);
/* The shell ID, referenced; NULL and -ENOENT in ERR. */
struct shell *shells_find(struct shells *shells, const char *id, struct error *err);
void shell_unref(struct shell *shell);

struct shell_status {
	char id[LIMIT_ENTITY_NAME + 1];
	const char *cwd; /* the shell's */
	int cols, rows;
	bool stopped;
	double started_at, ended_at; /* ended_at and exit_code when stopped */
	int exit_code;
	int64_t bytes; /* of output until now */
};

/* What came from CURSOR on, which is moved to what is still there. */
struct shell_output {
	int64_t cursor, next, end;
	struct buf *text;
};

/* OUTPUT may be NULL; what STATUS says of the end is true of all output before it. */
void shell_look(struct shell *shell, struct shell_status *status, struct shell_output *output,
		int64_t max_chars);

/*
 * Output as bytes: at most LEN from *OFFSET on, which is moved to what is still there.  What STATUS
 * says of the end is true of all output up to STATUS's bytes.
 */
size_t shell_read(struct shell *shell, struct shell_status *status, int64_t *offset, char *bytes,
		  size_t len);

/* Queues input.  -EPIPE when the shell has ended, -EAGAIN when the queue is full. */
int shell_type(struct shell *shell, const char *bytes, size_t len);
/* The same for as much as there is room for: how much. */
ssize_t shell_type_some(struct shell *shell, const char *bytes, size_t len);

/* The terminal's size; what runs there is told by SIGWINCH.  -EPIPE when the shell has ended. */
int shell_resize(struct shell *shell, int cols, int rows);

/* Also the foreground job: it has a process group of its own. */
int shell_signal(struct shell *shell, int signal);

/* HUP, and KILL after some seconds; the id is free afterwards. */
void shell_close(struct shell *shell);

#endif
