/*
 * files.c - single workspace files: read, write, delete.
 *
 * Paths may lead through symbolic links as long as they stay in the workspace.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "protocol/agent/actions.h"
#include "protocol/agent/workspace_path.h"
#include "protocol/base64.h"
#include "protocol/beneath.h"
#include "protocol/cleanup.h"
#include "protocol/token.h"

#define autopath __attribute__((cleanup(workspace_path_free)))

static int fail(const struct workspace_path *path, int code, struct error *err)
{
	if (code == EXDEV || code == ELOOP)
		return error_set(err, code, "'%.255s' leads out of " WORKSPACE, path->text);
	return error_set(err, code, "'%.255s': %s", path->text, strerror(code));
}

static int read_all(int fd, char *bytes, size_t size)
{
	size_t got = 0;

	while (got < size) {
		ssize_t n = read(fd, bytes + got, size - got);

		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			return -errno;
		if (n == 0)
			break;
		got += (size_t)n;
	}
	return (int)got;
}

static int write_all(int fd, const char *bytes, size_t len)
{
	while (len) {
		ssize_t n = write(fd, bytes, len);

		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			return -errno;
		bytes += n;
		len -= (size_t)n;
	}
	return 0;
}

static int open_for_reading(const struct agent *agent, const struct workspace_path *path,
			    struct error *err)
{
	autoclose int workspace = workspace_open(agent, err);
	autoclose int fd = -1;
	struct stat st;

	if (workspace < 0)
		return workspace;
	/* Non-blocking: a FIFO must not keep the request. */
	fd = beneath_open(workspace, path->below, O_RDONLY | O_NONBLOCK | O_NOCTTY, 0,
			  BENEATH_FOLLOW);
	if (fd < 0)
		return fail(path, -fd, err);
	if (fstat(fd, &st) < 0)
		return fail(path, errno, err);
	if (!S_ISREG(st.st_mode))
		return error_set(err, EINVAL, "'%.255s' is not a file", path->text);
	return move_fd(fd);
}

static int read_content(struct request *request, const struct workspace_path *path, size_t max,
			char **bytes, struct error *err)
{
	autoclose int fd = open_for_reading(request->agent, path, err);
	int n;

	if (fd < 0)
		return fd;
	*bytes = malloc(max + 1);
	if (!*bytes)
		return error_set(err, ENOMEM, "out of memory");
	n = read_all(fd, *bytes, max + 1);
	if (n < 0)
		return fail(path, -n, err);
	if ((size_t)n > max)
		return error_set(err, EFBIG, "'%.255s' is longer than %zu bytes", path->text, max);
	return n;
}

int action_read_workspace_file(struct request *request, struct reply *reply, struct error *err)
{
	autopath struct workspace_path path = { 0 };
	autofree char *bytes = NULL, *encoded = NULL;
	int64_t max = 0;
	int rc, size;

	rc = workspace_path_get(request, "path", &path, err);
	if (rc == 0)
		rc = request_int(request, "max_bytes", LIMIT_TEXT_FILE, 1, LIMIT_TEXT_FILE, &max,
				 err);
	if (rc < 0)
		return rc;
	size = read_content(request, &path, (size_t)max, &bytes, err);
	if (size < 0)
		return size;
	encoded = malloc(base64_encoded_len((size_t)size) + 1);
	if (!encoded)
		return error_set(err, ENOMEM, "out of memory");
	base64_encode(bytes, (size_t)size, encoded);
	reply_text(reply, "path", path.text);
	reply_int(reply, "size_bytes", size);
	reply_text(reply, "content_b64", encoded);
	return 0;
}

/* Makes a file with a name of its own in PARENT. */
static int make_temporary(int parent, char *name, size_t size)
{
	for (int i = 0; i < 16; i++) {
		char token[TOKEN_DIGITS + 1];
		int fd;

		if (token_make(token, TOKEN_DIGITS) < 0)
			return -EIO;
		snprintf(name, size, ".vsockfs-%s", token);
		fd = openat(parent, name, O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC,
			    0600);
		if (fd >= 0 || errno != EEXIST)
			return fd < 0 ? -errno : fd;
	}
	return -EEXIST;
}

/* An existing file keeps its mode, without setuid and setgid; a new one gets 0644. */
static int mode_for(int parent, const char *name, mode_t *mode)
{
	struct stat st;

	*mode = 0644;
	if (fstatat(parent, name, &st, AT_SYMLINK_NOFOLLOW) < 0)
		return errno == ENOENT ? 0 : -errno;
	if (S_ISDIR(st.st_mode))
		return -EISDIR;
	if (S_ISREG(st.st_mode))
		*mode = st.st_mode & 01777;
	return 0;
}

static int replace(int parent, const char *name, const char *bytes, size_t len)
{
	char temporary[64];
	autoclose int fd = -1;
	mode_t mode;
	int rc = mode_for(parent, name, &mode);

	if (rc < 0)
		return rc;
	fd = make_temporary(parent, temporary, sizeof(temporary));
	if (fd < 0)
		return fd;
	rc = write_all(fd, bytes, len);
	if (rc == 0 && fchmod(fd, mode) < 0)
		rc = -errno;
	if (rc == 0 && renameat(parent, temporary, parent, name) < 0)
		rc = -errno;
	if (rc < 0)
		unlinkat(parent, temporary, 0);
	return rc;
}

int action_write_workspace_file(struct request *request, struct reply *reply, struct error *err)
{
	autopath struct workspace_path path = { 0 };
	autoclose int workspace = -1, parent = -1;
	autofree char *text = NULL;
	const char *name = NULL;
	size_t len = 0;
	int rc;

	rc = workspace_path_get(request, "path", &path, err);
	if (rc == 0)
		rc = request_bytes(request, "text", LIMIT_TEXT_FILE, &text, &len, err);
	if (rc < 0)
		return rc;
	if (!path.below[0])
		return fail(&path, EISDIR, err);
	workspace = workspace_open(request->agent, err);
	if (workspace < 0)
		return workspace;
	parent = beneath_open_parent(workspace, path.below, BENEATH_FOLLOW, &name);
	rc = parent < 0 ? parent : replace(parent, name, text, len);
	if (rc < 0)
		return fail(&path, -rc, err);
	reply_text(reply, "path", path.text);
	reply_int(reply, "size_bytes", (int64_t)len);
	reply_int(reply, "bytes_written", (int64_t)len);
	return 0;
}

int action_delete_workspace_path(struct request *request, struct reply *reply, struct error *err)
{
	autopath struct workspace_path path = { 0 };
	autoclose int workspace = -1, parent = -1;
	const char *name;
	int rc = workspace_path_get(request, "path", &path, err);

	if (rc < 0)
		return rc;
	if (!path.below[0])
		return fail(&path, EISDIR, err);
	workspace = workspace_open(request->agent, err);
	if (workspace < 0)
		return workspace;
	parent = beneath_open_parent(workspace, path.below, BENEATH_FOLLOW, &name);
	if (parent < 0)
		return fail(&path, -parent, err);
	if (unlinkat(parent, name, 0) < 0)
		return fail(&path, errno, err);
	reply_text(reply, "path", path.text);
	reply_bool(reply, "deleted", true);
	return 0;
}
