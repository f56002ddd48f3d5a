/* command_run.c - one command: its process, its files, its input, its time limit. */
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "protocol/agent/agent.h"
#include "protocol/agent/clock.h"
#include "protocol/agent/command_internal.h"
#include "protocol/agent/environment.h"
#include "protocol/agent/kin.h"
#include "protocol/cleanup.h"

#define TIMED_OUT 124

/* From TERM to KILL. */
#define GRACE_MS 2000

/* FLAGS for writing make the file. */
static int open_file(struct command *command, const char *which, int flags)
{
	char name[LIMIT_ENTITY_NAME + 16];
	int fd;

	snprintf(name, sizeof(name), "%s.%s", command->id, which);
	fd = openat(command->commands->dir, name, flags | O_NOFOLLOW | O_CLOEXEC, 0600);
	return fd < 0 ? -errno : fd;
}

static int make_file(struct command *command, const char *which, struct error *err)
{
	int fd = open_file(command, which, O_WRONLY | O_CREAT | O_TRUNC | O_APPEND);

	if (fd < 0)
		error_set(err, -fd, "cannot make a file for the command's %s: %s", which,
			  strerror(-fd));
	return fd;
}

static void remove_file(struct command *command, const char *which)
{
	char name[LIMIT_ENTITY_NAME + 16];

	snprintf(name, sizeof(name), "%s.%s", command->id, which);
	unlinkat(command->commands->dir, name, 0);
}

void command_remove_files(struct command *command)
{
	remove_file(command, "stdin");
	remove_file(command, "stdout");
	remove_file(command, "stderr");
}

/* Hold the lock. */
static void set_ended(struct command *command, const struct child_end *end)
{
	command->state = COMMAND_ENDED;
	command->ended_at = end->at;
	command->ended_ms = clock_ms();
	command->exit_code = end->exit_code < 0 ? 128 - end->exit_code : end->exit_code;
	if (command->timed_out)
		command->exit_code = TIMED_OUT;
	else
		command->limit = 0;
	if (!command->feeding && command->input >= 0) {
		command->unread = true;
		close(move_fd(command->input));
	}
}

/* On the reaper's thread. */
static void on_end(void *arg)
{
	struct command *command = arg;
	struct child_end end = { 0 };
	bool ran;

	pthread_mutex_lock(&command->lock);
	ran = command->child && child_ended(command->child, &end);
	if (ran)
		set_ended(command, &end);
	pthread_mutex_unlock(&command->lock);
	if (ran)
		command_tell_end(command);
	command_unref(command);
}

/*
 * Puts the path of a program without a slash in argv[0]; what is not found is left for execve to
 * say.
 */
static int find_program(struct command *command)
{
	const char *path = environment_get(command->env, "PATH"), *name = command->argv[0];

	if (strchr(name, '/') || !path)
		return 0;
	while (*path) {
		size_t len = strcspn(path, ":");
		autofree char *found = NULL;

		if (path[0] == '/' && asprintf(&found, "%.*s/%s", (int)len, path, name) < 0) {
			found = NULL;
			return -ENOMEM;
		}
		if (found && access(found, X_OK) == 0) {
			free(command->argv[0]);
			command->argv[0] = move_ptr(found);
			return 0;
		}
		path += len + (path[len] == ':');
	}
	return -ENOENT;
}

static int start_child(struct command *command, const int fds[3], struct error *err)
{
	bool made = false;
	struct child_spec spec = {
		.argv = (const char *const *)command->argv,
		.env = command->env,
		.cwd = command->host_cwd,
		.fds = { fds[0], fds[1], fds[2] },
		.on_end = on_end,
		.arg = command,
		.made = &made,
	};
	int rc = find_program(command);

	if (rc < 0)
		return error_set(err, -rc, "cannot run %s: %s", command->argv[0], strerror(-rc));
	atomic_fetch_add(&command->refs, 1); /* the reaper's, until on_end */
	rc = child_start(command->commands->agent->children, &spec, &command->child, err);
	if (!made)
		command_unref(command);
	return rc;
}

/* Hold the lock.  *IN: what it reads from, -1: nothing. */
static int open_input(struct command *command, bool stream, int *in, struct error *err)
{
	int ends[2];

	*in = -1;
	if (command->spool) {
		*in = open_file(command, "stdin", O_RDONLY);
		if (*in < 0)
			return error_set(err, -*in, "the command's input is not there any more");
		remove_file(command, "stdin");
	}
	if (!stream)
		return 0;
	if (pipe2(ends, O_CLOEXEC) < 0)
		return error_set(err, errno, "cannot make a pipe: %s", strerror(errno));
	fcntl(ends[1], F_SETFL, O_NONBLOCK);
	*in = ends[0];
	command->input = ends[1];
	return 0;
}

