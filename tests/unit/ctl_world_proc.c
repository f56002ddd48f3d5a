/*
 * ctl_world_proc.c - process.h of the made-up guest.
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

#define ROOM 4096

struct fake_service {
	bool known;
	char name[80];
	struct proc_service status;
	char command[256], cwd[256];
	char out[ROOM], err[ROOM];
};

struct fake_shell {
	bool open, running;
	char id[80];
	int code;
	char out[ROOM];
	int64_t base; /* so that cursors are visibly not offsets */
};

struct proc_command {
	bool alive, ended;
	int code;
	char out[ROOM], err[ROOM];
};

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static struct fake_service services[16];
static struct fake_shell shell; /* the last one */
static int shells_open, commands_alive, requests;
static struct proc_command *last_command;
static char stderr_of_next[ROOM], typed[ROOM], input[ROOM], settings_text[ROOM];
static double clock_now = 1000;
static atomic_bool go, starting;

void world_proc_reset(void)
{
	memset(services, 0, sizeof(services));
	memset(&shell, 0, sizeof(shell));
	stderr_of_next[0] = typed[0] = input[0] = settings_text[0] = '\0';
	requests = 0;
	last_command = NULL;
	atomic_store(&go, false);
}

void world_proc_check_empty(void)
{
	assert_int_equal(shells_open, 0);
	assert_int_equal(commands_alive, 0);
}

/* Begins a request: takes the lock, or fails when the guest is gone. */
static int request(struct error *err)
{
	if (world_is_gone())
		return error_set(err, ENOTCONN, "the guest is gone");
	pthread_mutex_lock(&lock);
	requests++;
	return 0;
}

int world_requests(void)
{
	int n;

	pthread_mutex_lock(&lock);
	n = requests;
	pthread_mutex_unlock(&lock);
	return n;
}

/* Services */

static struct fake_service *service_named(const char *name, bool make)
{
	for (int i = 0; i < 16; i++)
		if (services[i].known && strcmp(services[i].name, name) == 0)
			return &services[i];
	for (int i = 0; make && i < 16; i++) {
		if (services[i].known)
			continue;
		services[i].known = true;
		strcpy(services[i].name, name);
		return &services[i];
	}
	return NULL;
}

static void fill_service(const struct fake_service *service, struct proc_service *out)
{
	*out = service->status;
	out->command = strdup(service->command);
	out->cwd = strdup(service->cwd);
	out->out_size = (int64_t)strlen(service->out);
	out->err_size = (int64_t)strlen(service->err);
}

void proc_service_free(struct proc_service *service)
{
	free(service->command);
	free(service->cwd);
	service->command = service->cwd = NULL;
}

static void run_service(struct fake_service *service, const char *command, const char *cwd)
{
	service->status = (struct proc_service){ .started_at = clock_now, .pid = 42 };
	clock_now += 1;
	strcpy(service->status.state, "running");
	snprintf(service->command, sizeof(service->command), "%s", command);
	snprintf(service->cwd, sizeof(service->cwd), "%s", cwd ? cwd : "/workspace");
	service->out[0] = '\0';
	strcpy(service->err, stderr_of_next);
}

static void note_settings(const struct proc_settings *settings, double timeout)
{
	int len = sprintf(settings_text, "%s", settings->cwd ? settings->cwd : "-");

	for (size_t i = 0; i < settings->env_count; i++)
		len += sprintf(settings_text + len, "|%s=%s", settings->env[i].name,
			       settings->env[i].value);
	sprintf(settings_text + len, "|%g", timeout);
}

/* Outside the lock: a start that takes its time. */
static int wait_for_go(const struct call *call)
{
	int rc = 0;

	atomic_store(&starting, true);
	while (rc == 0 && !atomic_load(&go))
		rc = call_sleep(call, 0.002);
	atomic_store(&starting, false);
	return rc;
}

int proc_service_start(struct guest *guest, const struct call *call, const char *name,
		       const char *command, const struct proc_settings *settings,
		       const struct proc_readiness *readiness, struct proc_service *out,
		       struct error *err)
{
	struct fake_service *service;
	int rc = request(err);

