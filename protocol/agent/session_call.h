/*
 * session_call.h - one call of a session, as the operations see it: what it may wait for, the
 * stream beside it, and how it ends.
 *
 * A call ends by what its operation returns: 0 with the result, or a negative errno
 * with a sentence.  An operation that only waits for something to happen elsewhere parks the
 * call instead (SESS_PARKED), which costs no thread: whoever holds it then ends it with
 * sess_call_finish, soon after the cancel token has fired at the latest.
 *
 * A call belongs to the thread that runs it; streams are fed from the connection's thread.
 */
#ifndef VSOCKFS_AGENT_SESSION_CALL_H
#define VSOCKFS_AGENT_SESSION_CALL_H

#include <pthread.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include "protocol/buf.h"
#include "protocol/call.h"
#include "protocol/error.h"
#include "protocol/session/ops.h"

struct sess;
struct sess_op;

/* What an operation may return besides 0 and a negative errno. */
enum {
	SESS_PARKED = 1, /* somebody else has the call now: nothing of it may be touched any more */
	SESS_SLOWLY = 2, /* nothing was done, it would take a while: run it again on a worker */
};

/* The largest DATA frame that is sent: what a small answer waits for at most. */
#define SESS_PIECE (64u << 10)

struct sess_call {
	struct sess *sess;
	const struct sess_op *op;
	uint32_t id;
	bool slow;         /* on a worker: it may block */
	bool parked;       /* whoever has it now must not */
	struct call limit; /* for whatever it waits for; -EINTR from there is ECANCELED */

	/* In a batch: the handle that its last OP_OPEN gave, 0 for none. */
	uint32_t last_handle;

	/* The rest is session_call.c's and session_table.c's, and there only where slow. */
	struct cancel cancel;
	struct call_event event; /* credit, data, or the end of the session */
	unsigned char *args;     /* owned copy */
	size_t args_len;
	struct buf tail; /* the stream's last piece: goes with DONE */

	pthread_mutex_t lock;
	bool timed_out;      /* lock; the cancel token was fired by the deadline */
	uint64_t credit;     /* lock; bytes of DATA that may be sent */
	unsigned char *ring; /* lock; owned; OPS_WINDOW bytes that came and were not taken */
	uint64_t put, taken; /* lock; bytes since the beginning */
	uint64_t granted;    /* lock; what the client may have sent since the beginning */
	bool ended;          /* lock; FRAME_END has come */

	bool timed;              /* it has a deadline */
	bool changing;           /* it has begun a change at its session's fence */
	bool upload;             /* the room counts it */
	bool queued;             /* the workers' lock */
	struct sess_call *next;  /* the workers' lock */
	struct sess_call *chain; /* the table's lock */
};

/* 0, or -ECANCELED, -ETIMEDOUT: for steps of what goes on for long. */
int sess_call_check(struct sess_call *call);

/*
 * Sends LEN bytes, in frames of at most SESS_PIECE bytes, each as soon as the client has given
 * credit for it.  0, or -ECANCELED, -ETIMEDOUT (the deadline, or a minute without credit), -EPIPE.
 */
int sess_call_send(struct sess_call *call, const void *bytes, size_t len);

/*
 * The same for the last piece, at most SESS_PIECE bytes, which is taken over and travels with the
 * answer.
 */
int sess_call_send_last(struct sess_call *call, struct buf *piece);

/* Takes what has come, at most LEN bytes; 0 after the last.  Errors as sess_call_send. */
ssize_t sess_call_receive(struct sess_call *call, void *bytes, size_t len);

/*
 * Answers a slow call and frees it.  RC as an operation returns it; RESULT and ERR may be NULL.  Of
 * one that is parked the answer is posted (session_send.h).
 */
void sess_call_finish(struct sess_call *call, int rc, const struct buf *result,
		      const struct error *err);

/* Bytes of DATA that may be sent now. */
uint64_t sess_call_credit(struct sess_call *call);

/*
 * For parked calls, from the thread that holds one and serves others: posts one DATA frame of LEN
 * bytes if there is credit for it; -EAGAIN if not.
 */
int sess_call_post(struct sess_call *call, const void *bytes, size_t len);

/* Likewise: takes what has come, without waiting: -EAGAIN while nothing has. */
ssize_t sess_call_try_receive(struct sess_call *call, void *bytes, size_t len);

/*
 * Between the reader and a call.  sess_call_new: a slow call with a copy of ARGS, NULL when out of
 * memory, or where too much is kept already. sess_call_feed: a piece of an upload; -EPROTO where it
 * is over what was granted.
 */
struct sess_call *sess_call_new(struct sess *sess, const struct sess_op *op, uint32_t id,
				uint32_t deadline_ms, const void *args, size_t len);
void sess_call_free(struct sess_call *call);
/* For who parks it: what was asked is known. */
void sess_call_drop_args(struct sess_call *call);
int sess_call_feed(struct sess_call *call, const void *bytes, size_t len, bool last);
void sess_call_give_credit(struct sess_call *call, uint32_t more);
void sess_call_stop(struct sess_call *call, bool timed_out);

#endif
