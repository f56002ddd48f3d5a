/*
 * lowlevel.h - libfuse's low-level API, in the version that we are written to.
 */
#ifndef VSOCKFS_LOWLEVEL_H
#define VSOCKFS_LOWLEVEL_H

#define FUSE_USE_VERSION 314
#include <fuse3/fuse_lowlevel.h>

#endif