int command_run(struct command *command, bool stream, struct error *err)
{
	autoclose int in = -1, out = -1, errors = -1;
	int rc;

	if (command->state != COMMAND_WAITING)
		return error_set(err, ENOENT, "the command was forgotten before it began");
	out = make_file(command, "stdout", err);
	if (out >= 0)
		errors = make_file(command, "stderr", err);
	if (out < 0 || errors < 0)
		return out < 0 ? out : errors;
	rc = open_input(command, stream, &in, err);
	if (rc == 0)
		rc = start_child(command, (const int[3]){ in, out, errors }, err);
	if (rc < 0)
		return rc;
	command->state = COMMAND_RUNNING;
	command->pid = child_pid(command->child);
	command->started_at = clock_epoch();
	if (command->timeout_ms)
		command->limit = clock_ms() + command->timeout_ms;
	command_drop_spec(command);
	return 0;
}

int command_open_spool(struct command *command, struct error *err)
{
	int fd = make_file(command, "stdin", err);

	if (fd < 0)
		return fd;
	command->input = fd;
	return 0;
}

/* TERM when its time is up, KILL after that for all that came of it. */
int64_t command_tend(struct command *command, int64_t now)
{
	pid_t leader = -1;
	int64_t next;

	pthread_mutex_lock(&command->lock);
	if (command->limit && command->limit <= now && command->timed_out) {
		leader = command->state == COMMAND_RUNNING ? command->pid : 0;
		command->limit = 0;
	} else if (command->limit && command->limit <= now) {
		/* The reaper, which may be faster, has the last word on how it ended. */
		command->timed_out = child_signal(command->child, SIGTERM) == 0;
		command->limit = command->timed_out ? now + GRACE_MS : 0;
	}
	next = command->limit ? command->limit : INT64_MAX;
	pthread_mutex_unlock(&command->lock);
	if (leader >= 0)
		kin_signal(leader, command->mark, SIGKILL);
	return next;
}

void command_look(struct command *command, struct command_status *out)
{
	static const char *const streams[] = { "stdout", "stderr" };
	int64_t sizes[2] = { 0, 0 };

	pthread_mutex_lock(&command->lock);
	*out = (struct command_status){
		.id = command->id,
		.state = command->state,
		.exit_code = command->exit_code,
		.pid = command->pid,
		.started_at = command->started_at,
		.ended_at = command->ended_at,
		.input_taken = command->input_taken,
	};
	pthread_mutex_unlock(&command->lock);
	/* After the state: who has ended writes no more. */
	for (int i = 0; i < 2; i++) {
		char name[LIMIT_ENTITY_NAME + 16];
		struct stat st;

		snprintf(name, sizeof(name), "%s.%s", command->id, streams[i]);
		if (fstatat(command->commands->dir, name, &st, AT_SYMLINK_NOFOLLOW) == 0)
			sizes[i] = st.st_size;
	}
	out->out_size = sizes[0];
	out->err_size = sizes[1];
}

ssize_t command_read(struct command *command, int stream, int64_t offset, void *bytes, size_t len)
{
	autoclose int fd = open_file(command, stream == 2 ? "stderr" : "stdout", O_RDONLY);
	ssize_t n;

	if (fd < 0)
		return fd;
	do
		n = pread(fd, bytes, len, offset);
	while (n < 0 && errno == EINTR);
	return n < 0 ? -errno : n;
}

int command_signal(struct command *command, int signal, struct error *err)
{
	int rc = -ESRCH;

	pthread_mutex_lock(&command->lock);
	if (command->state == COMMAND_RUNNING)
		rc = child_signal(command->child, signal);
	pthread_mutex_unlock(&command->lock);
	if (rc == -ESRCH)
		return error_set(err, EBUSY, "the command is not running");
	return rc < 0 ? error_set(err, -rc, "cannot signal the command: %s", strerror(-rc)) : 0;
}

int command_begin_input(struct command *command, int *out, struct error *err)
{
	int rc = 0;

	pthread_mutex_lock(&command->lock);
	if (command->feeding)
		rc = error_set(err, EBUSY, "the command's input is being sent already");
	else if (command->input < 0 && command->unread)
		rc = COMMAND_UNREAD;
	else if (command->input < 0)
		rc = error_set(err, EBUSY, "the command's input is closed");
	command->feeding = rc == 0 || command->feeding;
	*out = command->spool ? -1 : command->input;
	pthread_mutex_unlock(&command->lock);
	return rc;
}

ssize_t command_give(struct command *command, const void *bytes, size_t len)
{
	ssize_t n;
	int code;

	/* Nobody else touches it: FEEDING is ours. */
	do
		n = write(command->input, bytes, len);
	while (n < 0 && errno == EINTR);
	code = errno;
	if (n < 0)
		return -code;
	pthread_mutex_lock(&command->lock);
	command->input_taken += n;
	pthread_mutex_unlock(&command->lock);
	return n;
}

int command_end_input(struct command *command, bool complete, struct error *err)
{
	bool limited;
	int rc = 0;

	pthread_mutex_lock(&command->lock);
	command->feeding = false;
	if (complete || command->state == COMMAND_ENDED)
		close(move_fd(command->input));
	if (complete && command->state == COMMAND_WAITING)
		rc = command_run(command, false, err);
	limited = rc == 0 && command->limit;
	pthread_mutex_unlock(&command->lock);
	if (limited)
		commands_set_due(command->commands, 0);
	return rc;
}
