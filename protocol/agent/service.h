/*
 * service.h - named processes in the background.
 *
 * A service has a session of its own, its output goes to files, its record to a file beside
 * them: all outlive the request, and without a lifeline the agent too.  The next agent takes
 * over what it finds there.  A name once used stays known.
 */
#ifndef VSOCKFS_AGENT_SERVICE_H
#define VSOCKFS_AGENT_SERVICE_H

#include <stdint.h>

#include "protocol/agent/agent.h"
#include "protocol/agent/probe.h"
#include "protocol/agent/service_record.h"
#include "protocol/error.h"

struct services;

int services_new(struct agent *agent, struct services **out, struct error *err);
/* Requests that wait for readiness come back. */
void services_interrupt(struct services *services);
/* Ends all that run: TERM, and a second later KILL. */
void services_end(struct services *services);
/* After the reaper has ended. */
void services_free(struct services *services);

/* NAME=VALUE of 16 random hex digits, by which all that a service starts can be found. */
int service_make_mark(char *mark, size_t size);

struct service_spec {
	const char *name, *command;
	const char *cwd;      /* as the protocol names it */
	const char *host_cwd; /* as chdir takes it */
	char *const *env;     /* with the mark in it */
	const char *mark;
	const json_t *readiness;
	const struct probe *probe;
	int64_t ready_timeout_ms, ready_interval_ms;

	/* Called once it runs, before its readiness is waited for; may be NULL. */
	void (*launched)(void *arg);
	void *arg;
};

/*
 * Starts NAME and waits until it is ready, has ended, or its time is up.  What became of it is
 * in *OUT, which the caller frees; it is an error only if nothing was started: -EBUSY
 * when it runs already.
 */
int services_start(struct services *services, const struct service_spec *spec,
		   struct service_record *out, struct error *err);
/* -ENOENT where neither this agent nor one before it knows NAME. */
int services_status(struct services *services, const char *name, struct service_record *out,
		    struct error *err);
/* The same, in short. */
struct service_peek {
	bool running,
		starting;  /* starting: its readiness is waited for, or its failure dealt with */
	double started_at; /* which run it is */
	pid_t orphan;      /* running, but no child of ours; else 0 */
};
int services_peek(struct services *services, const char *name, struct service_peek *out,
		  struct error *err);

/*
 * One run of a service.  Who ends it ends that and no other: it may have ended and been started
 * anew by somebody else meanwhile.
 */
struct service_run {
	pid_t pid;
	char mark[sizeof(((struct service_record *)0)->mark)];
};

/* The last run of NAME.  Errors as services_status. */
int services_get_run(struct services *services, const char *name, struct service_run *out,
		     struct error *err);
/* TERM, and KILL after ten seconds, for all that came of it.  Nothing to stop is no error. */
int services_stop_run(struct services *services, const char *name, const struct service_run *run,
		      struct service_record *out, struct error *err);
/* Both. */
int services_stop(struct services *services, const char *name, struct service_record *out,
		  struct error *err);

/* Whether one that this agent knows is running. */
bool services_are_running(struct services *services);

/* The directory of the outputs. */
int services_dir(const struct services *services);

#endif
