/*
 * proc_service.c - services: looked at and ended in short requests.
 *
 * The agent's word on a service can be late: the one in the field learns that a process
 * has ended when a later request makes it look, and its stop blocks it for ten seconds.  So the
 * processes are looked at and signalled by scripts, and the agent is asked for its record
 * once it can know.
 */
#include "protocol/line/proc_service.h"

#include <errno.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "protocol/cleanup.h"
#include "protocol/line/proc_ready.h"

#define STOP_GRACE 10.0 /* seconds between TERM and KILL */
#define KILL_GRACE 2.0  /* seconds for KILL to take its effect */
#define AGENT_STOP 15.0 /* for the agent's own stop, should it wait after all */
#define LOOK_TRIES 3    /* requests after which an agent must have noticed an end */

struct call proc_short_call(struct guest *guest, const struct call *call)
{
	struct call out = guest_call(guest, call->cancel);

	if (out.deadline > call->deadline)
		out.deadline = call->deadline;
	return out;
}

int proc_ask(struct guest *guest, const struct call *call, const struct buf *script,
	     struct shtext_reply *reply, struct error *err)
{
	int rc = proc_script(guest, call, TRAFFIC_SERVICE, script, reply, err);

	return rc > 0 ? shtext_failure(reply, EIO, err) : rc;
}

void proc_service_free(struct proc_service *service)
{
	free(service->command);
	free(service->cwd);
	memset(service, 0, sizeof(*service));
}

void proc_service_find_log(struct buf *script, const char *name)
{
	/* The second is the bundled agent's where it may not write to /run. */
	buf_addf(script,
		 "log=\n"
		 "for b in /run \"/tmp/vsockfs-agent-$(id -u)\"; do\n"
		 "	[ -f \"$b/pyro-services/%s.stdout\" ] || continue\n"
		 "	log=$b/pyro-services/%s; break\n"
		 "done\n",
		 name, name);
}

/* What this side has done and seen counts for the start that it is about. */
static void overlay(const struct proc_note *note, struct proc_service *out)
{
	out->ready_at = note->ready_at;
	if (note->state[0])
		snprintf(out->state, sizeof(out->state), "%s", note->state);
	if (note->stop_reason[0])
		snprintf(out->stop_reason, sizeof(out->stop_reason), "%s", note->stop_reason);
	/* This side asks the guest's clock for whole seconds. */
	if (note->ended_at > 0)
		out->ended_at = note->ended_at > out->started_at ? note->ended_at : out->started_at;
}

int proc_service_fill(struct guest *guest, const struct line_service *from,
		      struct proc_service *out, struct error *err)
{
	struct proc_note note;

	*out = (struct proc_service){ .started_at = from->started_at,
				      .ready_at = from->ready_at,
				      .ended_at = from->ended_at,
				      .has_exit_code = from->has_exit_code,
				      .pid = from->pid };
	if (from->has_exit_code)
		out->exit_code = from->exit_code < INT_MIN || from->exit_code > INT_MAX ?
					 -1 :
					 (int)from->exit_code;
	snprintf(out->state, sizeof(out->state), "%s", from->state);
	snprintf(out->stop_reason, sizeof(out->stop_reason), "%s", from->stop_reason);
	if (proc_note_get(lproc_of(guest), from->name, &note) && note.pid == from->pid)
		overlay(&note, out);
	out->command = strndup(from->command.data ? from->command.data : "", from->command.len);
	out->cwd = strndup(from->cwd.data ? from->cwd.data : "", from->cwd.len);
	if (!out->command || !out->cwd) {
		proc_service_free(out);
		return error_set(err, ENOMEM, "out of memory");
	}
	return 0;
}

struct look {
	bool alive;
	bool found; /* the log files */
	long long sizes[2];
	long long now;
};

/* Looks at the process and the log files; by the way this makes the agent notice an end. */
static int look(struct guest *guest, const struct call *call, const char *name, int64_t pid,
		struct look *out, struct error *err)
{
	autobuf struct buf script = BUF_INIT(LIMIT_EXEC_COMMAND);
	struct call brief = proc_short_call(guest, call);
	struct shtext_reply reply;
	int alive, found, rc;

