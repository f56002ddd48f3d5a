/*
 * process.h - the guest's services, shells and commands as typed calls, over
 * either dialect.
 *
 * No call keeps a serial agent busy: what may take long is started detached
 * and asked for.  Output is bytes, addressed by offset from the start, exactly
 * as the process wrote them.  Blocking, deadlines, cancellation, threads and
 * errors are as in workspace.h; errors that the control files promise:
 *   -ENOENT no such thing in the guest, -EEXIST, -EBUSY wrong state, -EINVAL,
 *   -ETIMEDOUT, -ENOTCONN, -EOPNOTSUPP, -EIO for whatever else the agent reports
 *   (the sentence has its text).
 */
#ifndef VSOCKFS_PROCESS_H
#define VSOCKFS_PROCESS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include "protocol/call.h"
#include "protocol/error.h"
#include "protocol/limits.h"

struct guest;

/* What this side keeps for the calls below; made and freed by the guest (guest_proc). */
struct proc_room;
int proc_room_new(struct guest *guest, struct proc_room **out, struct error *err);
/* Removes the private directory from the guest, if one was made. */
void proc_room_free(struct proc_room *room);

struct proc_env {
	const char *name;
	const char *value;
};

/* What services, shells and commands have in common. */
struct proc_settings {
	const char *cwd; /* absolute in the guest; NULL for /workspace */
	const struct proc_env *env;
	size_t env_count;
};

/* Services */

enum proc_ready_kind {
	PROC_READY_NONE,
	PROC_READY_FILE,
	PROC_READY_TCP,
	PROC_READY_HTTP,
	PROC_READY_COMMAND
};

struct proc_readiness {
	enum proc_ready_kind kind;
	const char *value; /* path, HOST:PORT, URL, command; NULL for none */
	double timeout;    /* seconds until a start has failed */
	unsigned interval_ms;
};

struct proc_service {
	char state[16]; /* running, exited, stopped, failed */
	char stop_reason
		[32]; /* "" or sigterm, sigkill, readiness_timeout, process_exited_before_ready */
	char *command, *cwd;                   /* owned */
	double started_at, ready_at, ended_at; /* seconds since the epoch, 0 where not yet */
	bool has_exit_code;
	int exit_code; /* negative: the signal's number */
	int64_t pid;
	int64_t out_size, err_size; /* bytes of the logs now */
};
void proc_service_free(struct proc_service *service);

/*
 * Starts and waits until ready.  -ETIMEDOUT when readiness did not come in time
 * (the service is stopped), -EIO when the process ended before; OUT is filled
 * in these cases too.  Waits longer than the guest's timeout where readiness
 * says so; CALL's deadline bounds it, its cancel token ends the wait (the service is stopped).
 */
int proc_service_start(struct guest *guest, const struct call *call, const char *name,
		       const char *command, const struct proc_settings *settings,
		       const struct proc_readiness *readiness, struct proc_service *out,
		       struct error *err);
/* -ENOENT where the guest knows no such service. */
int proc_service_status(struct guest *guest, const struct call *call, const char *name,
			struct proc_service *out, struct error *err);
/* TERM, then KILL.  Stopping what has ended is no error. */
int proc_service_stop(struct guest *guest, const struct call *call, const char *name,
		      struct proc_service *out, struct error *err);
/* STREAM is 1 or 2.  Returns bytes, 0 at the present end. */
ssize_t proc_service_read(struct guest *guest, const struct call *call, const char *name,
			  int stream, int64_t offset, void *bytes, size_t len, struct error *err);

/* Shells */

struct proc_shell {
	char state[16]; /* running, stopped */
	double started_at, ended_at;
	bool has_exit_code;
	int exit_code;
	int cols, rows;
	int64_t cursor; /* where the next read goes on; opaque, starts at 0 */
};

/* ID is new for the guest and [A-Za-z0-9._-]{1,64}. */
int proc_shell_open(struct guest *guest, const struct call *call, const char *id,
		    const struct proc_settings *settings, int cols, int rows,
		    struct proc_shell *out, struct error *err);
/*
 * Output since CURSOR, UTF-8, at most SIZE bytes (at least 4096), without
 * waiting.  Returns bytes, 0 if there is nothing new; OUT has the next cursor
 * and the state.
 */
ssize_t proc_shell_read(struct guest *guest, const struct call *call, const char *id,
			int64_t cursor, void *bytes, size_t size, struct proc_shell *out,
			struct error *err);
/*
 * Types LEN bytes as they stand.  Returns the bytes that were taken, which may
 * be fewer (one request's worth), or a negative errno if none was.
 */
ssize_t proc_shell_write(struct guest *guest, const struct call *call, const char *id,
			 const void *bytes, size_t len, struct error *err);
/*
 * Changes the terminal's size while the shell runs; -EBUSY when it has ended, -EOPNOTSUPP over the
 * line dialect.  COLS and ROWS from 1 to 32,767.
 */
int proc_shell_resize(struct guest *guest, const struct call *call, const char *id, int cols,
		      int rows, struct error *err);
int proc_shell_signal(struct guest *guest, const struct call *call, const char *id,
		      const char *signal, struct error *err);
int proc_shell_close(struct guest *guest, const struct call *call, const char *id,
		     struct proc_shell *out, struct error *err);

/* Commands: /bin/sh -c COMMAND, detached, with its input from a file. */

struct proc_command;

struct proc_command_status {
	bool ended;
	int exit_code; /* once ended: 0..255; 128+N for signal N; 124 for the time limit */
	int64_t pid;
	int64_t out_size, err_size;
};

/*
 * Starts COMMAND with the INPUT_LEN bytes of INPUT_FD (from offset 0; -1 for
 * none) as its input and TIMEOUT seconds (0: none) to live.  Returns as soon
 * as it runs.  *OUT is released with proc_command_free, which also ends
 * what still runs and removes its files from the guest.
 */
int proc_command_start(struct guest *guest, const struct call *call, const char *command,
		       const struct proc_settings *settings, int input_fd, int64_t input_len,
		       double timeout, struct proc_command **out, struct error *err);
int proc_command_status(struct proc_command *command, const struct call *call,
			struct proc_command_status *out, struct error *err);
/* STREAM is 1 or 2.  Returns bytes, 0 at the present end. */
ssize_t proc_command_read(struct proc_command *command, const struct call *call, int stream,
			  int64_t offset, void *bytes, size_t len, struct error *err);
/* SIGNAL is a name without SIG (TERM); sent to the command's whole process group. */
int proc_command_kill(struct proc_command *command, const struct call *call, const char *signal,
		      struct error *err);
void proc_command_free(struct proc_command *command, const struct call *call);

#endif
