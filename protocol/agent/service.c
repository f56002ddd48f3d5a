/* service.c - see service.h. */
#include "protocol/agent/service_internal.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <unistd.h>
#include <uthash.h>

#include "protocol/agent/child.h"
#include "protocol/agent/clock.h"
#include "protocol/agent/kin.h"
#include "protocol/agent/rundir.h"
#include "protocol/cleanup.h"
#include "protocol/token.h"

#define GIVE_UP_MS 5000 /* for one that was not ready in time */
#define SETTLE_MS 5000  /* for the reaper's word on a child that has ended */
#define LINGER_MS 1000  /* for all at the agent's end */

/* Hold the lock.  What cannot be written costs the next agent its knowledge, not us ours. */
static void save(struct service *service)
{
	service_record_save(&service->record, service->services->dir);
}

/* On the reaper's thread. */
static void on_end(void *arg)
{
	struct service *service = arg;
	struct child_end end;

	pthread_mutex_lock(&service->lock);
	if (service->child && service->record.state == SERVICE_RUNNING &&
	    child_ended(service->child, &end)) {
		service->record.has_exit_code = true;
		service->record.exit_code = end.exit_code;
		service_set_ended(service, end.at);
	}
	pthread_mutex_unlock(&service->lock);
}

/* The entry NAME, made where it is missing. */
static struct service *get(struct services *services, const char *name, struct error *err)
{
	struct service *service;

	pthread_mutex_lock(&services->lock);
	HASH_FIND_STR(services->by_name, name, service);
	if (!service && HASH_COUNT(services->by_name) < LIMIT_AGENT_SERVICES)
		service = calloc(1, sizeof(*service));
	if (!service) {
		error_set(err, ENOMEM, "there are too many services");
	} else if (!service->services) {
		service->services = services;
		snprintf(service->name, sizeof(service->name), "%s", name);
		pthread_mutex_init(&service->lock, NULL);
		pthread_mutex_init(&service->changing, NULL);
		service->known = service_record_load(services->dir, name, &service->record) == 0;
		HASH_ADD_STR(services->by_name, name, service);
	}
	pthread_mutex_unlock(&services->lock);
	return service;
}

struct service *service_find(struct services *services, const char *name, struct error *err)
{
	char file[LIMIT_ENTITY_NAME + 16];
	struct service *service;
	bool known;

	/* A name that nobody ever used must not take a place in the table. */
	pthread_mutex_lock(&services->lock);
	HASH_FIND_STR(services->by_name, name, service);
	pthread_mutex_unlock(&services->lock);
	snprintf(file, sizeof(file), "%s.json", name);
	if (service || faccessat(services->dir, file, F_OK, 0) == 0)
		service = get(services, name, err);
	if (service) {
		pthread_mutex_lock(&service->lock);
		known = service->known;
		pthread_mutex_unlock(&service->lock);
		if (known)
			return service;
	}
	error_set(err, ENOENT, "service '%s' does not exist", name);
	return NULL;
}

int service_snapshot(struct service *service, struct service_record *out, struct error *err)
{
	int rc;

	pthread_mutex_lock(&service->lock);
	service_look_after(service);
	rc = service_record_copy(&service->record, out);
	pthread_mutex_unlock(&service->lock);
	return rc < 0 ? error_set(err, -rc, "out of memory") : 0;
}

static int open_log(struct service *service, const char *stream, struct error *err)
{
	char name[LIMIT_ENTITY_NAME + 16];
	int fd;

	snprintf(name, sizeof(name), "%s.%s", service->name, stream);
	fd = openat(service->services->dir, name,
		    O_WRONLY | O_CREAT | O_TRUNC | O_APPEND | O_NOFOLLOW | O_CLOEXEC, 0644);
	if (fd < 0)
		return error_set(err, errno, "cannot open the log %s: %s", name, strerror(errno));
	return fd;
}

/* Hold the lock. */
static int renew_record(struct service *service, const struct service_spec *spec, struct error *err)
{
	struct service_record fresh = {
		.state = SERVICE_RUNNING,
		.started_at = clock_epoch(),
		.command = strdup(spec->command),
		.cwd = strdup(spec->cwd),
		.readiness = spec->probe->kind == PROBE_NONE ? NULL :
							       json_deep_copy(spec->readiness),
	};

	if (!fresh.command || !fresh.cwd) {
		service_record_free(&fresh);
		return error_set(err, ENOMEM, "out of memory");
	}
	memcpy(fresh.name, service->name, sizeof(fresh.name));
	snprintf(fresh.mark, sizeof(fresh.mark), "%s", spec->mark);
	service_record_free(&service->record);
	service->record = fresh;
	return 0;
}

