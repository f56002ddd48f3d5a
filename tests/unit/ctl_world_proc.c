/*
 * ctl_world_proc.c - the shells and commands of the made-up guest, and what all its programs share.
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "protocol/process.h"
#include "tests/unit/cmocka_all.h"
#include "tests/unit/ctl_world.h"
#include "tests/unit/ctl_world_internal.h"
#include "tests/unit/fake_host.h"

struct fake_shell {
	bool open, running;
	char id[80];
	int code;
	char out[WORLD_ROOM];
};

struct proc_command {
	bool alive, ended, forgotten;
	int code;
	char out[WORLD_ROOM], err[WORLD_ROOM];
};

pthread_mutex_t world_lock = PTHREAD_MUTEX_INITIALIZER;

/* world_lock for all of it */
static struct fake_shell shell; /* the last one */
static int shells_open, commands_alive, requests;
static struct proc_command *last_command;
static char typed[WORLD_ROOM], input[WORLD_ROOM], settings_text[WORLD_ROOM];

void world_proc_reset(void)
{
	world_services_reset();
	memset(&shell, 0, sizeof(shell));
	typed[0] = input[0] = settings_text[0] = '\0';
	requests = 0;
	last_command = NULL;
}

void world_proc_check_empty(void)
{
	assert_int_equal(shells_open, 0);
	assert_int_equal(commands_alive, 0);
}

int world_request(struct error *err)
{
	if (world_is_gone())
		return error_set(err, ENOTCONN, "the guest is gone");
	pthread_mutex_lock(&world_lock);
	requests++;
	return 0;
}

int world_requests(void)
{
	int n;

	pthread_mutex_lock(&world_lock);
	n = requests;
	pthread_mutex_unlock(&world_lock);
	return n;
}

void world_note_settings(const struct proc_settings *settings, double timeout)
{
	int len = sprintf(settings_text, "%s", settings->cwd ? settings->cwd : "-");

	for (size_t i = 0; i < settings->env_count; i++)
		len += sprintf(settings_text + len, "|%s=%s", settings->env[i].name,
			       settings->env[i].value);
	sprintf(settings_text + len, "|%g", timeout);
}

ssize_t world_slice(const char *text, int64_t offset, void *bytes, size_t len)
{
	size_t size = strlen(text);

	if ((size_t)offset >= size)
		len = 0;
	else if (len > size - (size_t)offset)
		len = size - (size_t)offset;
	memcpy(bytes, text + (len ? offset : 0), len);
	pthread_mutex_unlock(&world_lock);
	return (ssize_t)len;
}

/* Shells */

static void fill_shell(struct proc_shell *out)
{
	out->cols = 120;
	out->rows = 30;
	strcpy(out->state, shell.running ? "running" : "stopped");
	out->has_exit_code = !shell.running;
	out->exit_code = shell.code;
}

/* The shell of that id, lock held; or -ENOENT with the lock let go. */
static int shell_request(const char *id, struct error *err)
{
	int rc = world_request(err);

	if (rc < 0)
		return rc;
	if (shell.open && strcmp(shell.id, id) == 0)
		return 0;
	pthread_mutex_unlock(&world_lock);
	return error_set(err, ENOENT, "shell '%s' does not exist", id);
}

int proc_shell_open(struct guest *guest, const struct call *call, const char *id,
		    const struct proc_settings *settings, int cols, int rows,
		    struct proc_shell *out, struct error *err)
{
	int rc = world_request(err);

	(void)guest;
	(void)call;
	if (rc < 0)
		return rc;
	fake_log("open %s %dx%d", id, cols, rows);
	world_note_settings(settings, 0);
	memset(&shell, 0, sizeof(shell));
	shell.open = shell.running = true;
	strcpy(shell.id, id);
	shells_open++;
	fill_shell(out);
	pthread_mutex_unlock(&world_lock);
	return 0;
}

ssize_t proc_shell_read(struct guest *guest, const struct call *call, const char *id,
			int64_t cursor, void *bytes, size_t size, struct proc_shell *out,
			struct error *err)
{
	int rc = shell_request(id, err);
	ssize_t got;

	(void)guest;
	(void)call;
	if (rc < 0)
		return rc;
	/* Cursors go in threes: they are opaque. */
	assert_int_equal(cursor % 3, 0);
	fill_shell(out);
	/* A few bytes a request, so that several are needed. */
	got = world_slice(shell.out, cursor / 3, bytes, size < 10 ? size : 10);
	out->cursor = cursor + got * 3;
	return got;
}

ssize_t proc_shell_write(struct guest *guest, const struct call *call, const char *id,
			 const void *bytes, size_t len, struct error *err)
{
	int rc = shell_request(id, err);

	(void)guest;
	(void)call;
	if (rc < 0)
		return rc;
	if (len > 4)
		len = 4;
	strncat(typed, bytes, len);
	pthread_mutex_unlock(&world_lock);
	return (ssize_t)len;
}

int proc_shell_resize(struct guest *guest, const struct call *call, const char *id, int cols,
		      int rows, struct error *err)
{
	int rc = shell_request(id, err);

	(void)guest;
	(void)call;
	if (rc < 0)
		return rc;
	fake_log("resize %dx%d", cols, rows);
	if (rows == 999)
		rc = error_set(err, EOPNOTSUPP, "not this guest");
	pthread_mutex_unlock(&world_lock);
	return rc;
}

