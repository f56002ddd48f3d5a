#ifndef VSOCKFS_AGENT_SERVICE_H
#define VSOCKFS_AGENT_SERVICE_H
#include "protocol/agent/agent.h"
struct services;
int services_new(struct agent *agent, struct services **out, struct error *err);
void services_interrupt(struct services *services);
void services_end(struct services *services);
void services_free(struct services *services);
#endif
