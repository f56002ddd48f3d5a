/*
 * session_watch.h - the agent's watch over the workspace, shared by all who ask for it.
 */
#ifndef VSOCKFS_AGENT_SESSION_WATCH_H
#define VSOCKFS_AGENT_SESSION_WATCH_H

#include "protocol/error.h"

struct agent;
struct sess_hub;

int sess_hub_new(struct agent *agent, struct sess_hub **out, struct error *err);
void sess_hub_free(struct sess_hub *hub);

#endif
