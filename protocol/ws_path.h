/*
 * ws_path.h - which paths below the workspace may be asked for, whatever the dialect.
 */
#ifndef VSOCKFS_WS_PATH_H
#define VSOCKFS_WS_PATH_H

#include <stdbool.h>
#include <stddef.h>

#include "protocol/error.h"

enum ws_path_use { WS_PATH_LOOKUP, WS_PATH_CREATE };

/*
 * Components, lengths and the private prefix, as workspace.h has them.  -EINVAL, -ENAMETOOLONG; for
 * names of our own -ENOENT, or -EPERM to make one; -EEXIST to make the root.
 */
int ws_path_check(const char *path, enum ws_path_use use, struct error *err);

/* Whether LEN bytes, which a guest listed, can be a name: one component without a NUL. */
bool ws_path_is_name(const char *name, size_t len);

/* Whether PATH begins with a name that is vsockfs's own. */
bool ws_path_is_private(const char *path);

#endif
