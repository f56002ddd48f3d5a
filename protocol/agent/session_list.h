/*
 * session_list.h - the walk of one listing: a directory, or all below it, in a fixed order.
 *
 * Names are sorted bytewise within each directory, and a directory comes before what is in it, so
 * any entry is a place at which a later listing can go on.
 */
#ifndef VSOCKFS_AGENT_SESSION_LIST_H
#define VSOCKFS_AGENT_SESSION_LIST_H

#include <stddef.h>
#include <stdint.h>
#include <sys/stat.h>

#include "protocol/error.h"

/*
 * What is told of an entry: its PATH below the listed directory, of LEN bytes, and the directory
 * and name under which it can be looked at.  A negative errno ends the walk; 1 ends it before this
 * entry.
 */
typedef int (*sess_walk_fn)(void *arg, int at, const char *name, const char *path, size_t len,
			    const struct stat *st);

/*
 * Walks the directory FD, which stays the caller's, LEVELS deep, from behind the entry AFTER ("":
 * from the beginning).  Links are not followed; what goes away meanwhile and what cannot be read is
 * left out.
 */
int sess_walk(int fd, unsigned levels, const char *after, sess_walk_fn each, void *arg,
	      struct error *err);

#endif
