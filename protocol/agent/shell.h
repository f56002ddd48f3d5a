#ifndef VSOCKFS_AGENT_SHELL_H
#define VSOCKFS_AGENT_SHELL_H
#include "protocol/agent/agent.h"
struct shells;
int shells_new(struct agent *agent, struct shells **out, struct error *err);
void shells_free(struct shells *shells);
#endif
