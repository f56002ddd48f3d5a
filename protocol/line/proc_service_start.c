/*
 * proc_service_start.c - a service is started, and waited for until it is ready.
 *
 * The agent is told of no readiness: it would answer nobody else while it probes.
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "protocol/cleanup.h"
#include "protocol/line/proc_ready.h"
#include "protocol/line/proc_service.h"
#include "protocol/line/proc_undo.h"

#define INTERRUPT_GRACE 2.0 /* seconds between TERM and KILL when nobody waits any more */
#define UNHEARD_WAIT 1.0    /* seconds that an interrupted caller is kept for the guest's word */
#define MIN_PAUSE 0.02      /* seconds between two rounds */
#define MAX_PAUSE 60.0
#define TRY_PAUSE 0.1 /* while a detached probe runs: its answer is waited for */

static int check(const char *name, const struct proc_settings *settings,
		 const struct proc_readiness *readiness, struct error *err)
{
	int rc = proc_check_name("service", name, err);

	rc = rc ? rc : proc_check_env(settings, err);
	if (!rc && readiness->kind != PROC_READY_NONE && !(readiness->timeout > 0))
		rc = error_set(err, EINVAL, "the time to become ready must be over 0 seconds");
	return rc;
}

/*
 * Stops the service NAME if it runs by a start of which this side has not heard: none that it has
 * noted since.
 */
static int stop_unheard(struct guest *guest, const struct call *call, const char *name)
{
	struct line_service service = { 0 };
	struct proc_note note;
	struct error err;
	int rc = proc_error(line_status_service(guest, call, name, &service, &err), &err);
	bool known = proc_note_get(lproc_of(guest), name, &note) && note.pid == service.pid;

	if (rc == 0 && !known && strcmp(service.state, "running") == 0)
		rc = proc_service_end(guest, call, name, service.pid, INTERRUPT_GRACE, NULL, NULL,
				      &err);
	line_service_free(&service);
	return rc;
}

/* Of a start that was interrupted before its answer: at once if the guest has time, else later. */
static void take_back(struct guest *guest, const char *name)
{
	struct call call = call_within(UNHEARD_WAIT, NULL);
	int rc = stop_unheard(guest, &call, name);

	if (rc < 0 && rc != -ENOENT)
		proc_undo_by(lproc_of(guest), stop_unheard, name);
}

/* Has the agent start it.  *PID, and the note of this start. */
static int launch(struct guest *guest, const struct call *call, const char *name,
		  const char *command, const struct proc_settings *settings, bool ready,
		  int64_t *pid, struct error *err)
{
	struct line_service_start start = { .name = name,
					    .command = command,
					    .cwd = proc_cwd(settings),
					    .ready_timeout_seconds = 30,
					    .ready_interval_ms = 500,
					    .env_count = settings->env_count };
	autofree struct line_env *env = proc_line_env(settings);
	struct call brief = proc_short_call(guest, call);
	struct line_service service = { 0 };
	struct proc_note note = { 0 };
	int rc;

	if (!env)
		return error_set(err, ENOMEM, "out of memory");
	start.env = env;
	rc = proc_error(line_start_service(guest, &brief, &start, &service, err), err);
	if (rc == -EINTR)
		take_back(guest, name);
	if (!rc && strcmp(service.state, "failed") == 0)
		rc = error_set(err, EIO, "the guest's agent could not start %s%s%s", name,
			       service.stop_reason[0] ? ": " : "", service.stop_reason);
	if (!rc) {
		snprintf(note.name, sizeof(note.name), "%s", name);
		*pid = note.pid = service.pid;
		if (ready)
			note.ready_at = service.ready_at > 0 ? service.ready_at :
							       service.started_at;
		rc = proc_note_put(lproc_of(guest), &note, err);
	}
	line_service_free(&service);
	return rc;
}

enum outcome { READY, ENDED, LATE, BROKEN };

/* Probes until something has happened; BROKEN: *RC says what. */
static enum outcome probe(struct proc_prober *prober, const struct call *call, int64_t pid,
			  double *now, int *rc, struct error *err)
{
	struct call limit = call_extend(call, prober->readiness->timeout);
	double interval = prober->readiness->interval_ms / 1000.0, pause;
	struct proc_probe seen = { 0 };

	if (limit.deadline > call->deadline)
		limit.deadline = call->deadline;
	interval = interval < MIN_PAUSE ? MIN_PAUSE : interval > MAX_PAUSE ? MAX_PAUSE : interval;
	for (;;) {
		struct call brief = proc_short_call(prober->guest, call);

		*rc = proc_prober_ask(prober, &brief, pid, &seen, err);
		*now = seen.now;
		if (*rc)
			return BROKEN;
		if (seen.ready)
			return READY;
		if (!seen.alive)
			return ENDED;
		pause = prober->running && interval > TRY_PAUSE ? TRY_PAUSE : interval;
		*rc = call_sleep(&limit, pause);
		if (*rc == -ETIMEDOUT)
			return LATE;
		if (*rc) {
			error_set(err, -*rc, "interrupted: the service is stopped");
			return BROKEN;
		}
	}
}

