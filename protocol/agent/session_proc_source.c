/* session_proc_source.c - see session_proc_source.h. */
#include "protocol/agent/session_proc_source.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "protocol/agent/actions.h"
#include "protocol/agent/command.h"
#include "protocol/agent/service.h"
#include "protocol/agent/shell.h"
#include "protocol/cleanup.h"

static const char *const kinds[PROC_KINDS] = { "service", "shell", "command" };

/* By the kernel's word on who is no child of ours, nobody else tells of its end. */
static void open_orphan(struct proc_source *source, pid_t pid)
{
	source->orphan = (int)syscall(SYS_pidfd_open, pid, 0);
	source->blind = source->orphan < 0;
}

static int open_service(struct proc_source *source, struct error *err)
{
	struct service_peek peek;
	int rc = services_peek(source->agent->services, source->name, &peek, err);

	if (rc < 0)
		return rc;
	source->run = peek.started_at;
	if (peek.orphan > 0)
		open_orphan(source, peek.orphan);
	return 0;
}

int proc_source_open(struct agent *agent, const void *owner, const char *kind, const char *name,
		     struct proc_source *out, struct error *err)
{
	int number = 0, rc = 0;

	*out = (struct proc_source){ .orphan = -1 };
	while (number < PROC_KINDS && strcmp(kinds[number], kind) != 0)
		number++;
	if (number == PROC_KINDS)
		return error_set(err, EINVAL, "kind must be service, shell or command");
	out->agent = agent;
	out->kind = (enum proc_kind)number;
	snprintf(out->name, sizeof(out->name), "%s", name);
	if (out->kind == PROC_SERVICE)
		rc = open_service(out, err);
	else if (out->kind == PROC_SHELL)
		out->shell = shells_find(agent->shells, name, err);
	else
		out->command = commands_find(agent->commands, name, owner, err);
	if (rc < 0 || (out->kind != PROC_SERVICE && !out->shell && !out->command)) {
		out->agent = NULL;
		return rc < 0 ? rc : -ENOENT;
	}
	return 0;
}

void proc_source_close(struct proc_source *source)
{
	if (!source->agent)
		return;
	if (source->shell)
		shell_unref(source->shell);
	if (source->command)
		command_unref(source->command);
	if (source->orphan >= 0)
		close(source->orphan);
	source->agent = NULL;
}

static int look_at_service(struct proc_source *source, struct proc_view *out, struct error *err)
{
	struct service_peek peek;
	int rc = services_peek(source->agent->services, source->name, &peek, err);

	if (rc < 0)
		return rc;
	/* While a start is seen through, not even what has ended can be started anew. */
	out->ready = !peek.starting || peek.started_at != source->run;
	out->ended = out->ready && (!peek.running || peek.started_at != source->run);
	return 0;
}

int proc_source_look(struct proc_source *source, struct proc_view *out, struct error *err)
{
	struct command_status command;
	struct shell_status shell;

	switch (source->kind) {
	case PROC_SERVICE:
		return look_at_service(source, out, err);
	case PROC_SHELL:
		shell_look(source->shell, &shell, NULL, 0);
		*out = (struct proc_view){ .ended = shell.stopped, .ready = true };
		return 0;
	default:
		command_look(source->command, &command);
		*out = (struct proc_view){ .ended = command.state == COMMAND_ENDED,
					   .ready = command.state != COMMAND_WAITING };
		return 0;
	}
}

static ssize_t read_log(struct agent *agent, const char *name, int stream, int64_t offset,
			char *bytes, size_t len)
{
	char file[LIMIT_ENTITY_NAME + 16];
	autoclose int fd = -1;
	struct stat st;
	ssize_t n;

	snprintf(file, sizeof(file), "%s.%s", name, stream == 2 ? "stderr" : "stdout");
	fd = openat(services_dir(agent->services), file,
		    O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC);
	if (fd < 0)
		return errno == ENOENT ? 0 : -errno;
	if (fstat(fd, &st) < 0 || !S_ISREG(st.st_mode))
		return -EINVAL;
	do
		n = pread(fd, bytes, len, offset);
	while (n < 0 && errno == EINTR);
	return n < 0 ? -errno : n;
}

