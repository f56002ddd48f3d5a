/*
 * fake_line.h - a guest for unit tests: what protocol/line/line.h and guest.h promise,
 * done by this machine's own shell in a directory, without an agent or a connection.
 *
 * It behaves as the reference agent does where that is a trap: exec's outputs are
 * collected whole and must be UTF-8, "\r\n" becomes "\n", and uploads are extracted without
 * modes below a directory of the workspace.  Links instead of line.c and guest.c.
 */
#ifndef VSOCKFS_TESTS_FAKE_LINE_H
#define VSOCKFS_TESTS_FAKE_LINE_H

#include <stdatomic.h>
#include <stdbool.h>

#include "protocol/guest.h"

enum fake_tools { FAKE_COREUTILS, FAKE_BUSYBOX };

/* What happens to the next requests, for tests of failure. */
enum fake_fault {
	FAKE_NONE,
	FAKE_REFUSE,    /* -ENOTCONN, nothing is run */
	FAKE_FULL,      /* an upload breaks off, its file half written; the agent says so */
	FAKE_INTERRUPT, /* it runs, and the caller hears -EINTR */
};

struct guest {
	char dir[32];                    /* what /workspace would be; made by fake_guest_new */
	char path[64];                   /* PATH of the scripts */
	char shell[96];                  /* their shell */
	const char *profile;             /* what the login profile would do, sh text, or NULL */
	atomic_int execs;                /* requests since the start */
	atomic_int uploads;              /* likewise */
	atomic_llong uploaded;           /* bytes of archives */
	atomic_int kinds[TRAFFIC_KINDS]; /* of requests, as their calls say */
	enum fake_fault fault;           /* of the next FAULTS requests */
	int faults;
};

/* NULL with a printed reason where the tools are not installed: the test is to be skipped. */
struct guest *fake_guest_new(enum fake_tools tools);
/* Removes the directory with everything in it. */
void fake_guest_free(struct guest *guest);

#endif
