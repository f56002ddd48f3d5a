/*
 * dirsnap.c - listings that do not change.
 */
#include "fs/dirsnap.h"

#include <stdlib.h>

/* What "." and ".." show as their number: nobody is asked for it (libfuse does the same). */
#define UNKNOWN_INO 0xffffffffu

#define DOTS 2

struct dirsnap {
	atomic_uint refs;
	int64_t taken;
	struct vn_dirent dots[DOTS];
	char dot[2], dot_dot[3];
	struct vn_dir listing;
};

struct dirsnap *dirsnap_new(struct vn_dir *listing, int64_t taken)
{
	struct dirsnap *snap = calloc(1, sizeof(*snap));

	if (!snap)
		return NULL;
	atomic_init(&snap->refs, 1);
	snap->taken = taken;
	snap->listing = *listing;
	*listing = (struct vn_dir){ 0 };
	snap->dot[0] = snap->dot_dot[0] = snap->dot_dot[1] = '.';
	snap->dots[0].name = snap->dot;
	snap->dots[1].name = snap->dot_dot;
	for (int i = 0; i < DOTS; i++) {
		snap->dots[i].attr.st.st_ino = UNKNOWN_INO;
		snap->dots[i].attr.st.st_mode = S_IFDIR;
	}
	return snap;
}

struct dirsnap *dirsnap_ref(struct dirsnap *snap)
{
	atomic_fetch_add(&snap->refs, 1);
	return snap;
}

void dirsnap_unref(struct dirsnap *snap)
{
	if (!snap || atomic_fetch_sub(&snap->refs, 1) != 1)
		return;
	vn_dir_free(&snap->listing);
	free(snap);
}

const struct vn_dirent *dirsnap_at(const struct dirsnap *snap, uint64_t position, double *fresh)
{
	const struct vn_dirent *entry;
	double age = (double)(call_now() - snap->taken) / 1e9;

	*fresh = 0;
	if (position < DOTS)
		return &snap->dots[position];
	if (position - DOTS >= snap->listing.count)
		return NULL;
	entry = &snap->listing.entries[position - DOTS];
	if (entry->whole && entry->attr.valid > age)
		*fresh = entry->attr.valid - age;
	return entry;
}
