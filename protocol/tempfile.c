/* tempfile.c - see tempfile.h. */
#include "protocol/tempfile.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "protocol/buf.h"

static int open_in(const char *dir)
{
	int fd = open(dir, O_TMPFILE | O_RDWR | O_CLOEXEC, 0600);
	char path[PATH_MAX];

	if (fd >= 0)
		return fd;
	if (errno != EOPNOTSUPP && errno != EISDIR && errno != EINVAL)
		return -errno;
	/* A file system without O_TMPFILE. */
	if ((size_t)snprintf(path, sizeof(path), "%s/vsockfs-XXXXXX", dir) >= sizeof(path))
		return -ENAMETOOLONG;
	fd = mkostemp(path, O_CLOEXEC);
	if (fd < 0)
		return -errno;
	unlink(path);
	return fd;
}

int tempfile_open(struct error *err)
{
	const char *dirs[] = { getenv("TMPDIR"), "/var/tmp", "/tmp" };
	autobuf struct buf said = BUF_INIT(LIMIT_ERROR_TEXT);
	int code = EIO;

	for (size_t i = 0; i < sizeof(dirs) / sizeof(dirs[0]); i++) {
		int fd;

		if (!dirs[i] || dirs[i][0] != '/')
			continue;
		fd = open_in(dirs[i]);
		if (fd >= 0)
			return fd;
		if (fd == -ENOSPC || fd == -EMFILE || fd == -ENFILE)
			code = -fd;
		buf_addf(&said, "%s%s: %s", said.len ? ", " : "", dirs[i], strerror(-fd));
	}
	return error_set(
		err, code,
		"there is no place for temporary files (%s): set TMPDIR to a directory that "
		"vsockfs may write to",
		buf_str(&said));
}

int tempfile_write(int fd, const void *bytes, size_t len, off_t offset)
{
	const char *from = bytes;

	while (len) {
		ssize_t put = pwrite(fd, from, len, offset);

		if (put < 0 && errno == EINTR)
			continue;
		if (put <= 0)
			return put < 0 ? -errno : -EIO;
		from += put;
		offset += put;
		len -= (size_t)put;
	}
	return 0;
}
