/* agent.c - see agent.h. */
#include "protocol/agent/agent.h"

#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/prctl.h>

#include "protocol/agent/child.h"
#include "protocol/agent/command.h"
#include "protocol/agent/kin.h"
#include "protocol/agent/rundir.h"
#include "protocol/agent/service.h"
#include "protocol/agent/session_proc_hub.h"
#include "protocol/agent/session_room.h"
#include "protocol/agent/shell.h"

/* Somebody may fork while we look. */
#define KILL_ROUNDS 10
#define KILL_PAUSE_MS 10

int agent_new(const struct agent_options *options, struct agent **out, struct error *err)
{
	struct agent *agent = calloc(1, sizeof(*agent));
	int rc;

	if (!agent)
		return error_set(err, ENOMEM, "out of memory");
	agent->options = *options;
	budget_init(&agent->held, LIMIT_AGENT_HELD);
	budget_init(&agent->uploads, LIMIT_AGENT_UPLOADS);
	/* What our children leave behind comes to us, not to a pid 1 that may not reap. */
	prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0);
	signal(SIGPIPE, SIG_IGN);

	rc = rundir_find(options->run_dir, &agent->run_dir, err);
	if (rc == 0)
		rc = proc_hub_new(agent, &agent->procs, err);
	if (rc == 0)
		rc = children_new(&agent->children, err);
	if (rc == 0)
		rc = commands_new(agent, &agent->commands, err);
	if (rc == 0)
		rc = shells_new(agent, &agent->shells, err);
	if (rc == 0)
		rc = services_new(agent, &agent->services, err);
	if (rc == 0)
		rc = sess_room_new(agent, &agent->sessions, err);
	if (rc < 0) {
		agent_free(agent);
		return rc;
	}
	*out = agent;
	return 0;
}

void agent_interrupt(struct agent *agent)
{
	services_interrupt(agent->services);
	/* First: with their leader gone, the jobs of a shell would not be found. */
	shells_kill(agent->shells);
	children_kill(agent->children);
	sess_room_interrupt(agent->sessions);
}

/* With a lifeline: services gently, then all that commands left in the background. */
static void end_everything(struct agent *agent)
{
	if (!agent->options.lifeline)
		return;
	services_end(agent->services);
	for (int i = 0; i < KILL_ROUNDS && kin_signal_descendants(SIGKILL); i++)
		poll(NULL, 0, KILL_PAUSE_MS);
}

void agent_abandon(struct agent *agent)
{
	agent_interrupt(agent);
	end_everything(agent);
}

void agent_free(struct agent *agent)
{
	if (!agent)
		return;
	sess_room_free(agent->sessions);
	if (agent->services)
		services_interrupt(agent->services);
	proc_hub_stop(agent->procs);
	/* The rooms first: they hold children. */
	shells_free(agent->shells);
	end_everything(agent);
	children_free(agent->children);
	services_free(agent->services);
	commands_free(agent->commands);
	proc_hub_free(agent->procs);
	free(agent->run_dir);
	free(agent);
}
