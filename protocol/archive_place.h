/*
 * archive_place.h - one member of an archive becomes a file below a directory.
 * Internal to the archive code: archive_extract.c reads the members, this makes them.
 *
 * What a member asks for is checked against what is there: nothing is made through a
 * link, over something of another kind, or outside.
 */
#ifndef VSOCKFS_ARCHIVE_PLACE_H
#define VSOCKFS_ARCHIVE_PLACE_H

#include <archive.h>
#include <archive_entry.h>
#include <stdint.h>

#include "protocol/budget.h"
#include "protocol/buf.h"
#include "protocol/error.h"

struct place {
	int root;
	struct archive *archive; /* the contents come from here */
	int64_t bytes;           /* of regular files so far */

	/*
	 * Modes and times of directories wait for the end, when nothing is made in them any
	 * more: one record (struct place_later, path, NUL) after the other.
	 */
	struct buf later;
	size_t last;         /* where the last record begins */
	struct budget *room; /* for `later` */
	size_t taken;        /* of it; whoever frees `later` gives it back */
};

/* Makes ENTRY, whose name is the clean, non-empty PATH.  -EPERM where it is refused. */
int place_entry(struct place *place, struct archive_entry *entry, const char *path,
		struct error *err);

/* Applies what waited. */
int place_finish(struct place *place, struct error *err);

#endif
