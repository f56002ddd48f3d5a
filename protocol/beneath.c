/* beneath.c - see beneath.h. */
#include "protocol/beneath.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdbool.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <linux/openat2.h>

#include "protocol/cleanup.h"
#include "protocol/limits.h"

/* openat2 answers EAGAIN when a rename raced with a ".." in a link. */
#define RACE_RETRIES 16

int beneath_clean(const char *path, char *out, size_t size)
{
	size_t used = 0;

	if (path[0] == '/')
		return -EXDEV;
	while (*path) {
		size_t len = strcspn(path, "/");

		if (len == 2 && path[0] == '.' && path[1] == '.')
			return -EXDEV;
		if (len > 0 && !(len == 1 && path[0] == '.')) {
			if (used + (used ? 1 : 0) + len + 1 > size)
				return -ENAMETOOLONG;
			if (used)
				out[used++] = '/';
			memcpy(out + used, path, len);
			used += len;
		}
		path += len;
		path += *path == '/';
	}
	if (!size)
		return -ENAMETOOLONG;
	out[used] = '\0';
	return 0;
}

static int open_by_kernel(int root, const char *path, int flags, mode_t mode,
			  enum beneath_links links)
{
	struct open_how how = {
		.flags = (unsigned)flags,
		.mode = flags & (O_CREAT | O_TMPFILE) & ~O_DIRECTORY ? mode : 0,
		.resolve = RESOLVE_BENEATH | RESOLVE_NO_MAGICLINKS,
	};
	long fd = -1;

	if (links == BENEATH_NO_LINKS)
		how.resolve |= RESOLVE_NO_SYMLINKS;
	for (int i = 0; i < RACE_RETRIES && fd < 0; i++) {
		fd = syscall(SYS_openat2, root, path, &how, sizeof(how));
		if (fd < 0 && errno != EAGAIN && errno != EINTR)
			break;
	}
	return fd < 0 ? -errno : (int)fd;
}

static bool is_link(int at, const char *name)
{
	struct stat st;

	return fstatat(at, name, &st, AT_SYMLINK_NOFOLLOW) == 0 && S_ISLNK(st.st_mode);
}

/* One directory after the other, none of them through a link. */
static int open_by_hand(int root, const char *path, int flags, mode_t mode)
{
	autoclose int held = -1;
	int at = root;

	for (;;) {
		char name[NAME_MAX + 1];
		size_t len = strcspn(path, "/");
		int fd;

		if (len > NAME_MAX)
			return -ENAMETOOLONG;
		memcpy(name, path, len);
		name[len] = '\0';
		if (!path[len]) {
			fd = openat(at, name, flags | O_NOFOLLOW, mode);
			return fd < 0 ? -errno : fd;
		}
		fd = openat(at, name, O_PATH | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
		if (fd < 0)
			return errno == ENOTDIR && is_link(at, name) ? -ELOOP : -errno;
		if (held >= 0)
			close(held);
		held = at = fd;
		path += len + 1;
	}
}

int beneath_open(int root, const char *path, int flags, mode_t mode, enum beneath_links links)
{
	char clean[LIMIT_PATH];
	int rc = beneath_clean(path, clean, sizeof(clean));

	if (rc < 0)
		return rc;
	if (!clean[0])
		strcpy(clean, ".");
	flags |= O_CLOEXEC;
	rc = open_by_kernel(root, clean, flags, mode, links);
	/* EPERM: what some sandboxes say of every system call that they do not know. */
	if (rc == -ENOSYS || rc == -EPERM)
		rc = open_by_hand(root, clean, flags, mode);
	return rc;
}

int beneath_open_parent(int root, const char *path, enum beneath_links links, const char **name)
{
	const char *slash = strrchr(path, '/');
	char parent[LIMIT_PATH];
	size_t len = slash ? (size_t)(slash - path) : 0;

	if (len >= sizeof(parent))
		return -ENAMETOOLONG;
	memcpy(parent, path, len);
	parent[len] = '\0';
	*name = slash ? slash + 1 : path;
	return beneath_open(root, parent, O_PATH | O_DIRECTORY, 0, links);
}
