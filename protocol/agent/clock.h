/*
 * clock.h - the two clocks of the agent.
 *
 * Waiting is measured with CLOCK_MONOTONIC in milliseconds; what a reply tells
 * is CLOCK_REALTIME in seconds since the epoch.
 */
#ifndef VSOCKFS_AGENT_CLOCK_H
#define VSOCKFS_AGENT_CLOCK_H

#include <limits.h>
#include <stdint.h>
#include <time.h>

static inline int64_t clock_ms(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return (int64_t)ts.tv_sec * 1000 + ts.tv_nsec / 1000000;
}

/* What poll(2) may wait for DEADLINE: 0 when it has passed. */
static inline int clock_until(int64_t deadline)
{
	int64_t left = deadline - clock_ms();

	if (left <= 0)
		return 0;
	return left > INT_MAX ? INT_MAX : (int)left;
}

static inline double clock_epoch(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_REALTIME, &ts);
	return (double)ts.tv_sec + (double)ts.tv_nsec / 1e9;
}

#endif
