/*
 * exchange.c - the caller's side of an exchange: the gate, the attempts, the wait, and
 * who finishes it when the caller gives up.
 *
 * How long.  A caller waits to its deadline; every byte that moves of a payload
 * or of an export moves the deadline on to the same span from then.  Giving up
 * says nothing about the guest: whether it is gone, the reaper finds out, which
 * goes on listening for as long as the caller would have, and at least for the guest's
 * `timeout`.  So a short deadline never makes a healthy guest gone.
 *
 * Again.  A refused connection is tried again only at a guest that has answered
 * before (an agent that restarts, or whose queue is full); once it is connected, a request is sent
 * again only if nothing of it was sent or the caller says that this is harmless.
 */
#include "protocol/line/exchange.h"

#include <errno.h>
#include <poll.h>
#include <string.h>
#include <sys/eventfd.h>

#include "protocol/cleanup.h"
#include "protocol/line/exchange_io.h"
#include "protocol/reaper.h"

#define NSEC_PER_SEC INT64_C(1000000000)
#define NSEC_PER_MSEC INT64_C(1000000)
#define FIRST_PAUSE 0.005 /* seconds between attempts, doubling */
#define LAST_PAUSE 0.5
#define MAX_RESENDS 3 /* an agent that dies of a request must not get it for ever */
#define GOODBYE_MS 20 /* for the peer to close behind an answer that is an error */

struct run {
	struct exchange *x; /* owned; with its place at the gate, which one aside has not */
	const struct call *call;
	int64_t span; /* nanoseconds that the caller was willing to wait */
	bool probe;   /* asked only whether the guest is there: one attempt, gone or not */
	bool repeatable;
	int resends;
	int wake;    /* eventfd, or -1 where nobody can cancel */
	int session; /* what a hello's connection has become, or -1 */
};

static void wake_run(void *arg)
{
	struct run *run = arg;
	uint64_t one = 1;

	if (write(run->wake, &one, sizeof(one)) < 0)
		one = 0; /* cannot be: the counter is far from full */
}

static int interrupted(struct error *err)
{
	return error_set(err, EINTR, "interrupted before the guest had answered");
}

static int timed_out(const struct run *run, struct error *err)
{
	double seconds = (double)run->span / (double)NSEC_PER_SEC;

	return error_set(err, ETIMEDOUT,
			 "the guest did not answer within %.*f s: it is busy, or gone",
			 seconds < 1 ? 2 : 0, seconds > 0 ? seconds : 0);
}

/* The moment at which the caller gives up, as things are. */
static int64_t give_up_at(const struct run *run)
{
	int64_t bulk = run->x->bulk_at ? run->x->bulk_at + run->span : 0;

	return bulk > run->call->deadline ? bulk : run->call->deadline;
}

/* Waits for the exchange's next event.  0, -EINTR, -ETIMEDOUT. */
static int wait_event(struct run *run, struct error *err)
{
	struct exchange *x = run->x;
	struct pollfd polls[] = {
		{ .fd = exchange_fd(x), .events = exchange_events(x) },
		{ .fd = run->wake, .events = POLLIN },
	};
	struct call until = { .deadline = give_up_at(run) };
	int64_t handshake = x->dialled_at + LIMIT_HANDSHAKE_SECONDS * NSEC_PER_SEC;
	int rc;

	if (x->state == EXCHANGE_DIAL && handshake < until.deadline)
		until.deadline = handshake;
	rc = poll(polls, 2, call_remaining_ms(&until));
	if (cancel_fired(run->call->cancel))
		return interrupted(err);
	if (rc > 0 || (rc < 0 && errno == EINTR) || call_now() < until.deadline)
		return 0;
	if (x->state == EXCHANGE_DIAL && until.deadline == handshake) {
		/* Nobody has accepted the connection: closing it hurts nobody. */
		rc = dial_timed_out(&x->dial, err);
		exchange_rewind(x);
		return rc;
	}
	return timed_out(run, err);
}

/* One connection, as far as the caller follows it.  The state says how far that was. */
static int attempt(struct run *run, struct error *err)
{
	struct exchange *x = run->x;
	int rc = exchange_dial(x, err);

	if (rc == 0)
		rc = exchange_step(x, err);
	while (rc == 0 && x->state != EXCHANGE_END) {
		rc = wait_event(run, err);
		if (rc == 0)
			rc = exchange_step(x, err);
	}
	return rc;
}

static bool is_local_failure(int rc)
{
	return rc == -EMFILE || rc == -ENFILE || rc == -ENOMEM || rc == -ENOBUFS;
}

