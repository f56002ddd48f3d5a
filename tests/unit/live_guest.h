/*
 * live_guest.h - a whole guest for tests: a real agent in a sandbox, and a struct guest on it.
 *
 * Which agent: LIVE_AGENT is the path of tests/peer/reference_agent.py, or "local" for the bundled
 * one (found by VSOCKFS_AGENT).
 */
#ifndef VSOCKFS_TESTS_LIVE_GUEST_H
#define VSOCKFS_TESTS_LIVE_GUEST_H

#include <stdbool.h>
#include <sys/types.h>

#include "protocol/call.h"
#include "protocol/guest.h"

struct live_guest {
	struct guest *guest;
	char top[64]; /* a private directory: the socket, the log, the workspace */
	char workspace[96];
	pid_t pid; /* of the reference agent; 0 for local: */
};

/* cmocka set-up and tear-down of a group; *STATE is the struct.  Skips nothing by itself. */
int live_guest_setup(void **state);
int live_guest_teardown(void **state);

/* Skips the test where no sandbox can be made here. */
struct live_guest *live_guest_need(void **state);

struct call live_call(double seconds);

/* The longest that the agent was busy with one request, in seconds; 0 where it does not tell. */
double live_guest_longest(const struct live_guest *live);

/* Whether the agent is the one of the field. */
bool live_guest_is_reference(void);

/* What the guest's sh prints for COMMAND, at most 4,095 bytes. */
const char *live_guest_ask(struct live_guest *live, const char *command);

#endif
