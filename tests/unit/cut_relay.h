/*
 * cut_relay.h - a Unix socket in front of an agent's, which counts the calls of sessions and can
 * break one at any of them.
 */
#ifndef VSOCKFS_TESTS_CUT_RELAY_H
#define VSOCKFS_TESTS_CUT_RELAY_H

#include <pthread.h>
#include <stdbool.h>

#include "protocol/session/ops.h"

enum relay_cut {
	RELAY_CUT_NONE,
	RELAY_CUT_BEFORE, /* the agent does not see the call */
	RELAY_CUT_DATA,   /* it sees the first piece of its upload */
	RELAY_CUT_ANSWER, /* it carries it out, and the client does not hear of it */
	RELAY_CUTS,
};

struct cut_relay {
	char path[108], agent[108];
	int listener;
	pthread_t thread;

	pthread_mutex_t lock;
	pthread_cond_t ended;
	unsigned connections; /* lock; living */
	unsigned calls[128];  /* lock; that came, by operation */
	enum session_op op;   /* lock; the call to be cut */
	enum relay_cut cut;   /* lock; RELAY_CUT_NONE again when it was done */
};

/* Listens at PATH and connects to AGENT. */
void cut_relay_open(struct cut_relay *relay, const char *path, const char *agent);
/* No connection may be made any more; waits for the last one's end. */
void cut_relay_close(struct cut_relay *relay);

/* The next call of OP is cut. */
void cut_relay_order(struct cut_relay *relay, enum session_op op, enum relay_cut cut);
/* Whether it was. */
bool cut_relay_done(struct cut_relay *relay);
unsigned cut_relay_count(struct cut_relay *relay, enum session_op op);

#endif
