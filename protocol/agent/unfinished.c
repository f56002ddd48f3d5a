/* unfinished.c - stands in for the actions that are being written. */
#include <errno.h>

#include "protocol/agent/actions.h"
#include "protocol/agent/service.h"

#define UNFINISHED(name)                                                                           \
	int action_##name(struct request *request, struct reply *reply, struct error *err)         \
	{                                                                                          \
		(void)request;                                                                     \
		(void)reply;                                                                       \
		return error_set(err, ENOSYS, #name " is not there yet");                          \
	}
UNFINISHED(start_service)
UNFINISHED(status_service)
UNFINISHED(logs_service)
UNFINISHED(stop_service)

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
