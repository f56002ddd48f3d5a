/*
 * mux.h - the client's side of one session: many calls on one connection.
 *
 * A thread that makes a call sends it and reads for itself; while it reads, it
 * hands other calls' frames to their waiters, and when it has its own answer it
 * passes the reading on to one of them.  So a lone caller wakes nobody, and
 * an idle session costs no thread.  Frames of a call that nobody waits for any more are dropped.
 *
 * When the connection breaks, or the agent sends what is no valid frame, the mux is dead for good:
 * every call, those under way included, fails at once with -ECONNRESET and the sentence why.
 *
 * All functions are thread-safe; none may be called with a lock held that a sink takes.
 */
#ifndef VSOCKFS_SESSION_MUX_H
#define VSOCKFS_SESSION_MUX_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

#include "protocol/buf.h"
#include "protocol/call.h"
#include "protocol/error.h"
#include "protocol/session/ops.h"

struct mux;

/*
 * Takes FD (connected, past the hello) over, also when it fails.  Frames are counted in TRAFFIC (or
 * NULL), by the kind of their call's operation, each as a whole; it outlives the mux.  BEAT, or
 * NULL, is told, from any thread, of each call that was sent, and of everything that is HEARD.
 */
typedef void (*mux_beat)(void *arg, bool heard);
int mux_new(int fd, struct traffic *traffic, mux_beat beat, void *arg, struct mux **out,
	    struct error *err);
struct mux *mux_ref(struct mux *mux);
void mux_unref(struct mux *mux);
/*
 * A number of its maker's, 0 unless he sets it before others have the mux: what one session's guest
 * was given may be lost to that of another one with another number (link.h).
 */
void mux_set_epoch(struct mux *mux, uint64_t epoch);
uint64_t mux_epoch(const struct mux *mux);
bool mux_dead(struct mux *mux);
/* Breaks it: every call fails with WHY. */
void mux_kill(struct mux *mux, const struct error *why);

/*
 * One call.  ARGS (may be NULL) is the body without the deadline, which is taken from CALL.  REPLY
 * (may be NULL) gets the result in place of what it held; one that is longer than its ceiling is
 * -EPROTO.  An errno from the agent is returned as such, negative, with the agent's sentence.
 * -ETIMEDOUT and -EINTR: the agent is told to cancel, nobody waits for it. MAYBE_DONE (may be NULL)
 * tells, after -ECONNRESET, whether the agent may have seen the call.  Too many calls at once:
 * -EAGAIN; too long arguments: -E2BIG.
 */
int mux_call(struct mux *mux, const struct call *call, enum session_op op, const struct buf *args,
	     struct buf *reply, bool *maybe_done, struct error *err);

/*
 * The same in two steps, so that several can be under way at once.  Each begun ticket is finished
 * once. What mux_begin refuses the agent has not seen.
 */
struct mux_ticket;
int mux_begin(struct mux *mux, const struct call *call, enum session_op op, const struct buf *args,
	      struct mux_ticket **out, struct error *err);
int mux_finish(struct mux_ticket *ticket, const struct call *call, struct buf *reply,
	       bool *maybe_done, struct error *err);

/*
 * Waits until the ticket can be finished without waiting.  0, -ETIMEDOUT or -EINTR, which end
 * nothing.
 */
int mux_wait(struct mux_ticket *ticket, const struct call *call, struct error *err);
/* Whether it can be, as far as anybody has read. */
bool mux_answered(struct mux_ticket *ticket);

/*
 * A call whose DATA goes to SINK, on the calling thread, as it comes, in pieces of one or more
 * whole frames; a negative errno from it cancels the call and is returned.  CREDIT is given as SINK
 * takes: one that is slow holds up nothing but its own stream.  With QUIET, the deadline limits
 * silence, not the whole, and what comes may be 10 ms late while others are busy.
 */
int mux_download(struct mux *mux, const struct call *call, enum session_op op,
		 const struct buf *args, bool quiet,
		 int (*sink)(void *arg, const void *bytes, size_t len), void *arg,
		 struct buf *reply, struct error *err);

/*
 * A call that sends what SOURCE gives (0: the end; negative errno: cancels) as DATA.  An agent that
 * answers before the end is sent no more.
 */
int mux_upload(struct mux *mux, const struct call *call, enum session_op op, const struct buf *args,
	       ssize_t (*source)(void *arg, void *bytes, size_t len), void *arg, struct buf *reply,
	       struct error *err);

#endif
