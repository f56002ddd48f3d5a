/* rundir.c - see rundir.h. */
#include "protocol/agent/rundir.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "protocol/cleanup.h"

/*
 * /tmp belongs to everybody: a directory there is ours only if it is one, has our user
 * and lets nobody else write.
 */
static int make_private(const char *path)
{
	struct stat st;

	if (mkdir(path, 0700) < 0 && errno != EEXIST)
		return -errno;
	if (lstat(path, &st) < 0)
		return -errno;
	if (!S_ISDIR(st.st_mode) || st.st_uid != geteuid() || (st.st_mode & 022))
		return -EPERM;
	return 0;
}

int rundir_find(const char *wanted, char **out, struct error *err)
{
	autofree char *path = NULL;
	int rc;

	if (wanted) {
		if (mkdir(wanted, 0755) < 0 && errno != EEXIST)
			return error_set(err, errno, "cannot make the run directory %s: %s", wanted,
					 strerror(errno));
		*out = strdup(wanted);
		return *out ? 0 : error_set(err, ENOMEM, "out of memory");
	}
	mkdir("/run", 0755); /* an init that made nothing made no /run either */
	if (access("/run", W_OK | X_OK) == 0) {
		*out = strdup("/run");
		return *out ? 0 : error_set(err, ENOMEM, "out of memory");
	}
	if (asprintf(&path, "/tmp/vsockfs-agent-%u", (unsigned)geteuid()) < 0) {
		path = NULL;
		return error_set(err, ENOMEM, "out of memory");
	}
	rc = make_private(path);
	if (rc < 0)
		return error_set(err, -rc,
				 "cannot use /run or %s: %s; name a directory with --run-dir", path,
				 strerror(-rc));
	*out = move_ptr(path);
	return 0;
}

int rundir_open(const char *run, const char *name, unsigned mode, struct error *err)
{
	autoclose int parent = open(run, O_PATH | O_DIRECTORY | O_CLOEXEC);
	int fd;

	if (parent < 0)
		return error_set(err, errno, "cannot open the run directory %s: %s", run,
				 strerror(errno));
	if (mkdirat(parent, name, mode) < 0 && errno != EEXIST)
		return error_set(err, errno, "cannot make %s/%s: %s", run, name, strerror(errno));
	fd = openat(parent, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
	if (fd < 0)
		return error_set(err, errno, "cannot open %s/%s: %s", run, name, strerror(errno));
	return fd;
}

/* For file systems without O_TMPFILE. */
static int open_unlinked(const char *dir)
{
	autofree char *path = NULL;
	int fd;

	if (asprintf(&path, "%s/.vsockfs-spool-XXXXXX", dir) < 0) {
		path = NULL;
		return -ENOMEM;
	}
	fd = mkostemp(path, O_CLOEXEC);
	if (fd < 0)
		return -errno;
	unlink(path);
	return fd;
}

int rundir_spool(const char *run, struct error *err)
{
	const char *dirs[] = { "/tmp", run };
	int fd = -1;

	for (size_t i = 0; i < 2 && fd < 0; i++) {
		fd = open(dirs[i], O_TMPFILE | O_RDWR | O_CLOEXEC, 0600);
		if (fd < 0)
			fd = open_unlinked(dirs[i]);
	}
	if (fd < 0)
		return error_set(err, -fd, "cannot make a temporary file in /tmp or %s: %s", run,
				 strerror(-fd));
	return fd;
}
