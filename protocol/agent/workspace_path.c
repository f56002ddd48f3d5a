/* workspace_path.c - see workspace_path.h. */
#include "protocol/agent/workspace_path.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>

#include "protocol/beneath.h"
#include "protocol/cleanup.h"

/* What is behind /workspace in TEXT; NULL where TEXT is elsewhere. */
static const char *below(const char *text)
{
	size_t len = sizeof(WORKSPACE) - 1;

	if (strncmp(text, WORKSPACE, len) != 0 || (text[len] && text[len] != '/'))
		return NULL;
	text += len;
	return text + strspn(text, "/");
}

int workspace_path_get(const struct request *request, const char *key, struct workspace_path *out,
		       struct error *err)
{
	autofree char *text = NULL;
	const char *rest;
	int rc = request_text(request, key, WORKSPACE, (size_t)2 * LIMIT_PATH, &text, err);

	if (rc < 0)
		return rc;
	rest = below(text);
	if (!rest)
		return error_set(err, EINVAL, "%s '%.255s' is not below " WORKSPACE, key, text);
	rc = beneath_clean(rest, out->below, sizeof(out->below));
	if (rc == -ENAMETOOLONG)
		return error_set(err, ENAMETOOLONG, "%s is longer than %d bytes", key, LIMIT_PATH);
	if (rc < 0)
		return error_set(err, EINVAL, "%s '%.255s' must not contain '..'", key, text);
	out->text = move_ptr(text);
	return 0;
}

void workspace_path_free(struct workspace_path *path)
{
	cleanup_free(&path->text);
}

int workspace_open(const struct agent *agent, struct error *err)
{
	int fd = open(agent->options.workspace, O_PATH | O_DIRECTORY | O_CLOEXEC);

	return fd < 0 ? error_set(err, errno, "cannot open the workspace %s: %s",
				  agent->options.workspace, strerror(errno)) :
			fd;
}

char *workspace_host_path(const struct agent *agent, const char *text)
{
	const char *rest = below(text);
	char *path;

	if (!rest)
		return strdup(text);
	if (asprintf(&path, "%s/%s", agent->options.workspace, rest) < 0)
		return NULL;
	return path;
}

const char *workspace_artifact_type(mode_t mode)
{
	switch (mode & S_IFMT) {
	case S_IFREG:
		return "file";
	case S_IFDIR:
		return "directory";
	case S_IFLNK:
		return "symlink";
	default:
		return "other";
	}
}
