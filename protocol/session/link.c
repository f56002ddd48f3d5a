/*
 * link.c - who waits for a session and who gets it, and calls over it.
 *
 * Sessions are made by a thread of their own (link_make.c), so that it does not matter which of the
 * waiting callers gives up, and when.  Its end is an attempt's end; whoever waited gets its error.
 */
#include "protocol/session/link.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <utlist.h>

#include "protocol/session/link_internal.h"
#include "protocol/thread.h"
#include "protocol/token.h"

#define NSEC_PER_SEC INT64_C(1000000000)
#define MAX_TRIES 3        /* sessions made for one call, of which each breaks at once */
#define PAUSE NSEC_PER_SEC /* between an attempt that failed and the next */
#define ATTEMPT 0.95 /* of the time of who begins it: it ends first, so that its reason is heard */

int link_new(struct guest *guest, struct link **out)
{
	struct link *link = calloc(1, sizeof(*link));

	if (!link)
		return -ENOMEM;
	if (token_make(link->client, LINK_CLIENT_DIGITS) < 0) {
		free(link);
		return -EIO;
	}
	link->guest = guest;
	cancel_init(&link->cancel);
	pthread_mutex_init(&link->lock, NULL);
	pthread_mutex_init(&link->beat_lock, NULL);
	*out = link;
	return 0;
}

void link_end(struct link *link)
{
	struct error why = { .code = ECONNRESET, .text = "the guest was detached" };

	cancel_fire(&link->cancel);
	pthread_mutex_lock(&link->lock);
	link->ended = true;
	if (link->mux)
		mux_kill(link->mux, &why);
	pthread_mutex_unlock(&link->lock);
}

void link_free(struct link *link)
{
	if (!link)
		return;
	mux_unref(link->mux);
	pthread_mutex_destroy(&link->beat_lock);
	pthread_mutex_destroy(&link->lock);
	cancel_destroy(&link->cancel);
	free(link);
}

/*
 * Attempts
 */

/* link->lock is held. */
static void wake_all(struct link *link)
{
	struct link_waiter *waiter;

	for (waiter = link->waiters; waiter; waiter = waiter->next)
		call_event_signal(&waiter->event);
}

void link_greeted(struct link *link)
{
	link_moved(link);
	pthread_mutex_lock(&link->lock);
	link->greeted = true;
	wake_all(link);
	pthread_mutex_unlock(&link->lock);
}

void link_moved(void *arg)
{
	struct link *link = arg;

	atomic_store(&link->moved_at, call_now());
}

static int detached(struct error *err)
{
	return error_set(err, ENOTCONN, "the guest was detached");
}

/* The attempt has ended, with RC and WHY. */
static void made(struct link *link, int rc, const struct error *why)
{
	pthread_mutex_lock(&link->lock);
	if (rc == -EINTR) /* by link_end: who waits was not interrupted */
		detached(&link->why);
	else if (rc < 0)
		error_copy(&link->why, why);
	else
		link->why.code = 0;
	link->making = false;
	link->attempts++;
	link->ended_at = call_now();
	wake_all(link);
	pthread_mutex_unlock(&link->lock);
}

static void make(void *arg)
{
	struct link *link = arg;
	struct guest *guest = link->guest;
	struct call call = call_within(link->seconds, &link->cancel);
	struct error why = { 0 };
	int rc = link_make(link, &call, false, &why);

	made(link, rc, &why);
	guest_pending(guest, -1, 0);
	guest_release(guest);
}

/* link->lock is held.  Takes the place of the one who makes a session. */
static void claim(struct link *link)
{
	link->making = true;
	link->greeted = false;
}

/* link->lock is held, nobody makes one.  A long patience of CALL's is the attempt's. */
static int start(struct link *link, const struct call *call, struct error *err)
{
	double seconds = (double)(call->deadline - call_now()) / (double)NSEC_PER_SEC;
	double timeout = link->guest->options.timeout;
	int rc;

	claim(link);
	link->seconds = ATTEMPT * (seconds > timeout ? seconds : timeout);
	guest_hold(link->guest);
	guest_pending(link->guest, 1, 0);
	rc = thread_detach(make, link);
	if (rc < 0) {
		link->making = false;
		guest_pending(link->guest, -1, 0);
		guest_release(link->guest);
		return error_set(err, -rc, "no thread for a session: %s", strerror(-rc));
	}
	return 0;
}

