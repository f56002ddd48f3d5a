/* environment.h - the environment of what the agent starts. */
#ifndef VSOCKFS_AGENT_ENVIRONMENT_H
#define VSOCKFS_AGENT_ENVIRONMENT_H

#include "protocol/agent/request.h"

/*
 * The agent's own environment, a sane PATH, HOME and LANG where it has none, EXTRA
 * (NAME=VALUE, ended by NULL; may be NULL), and the request's env over all of them.
 * *OUT is ended by NULL; environment_free it.
 */
int environment_make(const struct request *request, const char *const *extra, char ***out,
		     struct error *err);
void environment_free(char **env);
/* Bytes of all strings of ENV, or of any such array; NULL is an empty one. */
size_t environment_size(char *const *env);

/* A variable's value in ENV, NULL if it has none. */
const char *environment_get(char *const *env, const char *name);

#endif
