/*
 * spool.c - see spool.h.  The byte with offset N lies at N modulo cap in the file.
 */
#include "ctl/spool.h"

#include <errno.h>
#include <unistd.h>

#include "protocol/cleanup.h"
#include "protocol/tempfile.h"

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
		int fd = tempfile_open(NULL);

		if (fd < 0)
			return fd;
		spool->fd = fd;
	}
	while (len > 0) {
		off_t place;
		size_t part = piece(spool, end, len, &place);
		int rc = tempfile_write(spool->fd, from, part, place);

		if (rc < 0)
			return rc;
		from += part;
		len -= part;
		end += (int64_t)part;
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
