/*
 * link.h - the session that a guest has, or the news that it has none.
 *
 * A guest's first request is a hello (docs/protocol.md), which is answered by either dialect: the
 * session dialect goes on on that connection; a line-dialect agent has run the probe command.  In
 * that case, unless `agent=never`, vsockfs brings its own agent (deliver.h) and asks again there.
 *
 * When the session breaks, the next caller makes a new one, where the last one was; if nobody is
 * there, it is as at first.  It is made behind the callers' backs, once for all who wait, by the
 * guest's `timeout`; an attempt that failed is not repeated for a second.
 */
#ifndef VSOCKFS_SESSION_LINK_H
#define VSOCKFS_SESSION_LINK_H

#include "protocol/call.h"
#include "protocol/error.h"
#include "protocol/session/mux.h"

struct guest;
struct link;

enum dialect { DIALECT_LINE, DIALECT_SESSION };

/* For guest*.c: a link lives as long as its guest's memory.  -ENOMEM, -EIO without random bytes. */
int link_new(struct guest *guest, struct link **out);
/* No more sessions: closes the living one, and calls back who makes one. */
void link_end(struct link *link);
void link_free(struct link *link); /* NULL is allowed */

/* What guest_hello does: asks the guest, whatever is known already. */
int link_hello(struct link *link, const struct call *call, struct error *err);
/* What a probe does for a guest with a session.  False, doing nothing, for others. */
bool link_probe(struct link *link, const struct call *call);

/*
 * What the guest speaks, asked at the first use; later answers come from memory.  While our agent
 * is on its way, what moves of it moves CALL's deadline.
 */
int link_dialect(struct link *link, const struct call *call, enum dialect *out, struct error *err);

/*
 * A living session, referenced; makes one where there is none, once for all who wait.
 * -EOPNOTSUPP where the guest has only the line dialect.  -ENOTCONN as guest.h says.
 */
int link_mux(struct link *link, const struct call *call, struct mux **out, struct error *err);

/*
 * Which of the guest's lives the last session is in, and mux_epoch of it; 0 before the first.
 * Between sessions of one number nothing was lost that the guest had taken; between those of two,
 * what was not synced may be.
 */
uint64_t link_epoch(struct link *link);

/*
 * For who calls MUX itself: a call that began at SINCE (call_now()) was not answered by its
 * deadline, as WHY says.  If nothing else was for the guest's `timeout`, it is gone.
 */
void link_unanswered(struct link *link, struct mux *mux, int64_t since, const struct error *why);

/*
 * For who calls a mux itself: what is counted of OP asked again, because the session before broke.
 */
void link_retried(struct link *link, enum session_op op);

/*
 * A call with the repeating that is right for OP: what broke before the agent can have seen it, and
 * what changes nothing when repeated, goes over a new session, once; else -EIO and a sentence that
 * says the outcome is not known.  GENERATION (may be NULL) gets a number that is
 * another one for each session: handles are good in their own only.  So calls that name a handle
 * are not for this (-EINVAL): link_mux and mux_call.
 */
int link_call(struct link *link, const struct call *call, enum session_op op,
	      const struct buf *args, struct buf *reply, uint64_t *generation, struct error *err);

struct link_info {
	bool decided; /* which dialect it is, for good; nothing of the rest counts before */
	enum dialect dialect;
	char agent[64]; /* name and version, "" for unknown */
	char build[65];
	bool delivered;     /* it is the one we brought */
	char why_line[256]; /* why it is the line dialect, "" where it is not */
};
void link_get_info(struct link *link, struct link_info *out);

#endif
