/*
 * session_fence.h - that nothing of a session happens any more once its client has begun another
 * one.
 *
 * A client that gives a connection up may have sent what was not read here yet.  Carried out later,
 * it would put old data over what the client wrote since.  So whatever changes something in the
 * guest begins and ends at its session's fence: when that is raised no change begins any more, and
 * those that are under way are waited for.
 *
 * Lock-free, for quick operations pass it one by one.
 */
#ifndef VSOCKFS_AGENT_SESSION_FENCE_H
#define VSOCKFS_AGENT_SESSION_FENCE_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

struct buf;
struct error;
struct sess;
struct sess_call;
struct sess_op;
struct unpack;

#define SESS_CLIENT_MAX 64

/* Whose session it is, as its hello told. */
struct sess_client {
	char token[SESS_CLIENT_MAX + 1]; /* "": it did not */
	int64_t attempt;                 /* which of its hellos */
};

struct sess_fence {
	atomic_bool raised;
	atomic_uint changing; /* changes that are under way */
};

/* A change of SESS begins; false: it must not.  Each that has begun ends once, on any thread. */
bool sess_fence_begin(struct sess *sess);
void sess_fence_end(struct sess *sess);

/* Runs OP for CALL, whole between the two if it changes something; -ECANCELED where it must not. */
int sess_fence_run(const struct sess_op *op, struct sess_call *call, struct unpack *args,
		   struct buf *result, struct error *err);

/* The same for a slow call, which ends it with its answer at the latest. */
bool sess_fence_begin_call(struct sess_call *call);
/* What is left of CALL concerns only what it has got hold of: it need not be waited for. */
void sess_fence_end_call(struct sess_call *call);

/* For session_room.c. */
void sess_fence_raise(struct sess_fence *fence);
bool sess_fence_is_quiet(const struct sess_fence *fence); /* raised before: for good */
bool sess_fence_is_raised(const struct sess_fence *fence);

#endif
