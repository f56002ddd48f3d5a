/*
 * lproc.h - services, shells and commands over the line dialect: what process.h promises, function
 * by function.
 */
#ifndef VSOCKFS_LINE_LPROC_H
#define VSOCKFS_LINE_LPROC_H

#include "protocol/process.h"

struct lproc_room;
struct lproc_command;

int lproc_room_new(struct guest *guest, struct lproc_room **out, struct error *err);
void lproc_room_free(struct lproc_room *room);

/* The room of GUEST for this dialect. */
struct lproc_room *lproc_of(struct guest *guest);

int lproc_service_start(struct guest *guest, const struct call *call, const char *name,
			const char *command, const struct proc_settings *settings,
			const struct proc_readiness *readiness, struct proc_service *out,
			struct error *err);
int lproc_service_status(struct guest *guest, const struct call *call, const char *name,
			 struct proc_service *out, struct error *err);
int lproc_service_stop(struct guest *guest, const struct call *call, const char *name,
		       struct proc_service *out, struct error *err);
ssize_t lproc_service_read(struct guest *guest, const struct call *call, const char *name,
			   int stream, int64_t offset, void *bytes, size_t len, struct error *err);
int lproc_shell_open(struct guest *guest, const struct call *call, const char *id,
		     const struct proc_settings *settings, int cols, int rows,
		     struct proc_shell *out, struct error *err);
ssize_t lproc_shell_read(struct guest *guest, const struct call *call, const char *id,
			 int64_t cursor, void *bytes, size_t size, struct proc_shell *out,
			 struct error *err);
ssize_t lproc_shell_write(struct guest *guest, const struct call *call, const char *id,
			  const void *bytes, size_t len, struct error *err);
int lproc_shell_resize(struct guest *guest, const struct call *call, const char *id, int cols,
		       int rows, struct error *err);
int lproc_shell_signal(struct guest *guest, const struct call *call, const char *id,
		       const char *signal, struct error *err);
int lproc_shell_close(struct guest *guest, const struct call *call, const char *id,
		      struct proc_shell *out, struct error *err);
int lproc_command_start(struct guest *guest, const struct call *call, const char *command,
			const struct proc_settings *settings, int input_fd, int64_t input_len,
			double timeout, struct lproc_command **out, struct error *err);
int lproc_command_status(struct lproc_command *command, const struct call *call,
			 struct proc_command_status *out, struct error *err);
ssize_t lproc_command_read(struct lproc_command *command, const struct call *call, int stream,
			   int64_t offset, void *bytes, size_t len, struct error *err);
int lproc_command_kill(struct lproc_command *command, const struct call *call, const char *signal,
		       struct error *err);
void lproc_command_free(struct lproc_command *command, const struct call *call);

#endif
