/*
 * mountpoint.h - whether a directory can be mounted on: asked before any
 * guest is, because it is the cheaper answer.
 */
#ifndef VSOCKFS_MOUNTPOINT_H
#define VSOCKFS_MOUNTPOINT_H

#include <stdbool.h>

#include "protocol/error.h"

/*
 * *OUT is PATH made absolute (owned by the caller).  Refused with a sentence: what is no
 * directory, what we are mounted on already, and, without NONEMPTY, what is not empty.
 */
int mountpoint_check(const char *path, bool nonempty, char **out, struct error *err);

#endif
