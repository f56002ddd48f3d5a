/*
 * sproc.h - process.h over the session dialect: each function has its twin here, with the same
 * contract.
 *
 * Differences that are none to callers: a shell's cursor is an offset in bytes, its output is what
 * the terminal had (UTF-8 characters are not cut, bytes that are no UTF-8 stay); the agent looks
 * after readiness, so a start is two calls, and a reading is one.
 *
 * When the session breaks, questions are asked again over the next one.  Of a change it is asked
 * whether it was made; where that cannot be found out it is -EIO, and the sentence says so.
 */
#ifndef VSOCKFS_SESSION_SPROC_H
#define VSOCKFS_SESSION_SPROC_H

#include "protocol/process.h"
#include "protocol/session/link.h"

struct sproc_room;
struct sproc_command;

/*
 * LINK stays the caller's and outlives it.  TIMEOUT: the guest's, in seconds.  Sends nothing.
 * -ENOMEM.
 */
int sproc_room_new(struct link *link, double timeout, struct sproc_room **out);
/* Forgets in the guest what sproc_command_free could not.  No command of it is left. */
void sproc_room_free(struct sproc_room *room);

int sproc_service_start(struct sproc_room *room, const struct call *call, const char *name,
			const char *command, const struct proc_settings *settings,
			const struct proc_readiness *readiness, struct proc_service *out,
			struct error *err);
int sproc_service_status(struct sproc_room *room, const struct call *call, const char *name,
			 struct proc_service *out, struct error *err);
int sproc_service_stop(struct sproc_room *room, const struct call *call, const char *name,
		       struct proc_service *out, struct error *err);
ssize_t sproc_service_read(struct sproc_room *room, const struct call *call, const char *name,
			   int stream, int64_t offset, void *bytes, size_t len, struct error *err);

int sproc_shell_open(struct sproc_room *room, const struct call *call, const char *id,
		     const struct proc_settings *settings, int cols, int rows,
		     struct proc_shell *out, struct error *err);
ssize_t sproc_shell_read(struct sproc_room *room, const struct call *call, const char *id,
			 int64_t cursor, void *bytes, size_t size, struct proc_shell *out,
			 struct error *err);
ssize_t sproc_shell_write(struct sproc_room *room, const struct call *call, const char *id,
			  const void *bytes, size_t len, struct error *err);
int sproc_shell_resize(struct sproc_room *room, const struct call *call, const char *id, int cols,
		       int rows, struct error *err);
int sproc_shell_signal(struct sproc_room *room, const struct call *call, const char *id,
		       const char *signal, struct error *err);
int sproc_shell_close(struct sproc_room *room, const struct call *call, const char *id,
		      struct proc_shell *out, struct error *err);

int sproc_command_start(struct sproc_room *room, const struct call *call, const char *command,
			const struct proc_settings *settings, int input_fd, int64_t input_len,
			double timeout, struct sproc_command **out, struct error *err);
int sproc_command_status(struct sproc_command *command, const struct call *call,
			 struct proc_command_status *out, struct error *err);
ssize_t sproc_command_read(struct sproc_command *command, const struct call *call, int stream,
			   int64_t offset, void *bytes, size_t len, struct error *err);
int sproc_command_kill(struct sproc_command *command, const struct call *call, const char *signal,
		       struct error *err);
void sproc_command_free(struct sproc_command *command, const struct call *call);

#endif
