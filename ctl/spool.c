/*
 * spool.c - see spool.h.  The byte with offset N lies at N modulo cap in the file.
 */
#include "ctl/spool.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "protocol/cleanup.h"

void spool_init(struct spool *spool, int64_t cap)
{
	*spool = (struct spool){ .fd = -1, .cap = cap };
}

void spool_close(struct spool *spool)
{
	if (spool->fd >= 0)
		close(spool->fd);
	spool->fd = -1;
}

static int tempfile_in(const char *dir)
{
	int fd = open(dir, O_TMPFILE | O_RDWR | O_CLOEXEC, 0600);
	char path[4096];

	if (fd >= 0 || (errno != EOPNOTSUPP && errno != EISDIR && errno != EINVAL))
		return fd;
	/* A file system without O_TMPFILE. */
	if ((size_t)snprintf(path, sizeof(path), "%s/vsockfs-XXXXXX", dir) >= sizeof(path))
		return -1;
	fd = mkostemp(path, O_CLOEXEC);
	if (fd >= 0)
		unlink(path);
	return fd;
}

int spool_tempfile(void)
{
	const char *dirs[] = { getenv("TMPDIR"), "/var/tmp", "/tmp" };
	int fd = -1;

	for (size_t i = 0; fd < 0 && i < sizeof(dirs) / sizeof(dirs[0]); i++)
		if (dirs[i] && dirs[i][0] == '/')
			fd = tempfile_in(dirs[i]);
	return fd >= 0 ? fd : -errno;
}

/* Where OFFSET lies in the file, and how many of LEN bytes lie there in one piece. */
static size_t piece(const struct spool *spool, int64_t offset, size_t len, off_t *place)
{
	*place = offset % spool->cap;
	if ((int64_t)len > spool->cap - *place)
		len = (size_t)(spool->cap - *place);
	return len;
}

int spool_append(struct spool *spool, const void *bytes, size_t len)
{
	const char *from = bytes;
	int64_t end = spool->end;

	if (spool->fd < 0) {
		int fd = spool_tempfile();

		if (fd < 0)
			return fd;
		spool->fd = fd;
	}
	while (len > 0) {
		off_t place;
		size_t part = piece(spool, end, len, &place);
		ssize_t put = pwrite(spool->fd, from, part, place);

		if (put < 0 && errno == EINTR)
			continue;
		if (put <= 0)
			return put < 0 ? -errno : -EIO;
		from += put;
		len -= (size_t)put;
		end += put;
	}
	spool->end = end;
	return 0;
}

int64_t spool_base(const struct spool *spool)
{
	return spool->end > spool->cap ? spool->end - spool->cap : 0;
}

ssize_t spool_read(const struct spool *spool, int64_t offset, void *bytes, size_t len)
{
	char *to = bytes;

	if (offset < spool_base(spool))
		return -ESTALE;
	if (offset >= spool->end)
		return 0;
	if ((int64_t)len > spool->end - offset)
		len = (size_t)(spool->end - offset);
	while (len > 0) {
		off_t place;
		size_t part = piece(spool, offset, len, &place);
		ssize_t got = pread(spool->fd, to, part, place);

		if (got < 0 && errno == EINTR)
			continue;
		if (got <= 0)
			return got < 0 ? -errno : -EIO;
		to += got;
		offset += got;
		len -= (size_t)got;
	}
	return to - (char *)bytes;
}
