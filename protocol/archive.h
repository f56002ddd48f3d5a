/*
 * archive.h - tar in and out of streams, with libarchive, in bounded memory.
 *
 * Used by both ends: the agent extracts uploads and makes exports, the client
 * makes uploads and takes exports apart.  Whatever comes from the other side is
 * hostile: names, targets and sizes are checked here, before anything is made.
 */
#ifndef VSOCKFS_ARCHIVE_H
#define VSOCKFS_ARCHIVE_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

#include "protocol/budget.h"
#include "protocol/error.h"

struct archive_counts {
	int64_t entries, bytes; /* members made; bytes of regular files */
};

/* Returns bytes, 0 at the end, negative errno. */
typedef ssize_t (*archive_read_fn)(void *arg, void *bytes, size_t len);
/* Takes all or returns a negative errno. */
typedef int (*archive_write_fn)(void *arg, const void *bytes, size_t len);

/*
 * Extracts a tar (plain, or in one layer of gzip, bzip2 or xz) below the directory ROOT_FD (with
 * openat2 RESOLVE_BENEATH | RESOLVE_NO_SYMLINKS | RESOLVE_NO_MAGICLINKS).
 * Refused with -EPERM and a sentence that names the member: absolute names, "..", symbolic
 * links that lead outside, hard links to outside, devices, a parent that is a symbolic
 * link, a file over a link or a directory, a directory over anything else.  Files are
 * written in place.  Modes (without setuid and setgid) and times are applied.
 * A link may go up at the beginning of its target only; "." as a member's name is
 * the root and changes nothing; FIFOs are made, owners are not applied.
 * What grows with the archive (a decoder, the directories whose modes wait for the end) takes its
 * memory from ROOM, which several may share.  -EBADMSG for what is no tar or damaged, -EFBIG over a
 * cap or for what ROOM will never have, -EAGAIN for what it does not have now, what READ answered,
 * and the errno of what failed; what was made before stays.
 */
int archive_extract(int root_fd, archive_read_fn read, void *arg, struct budget *room,
		    struct archive_counts *out, struct error *err);

/*
 * Writes PATH below ROOT_FD ("" for the root itself) as a PAX tar: a
 * directory's members are its children, sorted by name; a file or symbolic link is
 * its one member.  Sockets are left out.  A file that shrinks meanwhile is -EAGAIN, one that
 * goes away before it was opened is left out.  Names that are not ASCII are written with
 * hdrcharset=BINARY.  The same tree gives the same bytes.
 */
int archive_export(int root_fd, const char *path, archive_write_fn write, void *arg,
		   struct archive_counts *out, struct error *err);

/*
 * The bytes of a tar header (PAX where needed) for a regular file NAME of SIZE
 * bytes; with its data, padding to 512 and 1,024 zero bytes it is a whole
 * archive.  *OUT is owned by the caller.
 */
int archive_file_header(const char *name, int64_t size, void **out, size_t *len, struct error *err);

#endif
