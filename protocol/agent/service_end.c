/* service_end.c - how a service ends: by itself, or with all that came of it. */
#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <string.h>

#include "protocol/agent/clock.h"
#include "protocol/agent/kin.h"
#include "protocol/agent/service_internal.h"
#include "protocol/agent/session_proc_hub.h"

#define STOP_MS 10000
#define KILL_MS 5000

/* For what is still there after the service itself has ended. */
#define STRAGGLER_MS 1000

#define LOOK_MS 20
#define KILL_ROUNDS 5

void service_tell(struct service *service)
{
	proc_hub_tell(service->services->agent->procs, PROC_SERVICE, service->name);
}

void service_set_ended(struct service *service, double at)
{
	struct service_record *record = &service->record;

	record->ended_at = at;
	if (record->stop_reason) {
		record->state = strcmp(record->stop_reason, "readiness_timeout") ? SERVICE_STOPPED :
										   SERVICE_FAILED;
	} else if (service->starting) {
		record->state = SERVICE_FAILED;
		record->stop_reason = "process_exited_before_ready";
	} else {
		record->state = SERVICE_EXITED;
	}
	/*
	 * A record without a mark is another agent's, which may know better.  What cannot be
	 * written costs the next agent its knowledge, not us ours.
	 */
	if (record->mark[0])
		service_record_save(record, service->services->dir);
	service_tell(service);
}

void service_look_after(struct service *service)
{
	const struct service_record *record = &service->record;

	if (service->known && !service->child && record->state == SERVICE_RUNNING &&
	    (record->pid <= 0 || !record->pid_started ||
	     kin_start_time(record->pid) != record->pid_started))
		service_set_ended(service, clock_epoch());
}

/* Hold the lock. */
static bool is_run(struct service *service, const struct service_run *run)
{
	service_look_after(service);
	return service->record.state == SERVICE_RUNNING && service->record.pid == run->pid &&
	       !strcmp(service->record.mark, run->mark);
}

struct service_run service_get_run(struct service *service)
{
	struct service_run run;

	pthread_mutex_lock(&service->lock);
	run.pid = service->record.pid;
	memcpy(run.mark, service->record.mark, sizeof(run.mark));
	pthread_mutex_unlock(&service->lock);
	return run;
}

/*
 * The leader's number is only believed while the leader is known to be there; what it
 * left behind is found by the mark.
 */
size_t service_signal(struct service *service, const struct service_run *run, int signal)
{
	bool running = service_is_running(service, run);

	if ((!running || run->pid <= 0) && !run->mark[0])
		return 0;
	return kin_signal(running ? run->pid : 0, run->mark[0] ? run->mark : NULL, signal);
}

bool service_is_running(struct service *service, const struct service_run *run)
{
	bool running;

	pthread_mutex_lock(&service->lock);
	running = is_run(service, run);
	pthread_mutex_unlock(&service->lock);
	return running;
}

bool service_wait_ended(struct service *service, const struct service_run *run, int64_t deadline)
{
	while (service_is_running(service, run)) {
		if (clock_until(deadline) == 0)
			return false;
		poll(NULL, 0, LOOK_MS);
	}
	return true;
}

void service_set_reason(struct service *service, const struct service_run *run, const char *reason)
{
	pthread_mutex_lock(&service->lock);
	if (is_run(service, run))
		service->record.stop_reason = reason;
	pthread_mutex_unlock(&service->lock);
}

void service_end(struct service *service, const struct service_run *run, const char *reason,
		 int64_t grace_ms)
{
	int64_t deadline;

	service_set_reason(service, run, reason);
	if (!service_signal(service, run, SIGTERM))
		return;
	if (!service_wait_ended(service, run, clock_ms() + grace_ms)) {
		if (!strcmp(reason, "sigterm"))
			service_set_reason(service, run, "sigkill");
		service_signal(service, run, SIGKILL);
		service_wait_ended(service, run, clock_ms() + KILL_MS);
	}
	deadline = clock_ms() + STRAGGLER_MS;
	while (service_signal(service, run, 0) && clock_until(deadline))
		poll(NULL, 0, LOOK_MS);
	/* More than once: somebody may have forked meanwhile. */
	for (int i = 0; i < KILL_ROUNDS && service_signal(service, run, SIGKILL); i++)
		poll(NULL, 0, LOOK_MS);
}

int services_get_run(struct services *services, const char *name, struct service_run *out,
		     struct error *err)
{
	struct service *service = service_find(services, name, err);

	if (!service)
		return -ENOENT;
	*out = service_get_run(service);
	return 0;
}

int services_stop_run(struct services *services, const char *name, const struct service_run *run,
		      struct service_record *out, struct error *err)
{
	struct service *service = service_find(services, name, err);

	if (!service)
		return -ENOENT;
	service_end(service, run, "sigterm", STOP_MS);
	return service_snapshot(service, out, err);
}

int services_stop(struct services *services, const char *name, struct service_record *out,
		  struct error *err)
{
	struct service_run run;
	int rc = services_get_run(services, name, &run, err);

	return rc < 0 ? rc : services_stop_run(services, name, &run, out, err);
}

bool services_are_running(struct services *services)
{
	struct service *service;
	bool running = false;

	pthread_mutex_lock(&services->lock);
	for (service = services->by_name; service; service = service->hh.next) {
		pthread_mutex_lock(&service->lock);
		if (service->known) {
			service_look_after(service);
			running |= service->record.state == SERVICE_RUNNING;
		}
		pthread_mutex_unlock(&service->lock);
	}
	pthread_mutex_unlock(&services->lock);
	return running;
}
