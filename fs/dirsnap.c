/*
 * dirsnap.c - listings that do not change.
 */
#include "fs/dirsnap.h"

#include <stdlib.h>
#include <string.h>

/* What "." and ".." show as their number: nobody is asked for it (libfuse does the same). */
#define UNKNOWN_INO 0xffffffffu

#define DOTS 2

struct dirsnap {
	atomic_uint refs;
	int64_t taken;
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

int dirsnap_begin(struct dirsnap_reader *reader, const struct dirsnap *snap, uint64_t position)
{
	reader->snap = snap;
	reader->position = position;
	return vn_dir_seek(&reader->listing, &snap->listing, position < DOTS ? 0 : position - DOTS);
}

int dirsnap_next(struct dirsnap_reader *reader, struct vn_dirent *out, double *fresh)
{
	double age = (double)(call_now() - reader->snap->taken) / 1e9;
	int rc = 1;

	*fresh = 0;
	if (reader->position < DOTS) {
		*out = (struct vn_dirent){ .name = "." };
		out->name[reader->position] = '.';
		out->attr.st.st_ino = UNKNOWN_INO;
		out->attr.st.st_mode = S_IFDIR;
	} else {
		rc = vn_dir_next(&reader->listing, out);
	}
	if (rc <= 0)
		return rc;
	reader->position++;
	if (out->whole && out->attr.valid > age)
		*fresh = out->attr.valid - age;
	return 1;
}

void dirsnap_done(struct dirsnap_reader *reader)
{
	vn_dir_done(&reader->listing);
}
