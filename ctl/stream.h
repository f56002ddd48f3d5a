/*
 * stream.h - finite files that grow: stdout, stderr, output, text.
 *
 * st_size is true at every getattr, a read at the end gives 0, and one more read later
 * gives what has come since: cat ends, grep works, tail -f follows.
 */
#ifndef VSOCKFS_CTL_STREAM_H
#define VSOCKFS_CTL_STREAM_H

#include "ctl/tree.h"

struct stream_type {
	/*
	 * Asks the guest what is new; file_type->size is right afterwards.  An errno ends
	 * the getattr or open with it.
	 */
	int (*refresh)(struct object *object, const struct call *call);
	/* Offset in the whole stream of what is the file's beginning at this moment; NULL: 0. */
	int64_t (*base)(struct object *object, int which);
	/* Bytes at OFFSET of the whole stream; 0 at the end. */
	ssize_t (*read)(struct object *object, int which, const struct call *call, int64_t offset,
			void *bytes, size_t len);
};

extern const struct vnode_ops stream_ops;

#endif
