/*
 * archive_unpack.h - takes the compression off a stream, in memory that is counted.  Internal to
 * the archive code.
 *
 * libarchive does that as well, but a gzip header's name, which may be as long as the stream, it
 * keeps, it takes off one layer after the other, and it gives xz as large a dictionary as the
 * archive asks for.
 */
#ifndef VSOCKFS_ARCHIVE_UNPACK_H
#define VSOCKFS_ARCHIVE_UNPACK_H

#include "protocol/archive.h"
#include "protocol/budget.h"
#include "protocol/error.h"

struct archive_unpack;

/* Takes SIZE bytes of ROOM for an archive, or -EAGAIN with a sentence, and nothing is taken. */
int archive_take_room(struct budget *room, size_t size, struct error *err);

/*
 * What READ gives, whose beginning says whether it is gzip, bzip2, xz or none of them.  The
 * decoder's memory comes from ROOM.  NULL: out of memory.
 */
struct archive_unpack *archive_unpack_new(archive_read_fn read, void *arg, struct budget *room);
void archive_unpack_free(struct archive_unpack *unpack);

/*
 * An archive_read_fn; ARG is the struct archive_unpack.  -EBADMSG for what is damaged or cut off, -EFBIG
 * for what takes more memory than ROOM ever has, -EAGAIN for what takes more than it has now.
 */
ssize_t archive_unpack_read(void *arg, void *bytes, size_t len);

/* The sentence of archive_unpack_read's error, or NULL where READ made the error. */
const struct error *archive_unpack_error(const struct archive_unpack *unpack);

#endif
