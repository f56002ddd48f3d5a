/*
 * daemon.h - going into the background once there is something to say.
 *
 * The program forks early, before there is a thread or a connection.  The parent
 * waits for one verdict over a pipe: it exits with 0 when the child is ready,
 * or prints the child's one line and exits with 1, while the child still lets its guests finish
 * their answers.
 */
#ifndef VSOCKFS_DAEMON_H
#define VSOCKFS_DAEMON_H

#include <stdbool.h>
#include <stddef.h>

#include "protocol/error.h"

struct daemon {
	int verdict; /* where the verdict goes; -1 in the foreground */
};

/*
 * Forks.  In the child it returns 0, in a session of its own, at "/", with the standard
 * descriptors at /dev/null; the parent does not return.  With FOREGROUND nothing is done.
 */
int daemon_start(struct daemon *daemon, bool foreground, struct error *err);

/*
 * For the time of something that prints its own errors (libfuse, fusermount3):
 * standard error is a file, whose first line TEXT gets afterwards ("" for none).
 */
struct daemon_catch {
	int file, saved;
};
void daemon_catch_errors(struct daemon_catch *caught);
void daemon_caught_errors(struct daemon_catch *caught, char *text, size_t size);

/* Says "ready".  -EPIPE: whoever started us is gone, so nobody wants the mount. */
int daemon_ready(struct daemon *daemon);

/* Says why there will be no mount: to the parent, or to standard error in the foreground. */
void daemon_failed(struct daemon *daemon, const struct error *err);

#endif
