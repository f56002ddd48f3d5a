/*
 * dirsnap.h - a directory as an open handle saw it: positions are indexes into
 * a listing that does not change, so a reader sees each name exactly once
 * whatever happens meanwhile.
 *
 * Position 0 is ".", 1 is "..", the listing follows.  A snapshot is counted,
 * because one reader may go on with it while another rewinds the handle.
 */
#ifndef VSOCKFS_DIRSNAP_H
#define VSOCKFS_DIRSNAP_H

#include <stdint.h>

#include "fs/vnode.h"

struct dirsnap;

/*
 * Takes over what is in LISTING, made at TAKEN (call_now); one reference.  NULL when out of memory.
 */
struct dirsnap *dirsnap_new(struct vn_dir *listing, int64_t taken);
struct dirsnap *dirsnap_ref(struct dirsnap *snap);
void dirsnap_unref(struct dirsnap *snap); /* or NULL */

/* Who reads it, and has a reference meanwhile. */
struct dirsnap_reader {
	const struct dirsnap *snap;
	uint64_t position; /* of the next entry */
	struct vn_dir_reader listing;
};

/* From POSITION (>= 0) on.  0 or a negative errno (vn_dir_seek's); dirsnap_done in both cases. */
int dirsnap_begin(struct dirsnap_reader *reader, const struct dirsnap *snap, uint64_t position);
/*
 * The next entry: 1; 0 behind the last one; a negative errno (vn_dir_next's).  *FRESH: seconds for
 * which its attributes may still be believed, 0 where they are not whole or have become too old.
 */
int dirsnap_next(struct dirsnap_reader *reader, struct vn_dirent *out, double *fresh);
void dirsnap_done(struct dirsnap_reader *reader);

#endif