/* Hold the lock: so the reaper's news waits until the record is there. */
static int launch(struct service *service, const struct service_spec *spec, struct error *err)
{
	const char *argv[] = { "/bin/sh", "-lc", spec->command, NULL };
	autoclose int out = open_log(service, "stdout", err);
	autoclose int errors = out < 0 ? -1 : open_log(service, "stderr", err);
	struct child_spec child_spec = {
		.argv = argv,
		.env = spec->env,
		.cwd = spec->host_cwd,
		.fds = { -1, out, errors },
		.outlives = true, /* services_end ends it, gently */
		.on_end = on_end,
		.arg = service,
	};
	struct child *child = NULL;
	int rc;

	if (out < 0 || errors < 0)
		return out < 0 ? out : errors;
	rc = child_start(service->services->agent->children, &child_spec, &child, err);
	if (rc < 0)
		return rc;
	rc = renew_record(service, spec, err);
	if (rc < 0) {
		child_signal(child, SIGKILL);
		child_unref(child);
		return rc;
	}
	child_unref(service->child);
	service->child = child;
	service->known = true;
	service->starting = spec->probe->kind != PROBE_NONE;
	service->record.pid = child_pid(child);
	service->record.pid_started = kin_start_time(child_pid(child));
	if (!service->starting)
		service->record.ready_at = service->record.started_at;
	save(service);
	return 0;
}

/* Tries the probe until it says yes (true), or it does not matter any more. */
static bool wait_ready(struct service *service, const struct service_spec *spec, bool *timed_out)
{
	struct services *services = service->services;
	struct probe_context context = {
		.agent = services->agent,
		.env = spec->env,
		.host_cwd = spec->host_cwd,
		.deadline = clock_ms() + spec->ready_timeout_ms,
		.wake = { child_event(service->child), services->interrupt },
	};
	struct pollfd wait[2] = {
		{ .fd = context.wake[0], .events = POLLIN },
		{ .fd = context.wake[1], .events = POLLIN },
	};

	*timed_out = false;
	for (;;) {
		int64_t next = clock_ms() + spec->ready_interval_ms;

		if (probe_try(spec->probe, &context))
			return true;
		if (next > context.deadline)
			next = context.deadline;
		if (poll(wait, 2, clock_until(next)) > 0)
			return false;
		if (clock_until(context.deadline) == 0) {
			*timed_out = true;
			return false;
		}
	}
}

static void become_ready(struct service *service, const struct service_spec *spec)
{
	/* No other can be started meanwhile. */
	struct service_run run = service_get_run(service);
	bool timed_out, ready = wait_ready(service, spec, &timed_out);

	pthread_mutex_lock(&service->lock);
	if (service->record.state == SERVICE_RUNNING && ready) {
		service->record.ready_at = clock_epoch();
		service->starting = false;
		save(service);
	}
	pthread_mutex_unlock(&service->lock);
	if (timed_out)
		service_end(service, &run, "readiness_timeout", GIVE_UP_MS);
	/* The reaper has said how it ended, if it has, before nobody waits any more. */
	if (!ready && child_ended(service->child, NULL))
		service_wait_ended(service, &run, clock_ms() + SETTLE_MS);
	pthread_mutex_lock(&service->lock);
	service->starting = false;
	pthread_mutex_unlock(&service->lock);
	service_tell(service);
}

/* The right to start it, for one at a time. */
static int begin_change(struct service *service, struct error *err)
{
	bool starting;

	if (pthread_mutex_trylock(&service->changing) == 0)
		return 0;
	pthread_mutex_lock(&service->lock);
	starting = service->starting;
	pthread_mutex_unlock(&service->lock);
	if (starting)
		return error_set(err, EBUSY, "service '%s' is being started", service->name);
	/* It has become what it will be, and the other one is about to say so. */
	pthread_mutex_lock(&service->changing);
	return 0;
}

/*
 * What is known of services is kept for good: their commands are no longer, all together, than
 * this.
 */
static int check_room(struct services *services, const struct service_spec *spec, struct error *err)
{
	size_t sum = strlen(spec->command);
	struct service *service;

	pthread_mutex_lock(&services->lock);
	for (service = services->by_name; service; service = service->hh.next) {
		pthread_mutex_lock(&service->lock);
		if (service->record.command && strcmp(service->name, spec->name) != 0)
			sum += strlen(service->record.command);
		pthread_mutex_unlock(&service->lock);
	}
	pthread_mutex_unlock(&services->lock);
	if (sum <= LIMIT_AGENT_SERVICE_TEXT)
		return 0;
	return error_set(err, ENOSPC, "the commands of all services have more than %u bytes",
			 LIMIT_AGENT_SERVICE_TEXT);
}