/*
 * The connection did not come about.  True if it is to be tried again; else
 * *RC is the caller's.
 */
static bool try_again(struct run *run, int *rc, struct error *err)
{
	struct guest *guest = run->x->guest;
	bool busy = *rc == -EAGAIN;
	bool passes = busy || *rc == -ECONNREFUSED || *rc == -ECONNRESET;

	if (is_local_failure(*rc) || run->x->aside)
		return false;
	if (passes && !run->probe && (busy || guest_answered(guest)) &&
	    !guest_refused(guest, false))
		return true;
	guest_health_gone(guest, err);
	if (*rc != -EAFNOSUPPORT && *rc != -EACCES)
		*rc = error_set(err, ENOTCONN, "%s", err->text);
	return false;
}

/* The connection broke before an answer.  True if the request may be sent once more. */
static bool send_again(struct run *run, const struct error *err)
{
	struct exchange *x = run->x;

	if (x->aside)
		return false;
	guest_health_note(x->guest, err);
	if (run->probe || x->received > 0 || x->payload_read > 0 || !guest_answered(x->guest))
		return false;
	if (exchange_untouched(x))
		return true;
	return run->repeatable && run->resends++ < MAX_RESENDS;
}

/* Whether the attempt that ended with *RC is to be repeated. */
static bool repeat(struct run *run, int *rc, struct error *err)
{
	switch (run->x->state) {
	case EXCHANGE_IDLE:
		return try_again(run, rc, err);
	case EXCHANGE_END:
		return *rc == -EPROTO && send_again(run, err);
	default:
		return false;
	}
}

/* Sleeps before the next attempt; the last attempt's error stands when the time is up. */
static int pause_run(struct run *run, double *seconds, struct error *err)
{
	int rc = call_sleep(run->call, *seconds);

	*seconds = *seconds * 2 < LAST_PAUSE ? *seconds * 2 : LAST_PAUSE;
	if (rc == -EINTR)
		return interrupted(err);
	if (rc == 0)
		return 0;
	if (err->code == EPROTO)
		return -EPROTO;
	if (guest_refused(run->x->guest, true))
		guest_health_gone(run->x->guest, err);
	return error_set(err, err->code == EAGAIN ? ETIMEDOUT : ENOTCONN, "%s", err->text);
}

static int all_attempts(struct run *run, struct error *err)
{
	double seconds = FIRST_PAUSE;
	int rc;

	for (;;) {
		/* For each attempt anew: the pause between two uses the token's waker itself. */
		if (!cancel_set_wake(run->call->cancel, wake_run, run))
			return interrupted(err);
		rc = attempt(run, err);
		cancel_unset_wake(run->call->cancel);
		if (rc == 0 || !repeat(run, &rc, err))
			return rc;
		run->x->traffic.retries++;
		exchange_account(run->x);
		exchange_rewind(run->x);
		rc = pause_run(run, &seconds, err);
		if (rc < 0)
			return rc;
	}
}

/* An answer that is an error is mostly followed by EOF at once: worth a moment, not a thread. */
static void say_goodbye(struct exchange *x)
{
	struct call until = call_within(GOODBYE_MS / 1000.0, NULL);

	while (x->state == EXCHANGE_TALK && call_remaining_ms(&until) > 0) {
		struct pollfd ready = { .fd = exchange_fd(x), .events = exchange_events(x) };

		if (poll(&ready, 1, call_remaining_ms(&until)) > 0)
			exchange_step(x, NULL);
	}
}

/* The caller has its answer: what is still open is finished by the reaper. */
static void finish(struct run *run, int rc)
{
	struct exchange *x = move_ptr(run->x);
	struct guest *guest = x->guest;

	if (x->state == EXCHANGE_DIAL || x->state == EXCHANGE_TALK) {
		exchange_abandon(x);
		if (rc != -ETIMEDOUT && rc != -EINTR)
			say_goodbye(x);
	}
	exchange_account(x);
	if (x->state == EXCHANGE_DIAL || x->state == EXCHANGE_TALK) {
		guest_hold(guest);
		reaper_take(x);
		return;
	}
	exchange_free(x);
	gate_leave(&guest->gate);
}

/* No agent that dies of a client's early leave listens there. */
static void finish_aside(struct run *run)
{
	exchange_account(run->x);
	exchange_free(move_ptr(run->x));
}

