/*
 * process.c - the seam itself: each call goes to the dialect that the guest speaks.
 *
 * A guest's dialect is known since its hello and changes at most with a new session.  A command
 * stays with the dialect over which it was started; services and shells go by their names, which
 * an agent that speaks both knows in both.
 */
#include "protocol/process.h"

#include <errno.h>
#include <stdlib.h>

#include "protocol/cleanup.h"
#include "protocol/guest_internal.h"
#include "protocol/line/lproc.h"
#include "protocol/session/link.h"
#include "protocol/session/sproc.h"

struct proc_room {
	struct lproc_room *line;
	struct sproc_room *session;
};

/* One of the two is set. */
struct proc_command {
	struct guest *guest;
	struct lproc_command *line;
	struct sproc_command *session;
};

/*
 * NAME of the dialect that GUEST speaks, with a place for the sentence in any case (workspace.c).
 */
#define BY_GUEST(guest, call, err, name, ...)                                                      \
	__extension__({                                                                            \
		struct error own_, *why_ = error_place(err, &own_);                                \
		enum dialect dialect_;                                                             \
		int rc_ = link_dialect(guest_link(guest), call, &dialect_, why_);                  \
                                                                                                   \
		if (rc_ == 0)                                                                      \
			rc_ = (int)(dialect_ == DIALECT_SESSION ?                                  \
					    sproc_##name(guest_proc(guest)->session, call,         \
							 __VA_ARGS__, why_) :                      \
					    lproc_##name(guest, call, __VA_ARGS__, why_));         \
		guest_judge(guest, rc_, why_);                                                     \
		rc_;                                                                               \
	})

/* The same for NAME of the dialect over which COMMAND was started. */
#define BY_COMMAND(command, err, name, ...)                                                        \
	__extension__({                                                                            \
		struct error own_, *why_ = error_place(err, &own_);                                \
		ssize_t rc_ = (command)->session ?                                                 \
				      sproc_command_##name((command)->session, __VA_ARGS__,        \
							   why_) :                                 \
				      lproc_command_##name((command)->line, __VA_ARGS__, why_);    \
                                                                                                   \
		guest_judge((command)->guest, (int)rc_, why_);                                     \
		rc_;                                                                               \
	})

struct lproc_room *lproc_of(struct guest *guest)
{
	return guest_proc(guest)->line;
}

int proc_room_new(struct guest *guest, struct proc_room **out, struct error *err)
{
	autofree struct proc_room *room = calloc(1, sizeof(*room));
	int rc;

	if (!room)
		return error_set(err, ENOMEM, "out of memory for a guest");
	rc = lproc_room_new(guest, &room->line, err);
	if (rc < 0)
		return rc;
	rc = sproc_room_new(guest_link(guest), guest_options(guest)->timeout, &room->session);
	if (rc < 0) {
		lproc_room_free(room->line);
		return error_set(err, -rc, "out of memory for a guest");
	}
	*out = move_ptr(room);
	return 0;
}

void proc_room_free(struct proc_room *room)
{
	if (!room)
		return;
	sproc_room_free(room->session);
	lproc_room_free(room->line);
	free(room);
}

int proc_service_start(struct guest *guest, const struct call *call, const char *name,
		       const char *command, const struct proc_settings *settings,
		       const struct proc_readiness *readiness, struct proc_service *out,
		       struct error *err)
{
	return BY_GUEST(guest, call, err, service_start, name, command, settings, readiness, out);
}

int proc_service_status(struct guest *guest, const struct call *call, const char *name,
			struct proc_service *out, struct error *err)
{
	return BY_GUEST(guest, call, err, service_status, name, out);
}

int proc_service_stop(struct guest *guest, const struct call *call, const char *name,
		      struct proc_service *out, struct error *err)
{
	return BY_GUEST(guest, call, err, service_stop, name, out);
}

ssize_t proc_service_read(struct guest *guest, const struct call *call, const char *name,
			  int stream, int64_t offset, void *bytes, size_t len, struct error *err)
{
	return BY_GUEST(guest, call, err, service_read, name, stream, offset, bytes, len);
}

int proc_shell_open(struct guest *guest, const struct call *call, const char *id,
		    const struct proc_settings *settings, int cols, int rows,
		    struct proc_shell *out, struct error *err)
{
	return BY_GUEST(guest, call, err, shell_open, id, settings, cols, rows, out);
}

ssize_t proc_shell_read(struct guest *guest, const struct call *call, const char *id,
			int64_t cursor, void *bytes, size_t size, struct proc_shell *out,
			struct error *err)
{
	return BY_GUEST(guest, call, err, shell_read, id, cursor, bytes, size, out);
}

ssize_t proc_shell_write(struct guest *guest, const struct call *call, const char *id,
			 const void *bytes, size_t len, struct error *err)
{
	return BY_GUEST(guest, call, err, shell_write, id, bytes, len);
}

int proc_shell_resize(struct guest *guest, const struct call *call, const char *id, int cols,
		      int rows, struct error *err)
{
	return BY_GUEST(guest, call, err, shell_resize, id, cols, rows);
}

int proc_shell_signal(struct guest *guest, const struct call *call, const char *id,
		      const char *signal, struct error *err)
{
	return BY_GUEST(guest, call, err, shell_signal, id, signal);
}

int proc_shell_close(struct guest *guest, const struct call *call, const char *id,
		     struct proc_shell *out, struct error *err)
{
	return BY_GUEST(guest, call, err, shell_close, id, out);
}

int proc_command_start(struct guest *guest, const struct call *call, const char *command,
		       const struct proc_settings *settings, int input_fd, int64_t input_len,
		       double timeout, struct proc_command **out, struct error *err)
{
	autofree struct proc_command *made = calloc(1, sizeof(*made));
	struct error own, *why = error_place(err, &own);
	enum dialect dialect;
	int rc;

	if (!made)
		return error_set(err, ENOMEM, "out of memory for a command");
	made->guest = guest;
	rc = link_dialect(guest_link(guest), call, &dialect, why);
	if (rc < 0)
		return rc;
	if (dialect == DIALECT_SESSION)
		rc = sproc_command_start(guest_proc(guest)->session, call, command, settings,
					 input_fd, input_len, timeout, &made->session, why);
	else
		rc = lproc_command_start(guest, call, command, settings, input_fd, input_len,
					 timeout, &made->line, why);
	guest_judge(guest, rc, why);
	if (rc == 0)
		*out = move_ptr(made);
	return rc;
}

int proc_command_status(struct proc_command *command, const struct call *call,
			struct proc_command_status *out, struct error *err)
{
	return (int)BY_COMMAND(command, err, status, call, out);
}

ssize_t proc_command_read(struct proc_command *command, const struct call *call, int stream,
			  int64_t offset, void *bytes, size_t len, struct error *err)
{
	return BY_COMMAND(command, err, read, call, stream, offset, bytes, len);
}

int proc_command_kill(struct proc_command *command, const struct call *call, const char *signal,
		      struct error *err)
{
	return (int)BY_COMMAND(command, err, kill, call, signal);
}

void proc_command_free(struct proc_command *command, const struct call *call)
{
	if (command->session)
		sproc_command_free(command->session, call);
	else
		lproc_command_free(command->line, call);
	free(command);
}
