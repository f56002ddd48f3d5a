/* agent_services.c - see agent_services.h. */
#include "agent_services.h"

#include <poll.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "protocol/agent/clock.h"

json_t *service_start(const struct agent_fixture *fixture, const char *name, const char *command,
		      const char *readiness, int timeout)
{
	return agent_call(fixture,
			  "{\"action\": \"start_service\", \"service_name\": \"%s\", "
			  "\"command\": \"%s\", \"cwd\": \"/workspace\", \"readiness\": %s, "
			  "\"ready_timeout_seconds\": %d, \"ready_interval_ms\": 20}",
			  name, command, readiness, timeout);
}

json_t *service_ask(const struct agent_fixture *fixture, const char *action, const char *name)
{
	return agent_call(fixture, "{\"action\": \"%s\", \"service_name\": \"%s\"}", action, name);
}

json_t *service_wait(const struct agent_fixture *fixture, const char *name, const char *state)
{
	int64_t deadline = clock_ms() + WAIT_MS;

	for (;;) {
		json_t *reply = service_ask(fixture, "status_service", name);
		const char *now = json_string_value(json_object_get(reply, "state"));

		if (now && !strcmp(now, state))
			return reply;
		if (!clock_until(deadline))
			fail_msg("%s is not %s but %s", name, state, now ? now : "unknown");
		json_decref(reply);
		poll(NULL, 0, 10);
	}
}

pid_t service_read_pid(const struct agent_fixture *fixture, const char *file)
{
	int64_t deadline = clock_ms() + WAIT_MS;
	json_t *reply;
	pid_t pid;

	for (;;) {
		reply = agent_call(fixture, "{\"command\": \"cat %s/%s\"}", fixture->workspace,
				   file);
		pid = (pid_t)atoi(json_string_value(json_object_get(reply, "stdout")));
		json_decref(reply);
		if (pid > 0)
			return pid;
		assert_true(clock_until(deadline));
		poll(NULL, 0, 10);
	}
}
