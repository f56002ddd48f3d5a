/*
 * beneath.h - opening files below a directory and nowhere else.
 *
 * PATH is relative, "" is ROOT itself; it is split at '/', and empty
 * components and "." do not count.  ".." and absolute paths are refused
 * (-EXDEV) before the kernel sees them.  Magic links are never followed; other
 * symbolic links only where asked, and then only while they stay below ROOT; a
 * link that is in the way is -ELOOP, one that leads out -EXDEV.
 *
 * The kernel does it in one call (openat2, Linux 5.6); where that is missing or
 * forbidden the path is walked by hand, which follows no links at all.
 */
#ifndef VSOCKFS_BENEATH_H
#define VSOCKFS_BENEATH_H

#include <sys/types.h>

enum beneath_links { BENEATH_NO_LINKS, BENEATH_FOLLOW };

/*
 * Checks and tidies PATH into OUT, SIZE bytes: without empty components, "." and
 * slashes at the ends.  -EXDEV, or -ENAMETOOLONG.
 */
int beneath_clean(const char *path, char *out, size_t size);

/* A descriptor (O_CLOEXEC is added) or a negative errno. */
int beneath_open(int root, const char *path, int flags, mode_t mode, enum beneath_links links);

/*
 * The directory that PATH (clean, not "") is in, as an O_PATH descriptor.  *NAME points at the last
 * component, inside PATH.
 */
int beneath_open_parent(int root, const char *path, enum beneath_links links, const char **name);

#endif
