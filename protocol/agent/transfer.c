/*
 * transfer.c - archives in and out of the workspace.
 *
 * Uploads are taken apart as they come.  An export's size stands in front of
 * its bytes, so it is spooled into a file that has no name.
 */
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "protocol/agent/actions.h"
#include "protocol/agent/rundir.h"
#include "protocol/agent/workspace_path.h"
#include "protocol/archive.h"
#include "protocol/beneath.h"
#include "protocol/cleanup.h"

#define autopath __attribute__((cleanup(workspace_path_free)))

/* Makes the directory PATH and those above it. */
static int make_directories(int root, const char *path, struct error *err)
{
	const char *slash = path;

	do {
		char above[LIMIT_PATH];
		autoclose int parent = -1;
		const char *name;
		size_t len;

		slash = strchr(slash + 1, '/');
		len = slash ? (size_t)(slash - path) : strlen(path);
		memcpy(above, path, len);
		above[len] = '\0';
		parent = beneath_open_parent(root, above, BENEATH_FOLLOW, &name);
		if (parent < 0)
			return error_set(err, -parent,
					 "cannot open the directory above '%.255s': %s", above,
					 strerror(-parent));
		if (mkdirat(parent, name, 0755) < 0 && errno != EEXIST)
			return error_set(err, errno, "cannot make the directory '%.255s': %s",
					 above, strerror(errno));
	} while (slash);
	return 0;
}

/* The directory to extract into, made where it is missing. */
static int open_destination(const struct agent *agent, const struct workspace_path *path,
			    struct error *err)
{
	autoclose int workspace = workspace_open(agent, err);
	int fd, rc;

	if (workspace < 0)
		return workspace;
	fd = beneath_open(workspace, path->below, O_PATH | O_DIRECTORY, 0, BENEATH_FOLLOW);
	if (fd == -ENOENT) {
		rc = make_directories(workspace, path->below, err);
		if (rc < 0)
			return rc;
		fd = beneath_open(workspace, path->below, O_PATH | O_DIRECTORY, 0, BENEATH_FOLLOW);
	}
	if (fd == -EXDEV || fd == -ELOOP)
		return error_set(err, -fd, "the destination '%.255s' leads out of " WORKSPACE,
				 path->text);
	if (fd < 0)
		return error_set(err, -fd, "cannot open the destination '%.255s': %s", path->text,
				 strerror(-fd));
	return fd;
}

static void reply_counts(struct reply *reply, const struct archive_counts *counts)
{
	reply_int(reply, "entry_count", counts->entries);
	reply_int(reply, "bytes_written", counts->bytes);
}

int action_extract_archive(struct request *request, struct reply *reply, struct error *err)
{
	autopath struct workspace_path path = { 0 };
	struct archive_counts counts = { 0 };
	autoclose int fd = -1;
	int rc;

	/* First: once the size is known, the rest of it is read whatever happens. */
	rc = request_open_payload(request, err);
	if (rc == 0)
		rc = workspace_path_get(request, "destination", &path, err);
	if (rc < 0)
		return rc;
	fd = open_destination(request->agent, &path, err);
	if (fd < 0)
		return fd;
	rc = archive_extract(fd, request_payload, request, &request->agent->uploads, &counts, err);
	if (rc < 0)
		return rc;
	reply_text(reply, "destination", path.text);
	reply_counts(reply, &counts);
	return 0;
}

struct spool {
	int fd;
	int64_t size;
};

static int spool_write(void *arg, const void *bytes, size_t len)
{
	struct spool *spool = arg;
	const char *from = bytes;

	if ((int64_t)len > LIMIT_ARCHIVE_SIZE - spool->size)
		return -EFBIG;
	while (len) {
		ssize_t n = write(spool->fd, from, len);

		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			return -errno;
		from += n;
		len -= (size_t)n;
		spool->size += n;
	}
	return 0;
}

/* The type of what is at PATH; not of what a link there leads to. */
static int look(int workspace, const struct workspace_path *path, mode_t *mode, struct error *err)
{
	autoclose int fd = -1;
	const char *name = "";
	struct stat st;

	fd = path->below[0] ? beneath_open_parent(workspace, path->below, BENEATH_NO_LINKS, &name) :
			      beneath_open(workspace, "", O_PATH, 0, BENEATH_NO_LINKS);
	if (fd < 0 || fstatat(fd, name, &st, AT_SYMLINK_NOFOLLOW | AT_EMPTY_PATH) < 0) {
		int code = fd < 0 ? -fd : errno;

		return error_set(err, code, "'%.255s': %s", path->text, strerror(code));
	}
	*mode = st.st_mode;
	return 0;
}

int action_export_archive(struct request *request, struct reply *reply, struct error *err)
{
	autopath struct workspace_path path = { 0 };
	struct spool spool = { 0 };
	struct archive_counts counts = { 0 };
	autoclose int workspace = -1, fd = -1;
	mode_t mode = 0;
	int rc = workspace_path_get(request, "path", &path, err);

	if (rc < 0)
		return rc;
	workspace = workspace_open(request->agent, err);
	if (workspace < 0)
		return workspace;
	rc = look(workspace, &path, &mode, err);
	if (rc < 0)
		return rc;
	fd = rundir_spool(request->agent->run_dir, err);
	if (fd < 0)
		return fd;
	spool.fd = fd;
	rc = archive_export(workspace, path.below, spool_write, &spool, &counts, err);
	if (rc < 0)
		return rc;

	reply_text(reply, "workspace_path", path.text);
	reply_text(reply, "artifact_type", workspace_artifact_type(mode));
	reply_int(reply, "archive_size", spool.size);
	reply_counts(reply, &counts);
	request->tail = move_fd(fd);
	request->tail_size = spool.size;
	return 0;
}
