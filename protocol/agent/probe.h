/*
 * probe.h - is a service ready?  Four ways to find out.
 *
 *   {"type": "file", "path": P}             P exists (relative to the service's cwd)
 *   {"type": "tcp", "address": "HOST:PORT"} somebody listens; HOST is IPv4 or localhost
 *   {"type": "http", "url": U}              GET answers 2xx or 3xx
 *   {"type": "command", "command": C}       C exits with 0 within ten seconds
 *
 * A probe that cannot be understood is refused before anything is started; one that fails
 * is just not ready yet.
 */
#ifndef VSOCKFS_AGENT_PROBE_H
#define VSOCKFS_AGENT_PROBE_H

#include <jansson.h>
#include <netinet/in.h>
#include <stdbool.h>
#include <stdint.h>

#include "protocol/agent/agent.h"
#include "protocol/error.h"

enum probe_kind { PROBE_NONE, PROBE_FILE, PROBE_TCP, PROBE_HTTP, PROBE_COMMAND };

struct probe {
	enum probe_kind kind;
	char *value;                /* path for the agent's system calls, or command; owned */
	struct sockaddr_in address; /* tcp, http */
	char *host;                 /* http: what the Host header says; owned */
	char *target;               /* http: path and query; owned */
};

/* READINESS may be null or NULL.  HOST_CWD is the service's directory. */
int probe_parse(const struct agent *agent, const json_t *readiness, const char *host_cwd,
		struct probe *out, struct error *err);
void probe_free(struct probe *probe);

struct probe_context {
	struct agent *agent;
	char *const *env;
	const char *host_cwd;
	int64_t deadline; /* of clock_ms(); a probe takes no longer */
	int wake[2];      /* when one of these is readable nobody needs the answer any more */
};

/* One try. */
bool probe_try(const struct probe *probe, const struct probe_context *context);

#endif