static int too_late(int64_t span, struct error *err)
{
	double seconds = span > 0 ? (double)span / (double)NSEC_PER_SEC : 0;

	return error_set(err, ETIMEDOUT,
			 "the guest did not answer within %.*f s: it is busy, or gone",
			 seconds < 1 ? 2 : 0, seconds);
}

/* When a caller gives up: an attempt that gets on gives it as much time again. */
static int64_t give_up_at(struct link *link, const struct call *call, int64_t span)
{
	int64_t moved = atomic_load(&link->moved_at);

	return moved && moved + span > call->deadline ? moved + span : call->deadline;
}

/* link->lock is held before and after.  Waits for the end of the attempt that is under way. */
static int await(struct link *link, const struct call *call, struct error *err)
{
	int64_t span = call->deadline - call_now();
	uint64_t attempts = link->attempts;
	struct link_waiter waiter;
	int rc = 0;

	call_event_init(&waiter.event);
	DL_APPEND(link->waiters, &waiter);
	while (rc == 0 && link->attempts == attempts) {
		struct call until = { .deadline = give_up_at(link, call, span),
				      .cancel = call->cancel };

		pthread_mutex_unlock(&link->lock);
		rc = call_event_wait(&waiter.event, &until);
		pthread_mutex_lock(&link->lock);
		if (rc == -ETIMEDOUT && give_up_at(link, call, span) > call_now())
			rc = 0;
	}
	DL_DELETE(link->waiters, &waiter);
	call_event_destroy(&waiter.event);
	if (link->attempts != attempts)
		return link->why.code ? error_copy(err, &link->why) : 0;
	if (rc == -EINTR)
		return error_set(err, EINTR, "interrupted before the guest had answered");
	return too_late(span, err);
}

/* link->lock is held before and after.  Joins the attempt that is under way, or begins one. */
static int get_made(struct link *link, const struct call *call, struct error *err)
{
	int rc = 0;

	if (link->ended)
		return detached(err);
	if (!call_remaining_ms(call))
		return too_late(0, err);
	/* First: where the guest is gone, it is a probe that makes one. */
	rc = guest_admit(link->guest, err);
	if (rc == 0 && link->making)
		return await(link, call, err);
	if (rc == 0 && link->why.code && call_now() - link->ended_at < PAUSE &&
	    link_heard_at(link) < link->ended_at)
		rc = error_copy(err, &link->why);
	if (rc == 0)
		rc = start(link, call, err);
	return rc ? rc : await(link, call, err);
}

int link_hello(struct link *link, const struct call *call, struct error *err)
{
	int rc = 0;

	pthread_mutex_lock(&link->lock);
	if (!link->making)
		rc = link->ended ? detached(err) : start(link, call, err);
	if (rc == 0) {
		rc = await(link, call, err);
		/* The guest is there; what it needs time for is ours. */
		if (rc == -ETIMEDOUT && link->making && link->greeted)
			rc = 0;
	}
	pthread_mutex_unlock(&link->lock);
	return rc;
}

bool link_probe(struct link *link, const struct call *call)
{
	struct call mine_call = { .deadline = call->deadline, .cancel = &link->cancel };
	struct error why = { 0 };
	bool mine, others;
	int rc;

	pthread_mutex_lock(&link->lock);
	others = link->making || link->ended;
	mine = !others && link->info.decided && link->info.dialect == DIALECT_SESSION;
	if (mine)
		claim(link);
	pthread_mutex_unlock(&link->lock);
	if (mine) {
		rc = link_make(link, &mine_call, true, &why);
		made(link, rc, &why);
	}
	return mine || others;
}

/*
 * Sessions
 */

int link_dialect(struct link *link, const struct call *call, enum dialect *out, struct error *err)
{
	int rc = 0;

	pthread_mutex_lock(&link->lock);
	while (rc == 0 && !link->info.decided)
		rc = get_made(link, call, err);
	*out = link->info.dialect;
	pthread_mutex_unlock(&link->lock);
	return rc;
}

/* link->lock is held. */
static bool is_usable(struct link *link)
{
	return link->mux && !link->silent && !mux_dead(link->mux) && !link_is_suspicious(link);
}

