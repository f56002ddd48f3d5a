/*
 * ctlfile.h - ctl and clone: lines in, verbs run.
 *
 * Each line runs inside the write(2) that ends it.  A line without a newline
 * stays until the next write of that open file ends it, or until a close(2) of it (dup'ed
 * descriptors count), which runs it and returns its error.  The first line that fails
 * ends the write with its errno, drops what is behind it, and puts the sentence, with the
 * line's number in that open file, into `error`.  Until the next close(2) of a descriptor of that
 * open file, further writes fail with the same errno and run nothing.  A write whose lines all
 * worked clears `error`.
 *
 * Reading gives the object's settings (file_type->text); of a file opened through
 * clone, the new directory's name.
 */
#ifndef VSOCKFS_CTL_CTLFILE_H
#define VSOCKFS_CTL_CTLFILE_H

#include "ctl/tree.h"

extern const struct vnode_ops ctl_ops;
extern const struct vnode_ops clone_ops;

#endif
