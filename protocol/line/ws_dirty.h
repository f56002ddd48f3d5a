/*
 * ws_dirty.h - what was written to a file and is not in the guest yet.
 *
 * The bytes lie in a spool, an unlinked temporary file, at the offsets that they have in
 * the file, with a sorted list of extents that says where.  Appends (O_APPEND) have no offset
 * of their own: they lie one behind another, counted from the first one
 * that was not sent, and a file has either appends or placed writes, never both.
 *
 * A flush sends the extents that are `flying`, which readers still see; those that
 * it could not put in place stay there for the next one.  Bytes that are written over
 * meanwhile are in `now` again.  Nothing here locks or sends.
 */
#ifndef VSOCKFS_LINE_WS_DIRTY_H
#define VSOCKFS_LINE_WS_DIRTY_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "protocol/error.h"

#define WS_EXTENTS_MAX 1024
#define WS_SPOOL_MAX (INT64_C(256) << 20) /* unsent bytes of one file */

struct ws_extent {
	int64_t offset, len;
};

/* Sorted; neither overlapping nor touching. */
struct ws_extents {
	struct ws_extent *at; /* owned */
	size_t count, room;
};

/* -ENOMEM; the list is unchanged then. */
int ws_extents_add(struct ws_extents *list, int64_t offset, int64_t len);
/* Takes LEN bytes off the front of the extent that begins at OFFSET, if there is one. */
void ws_extents_cut(struct ws_extents *list, int64_t offset, int64_t len);
int64_t ws_extents_bytes(const struct ws_extents *list);
int64_t ws_extents_end(const struct ws_extents *list); /* 0 for none */
void ws_extents_free(struct ws_extents *list);

struct ws_dirty {
	int spool; /* owned; -1 while there is nothing */
	bool append;
	int64_t appended; /* where the next append goes in the spool */
	struct ws_extents now, flying;
};

void ws_dirty_init(struct ws_dirty *dirty);
void ws_dirty_free(struct ws_dirty *dirty);

/* Whether there is anything unsent, or being sent. */
bool ws_dirty_any(const struct ws_dirty *dirty);

/*
 * -ENOBUFS: flush first (too many extents or bytes, or the other kind of write is
 * waiting), without a sentence; otherwise the errno of the spool.
 */
int ws_dirty_write(struct ws_dirty *dirty, bool append, int64_t offset, const void *bytes,
		   size_t len, struct error *err);

/* The file's size, where the guest's is SIZE. */
int64_t ws_dirty_size(const struct ws_dirty *dirty, int64_t size);

/* Whether every byte of the range is unsent (never for appends). */
bool ws_dirty_covers(const struct ws_dirty *dirty, int64_t offset, int64_t len);

/* Copies what is unsent of the range over BYTES; GUEST_SIZE is where appends begin. */
int ws_dirty_overlay(const struct ws_dirty *dirty, int64_t guest_size, int64_t offset, char *bytes,
		     size_t len);

/* What was written is flying.  -ENOMEM changes nothing that is seen. */
int ws_dirty_launch(struct ws_dirty *dirty);
/* PART, whole extents of the flying ones or their beginnings, is in the guest. */
void ws_dirty_landed(struct ws_dirty *dirty, const struct ws_extents *part);

/* Forgets everything: the file was truncated to nothing. */
void ws_dirty_clear(struct ws_dirty *dirty);

#endif
