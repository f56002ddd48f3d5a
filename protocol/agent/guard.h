/*
 * guard.h - runs a command outside of any guest, and ends it with everything that came of it.
 *
 * vsockfs starts its local: sandboxes through it.  The guard is the parent of whatever loses its
 * own (a subreaper), so nothing gets out of its sight, a PID namespace's first process included;
 * and it goes by a descriptor that the kernel closes when its owner dies, whatever the owner died
 * of.
 */
#ifndef VSOCKFS_AGENT_GUARD_H
#define VSOCKFS_AGENT_GUARD_H

/*
 * Runs ARGV, which inherits LIFELINE (a pipe's read end, or a socket), until it ends, or until
 * LIFELINE's other end is closed: then the command, which sees that as well, has GUARD_SECONDS to
 * end by itself.  What is left of it is killed, and only then this returns: the exit code for the
 * process. To be called in a process without threads or other children.
 */
int guard_run(int lifeline, char **argv);

#define GUARD_SECONDS 5

#endif
