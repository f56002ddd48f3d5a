/* tree.c - see tree.h. */
#include "protocol/agent/tree.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdbool.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "protocol/cleanup.h"

/* A tree of ours is never as deep as this. */
#define MAX_DEPTH 128

typedef int (*visit_fn)(int at, const char *name, int depth);

/* Calls VISIT for each name in the directory FD, which stays the caller's. */
static int each(int fd, visit_fn visit, int depth)
{
	int own = openat(fd, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	DIR *dir = own < 0 ? NULL : fdopendir(own);
	const struct dirent *entry;
	int rc = 0;

	if (!dir) {
		rc = -errno;
		if (own >= 0)
			close(own);
		return rc;
	}
	while (rc == 0 && (errno = 0, entry = readdir(dir)) != NULL) {
		if (strcmp(entry->d_name, ".") != 0 && strcmp(entry->d_name, "..") != 0)
			rc = visit(fd, entry->d_name, depth);
	}
	if (rc == 0)
		rc = -errno;
	closedir(dir);
	return rc;
}

static int open_directory(int at, const char *name)
{
	int fd = openat(at, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);

	return fd < 0 ? -errno : fd;
}

static int remove_one(int at, const char *name, int depth)
{
	autoclose int fd = -1;
	int rc;

	if (unlinkat(at, name, 0) == 0 || errno == ENOENT)
		return 0;
	if (errno != EISDIR && errno != EPERM)
		return -errno;
	if (depth == MAX_DEPTH)
		return -ELOOP;
	fd = open_directory(at, name);
	if (fd < 0)
		return fd;
	rc = each(fd, remove_one, depth + 1);
	if (rc == 0 && unlinkat(at, name, AT_REMOVEDIR) < 0 && errno != ENOENT)
		rc = -errno;
	return rc;
}

int tree_remove(int at, const char *name)
{
	return remove_one(at, name, 0);
}

static int make_private(int at, const char *name, int depth)
{
	autoclose int fd = -1;
	struct stat st;

	if (fstatat(at, name, &st, AT_SYMLINK_NOFOLLOW) < 0)
		return -errno;
	if (!S_ISDIR(st.st_mode)) {
		/* The directory is private: nobody else can put a link here meanwhile. */
		if (!S_ISLNK(st.st_mode) && fchmodat(at, name, 0600, 0) < 0)
			return -errno;
		return 0;
	}
	if (depth == MAX_DEPTH)
		return -ELOOP;
	if (fchmodat(at, name, 0700, 0) < 0)
		return -errno;
	fd = open_directory(at, name);
	return fd < 0 ? fd : each(fd, make_private, depth + 1);
}

int tree_make_private(int fd)
{
	return each(fd, make_private, 0);
}
