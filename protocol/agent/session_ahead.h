/*
 * session_ahead.h - what a walk is about to need, looked at by a second thread: stat(2) for runs of
 * names in a directory, and the names in the next directory.
 *
 * The kernel spends a microsecond on each name, mostly waiting for memory, and the walk itself
 * another half, so that of a large directory half of the time is saved.  What the second thread has
 * not begun when the walk comes to it, the walk does itself: neither waits while there is something
 * to do.
 *
 * One for each walk, used by its thread alone.  The second thread exists from the first run to the
 * end, and only where there is a second processor.
 */
#ifndef VSOCKFS_AGENT_SESSION_AHEAD_H
#define VSOCKFS_AGENT_SESSION_AHEAD_H

#include <stdbool.h>
#include <stddef.h>
#include <sys/stat.h>

#include "protocol/archive_names.h"

/* Names in a directory for which it is worth it. */
#define SESS_AHEAD_MIN 96

struct sess_ahead;
struct sess_run;

struct sess_ahead *sess_ahead_new(void); /* NULL when out of memory */
void sess_ahead_free(struct sess_ahead *ahead);

/*
 * The run that begins with the name INDEX of NAMES in the directory FD; what follows in it is
 * looked at meanwhile, unless ALONE.  The caller's, until sess_run_free; NULL when out of memory.
 */
struct sess_run *sess_ahead_next(struct sess_ahead *ahead, int fd,
				 const struct archive_names *names, size_t index, bool alone);
/* The walk leaves that directory: before its descriptor is closed or its names are freed. */
void sess_ahead_leave(struct sess_ahead *ahead);

/* RUN may be NULL in these. */
void sess_run_free(struct sess_ahead *ahead, struct sess_run *run);
bool sess_run_has(const struct sess_run *run, size_t index);
/* What was found of the name INDEX, which it has; a negative errno instead. */
int sess_run_get(const struct sess_run *run, size_t index, const struct stat **st);

/*
 * The walk will go down into the directory NAME in AT, which it knows as (PARENT, INDEX), if it
 * comes so far.  One at a time: while there is one that was not taken yet, another one is not
 * looked at.
 */
void sess_ahead_expect(struct sess_ahead *ahead, int at, const char *name, unsigned parent,
		       size_t index);
/*
 * The walk does, and so leaves the one above.  The descriptor of the directory, which is the
 * caller's as NAMES is; a negative errno of opening or reading it; -EAGAIN where it was not
 * expected.
 */
int sess_ahead_enter(struct sess_ahead *ahead, unsigned parent, size_t index,
		     struct archive_names *names);

#endif
