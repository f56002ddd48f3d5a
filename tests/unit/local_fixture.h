/*
 * local_fixture.h - a place with a directory for a local: sandbox, and sandboxes for tests.
 *
 * The program of the agent comes with VSOCKFS_AGENT from the build.
 */
#ifndef VSOCKFS_TESTS_LOCAL_FIXTURE_H
#define VSOCKFS_TESTS_LOCAL_FIXTURE_H

#include <limits.h>
#include <stdbool.h>

#include "protocol/local.h"

struct place {
	char top[64];
	char dir[128]; /* with everything in its name that a word splitter could trip over */
	char agent[PATH_MAX], path[PATH_MAX]; /* of the environment before the test */
};

#define REPLY_SIZE 8192

/* cmocka's; *STATE is a struct place. */
int local_setup(void **state);
int local_teardown(void **state);

/* A sandbox; skips the test, with the reason printed, where bubblewrap cannot run. */
struct local *local_begin(struct place *place, bool network);

/* One exec by hand: the reply's text. */
void local_ask(struct local *local, const char *command, char reply[static REPLY_SIZE]);

/* A program of that name in the place's bin, which is in front of everything in PATH. */
void local_program(struct place *place, const char *name, const char *script);

/*
 * From now on the agent in a sandbox is the SCRIPT; outside, where it is the guard, it is the real
 * one.
 */
void local_agent(struct place *place, const char *script);

/* Whatever a start came to, no process that knows the place is left. */
void local_assert_gone(struct place *place);

#endif
