/* unfinished.c - stands in for the actions that are being written. */
#include <errno.h>

#include "protocol/agent/actions.h"
#include "protocol/agent/service.h"
#include "protocol/agent/shell.h"

#define UNFINISHED(name)                                                                           \
	int action_##name(struct request *request, struct reply *reply, struct error *err)         \
	{                                                                                          \
		(void)request;                                                                     \
		(void)reply;                                                                       \
		return error_set(err, ENOSYS, #name " is not there yet");                          \
	}
UNFINISHED(open_shell)
UNFINISHED(read_shell)
UNFINISHED(write_shell)
UNFINISHED(signal_shell)
UNFINISHED(close_shell)
UNFINISHED(start_service)
UNFINISHED(status_service)
UNFINISHED(logs_service)
UNFINISHED(stop_service)

int shells_new(struct agent *agent, struct shells **out, struct error *err)
{
	(void)agent;
	(void)err;
	*out = NULL;
	return 0;
}
void shells_free(struct shells *shells)
{
	(void)shells;
}
int services_new(struct agent *agent, struct services **out, struct error *err)
{
	(void)agent;
	(void)err;
	*out = NULL;
	return 0;
}
void services_interrupt(struct services *services)
{
	(void)services;
}
void services_end(struct services *services)
{
	(void)services;
}
void services_free(struct services *services)
{
	(void)services;
}
