/*
 * sws_world.h - for the tests of the workspace over a session: the bundled agent in a temporary
 * directory, a link that connects to it, and between them a relay that counts calls and can cut the
 * connection at any of them.
 *
 * The relay is a connection that breaks the hard way for the client and the soft way for the agent:
 * what the agent has received it carries out, and a new session begins only when it has; but for
 * CUT_LATE.
 */
#ifndef VSOCKFS_TESTS_SWS_WORLD_H
#define VSOCKFS_TESTS_SWS_WORLD_H

#include "cmocka_all.h"

#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "protocol/session/sws_internal.h"

enum cut {
	CUT_NONE,
	CUT_BEFORE,      /* the agent does not see the call */
	CUT_HALF_CALL,   /* it gets half of it */
	CUT_ANSWER,      /* it carries it out, and the client does not hear of it */
	CUT_HALF_ANSWER, /* the client gets half of the answer */
	CUT_KINDS,
	CUT_LATE, /* it gets the call, and the end of the connection, at world_release */
};

struct relay;

struct world {
	char top[64], dir[80], socket[80];
	pid_t agent;
	int lifeline; /* when it is closed, at the latest with this process, the agent ends */
	struct link *link;
	struct sws *ws;
	struct call call;
	struct error err;
	struct ws_attr attr; /* for answers that nobody looks at */
	struct traffic traffic;

	pthread_mutex_t lock;
	unsigned calls[128]; /* lock; that came to the relay, by operation */
	unsigned sessions;   /* lock; that were made */
	uint64_t epoch;      /* lock; of the last of them */
	bool booted;         /* the link's lock; that of the next will be another one */
	bool down;           /* lock; nothing can be connected to */
	enum cut cut;        /* lock; CUT_NONE again when it was done */
	unsigned cut_at;     /* lock; counts down: 1 is the next call */
	unsigned cut_op;     /* lock; only calls of it are counted; 0: all */
	struct relay *relay; /* of the living session */
	struct relay *late;  /* cut by CUT_LATE, until it is released */
};

int world_setup(void **state);
int world_teardown(void **state); /* also looks that every handle in the agent was closed */
#define world_test(name) cmocka_unit_test_setup_teardown(name, world_setup, world_teardown)

/* From now on, the AT-th call is cut; or the next one of OP. */
void world_cut(struct world *w, enum cut cut, unsigned at);
void world_cut_op(struct world *w, enum cut cut, enum session_op op);
/* Whether it has been. */
bool world_is_cut(struct world *w);
/* Takes an order to cut back; whether it had been carried out. */
bool world_was_cut(struct world *w);
/* What was cut by CUT_LATE arrives; waits until the agent is done with that session. */
void world_release(struct world *w);
/* Ends the session; the next one is in another life of the guest's, which has forgotten nothing. */
void world_reboot(struct world *w);
void world_set_down(struct world *w, bool down);

/* Forgets what was counted. */
void world_count(struct world *w);
/* That many calls of OP since then, COUNT; and in all. */
void world_counted(struct world *w, enum session_op op, unsigned count);
void world_counted_all(struct world *w, unsigned count);

/* The path on this machine, in one of a few static buffers. */
const char *world_real(struct world *w, const char *path);
/* A file, made or read behind the workspace's back. */
void world_put(struct world *w, const char *path, const char *text);
void world_has(struct world *w, const char *path, const char *text);

/* These fail the test where they fail. */
struct sws_file *world_open(struct world *w, const char *path, int flags, mode_t mode);
void world_write(struct world *w, struct sws_file *file, int64_t offset, const char *text);
void world_reads(struct world *w, struct sws_file *file, int64_t offset, const char *text);
void world_close(struct world *w, struct sws_file *file); /* as close(2): flush first */

/* RC or the test fails with the sentence. */
#define ok(w, rc) world_ok(w, rc, __FILE__, __LINE__)
void world_ok(struct world *w, long long rc, const char *file, int line);

#endif
