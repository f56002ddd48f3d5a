/*
 * kit.h - what the benchmarks share: an agent of their own, a session with it, sorted samples.
 *
 * These are programs that measure: what goes wrong ends them, with a sentence and status 1.
 */
#ifndef VSOCKFS_BENCH_KIT_H
#define VSOCKFS_BENCH_KIT_H

#include <stddef.h>
#include <sys/types.h>

#include "protocol/session/mux.h"

/*
 * A vsockfs-agent on a Unix socket, with an empty workspace; it ends with this process, however
 * that ends.
 */
struct bench_agent {
	char dir[64], work[80], run[80], socket[80];
	pid_t pid;
};

_Noreturn void bench_die(const char *what, const char *why);

void bench_agent_start(struct bench_agent *agent, const char *path);
/* Ends it and removes what was its own. */
void bench_agent_end(struct bench_agent *agent);
/* A new session; the caller's (mux_unref). */
struct mux *bench_session(const struct bench_agent *agent);

/* Sorts VALUES and gives the one that PERCENT of them are not above. */
double bench_percentile(double *values, size_t count, double percent);

#endif
