/*
 * tempfile.h - room on this machine's disk for what does not fit in memory: unsent writes,
 * transcripts, a command's input, large listings.
 */
#ifndef VSOCKFS_TEMPFILE_H
#define VSOCKFS_TEMPFILE_H

#include <stddef.h>
#include <sys/types.h>

#include "protocol/error.h"

/*
 * A new file without a name (nothing is left over, however this process ends), read-write,
 * close-on-exec, in the first of $TMPDIR, /var/tmp and /tmp that takes one.  The caller closes it.
 * -ENOSPC, -EMFILE or -ENFILE where that is the reason; else -EIO, never what would be taken for an
 * answer about a guest's file.  The sentence says which directory failed how, and what to do.
 */
int tempfile_open(struct error *err);

/*
 * Writes all LEN bytes at OFFSET of such a file.  0, or a negative errno, after which a part of them
 * may be there.
 */
int tempfile_write(int fd, const void *bytes, size_t len, off_t offset);

#endif
