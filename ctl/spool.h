/*
 * spool.h - a run of bytes that grows, in an unlinked temporary file.
 *
 * Offsets count from the first byte ever added.  A spool keeps at least the newest `cap` bytes
 * and forgets what is older.  The file (tempfile.h) is made at the first append,
 * and its space is given back when the spool is closed.  The caller locks.
 */
#ifndef VSOCKFS_CTL_SPOOL_H
#define VSOCKFS_CTL_SPOOL_H

#include <stdint.h>
#include <sys/types.h>

struct spool {
	int fd; /* -1 until the first append */
	int64_t cap;
	int64_t end; /* bytes ever added */
};

void spool_init(struct spool *spool, int64_t cap);
void spool_close(struct spool *spool);

/* All LEN bytes, or a negative errno and the end stays where it was. */
int spool_append(struct spool *spool, const void *bytes, size_t len);
/* The offset of the oldest byte that is still there. */
int64_t spool_base(const struct spool *spool);
/* Bytes read (0 at the end), or -ESTALE for an OFFSET that was forgotten. */
ssize_t spool_read(const struct spool *spool, int64_t offset, void *bytes, size_t len);

#endif
