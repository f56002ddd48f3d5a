/*
 * symlink.h - which of a guest's symbolic links the host may follow.
 *
 * The kernel of the host follows a link by the text it is given, and the guest
 * wrote that text.  What it is given has ".." only in front, and never more of them than
 * the link is deep in the workspace: such a text cannot lead out, whatever the guest
 * does to its directories meanwhile.
 *
 *   /workspace/REST        becomes relative to the link's directory
 *   ../REST                is left alone, up to the link's depth
 *   DIR/../REST            becomes REST, if DIR is a directory in the guest right now
 *   anything else          -EACCES
 */
#ifndef VSOCKFS_SYMLINK_H
#define VSOCKFS_SYMLINK_H

#include <stddef.h>

/*
 * 1 if PATH, below the workspace, is a real directory and no link; 0 if not; or a negative errno.
 */
typedef int (*symlink_is_dir_fn)(void *arg, const char *path);

/*
 * Writes to OUT what a link in the directory DIR (its path below the workspace, "" for
 * the root) may be shown as that has TARGET in the guest.  0, -EACCES where it leads or could lead
 * out, -ENAMETOOLONG, or what IS_DIR failed with.
 */
int symlink_contain(const char *target, const char *dir, symlink_is_dir_fn is_dir, void *arg,
		    char *out, size_t size);

#endif