/* A caller's wait is at most the deadline's distance; the guest's silence is judged by more. */
static void set_patience(struct run *run)
{
	struct exchange *x = run->x;
	int64_t timeout = (int64_t)(x->guest->options.timeout * (double)NSEC_PER_SEC);

	x->patience = run->span > timeout ? run->span : timeout;
}

/* With a place at the gate. */
static int converse(struct run *run, json_t **reply, struct error *err)
{
	struct exchange *x = run->x;
	struct guest *guest = x->guest;
	bool bulky = x->shape == EXCHANGE_HEADER || x->payload.size > 0;
	double took = -1;
	int rc;

	rc = all_attempts(run, err);
	if (rc == 0 || rc == -EREMOTEIO || rc == -EBUSY) {
		if (!bulky)
			took = (double)(call_now() - x->dialled_at) / (double)NSEC_PER_SEC;
		guest_health_ok(guest, took);
	}
	if (rc == 0) {
		*reply = move_ptr(x->object);
		run->session = x->session ? move_fd(x->fd) : -1;
	} else if (rc == -ETIMEDOUT && !x->aside) {
		guest_health_note(guest, err);
	}
	if (x->aside)
		finish_aside(run);
	else
		finish(run, rc);
	return rc;
}

static int enter(struct run *run, struct error *err)
{
	struct guest *guest = run->x->guest;
	int rc = run->probe || run->x->aside ? 0 : guest_admit(guest, err);

	if (rc < 0)
		return rc;
	if (run->call->cancel) {
		run->wake = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
		if (run->wake < 0)
			return error_set(err, errno, "cannot make an eventfd: %s", strerror(errno));
	}
	return run->x->aside ? 0 : gate_enter(&guest->gate, run->call, err);
}

static int run_exchange(struct run *run, json_t **reply, struct error *err)
{
	struct error why = { 0 }; /* health wants the sentence even where the caller does not */
	int rc;

	run->wake = -1;
	run->session = -1;
	run->span = run->call->deadline - call_now();
	if (run->call->kind)
		run->x->kind = run->call->kind;
	set_patience(run);
	rc = run->span > 0 ? enter(run, &why) : timed_out(run, &why);
	if (rc < 0)
		exchange_free(move_ptr(run->x));
	else
		rc = converse(run, reply, &why);
	cleanup_close(&run->wake);
	if (rc < 0)
		error_copy(err, &why);
	return rc;
}

int exchange_run(struct guest *guest, const struct call *call, struct exchange_request *request,
		 json_t **reply, struct error *err)
{
	struct run run = { .call = call, .repeatable = request->repeatable };
	int rc = exchange_new(guest, request, &run.x, err);

	if (rc < 0)
		return rc;
	run.x->shape = EXCHANGE_OBJECT;
	return run_exchange(&run, reply, err);
}

int exchange_run_export(struct guest *guest, const struct call *call,
			struct exchange_request *request, int64_t max_size,
			int (*sink)(void *arg, const void *bytes, size_t len), void *arg,
			json_t **header, struct error *err)
{
	struct run run = { .call = call, .repeatable = request->repeatable };
	int rc = exchange_new(guest, request, &run.x, err);

	if (rc < 0)
		return rc;
	run.x->shape = EXCHANGE_HEADER;
	buf_init(&run.x->reply, LIMIT_EXPORT_HEADER);
	run.x->max_size = max_size;
	run.x->sink = sink;
	run.x->sink_arg = arg;
	return run_exchange(&run, header, err);
}

int exchange_run_hello(struct guest *guest, const struct call *call,
		       struct exchange_request *request, const struct address *aside, bool probe,
		       int *fd, json_t **reply, struct error *err)
{
	struct run run = { .call = call, .probe = probe, .repeatable = true };
	int rc = exchange_new(guest, request, &run.x, err);

	*fd = -1;
	if (rc < 0)
		return rc;
	run.x->shape = EXCHANGE_HELLO;
	run.x->aside = aside;
	rc = run_exchange(&run, reply, err);
	*fd = run.session;
	return rc;
}

int exchange_probe(struct guest *guest, const struct call *call, struct error *err)
{
	struct exchange_request request = {
		.object = json_pack("{s:s, s:i}", "command", ":", "timeout_seconds", 5),
		.kind = TRAFFIC_HELLO,
		.repeatable = true,
	};
	struct run run = { .call = call, .probe = true };
	json_t *reply = NULL;
	int rc = exchange_new(guest, &request, &run.x, err);

	if (rc < 0)
		return rc;
	run.x->shape = EXCHANGE_OBJECT;
	rc = run_exchange(&run, &reply, err);
	json_decref(reply);
	return rc;
}
