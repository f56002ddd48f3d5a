/*
 * archive_names.h - the names in a directory, sorted bytewise, in little
 * memory: a directory of a million files is in one piece here while it is
 * walked.  Internal to the archive code.
 */
#ifndef VSOCKFS_ARCHIVE_NAMES_H
#define VSOCKFS_ARCHIVE_NAMES_H

#include <stddef.h>
#include <stdint.h>

#include "protocol/buf.h"

struct archive_names {
	struct buf text;   /* NAME NUL NAME NUL ... */
	uint32_t *offsets; /* owned; into text, sorted by name */
	size_t count;
};

/*
 * Reads the directory FD, which stays the caller's, from its beginning, without "." and "..".  0 or
 * a negative errno (-EFBIG over LIMIT_LISTING_ENTRIES); NAMES is set in both cases.
 */
int archive_names_read(int fd, struct archive_names *names);
void archive_names_free(struct archive_names *names);

const char *archive_names_at(const struct archive_names *names, size_t index);

#endif
