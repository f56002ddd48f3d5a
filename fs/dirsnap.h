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

/* Takes over what is in LISTING, made at TAKEN (call_now); one reference.  NULL when out of memory. */
struct dirsnap *dirsnap_new(struct vn_dir *listing, int64_t taken);
struct dirsnap *dirsnap_ref(struct dirsnap *snap);
void dirsnap_unref(struct dirsnap *snap); /* or NULL */

/*
 * The entry at POSITION (>= 0), valid while the snapshot is; NULL behind the last
 * one.  *FRESH: seconds for which its attributes may still be believed, 0 where they are
 * not whole or have become too old.
 */
const struct vn_dirent *dirsnap_at(const struct dirsnap *snap, uint64_t position, double *fresh);

#endif
