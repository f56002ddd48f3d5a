/*
 * kin.h - the processes that came of one that the agent started, found by what /proc says of
 * them: its process group and session, its descendants, and what carries its mark
 * in the environment although it has left all of these.
 */
#ifndef VSOCKFS_AGENT_KIN_H
#define VSOCKFS_AGENT_KIN_H

#include <stdbool.h>
#include <stddef.h>
#include <sys/types.h>

/*
 * Signals (0: looks for) whoever belongs to LEADER, the leader of a session (0: it is gone, only
 * MARK counts); MARK (NAME=VALUE) may be NULL.  Returns how many there are.  Without /proc only the
 * process group is reached.
 */
size_t kin_signal(pid_t leader, const char *mark, int signal);

/* Signals all descendants of this process; returns how many. */
size_t kin_signal_descendants(int signal);

/*
 * Signals the children of this process, but not theirs, however many processes there are; returns
 * how many.
 */
size_t kin_signal_children(int signal);

/*
 * When PID was started, in the kernel's ticks since boot: with it a number is no one else. 0: gone.
 */
unsigned long long kin_start_time(pid_t pid);

#endif