int services_start(struct services *services, const struct service_spec *spec,
		   struct service_record *out, struct error *err)
{
	struct service *service = get(services, spec->name, err);
	int rc;

	if (!service)
		return -ENOMEM;
	rc = check_room(services, spec, err);
	if (rc == 0)
		rc = begin_change(service, err);
	if (rc < 0)
		return rc;
	pthread_mutex_lock(&service->lock);
	service_look_after(service);
	if (service->known && service->record.state == SERVICE_RUNNING)
		rc = error_set(err, EBUSY, "service '%s' is already running", spec->name);
	else
		rc = launch(service, spec, err);
	pthread_mutex_unlock(&service->lock);
	if (rc == 0) {
		if (spec->launched)
			spec->launched(spec->arg);
		if (spec->probe->kind != PROBE_NONE)
			become_ready(service, spec);
		rc = service_snapshot(service, out, err);
	}
	pthread_mutex_unlock(&service->changing);
	return rc;
}

int services_status(struct services *services, const char *name, struct service_record *out,
		    struct error *err)
{
	struct service *service = service_find(services, name, err);

	return service ? service_snapshot(service, out, err) : -ENOENT;
}

int services_peek(struct services *services, const char *name, struct service_peek *out,
		  struct error *err)
{
	struct service *service = service_find(services, name, err);
	const struct service_record *record;

	if (!service)
		return -ENOENT;
	pthread_mutex_lock(&service->lock);
	service_look_after(service);
	record = &service->record;
	*out = (struct service_peek){
		.running = record->state == SERVICE_RUNNING,
		.starting = service->starting,
		.started_at = record->started_at,
		.orphan = record->state == SERVICE_RUNNING && !service->child ? record->pid : 0,
	};
	pthread_mutex_unlock(&service->lock);
	return 0;
}

int services_dir(const struct services *services)
{
	return services->dir;
}

int service_make_mark(char *mark, size_t size)
{
	char token[TOKEN_DIGITS + 1];

	if (token_make(token, TOKEN_DIGITS) < 0)
		return -EIO;
	snprintf(mark, size, "VSOCKFS_SERVICE=%s", token);
	return 0;
}

int services_new(struct agent *agent, struct services **out, struct error *err)
{
	struct services *services = calloc(1, sizeof(*services));
	int rc;

	if (!services)
		return error_set(err, ENOMEM, "out of memory");
	services->agent = agent;
	services->interrupt = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	services->dir = rundir_open(agent->run_dir, RUNDIR_SERVICES, 0755, err);
	if (services->dir < 0 || services->interrupt < 0) {
		rc = services->dir < 0 ? services->dir : error_set(err, EMFILE, "no eventfd");
		if (services->dir >= 0)
			close(services->dir);
		if (services->interrupt >= 0)
			close(services->interrupt);
		free(services);
		return rc;
	}
	pthread_mutex_init(&services->lock, NULL);
	*out = services;
	return 0;
}

void services_interrupt(struct services *services)
{
	uint64_t one = 1;

	while (write(services->interrupt, &one, sizeof(one)) < 0 && errno == EINTR)
		;
}

void services_end(struct services *services)
{
	struct service *service;
	int64_t deadline;

	if (!services)
		return;
	/* Nothing new is made meanwhile; a request that waits for the lock may wait. */
	pthread_mutex_lock(&services->lock);
	for (service = services->by_name; service; service = service->hh.next) {
		struct service_run run = service_get_run(service);

		service_set_reason(service, &run, "sigterm");
		if (service_is_running(service, &run))
			service_signal(service, &run, SIGTERM);
	}
	deadline = clock_ms() + LINGER_MS;
	for (service = services->by_name; service; service = service->hh.next) {
		struct service_run run = service_get_run(service);

		if (!service_wait_ended(service, &run, deadline))
			service_set_reason(service, &run, "sigkill");
		service_signal(service, &run, SIGKILL);
	}
	/* So that the records say how it went. */
	deadline = clock_ms() + LINGER_MS;
	for (service = services->by_name; service; service = service->hh.next) {
		struct service_run run = service_get_run(service);

		service_wait_ended(service, &run, deadline);
	}
	pthread_mutex_unlock(&services->lock);
}

void services_free(struct services *services)
{
	struct service *service;

	if (!services)
		return;
	while ((service = services->by_name) != NULL) {
		HASH_DEL(services->by_name, service);
		service_record_free(&service->record);
		child_unref(service->child);
		pthread_mutex_destroy(&service->lock);
		pthread_mutex_destroy(&service->changing);
		free(service);
	}
	close(services->dir);
	close(services->interrupt);
	pthread_mutex_destroy(&services->lock);
	free(services);
}