	buf_adds(&script, PROC_SH_SIZE PROC_SH_ALIVE);
	proc_service_find_log(&script, name);
	buf_addf(&script,
		 "a=0 f=0\n"
		 "[ %lld -gt 1 ] && alive %lld && a=1\n"
		 "[ \"$log\" ] && f=1\n"
		 "echo $a $f $(size \"$log.stdout\") $(size \"$log.stderr\") $(date +%%s)\n",
		 (long long)pid, (long long)pid);
	rc = proc_ask(guest, &brief, &script, &reply, err);
	if (rc == 0 && sscanf(reply.out, "%9d %9d %18lld %18lld %18lld", &alive, &found,
			      &out->sizes[0], &out->sizes[1], &out->now) != 5)
		rc = error_set(err, EPROTO, "the guest says nothing sensible of the service");
	if (rc == 0) {
		out->alive = alive == 1;
		out->found = found == 1;
	}
	shtext_reply_free(&reply);
	return rc;
}

/* An agent that keeps the outputs where nobody else finds them can still give them all. */
static int sizes_from_logs(struct guest *guest, const struct call *call, const char *name,
			   struct proc_service *out, struct error *err)
{
	struct call brief = proc_short_call(guest, call);
	struct line_service logs = { 0 };
	int rc = line_logs_service(guest, &brief, name, -1, &logs, err);

	if (rc == 0) {
		out->out_size = (int64_t)logs.out.len;
		out->err_size = (int64_t)logs.err.len;
	}
	line_service_free(&logs);
	return proc_error(rc, err);
}

int proc_service_look(struct guest *guest, const struct call *call, const char *name,
		      struct proc_service *out, double *now, struct error *err)
{
	struct line_service service = { 0 };
	struct look seen = { 0 };
	int rc = 0;

	for (int tries = 0; tries < LOOK_TRIES; tries++) {
		struct call brief = proc_short_call(guest, call);

		line_service_free(&service);
		service = (struct line_service){ 0 };
		rc = proc_error(line_status_service(guest, &brief, name, &service, err), err);
		/* Once it is known to be dead, a look that came before the status is enough. */
		if (rc || (tries && strcmp(service.state, "running") != 0))
			break;
		rc = look(guest, call, name, service.pid, &seen, err);
		if (rc || seen.alive || strcmp(service.state, "running") != 0)
			break;
	}
	rc = rc ? rc : proc_service_fill(guest, &service, out, err);
	if (!rc) {
		out->out_size = seen.sizes[0] < 0 ? 0 : seen.sizes[0];
		out->err_size = seen.sizes[1] < 0 ? 0 : seen.sizes[1];
		if (now)
			*now = (double)seen.now;
		/* The agent has not noticed yet: it will. */
		if (!seen.alive && strcmp(out->state, "running") == 0)
			strcpy(out->state, "exited");
		if (!seen.found)
			rc = sizes_from_logs(guest, call, name, out, err);
		if (rc)
			proc_service_free(out);
	}
	line_service_free(&service);
	return rc;
}

int lproc_service_status(struct guest *guest, const struct call *call, const char *name,
			 struct proc_service *out, struct error *err)
{
	struct error own;
	int rc = proc_check_name("service", name, err);

	err = error_place(err, &own);
	return rc ? rc : proc_service_look(guest, call, name, out, NULL, err);
}

/* Sends SIGNAL ("" for none) to the group; *MEMBERS of it are alive then. */
static int strike(struct guest *guest, const struct call *call, int64_t pid, const char *signal,
		  int *members, double *now, struct error *err)
{
	autobuf struct buf script = BUF_INIT(LIMIT_EXEC_COMMAND);
	struct call brief = proc_short_call(guest, call);
	struct shtext_reply reply;
	long long clock;
	int rc;

	buf_adds(&script, PROC_SH_ALIVE);
	if (*signal)
		buf_addf(&script, "strike %s %lld\n", signal, (long long)pid);
	buf_addf(&script, "echo $(members %lld) $(date +%%s)\n", (long long)pid);
	rc = proc_ask(guest, &brief, &script, &reply, err);
	if (rc == 0 && sscanf(reply.out, "%9d %18lld", members, &clock) != 2)
		rc = error_set(err, EPROTO, "the guest says nothing sensible of the service");
	if (rc == 0)
		*now = (double)clock;
	shtext_reply_free(&reply);
	return rc;
}

