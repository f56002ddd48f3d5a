/* agent_services.h - an agent's services, as its client sees them. */
#ifndef AGENT_SERVICES_H
#define AGENT_SERVICES_H

#include "agent_fixture.h"

#define WAIT_MS 20000

/* The keys of a reply, in order. */
#define SERVICE                                                                                    \
	"service_name command cwd state started_at ready_at ended_at exit_code pid readiness "     \
	"stop_reason"

/* start_service in /workspace; READINESS is JSON. */
json_t *service_start(const struct agent_fixture *fixture, const char *name, const char *command,
		      const char *readiness, int timeout);
/* An action that takes a name and nothing else. */
json_t *service_ask(const struct agent_fixture *fixture, const char *action, const char *name);
/* Waits until the service is in STATE; its reply. */
json_t *service_wait(const struct agent_fixture *fixture, const char *name, const char *state);
/* Waits until there is a number in the workspace's FILE. */
pid_t service_read_pid(const struct agent_fixture *fixture, const char *file);

#endif
