/*
 * workspace_path.h - the protocol's paths, which begin with /workspace, and the directory
 * that is behind it.
 */
#ifndef VSOCKFS_AGENT_WORKSPACE_PATH_H
#define VSOCKFS_AGENT_WORKSPACE_PATH_H

#include <stddef.h>
#include <sys/stat.h>

#include "protocol/agent/request.h"

#define WORKSPACE "/workspace"

/* A path of a request: as it was sent, and clean below the workspace ("" for itself). */
struct workspace_path {
	char *text; /* owned */
	char below[LIMIT_PATH];
};

/*
 * Takes the path KEY of REQUEST, /workspace where it is missing.  -EINVAL where it is not
 * below /workspace by its text.
 */
int workspace_path_get(const struct request *request, const char *key, struct workspace_path *out,
		       struct error *err);
void workspace_path_free(struct workspace_path *path);

/* The workspace as an O_PATH descriptor, or a negative errno. */
int workspace_open(const struct agent *agent, struct error *err);

/*
 * The same directory or file as the agent's own system calls name it: TEXT, or what is behind it
 * when it is below /workspace.  Not confined: for what is run, not for what is transferred.
 * NULL when out of memory.
 */
char *workspace_host_path(const struct agent *agent, const char *text);

/* "file", "directory", "symlink" or, for whatever else there is, "other". */
const char *workspace_artifact_type(mode_t mode);

#endif