/*
 * A new run begins with empty files, under the lock that a look takes: so look again after reading.
 */
static ssize_t read_service(struct proc_source *source, int stream, int64_t offset, char *bytes,
			    size_t len, struct proc_view *view, struct error *err)
{
	struct service_peek peek;
	int rc = look_at_service(source, view, err);
	ssize_t n;

	if (rc < 0)
		return rc;
	n = read_log(source->agent, source->name, stream, offset, bytes, len);
	if (n < 0)
		return error_set(err, (int)-n, "cannot read the output of service '%s': %s",
				 source->name, strerror((int)-n));
	rc = services_peek(source->agent->services, source->name, &peek, err);
	if (rc < 0)
		return rc;
	if (peek.started_at == source->run)
		return n;
	view->ended = true;
	return 0;
}

ssize_t proc_source_read(struct proc_source *source, int stream, int64_t *offset, char *bytes,
			 size_t len, struct proc_view *view, struct error *err)
{
	struct shell_status shell;
	ssize_t n;
	int rc;

	switch (source->kind) {
	case PROC_SERVICE:
		return read_service(source, stream, *offset, bytes, len, view, err);
	case PROC_SHELL:
		n = 0;
		if (stream == 1)
			n = (ssize_t)shell_read(source->shell, &shell, offset, bytes, len);
		else
			shell_look(source->shell, &shell, NULL, 0);
		*view = (struct proc_view){ .ended = shell.stopped, .ready = true };
		return n;
	default:
		rc = proc_source_look(source, view, err);
		if (rc < 0)
			return rc;
		n = command_read(source->command, stream, *offset, bytes, len);
		if (n == -ENOENT && !view->ready)
			return 0; /* it has not begun */
		if (n < 0)
			error_set(err, (int)-n, "cannot read the output of command '%s': %s",
				  source->name, strerror((int)-n));
		return n;
	}
}

static int64_t log_size(struct agent *agent, const char *name, const char *stream)
{
	char file[LIMIT_ENTITY_NAME + 16];
	struct stat st;

	snprintf(file, sizeof(file), "%s.%s", name, stream);
	if (fstatat(services_dir(agent->services), file, &st, AT_SYMLINK_NOFOLLOW) < 0)
		return 0;
	return st.st_size;
}

int proc_describe_service(struct agent *agent, const char *name, struct reply *reply,
			  struct error *err)
{
	struct service_record record = { 0 };
	int rc = services_status(agent->services, name, &record, err);

	if (rc < 0)
		return rc;
	service_record_reply(&record, reply);
	reply_int(reply, "stdout_size", log_size(agent, name, "stdout"));
	reply_int(reply, "stderr_size", log_size(agent, name, "stderr"));
	service_record_free(&record);
	return 0;
}

void proc_describe_shell(struct shell *shell, struct reply *reply)
{
	struct shell_status status;

	shell_look(shell, &status, NULL, 0);
	shell_status_reply(&status, reply);
	reply_int(reply, "stdout_size", status.bytes);
}

void proc_describe_command(struct command *command, struct reply *reply)
{
	static const char *const states[] = { "waiting", "running", "ended" };
	struct command_status status;

	command_look(command, &status);
	reply_text(reply, "command_id", status.id);
	reply_text(reply, "state", states[status.state]);
	if (status.state == COMMAND_ENDED)
		reply_int(reply, "exit_code", status.exit_code);
	else
		reply_null(reply, "exit_code");
	if (status.pid)
		reply_int(reply, "pid", status.pid);
	else
		reply_null(reply, "pid");
	reply_time(reply, "started_at", status.started_at);
	reply_time(reply, "ended_at", status.ended_at);
	reply_int(reply, "input_taken", status.input_taken);
	reply_int(reply, "stdout_size", status.out_size);
	reply_int(reply, "stderr_size", status.err_size);
}

int proc_source_describe(struct proc_source *source, struct reply *reply, struct error *err)
{
	switch (source->kind) {
	case PROC_SERVICE:
		return proc_describe_service(source->agent, source->name, reply, err);
	case PROC_SHELL:
		proc_describe_shell(source->shell, reply);
		return 0;
	default:
		proc_describe_command(source->command, reply);
		return 0;
	}
}