static int became_ready(struct guest *guest, const char *name, double now, double started_at,
			struct error *err)
{
	struct proc_note note;

	if (!proc_note_get(lproc_of(guest), name, &note))
		return 0;
	/* The one is in whole seconds, the other is not. */
	note.ready_at = now < started_at ? started_at : now;
	return proc_note_put(lproc_of(guest), &note, err);
}

static int ended_before(struct guest *guest, const struct call *call, const char *name, double now,
			struct proc_service *out, struct error *err)
{
	struct proc_note note;
	int rc = 0;

	if (proc_note_get(lproc_of(guest), name, &note)) {
		snprintf(note.state, sizeof(note.state), "failed");
		snprintf(note.stop_reason, sizeof(note.stop_reason), "process_exited_before_ready");
		note.ended_at = now;
		rc = proc_note_put(lproc_of(guest), &note, err);
	}
	rc = rc ? rc : proc_service_look(guest, call, name, out, NULL, err);
	if (rc)
		return rc;
	if (!out->has_exit_code)
		return error_set(err, EIO, "service %s ended before it was ready", name);
	return error_set(err, EIO, "service %s ended before it was ready, with exit code %d", name,
			 out->exit_code);
}

/* Readiness did not come, or nobody waits for it any more: nothing is left running. */
static int give_up(struct guest *guest, const struct call *call, const char *name, int64_t pid,
		   bool late, int rc, struct error *err)
{
	/* Even if CALL has been cancelled or has run out. */
	struct call own = guest_call(guest, NULL);
	struct error nowhere;

	if (late)
		return proc_service_end(guest, call, name, pid, 10, "failed", "readiness_timeout",
					err);
	proc_service_end(guest, &own, name, pid, INTERRUPT_GRACE, NULL, NULL, &nowhere);
	return rc;
}

/* What the caller's deadline left of the call for the last word on the service. */
static struct call rest(struct guest *guest, const struct call *call)
{
	struct call least = guest_call(guest, call->cancel);

	return least.deadline > call->deadline ? least : *call;
}

int lproc_service_start(struct guest *guest, const struct call *call, const char *name,
			const char *command, const struct proc_settings *settings,
			const struct proc_readiness *readiness, struct proc_service *out,
			struct error *err)
{
	struct error own;
	bool immediate = readiness->kind == PROC_READY_NONE;
	struct call brief = proc_short_call(guest, call), last;
	enum outcome outcome = READY;
	struct proc_prober prober;
	double now = 0;
	int64_t pid = 0;
	int rc;

	err = error_place(err, &own);
	*out = (struct proc_service){ 0 };
	rc = check(name, settings, readiness, err);
	if (rc)
		return rc;
	rc = proc_prober_init(&prober, guest, settings, readiness, err);
	rc = rc ? rc : proc_prober_check(&prober, &brief, err);
	rc = rc ? rc : launch(guest, call, name, command, settings, immediate, &pid, err);
	if (rc) {
		proc_prober_end(&prober, call);
		return rc;
	}
	if (!immediate)
		outcome = probe(&prober, call, pid, &now, &rc, err);
	last = rest(guest, call);
	proc_prober_end(&prober, &last);
	if (outcome == BROKEN && (rc == -EINTR || rc == -ETIMEDOUT))
		return give_up(guest, call, name, pid, false, rc, err);
	if (outcome == BROKEN)
		return rc;
	if (outcome == ENDED)
		return ended_before(guest, &last, name, now, out, err);
	if (outcome == LATE)
		rc = give_up(guest, &last, name, pid, true, 0, err);
	last = rest(guest, call);
	rc = rc ? rc : proc_service_look(guest, &last, name, out, NULL, err);
	if (!rc && outcome == READY && !immediate) {
		rc = became_ready(guest, name, now, out->started_at, err);
		out->ready_at = now < out->started_at ? out->started_at : now;
	}
	if (!rc && outcome == LATE)
		rc = error_set(err, ETIMEDOUT, "service %s was not ready after %g s and is stopped",
			       name, readiness->timeout);
	return rc;
}