/* Waits until the group is empty, looking ever less often.  1: it is; 0: SECONDS have passed. */
static int await_empty(struct guest *guest, const struct call *call, int64_t pid, double seconds,
		       double *now, struct error *err)
{
	struct call limit = call_extend(call, seconds);
	double pause = 0.02;
	int members = 1;

	for (;;) {
		int rc = call_sleep(&limit, pause);

		if (rc == -ETIMEDOUT)
			return 0;
		rc = rc ? error_set(err, -rc, "interrupted") : 0;
		rc = rc ? rc : strike(guest, call, pid, "", &members, now, err);
		if (rc)
			return rc;
		if (members == 0)
			return 1;
		pause = pause < 0.3 ? pause * 1.5 : pause;
	}
}

/* TERM, up to GRACE seconds, KILL.  *SIGNAL is what it took, *NOW the guest's clock at the end. */
static int hunt(struct guest *guest, const struct call *call, int64_t pid, double grace,
		const char **signal, double *now, struct error *err)
{
	int members = 0, rc;

	*signal = "sigterm";
	if (pid <= 1) /* an agent that names no process, or everybody's */
		return 0;
	rc = strike(guest, call, pid, "TERM", &members, now, err);
	if (!rc && members)
		rc = await_empty(guest, call, pid, grace, now, err);
	if (rc == 0 && members) {
		*signal = "sigkill";
		rc = strike(guest, call, pid, "KILL", &members, now, err);
		if (!rc && members)
			rc = await_empty(guest, call, pid, KILL_GRACE, now, err);
	}
	/* One more request, for an agent that looks after its children at the next one. */
	return rc < 0 ? rc : strike(guest, call, pid, "", &members, now, err);
}

int proc_service_end(struct guest *guest, const struct call *call, const char *name, int64_t pid,
		     double grace, const char *state, const char *reason, struct error *err)
{
	struct call longer = call_extend(call,
					 grace + 2 * guest_options(guest)->timeout + AGENT_STOP);
	struct line_service after = { 0 };
	struct proc_note note = { 0 };
	const char *signal;
	double ended_at = 0, ready_at = 0;
	int rc;

	if (longer.deadline < call->deadline)
		longer.deadline = call->deadline;
	rc = hunt(guest, &longer, pid, grace, &signal, &ended_at, err);
	if (rc)
		return rc;
	rc = proc_error(line_stop_service(guest, &longer, name, &after, err), err);
	if (rc == 0 && !state) /* it was ready, if we have not seen it fail */
		ready_at = after.ready_at;
	line_service_free(&after);
	if (rc && rc != -EBUSY) /* "is not running": as it should be */
		return rc;
	if (!proc_note_get(lproc_of(guest), name, &note) || note.pid != pid)
		note = (struct proc_note){ .pid = pid, .ready_at = ready_at };
	note.ended_at = ended_at;
	snprintf(note.name, sizeof(note.name), "%s", name);
	snprintf(note.state, sizeof(note.state), "%s", state ? state : "stopped");
	snprintf(note.stop_reason, sizeof(note.stop_reason), "%s", reason ? reason : signal);
	return proc_note_put(lproc_of(guest), &note, err);
}

int lproc_service_stop(struct guest *guest, const struct call *call, const char *name,
		       struct proc_service *out, struct error *err)
{
	struct error own;
	int rc = proc_check_name("service", name, err);

	err = error_place(err, &own);
	rc = rc ? rc : proc_service_look(guest, call, name, out, NULL, err);
	if (rc || strcmp(out->state, "running") != 0)
		return rc;
	rc = proc_service_end(guest, call, name, out->pid, STOP_GRACE, NULL, NULL, err);
	proc_service_free(out);
	return rc ? rc : proc_service_look(guest, call, name, out, NULL, err);
}
