/*
 * mirror_fake.h - a workspace for the mirror's tests: workspace.h over a
 * directory of this machine, which the test changes as a guest would.
 */
#ifndef VSOCKFS_TEST_MIRROR_FAKE_H
#define VSOCKFS_TEST_MIRROR_FAKE_H

#include "protocol/workspace.h"

struct fake_guest {
	int root;      /* the directory */
	char path[64]; /* of the directory */
	int refs;      /* guest_ref and guest_unref */
	int calls;     /* of any ws_ function */
	int open_files;
	int flushes, syncs;
	int fail;        /* a negative errno: what the next call says, once */
	int close_error; /* what ws_close says */
	/* Changes what the guest says of a file, or what it lists; NULL: the truth. */
	void (*lie)(struct ws_attr *attr);
	const char *extra_name; /* listed besides the others */
	void (*before)(void);   /* runs before each call: somebody else in the guest */
};

extern struct fake_guest fake;

/* A new directory, and everything else as in a guest that does nothing. */
void fake_begin(void);
/* Removes the directory. */
void fake_end(void);

/* A file with TEXT, a directory (TEXT NULL), or reading one back. */
void fake_put(const char *path, const char *text);
const char *fake_get(const char *path);

#endif
