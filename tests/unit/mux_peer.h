/*
 * mux_peer.h - a mux on one end of a socketpair, the test as the agent on the other.
 *
 * The test's own thread is the agent: it reads and writes frames, in whatever order and shape it
 * likes. Calls are made by threads of their own (caller_*).  Nothing here sleeps for time: whoever
 * reads waits for a frame, and fails the test when none comes for long.
 */
#ifndef VSOCKFS_TESTS_MUX_PEER_H
#define VSOCKFS_TESTS_MUX_PEER_H

#include <pthread.h>
#include <semaphore.h>

#include "protocol/session/frame.h"
#include "protocol/session/mux.h"
#include "tests/unit/cmocka_all.h"

/* Longer than any test takes, shorter than a test may hang. */
#define LONG 60.0

struct world {
	struct mux *mux;
	int peer; /* the agent's end */
	struct traffic traffic;
};

void world_open(struct world *world);
/* That and no more was counted of calls as OP is one; of all. */
void world_counted(struct world *world, enum session_op op, struct traffic_count count);
void world_counted_all(struct world *world, struct traffic_count count);
void world_close(struct world *world); /* no call is under way any more */

/* The agent's side.  A frame with its body, of which SIZE bytes at most are kept. */
struct got {
	struct frame frame;
	unsigned char body[FRAME_BODY_MAX];
};
void peer_get(struct world *world, struct got *got);
/* Whether the client has closed, or been closed. */
bool peer_at_end(struct world *world);
void peer_raw(struct world *world, const void *bytes, size_t len);
/* False when the client has gone. */
bool peer_try_raw(struct world *world, const void *bytes, size_t len);
void peer_frame(struct world *world, uint32_t id, uint8_t kind, uint8_t flags, uint16_t code,
		const void *body, size_t len);
void peer_done(struct world *world, uint32_t id, const char *result);
void peer_data(struct world *world, uint32_t id, const void *bytes, size_t len);
void peer_credit(struct world *world, uint32_t id, uint32_t more);

/* A call on a thread of its own.  Set what is not 0, then start. */
struct caller {
	struct world *world;
	const char *args;
	double seconds; /* LONG if 0 */
	enum session_op op;
	enum { BY_CALL, BY_DOWNLOAD, BY_QUIET_DOWNLOAD, BY_UPLOAD } how;
	int (*sink)(void *caller, const void *bytes, size_t len); /* NULL: keeps it in data */
	ssize_t (*source)(void *caller, void *bytes, size_t len);
	size_t left; /* for source */

	pthread_t thread;
	struct cancel cancel;
	sem_t gate; /* for a sink that waits */
	struct buf reply, data;
	struct error err;
	int rc;
	bool maybe_done;
};
void caller_start(struct caller *caller, struct world *world);
/* Waits for its end; RC must be what it returned. */
void caller_join(struct caller *caller, int rc);
void caller_free(struct caller *caller);
/* Both, and the answer must be REPLY, or the error say SAYS. */
void caller_answered(struct caller *caller, const char *reply);
void caller_failed(struct caller *caller, int rc, const char *says);

#endif