	(void)guest;
	if (rc < 0)
		return rc;
	fake_log("start %s %d:%s %g/%u", name, readiness->kind,
		 readiness->value ? readiness->value : "", readiness->timeout,
		 readiness->interval_ms);
	note_settings(settings, 0);
	service = service_named(name, true);
	run_service(service, command, settings->cwd);
	pthread_mutex_unlock(&lock);
	if (strcmp(command, "slow") == 0) {
		rc = wait_for_go(call);
		if (rc < 0)
			return error_set(err, -rc, "the start was interrupted");
	}
	pthread_mutex_lock(&lock);
	if (strcmp(command, "fail") == 0) {
		strcpy(service->status.state, "exited");
		service->status.has_exit_code = true;
		service->status.exit_code = 3;
		rc = error_set(err, EIO, "it ended before it was ready (exit code 3)");
	} else if (strcmp(command, "never") == 0) {
		strcpy(service->status.state, "failed");
		strcpy(service->status.stop_reason, "readiness_timeout");
		rc = error_set(err, ETIMEDOUT, "it was not ready in time");
	} else {
		service->status.ready_at = clock_now;
	}
	fill_service(service, out);
	pthread_mutex_unlock(&lock);
	return rc;
}

int proc_service_status(struct guest *guest, const struct call *call, const char *name,
			struct proc_service *out, struct error *err)
{
	struct fake_service *service;
	int rc = request(err);

	(void)guest;
	(void)call;
	if (rc < 0)
		return rc;
	service = service_named(name, false);
	if (service)
		fill_service(service, out);
	pthread_mutex_unlock(&lock);
	return service ? 0 : error_set(err, ENOENT, "service '%s' does not exist", name);
}

int proc_service_stop(struct guest *guest, const struct call *call, const char *name,
		      struct proc_service *out, struct error *err)
{
	struct fake_service *service;
	int rc = request(err);

	(void)guest;
	(void)call;
	if (rc < 0)
		return rc;
	fake_log("stop %s", name);
	service = service_named(name, false);
	if (service && strcmp(service->status.state, "running") == 0) {
		strcpy(service->status.state, "stopped");
		strcpy(service->status.stop_reason, "sigterm");
		service->status.has_exit_code = true;
		service->status.exit_code = -15;
	}
	if (service)
		fill_service(service, out);
	pthread_mutex_unlock(&lock);
	return service ? 0 : error_set(err, ENOENT, "service '%s' does not exist", name);
}

/* A slice of TEXT, lock held and let go. */
static ssize_t slice(const char *text, int64_t offset, void *bytes, size_t len)
{
	size_t size = strlen(text);

	if ((size_t)offset >= size)
		len = 0;
	else if (len > size - (size_t)offset)
		len = size - (size_t)offset;
	memcpy(bytes, text + (len ? offset : 0), len);
	pthread_mutex_unlock(&lock);
	return (ssize_t)len;
}

ssize_t proc_service_read(struct guest *guest, const struct call *call, const char *name,
			  int stream, int64_t offset, void *bytes, size_t len, struct error *err)
{
	struct fake_service *service;
	int rc = request(err);

	(void)guest;
	(void)call;
	if (rc < 0)
		return rc;
	service = service_named(name, false);
	if (!service) {
		pthread_mutex_unlock(&lock);
		return error_set(err, ENOENT, "service '%s' does not exist", name);
	}
	return slice(stream == 1 ? service->out : service->err, offset, bytes, len);
}

void world_service_stderr(const char *text)
{
	strcpy(stderr_of_next, text);
}

void world_service_stdout(const char *name, const char *text)
{
	pthread_mutex_lock(&lock);
	strcat(service_named(name, false)->out, text);
	pthread_mutex_unlock(&lock);
}

void world_service_end(const char *name, int code)
{
	struct fake_service *service;

	pthread_mutex_lock(&lock);
	service = service_named(name, false);
	strcpy(service->status.state, "exited");
	service->status.has_exit_code = true;
	service->status.exit_code = code;
	pthread_mutex_unlock(&lock);
}

void world_service_foreign(const char *name)
{
	pthread_mutex_lock(&lock);
	run_service(service_named(name, true), "somebody's", "/srv");
	pthread_mutex_unlock(&lock);
}