int proc_shell_signal(struct guest *guest, const struct call *call, const char *id,
		      const char *signal, struct error *err)
{
	int rc = shell_request(id, err);

	(void)guest;
	(void)call;
	if (rc < 0)
		return rc;
	fake_log("signal %s", signal);
	pthread_mutex_unlock(&world_lock);
	return 0;
}

int proc_shell_close(struct guest *guest, const struct call *call, const char *id,
		     struct proc_shell *out, struct error *err)
{
	int rc = shell_request(id, err);

	(void)guest;
	(void)call;
	if (rc < 0)
		return rc;
	fake_log("close");
	if (shell.running)
		shell.code = -1;
	shell.open = shell.running = false;
	shells_open--;
	fill_shell(out);
	pthread_mutex_unlock(&world_lock);
	return 0;
}

void world_shell_says(const char *text)
{
	pthread_mutex_lock(&world_lock);
	strcat(shell.out, text);
	pthread_mutex_unlock(&world_lock);
}

void world_shell_ends(int code)
{
	pthread_mutex_lock(&world_lock);
	shell.running = false;
	shell.code = code;
	pthread_mutex_unlock(&world_lock);
}

const char *world_shell_typed(void)
{
	return typed;
}

int world_shells_open(void)
{
	return shells_open;
}

/* Commands */

int proc_command_start(struct guest *guest, const struct call *call, const char *command,
		       const struct proc_settings *settings, int input_fd, int64_t input_len,
		       double timeout, struct proc_command **out, struct error *err)
{
	int rc = world_request(err);

	(void)guest;
	(void)call;
	if (rc < 0)
		return rc;
	fake_log("command %s", command);
	world_note_settings(settings, timeout);
	memset(input, 0, sizeof(input));
	if (input_fd >= 0)
		assert_int_equal(pread(input_fd, input, (size_t)input_len, 0), input_len);
	*out = last_command = calloc(1, sizeof(struct proc_command));
	last_command->alive = true;
	commands_alive++;
	/* "exit N" is over at once. */
	if (sscanf(command, "exit %d", &last_command->code) == 1)
		last_command->ended = true;
	pthread_mutex_unlock(&world_lock);
	return 0;
}

/* As world_request, about COMMAND. */
static int command_request(const struct proc_command *command, struct error *err)
{
	int rc = world_request(err);

	if (rc < 0 || !command->forgotten)
		return rc;
	pthread_mutex_unlock(&world_lock);
	return error_set(err, ENOENT, "nothing of the command is there any more");
}

void world_restarts(void)
{
	pthread_mutex_lock(&world_lock);
	world_services_reset();
	shells_open -= shell.open;
	shell.open = false;
	if (last_command)
		last_command->forgotten = true;
	pthread_mutex_unlock(&world_lock);
}

int proc_command_status(struct proc_command *command, const struct call *call,
			struct proc_command_status *out, struct error *err)
{
	int rc = command_request(command, err);

	(void)call;
	if (rc < 0)
		return rc;
	*out = (struct proc_command_status){
		.ended = command->ended,
		.exit_code = command->code,
		.pid = 99,
		.out_size = (int64_t)strlen(command->out),
		.err_size = (int64_t)strlen(command->err),
	};
	pthread_mutex_unlock(&world_lock);
	return 0;
}

ssize_t proc_command_read(struct proc_command *command, const struct call *call, int stream,
			  int64_t offset, void *bytes, size_t len, struct error *err)
{
	int rc = command_request(command, err);

	(void)call;
	if (rc < 0)
		return rc;
	return world_slice(stream == 1 ? command->out : command->err, offset, bytes, len);
}

int proc_command_kill(struct proc_command *command, const struct call *call, const char *signal,
		      struct error *err)
{
	int rc = command_request(command, err);

	(void)call;
	if (rc < 0)
		return rc;
	fake_log("kill %s", signal);
	command->ended = true;
	command->code = strcmp(signal, "KILL") == 0 ? 137 : 143;
	pthread_mutex_unlock(&world_lock);
	return 0;
}

void proc_command_free(struct proc_command *command, const struct call *call)
{
	(void)call;
	pthread_mutex_lock(&world_lock);
	if (last_command == command)
		last_command = NULL;
	commands_alive--;
	pthread_mutex_unlock(&world_lock);
	free(command);
}

void world_command_says(int stream, const char *text)
{
	pthread_mutex_lock(&world_lock);
	strcat(stream == 1 ? last_command->out : last_command->err, text);
	pthread_mutex_unlock(&world_lock);
}

void world_command_ends(int code)
{
	pthread_mutex_lock(&world_lock);
	last_command->ended = true;
	last_command->code = code;
	pthread_mutex_unlock(&world_lock);
}

const char *world_command_input(void)
{
	return input;
}

const char *world_command_settings(void)
{
	return settings_text;
}

int world_commands_alive(void)
{
	int n;

	pthread_mutex_lock(&world_lock);
	n = commands_alive;
	pthread_mutex_unlock(&world_lock);
	return n;
}
