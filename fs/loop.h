/*
 * loop.h - the threads that take requests from the kernel.
 *
 * libfuse has such a loop; ours can be stopped while requests are under way,
 * so that what they wait for can be ended before they are waited for.
 *
 * A request is taken by one of a few threads that are idle; when the last idle one takes
 * a request another thread is made, up to a ceiling, so a long verb or a guest
 * that does not answer costs a thread and not the mount.
 *
 * SIGUSR2 belongs to this module: it interrupts threads that wait for a request.
 */
#ifndef VSOCKFS_LOOP_H
#define VSOCKFS_LOOP_H

#include <stdbool.h>

#include "fs/lowlevel.h"

struct loop;

/* SESSION is mounted.  It reads and writes /dev/fuse through this module from here on. */
int loop_new(struct fuse_session *session, struct loop **out);
void loop_free(struct loop *loop); /* after loop_join said true */

/* Starts the first thread. */
int loop_start(struct loop *loop);

/* Until the mount has ended or somebody called loop_stop. */
void loop_wait(struct loop *loop);

/* No further request is taken.  Any thread; does not wait. */
void loop_stop(struct loop *loop);

/* Waits up to SECONDS for the requests that are under way.  True when no thread is left. */
bool loop_join(struct loop *loop, double seconds);

#endif