bool world_service_known(const char *name)
{
	bool known;

	pthread_mutex_lock(&lock);
	known = service_named(name, false) != NULL;
	pthread_mutex_unlock(&lock);
	return known;
}

void world_go(void)
{
	atomic_store(&go, true);
}

bool world_starting(void)
{
	return atomic_load(&starting);
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
	int rc = request(err);

	if (rc < 0)
		return rc;
	if (shell.open && strcmp(shell.id, id) == 0)
		return 0;
	pthread_mutex_unlock(&lock);
	return error_set(err, ENOENT, "shell '%s' does not exist", id);
}

int proc_shell_open(struct guest *guest, const struct call *call, const char *id,
		    const struct proc_settings *settings, int cols, int rows,
		    struct proc_shell *out, struct error *err)
{
	int rc = request(err);

	(void)guest;
	(void)call;
	if (rc < 0)
		return rc;
	fake_log("open %s %dx%d", id, cols, rows);
	note_settings(settings, 0);
	memset(&shell, 0, sizeof(shell));
	shell.open = shell.running = true;
	strcpy(shell.id, id);
	shells_open++;
	fill_shell(out);
	pthread_mutex_unlock(&lock);
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
	got = slice(shell.out, cursor / 3, bytes, size < 10 ? size : 10);
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
	pthread_mutex_unlock(&lock);
	return (ssize_t)len;
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
	pthread_mutex_unlock(&lock);
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
	pthread_mutex_unlock(&lock);
	return 0;
}

void world_shell_says(const char *text)
{
	pthread_mutex_lock(&lock);
	strcat(shell.out, text);
	pthread_mutex_unlock(&lock);
}

void world_shell_ends(int code)
{
	pthread_mutex_lock(&lock);
	shell.running = false;
	shell.code = code;
	pthread_mutex_unlock(&lock);
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
	int rc = request(err);

	(void)guest;
	(void)call;
	if (rc < 0)
		return rc;
	fake_log("command %s", command);
	note_settings(settings, timeout);
	memset(input, 0, sizeof(input));
	if (input_fd >= 0)
		assert_int_equal(pread(input_fd, input, (size_t)input_len, 0), input_len);
	*out = last_command = calloc(1, sizeof(struct proc_command));
	last_command->alive = true;
	commands_alive++;
	/* "exit N" is over at once. */
	if (sscanf(command, "exit %d", &last_command->code) == 1)
		last_command->ended = true;
	pthread_mutex_unlock(&lock);
	return 0;
}

int proc_command_status(struct proc_command *command, const struct call *call,
			struct proc_command_status *out, struct error *err)
{
	int rc = request(err);

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
	pthread_mutex_unlock(&lock);
	return 0;
}

ssize_t proc_command_read(struct proc_command *command, const struct call *call, int stream,
			  int64_t offset, void *bytes, size_t len, struct error *err)
{
	int rc = request(err);

	(void)call;
	if (rc < 0)
		return rc;
	return slice(stream == 1 ? command->out : command->err, offset, bytes, len);
}

int proc_command_kill(struct proc_command *command, const struct call *call, const char *signal,
		      struct error *err)
{
	int rc = request(err);

	(void)call;
	if (rc < 0)
		return rc;
	fake_log("kill %s", signal);
	command->ended = true;
	command->code = strcmp(signal, "KILL") == 0 ? 137 : 143;
	pthread_mutex_unlock(&lock);
	return 0;
}

void proc_command_free(struct proc_command *command, const struct call *call)
{
	(void)call;
	pthread_mutex_lock(&lock);
	if (last_command == command)
		last_command = NULL;
	commands_alive--;
	pthread_mutex_unlock(&lock);
	free(command);
}

void world_command_says(int stream, const char *text)
{
	pthread_mutex_lock(&lock);
	strcat(stream == 1 ? last_command->out : last_command->err, text);
	pthread_mutex_unlock(&lock);
}

void world_command_ends(int code)
{
	pthread_mutex_lock(&lock);
	last_command->ended = true;
	last_command->code = code;
	pthread_mutex_unlock(&lock);
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

	pthread_mutex_lock(&lock);
	n = commands_alive;
	pthread_mutex_unlock(&lock);
	return n;
}
