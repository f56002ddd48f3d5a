/*
 * session_ahead.h - stat(2) for a run of names in a directory, by two threads.
 *
 * The kernel spends a microsecond on each, mostly waiting for memory, so that of a large directory half of the
 * time is saved.  The second thread exists from the first run that is long enough to the end of the walk, and
 * only where there is a second processor.
 */
#ifndef VSOCKFS_AGENT_SESSION_AHEAD_H
#define VSOCKFS_AGENT_SESSION_AHEAD_H

#include <stddef.h>
#include <sys/stat.h>

#include "protocol/archive_names.h"

/* The longest run, and the shortest that is worth it. */
#define SESS_AHEAD_MAX 1024
#define SESS_AHEAD_MIN 96

struct sess_ahead;

struct sess_ahead *sess_ahead_new(void); /* NULL when out of memory */
void sess_ahead_free(struct sess_ahead *ahead);

/* Looks at COUNT names from FIRST on in the directory FD, at most SESS_AHEAD_MAX. */
void sess_ahead_run(struct sess_ahead *ahead, int fd, const struct archive_names *names,
		    size_t first, size_t count);

/* What was found of number INDEX of the last run; a negative errno instead. */
int sess_ahead_get(const struct sess_ahead *ahead, size_t index, const struct stat **st);

#endif
