/*
 * child.h - the processes that the agent starts, and its reaper.
 *
 * One thread reaps, at once and everything: what was started here and what was orphaned
 * into the agent's care (the agent is a child subreaper).  A child is counted:
 * the registry holds a reference until it has been reaped.  Its number is never
 * signalled after that, so a number that the kernel gave to somebody else is never hit.
 */
#ifndef VSOCKFS_AGENT_CHILD_H
#define VSOCKFS_AGENT_CHILD_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

#include "protocol/error.h"

struct child;
struct children;

/* Blocks SIGCHLD in the calling thread, from which the others must descend. */
int children_new(struct children **out, struct error *err);
/* Kills (with their groups) all children that are not marked as outliving this. */
void children_kill(struct children *children);
/* Kills likewise, waits until those are reaped, stops the reaper. */
void children_free(struct children *children);

struct child_spec {
	const char *const *argv; /* argv[0] is a path */
	char *const *env;
	const char *cwd;
	int fds[3];    /* stay the caller's; fds[0] may be -1: no input */
	bool terminal; /* fds[0] becomes the controlling terminal */
	bool outlives; /* children_kill and children_free leave it alone */

	/*
	 * Called once, by the reaper, with no lock held, after the child has been reaped; also
	 * where the program could not be run.  *MADE (NULL: of no interest) is set when it will be.
	 */
	void (*on_end)(void *arg);
	void *arg;
	bool *made;
};

/* Starts a process in a session of its own.  -errno of chdir or execve where those fail. */
int child_start(struct children *children, const struct child_spec *spec, struct child **out,
		struct error *err);
/* Also after children_free. */
void child_unref(struct child *child);

pid_t child_pid(const struct child *child);

/* A descriptor that is readable once the child has been reaped; for poll(2) only. */
int child_event(const struct child *child);

struct child_end {
	int exit_code; /* negative: the number of the signal */
	double at;     /* seconds since the epoch */
};

/* Whether it has been reaped; END (or NULL) is filled then. */
bool child_ended(struct child *child, struct child_end *end);
/* Waits for that until DEADLINE of clock_ms(). */
bool child_wait(struct child *child, int64_t deadline);

/* Signals the child's process group; -ESRCH when it has been reaped. */
int child_signal(struct child *child, int signal);

#endif
