/*
 * ctl_world_services.c - the services of the made-up guest.
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "protocol/process.h"
#include "tests/unit/ctl_world.h"
#include "tests/unit/ctl_world_internal.h"
#include "tests/unit/fake_host.h"

struct fake_service {
	bool known;
	char name[80];
	struct proc_service status;
	char command[256], cwd[256];
	char out[WORLD_ROOM], err[WORLD_ROOM];
};

static struct fake_service services[16]; /* world_lock */
static char stderr_of_next[WORLD_ROOM];
static double clock_now = 1000;
static atomic_bool go, starting;

void world_services_reset(void)
{
	memset(services, 0, sizeof(services));
	stderr_of_next[0] = '\0';
	clock_now = 1000;
	atomic_store(&go, false);
}

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
	int rc = world_request(err);

	(void)guest;
	if (rc < 0)
		return rc;
	fake_log("start %s %d:%s %g/%u", name, readiness->kind,
		 readiness->value ? readiness->value : "", readiness->timeout,
		 readiness->interval_ms);
	world_note_settings(settings, 0);
	service = service_named(name, true);
	run_service(service, command, settings->cwd);
	pthread_mutex_unlock(&world_lock);
	if (strcmp(command, "slow") == 0) {
		rc = wait_for_go(call);
		if (rc < 0)
			return error_set(err, -rc, "the start was interrupted");
	}
	pthread_mutex_lock(&world_lock);
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
	pthread_mutex_unlock(&world_lock);
	return rc;
}

int proc_service_status(struct guest *guest, const struct call *call, const char *name,
			struct proc_service *out, struct error *err)
{
	struct fake_service *service;
	int rc = world_request(err);

	(void)guest;
	(void)call;
	if (rc < 0)
		return rc;
	service = service_named(name, false);
	if (service)
		fill_service(service, out);
	pthread_mutex_unlock(&world_lock);
	return service ? 0 : error_set(err, ENOENT, "service '%s' does not exist", name);
}

int proc_service_stop(struct guest *guest, const struct call *call, const char *name,
		      struct proc_service *out, struct error *err)
{
	struct fake_service *service;
	int rc = world_request(err);

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
	pthread_mutex_unlock(&world_lock);
	return service ? 0 : error_set(err, ENOENT, "service '%s' does not exist", name);
}

ssize_t proc_service_read(struct guest *guest, const struct call *call, const char *name,
			  int stream, int64_t offset, void *bytes, size_t len, struct error *err)
{
	struct fake_service *service;
	int rc = world_request(err);

	(void)guest;
	(void)call;
	if (rc < 0)
		return rc;
	service = service_named(name, false);
	if (!service) {
		pthread_mutex_unlock(&world_lock);
		return error_set(err, ENOENT, "service '%s' does not exist", name);
	}
	return world_slice(stream == 1 ? service->out : service->err, offset, bytes, len);
}

void world_service_stderr(const char *text)
{
	strcpy(stderr_of_next, text);
}

void world_service_stdout(const char *name, const char *text)
{
	pthread_mutex_lock(&world_lock);
	strcat(service_named(name, false)->out, text);
	pthread_mutex_unlock(&world_lock);
}

void world_service_end(const char *name, int code)
{
	struct fake_service *service;

	pthread_mutex_lock(&world_lock);
	service = service_named(name, false);
	strcpy(service->status.state, "exited");
	service->status.has_exit_code = true;
	service->status.exit_code = code;
	pthread_mutex_unlock(&world_lock);
}

void world_service_foreign(const char *name)
{
	pthread_mutex_lock(&world_lock);
	run_service(service_named(name, true), "somebody's", "/srv");
	pthread_mutex_unlock(&world_lock);
}

bool world_service_known(const char *name)
{
	bool known;

	pthread_mutex_lock(&world_lock);
	known = service_named(name, false) != NULL;
	pthread_mutex_unlock(&world_lock);
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
