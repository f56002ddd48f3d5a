/*
 * thread.h - a thread that nobody joins.
 *
 * It has every signal blocked, so that the handlers of the program run
 * elsewhere.  Whoever starts one counts it somewhere: there is no other way to
 * know that it has ended.
 */
#ifndef VSOCKFS_THREAD_H
#define VSOCKFS_THREAD_H

/* 0 or a negative errno. */
int thread_detach(void (*run)(void *arg), void *arg);

#endif