static int get_mux(struct link *link, const struct call *call, struct mux **out,
		   uint64_t *generation, struct error *err)
{
	unsigned tries = 0;
	int rc = 0;

	pthread_mutex_lock(&link->lock);
	while (rc == 0 && !is_usable(link)) {
		if (tries++ == MAX_TRIES)
			rc = error_set(err, EIO,
				       "each session of the guest's agent breaks at once");
		else if (link->info.decided && link->info.dialect == DIALECT_LINE)
			rc = error_set(err, EOPNOTSUPP, "the guest has no session: %s",
				       link->info.why_line);
		else
			rc = get_made(link, call, err);
	}
	if (rc == 0) {
		*out = mux_ref(link->mux);
		*generation = link->generation;
	}
	pthread_mutex_unlock(&link->lock);
	return rc;
}

int link_mux(struct link *link, const struct call *call, struct mux **out, struct error *err)
{
	uint64_t generation;

	return get_mux(link, call, out, &generation, err);
}

uint64_t link_epoch(struct link *link)
{
	uint64_t epoch;

	pthread_mutex_lock(&link->lock);
	epoch = link->epoch;
	pthread_mutex_unlock(&link->lock);
	return epoch;
}

void link_unanswered(struct link *link, struct mux *mux, int64_t since, const struct error *said)
{
	int64_t timeout = (int64_t)(link->guest->options.timeout * (double)NSEC_PER_SEC);
	int64_t heard = link_heard_at(link), waited;
	struct error why;

	guest_health_note(link->guest, said);
	/* An answer to what was asked before may have been read since only. */
	if (heard > since)
		since = heard;
	waited = call_now() - since;
	/* A caller's deadline is a moment shorter than what it was made from. */
	if (waited < timeout - timeout / 10)
		return;
	pthread_mutex_lock(&link->lock);
	if (link->mux == mux && !link->ended && !mux_dead(mux)) {
		link->silent = true;
		error_set(&why, ETIMEDOUT, "the guest's agent has not answered for %.1f s",
			  (double)waited / (double)NSEC_PER_SEC);
		guest_health_silent(link->guest, since, &why);
	}
	pthread_mutex_unlock(&link->lock);
}

/*
 * Calls
 */

void link_retried(struct link *link, enum session_op op)
{
	traffic_add(&link->guest->traffic, ops_kind(op), &(struct traffic_count){ .retries = 1 });
}

static bool names_handle(enum session_op op)
{
	switch (op) {
	case OP_CLOSE:
	case OP_READ:
	case OP_WRITE:
	case OP_FSYNC:
	case OP_FSTAT:
		return true;
	default:
		return false;
	}
}

/* Whether doing it twice is as good as once. */
static bool is_repeatable(enum session_op op)
{
	switch (op) {
	case OP_STAT:
	case OP_READLINK:
	case OP_STATFS:
	case OP_SYNC:
	case OP_BARRIER:
	case OP_SERVICE_STATUS:
	case OP_SERVICE_LIST:
	case OP_SHELL_STATUS:
	case OP_SHELL_RESIZE:
	case OP_COMMAND_STATUS:
	case OP_WAIT:
	case OP_INFO:
		return true;
	default:
		return false;
	}
}

static int broken(const struct error *why, bool maybe_done, enum session_op op, struct error *err)
{
	if (maybe_done)
		return error_set(
			err, EIO,
			"the session broke during '%s', and whether the guest did it is not "
			"known: %s",
			ops_name(op) ? ops_name(op) : "a call", why->text);
	return error_set(err, EIO, "the session broke again and again: %s", why->text);
}

int link_call(struct link *link, const struct call *call, enum session_op op,
	      const struct buf *args, struct buf *reply, uint64_t *generation, struct error *err)
{
	uint64_t ignored, *number = generation ? generation : &ignored;

	if (names_handle(op))
		return error_set(err, EINVAL, "'%s' belongs to one session", ops_name(op));
	for (int sessions = 1;; sessions++) {
		struct error why = { 0 };
		bool maybe_done = false;
		int64_t since = call_now();
		struct mux *mux = NULL;
		int rc = get_mux(link, call, &mux, number, err);

		if (rc < 0)
			return rc;
		rc = mux_call(mux, call, op, args, reply, &maybe_done, &why);
		if (rc == -ETIMEDOUT)
			link_unanswered(link, mux, since, &why);
		mux_unref(mux);
		if (rc != -ECONNRESET)
			return rc ? error_copy(err, &why) : 0;
		maybe_done = maybe_done && !is_repeatable(op);
		if (maybe_done || sessions == 2)
			return broken(&why, maybe_done, op, err);
		link_retried(link, op);
	}
}

void link_get_info(struct link *link, struct link_info *out)
{
	pthread_mutex_lock(&link->lock);
	*out = link->info;
	pthread_mutex_unlock(&link->lock);
}
