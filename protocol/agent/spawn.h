/*
 * spawn.h - fork and execve, with the errno of what failed in between.
 * Internal to child.c, which registers what comes of it.
 */
#ifndef VSOCKFS_AGENT_SPAWN_H
#define VSOCKFS_AGENT_SPAWN_H

#include <sys/resource.h>
#include <sys/types.h>

#include "protocol/agent/child.h"

/*
 * Forks a process that will become SPEC's program in a session of its own, with the limit FILES.
 * *REPORT is a pipe on which spawn_report waits for the outcome; the caller closes it.
 */
int spawn_fork(const struct child_spec *spec, const struct rlimit *files, pid_t *pid, int *report);

/* Waits until the program runs, or says why it does not. */
int spawn_report(int report, const struct child_spec *spec, struct error *err);

#endif
