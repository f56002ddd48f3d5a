/*
 * reaper.h - finishes the exchanges that nobody waits for any more.
 *
 * One thread for the whole process, which is there only while it has something
 * to do.  It goes on sending and reading until the peer closes, since a client
 * that leaves early kills the agent in the field; the place at the guest's gate is kept so
 * long.  It tells the guest's health: an end in good order is an answer;
 * silence for the exchange's patience means that the guest is gone, unless it answered others
 * meanwhile; no end after
 * LIMIT_REAP_SECONDS, or more than LIMIT_ARCHIVE_SIZE bytes, that it is stuck, and the
 * connection is closed.
 *
 * It is the one thing of the program that is shared by everything: a thread
 * cannot be otherwise.  Fork before the first exchange, not after.
 */
#ifndef VSOCKFS_REAPER_H
#define VSOCKFS_REAPER_H

struct exchange;

/*
 * Takes an abandoned exchange over, which holds a place at its guest's gate
 * and a hold on the guest (both are given back at the end), and counts it as
 * the guest's pending work.  Never blocks, never fails: if no thread can be
 * started now, the next exchange that is handed over tries again.
 */
void reaper_take(struct exchange *x);

#endif
