/*
 * guest_internal.h - a guest as the transport's side sees it: the gate, the address to dial, and
 * what an exchange tells the guest about its health. For protocol/guest*.c, protocol/reaper.c,
 * protocol/line/exchange*.c and session/{link,hello,deliver}*.c only.
 *
 * Two counts keep a guest.  References (guest_ref) are the users'; when the last
 * is dropped, the guest is taken down.  Holds are memory: whoever may still touch the struct
 * after that (an abandoned exchange, a probe) has one.
 *
 * Lock order: guest->lock before nothing: no other lock is taken under it.
 */
#ifndef VSOCKFS_GUEST_INTERNAL_H
#define VSOCKFS_GUEST_INTERNAL_H

#include <pthread.h>
#include <stdbool.h>

#include "protocol/gate.h"
#include "protocol/guest.h"
#include "protocol/transport.h"

#define GUEST_TOKEN_DIGITS 16

struct local;

struct guest {
	/* Constant once made. */
	struct address address; /* what the user gave, the path made absolute */
	struct address dial;    /* what is connected to */
	struct guest_options options;
	struct transport_ops ops;
	char token[GUEST_TOKEN_DIGITS + 1];
	struct local *local;         /* owned; NULL unless local: */
	struct workspace *workspace; /* owned */
	struct proc_room *proc;      /* owned */
	struct link *link;           /* owned; memory as long as the guest's */

	struct gate gate;
	struct traffic traffic; /* whoever asks the guest adds to it */

	pthread_mutex_t lock;
	pthread_cond_t quiet;       /* with lock: pending has fallen to 0 (CLOCK_MONOTONIC) */
	unsigned refs;              /* lock */
	unsigned holds;             /* lock; the references together have one */
	unsigned pending;           /* lock; abandoned exchanges and probes */
	bool ending;                /* lock; the last reference is dropped: no new probes */
	bool answered;              /* lock; at least once */
	int64_t answered_at;        /* lock; call_now() of the last answer */
	bool probing;               /* lock; a probe is under way */
	int64_t next_probe;         /* lock; call_now() from which the next may start */
	int64_t refused_since;      /* lock; when an unbroken run of refusals began, 0 for none */
	int64_t refused_last;       /* lock; the last of them */
	struct guest_status status; /* lock; but for traffic */
};

/* guest_new with another idea of what this host can do: tests never dial a CID. */
int guest_new_with(const struct address *address, const struct guest_options *options,
		   const struct transport_ops *ops, struct guest **out, struct error *err);

void guest_hold(struct guest *guest);
void guest_release(struct guest *guest);

/* Counts work that goes on behind the callers' backs; `abandoned` of the status is the second. */
void guest_pending(struct guest *guest, int change, int abandoned);

/*
 * Whether a request may be tried: 0, or -ENOTCONN at once for a guest that is
 * gone (and then, once a second, a probe is started).
 */
int guest_admit(struct guest *guest, struct error *err);

/* uname -m, as the guest said. */
void guest_set_machine(struct guest *guest, const char *machine);
/* Whether the last reference is dropped. */
bool guest_is_ending(struct guest *guest);

/* Whether it has ever answered: only then is a refused connection worth repeating. */
bool guest_answered(struct guest *guest);

/* It answered, ROUND_TRIP seconds after it was asked (negative: not to be shown). */
void guest_health_ok(struct guest *guest, double round_trip);

/* A request failed as WHY says, which is no proof that the guest is gone. */
void guest_health_note(struct guest *guest, const struct error *why);

/*
 * A request has ended with RC (0, a count or a negative errno) and WHY, its sentence.  Notes what
 * tells of a guest that does wrong: an answer that is none (-EPROTO), or one that is over a limit
 * of ours (-EOVERFLOW).
 */
void guest_judge(struct guest *guest, int rc, const struct error *why);

/* It is gone, for the reason WHY; whoever waits at the gate is sent home. */
void guest_health_gone(struct guest *guest, const struct error *why);

/*
 * A reply has been awaited in silence since SINCE (call_now()): gone, unless the guest has answered
 * something else meanwhile.
 */
void guest_health_silent(struct guest *guest, int64_t since, const struct error *why);

/* An abandoned reply has not come to its end in LIMIT_REAP_SECONDS. */
void guest_health_stuck(struct guest *guest, const struct error *why);

/*
 * A connection was refused, which passes when an agent restarts.  True once this has gone on for
 * the guest's `timeout` (whoever was refused before counts): then it is gone.  GIVEN_UP: that was
 * the caller's last attempt.  Its deadline counts from before its first one, so a little less is
 * enough.
 */
bool guest_refused(struct guest *guest, bool given_up);

#endif
