/*
 * link_make.c - one attempt at a session: the old one asked whether it lives, our delivered agent,
 * the guest's own, and a new delivery, in that order.
 */
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "protocol/cleanup.h"
#include "protocol/session/deliver.h"
#include "protocol/session/link_internal.h"

#define NSEC_PER_SEC INT64_C(1000000000)
#define CHECK_SECONDS 1 /* for one that has been silent for the guest's whole `timeout` */

/* Half of what is left of CALL. */
static struct call half_of(const struct call *call)
{
	double left = (double)(call->deadline - call_now()) / (double)NSEC_PER_SEC;

	return call_extend(call, left / 2);
}

static bool is_gone(struct guest *guest)
{
	struct guest_status status;

	guest_get_status(guest, &status);
	return status.state == GUEST_GONE || status.state == GUEST_STUCK;
}

/*
 * Asks the session that there is whether it lives.  1: it does.  0: a new one is to be made.
 * Negative: the guest is gone.
 */
static int check(struct link *link, const struct call *call, bool probe, struct error *err)
{
	struct call within = probe ? half_of(call) : *call;
	int64_t since = link_silent_since(link);
	struct mux *mux;
	bool suspicious;
	int rc;

	pthread_mutex_lock(&link->lock);
	mux = link->mux ? mux_ref(link->mux) : NULL;
	suspicious = link->silent || link_is_suspicious(link);
	pthread_mutex_unlock(&link->lock);
	if (!mux)
		return 0;
	if (!probe && suspicious)
		within = call_extend(call, CHECK_SECONDS);
	if (!since)
		since = call_now();
	rc = mux_call(mux, &within, OP_INFO, NULL, NULL, NULL, err);
	mux_unref(mux);
	if (rc == -EINTR)
		return rc;
	if (rc == -ECONNRESET) {
		guest_health_note(link->guest, err); /* why it broke */
		return 0;
	}
	if (rc != -ETIMEDOUT) {
		link_beat_reset(link);
		pthread_mutex_lock(&link->lock);
		link->silent = false;
		pthread_mutex_unlock(&link->lock);
		return 1;
	}
	if (probe)
		return 0;
	pthread_mutex_lock(&link->lock);
	link->silent = true;
	pthread_mutex_unlock(&link->lock);
	/* Unless it has answered otherwise meanwhile: then only the session is ill. */
	guest_health_silent(link->guest, since, err);
	return is_gone(link->guest) ? error_set(err, ENOTCONN, "%s", err->text) : 0;
}

/* link->lock is held.  What an agent without a verifier knows nothing of is taken for well. */
static void set_epoch(struct link *link, const struct hello *hello)
{
	if (!link->epoch || (hello->verifier[0] && link->verifier[0] &&
			     strcmp(hello->verifier, link->verifier) != 0))
		link->epoch++;
	if (hello->verifier[0])
		memcpy(link->verifier, hello->verifier, sizeof(link->verifier));
	mux_set_epoch(link->mux, link->epoch);
}

/* Makes HELLO's connection the guest's session. */
static int install(struct link *link, struct hello *hello, uint32_t port, struct error *err)
{
	struct error over = { .code = ECONNRESET, .text = "another session took its place" };
	struct mux *mux, *old;
	int rc = mux_new(move_fd(hello->fd), &link->guest->traffic, link_beat, link, &mux, err);

	if (rc < 0)
		return rc;
	link_beat_reset(link);
	pthread_mutex_lock(&link->lock);
	old = link->mux;
	link->mux = mux;
	set_epoch(link, hello);
	link->generation++;
	link->silent = false;
	link->port = port;
	link->info = (struct link_info){ .decided = true,
					 .dialect = DIALECT_SESSION,
					 .delivered = port != 0 };
	memcpy(link->info.agent, hello->agent, sizeof(link->info.agent));
	memcpy(link->info.build, hello->build, sizeof(link->info.build));
	if (link->ended) {
		error_set(&over, ECONNRESET, "the guest was detached");
		mux_kill(mux, &over);
	}
	pthread_mutex_unlock(&link->lock);
	if (old) {
		mux_kill(old, &over);
		mux_unref(old);
	}
	return 0;
}

/* Our agent where it was last: 1 if it is there, 0 if not; negative if the guest is gone. */
static int ask_delivered(struct link *link, const struct call *call, bool probe, struct error *err)
{
	struct call within = probe ? half_of(call) : *call;
	int64_t since = call_now();
	struct hello hello;
	uint32_t port;
	bool same;
	int rc;

	pthread_mutex_lock(&link->lock);
	port = link->port;
	pthread_mutex_unlock(&link->lock);
	if (!port)
		return 0;
	rc = hello_ask_at(link->guest, &within, port, &hello, err);
	if (rc == -ETIMEDOUT && !probe) {
		guest_health_silent(link->guest, since, err);
		return is_gone(link->guest) ? error_set(err, ENOTCONN, "%s", err->text) : 0;
	}
	if (rc == -EINTR || rc == -EBUSY)
		return rc;
	if (rc < 0)
		return 0;
	pthread_mutex_lock(&link->lock);
	same = strcmp(hello.build, link->info.build) == 0;
	pthread_mutex_unlock(&link->lock);
	rc = same ? install(link, &hello, port, err) : 0;
	hello_drop(&hello);
	return rc < 0 ? rc : same;
}

/* The line dialect it is, for good, because of WHY. */
static void decide_line(struct link *link, const char *why)
{
	pthread_mutex_lock(&link->lock);
	link->info = (struct link_info){ .decided = true, .dialect = DIALECT_LINE };
	snprintf(link->info.why_line, sizeof(link->info.why_line), "%.255s", why);
	pthread_mutex_unlock(&link->lock);
}

static int may_deliver(struct link *link, const struct hello *own, struct error *err)
{
	struct guest *guest = link->guest;

	if (guest->options.agent == GUEST_AGENT_NEVER)
		return error_set(err, EOPNOTSUPP,
				 "the guest's agent speaks only the line dialect, and agent=never");
	if (guest_is_ending(guest))
		return error_set(err, EOPNOTSUPP, "the guest is being detached");
	if (own->lacks[0])
		return error_set(err, EOPNOTSUPP, "the guest has no %s", own->lacks);
	return 0;
}

/*
 * Whether a delivery that failed with RC settles that it is the line dialect: not if the guest may
 * be away, nor where a session is what it had.
 */
static bool is_for_good(struct link *link, int rc)
{
	bool decided;

	pthread_mutex_lock(&link->lock);
	decided = link->info.decided;
	pthread_mutex_unlock(&link->lock);
	if (decided || is_gone(link->guest))
		return false;
	switch (rc) {
	case -EOPNOTSUPP:
	case -EREMOTEIO:
	case -EIO:
	case -EPROTO:
	case -ETIMEDOUT:
		return true;
	default:
		return false;
	}
}

/* Where the guest's own agent, asked just now, has no session. */
static int deliver(struct link *link, const struct call *call, const struct hello *own,
		   struct error *err)
{
	struct delivery delivery = {
		.guest = link->guest,
		.machine = own->machine,
		.cancel = call->cancel,
		.moved = link_moved,
		.arg = link,
	};
	struct error why = { 0 };
	struct hello hello;
	uint32_t port = 0;
	int rc = may_deliver(link, own, &why);

	if (rc == 0)
		rc = deliver_agent(&delivery, &hello, &port, &why);
	if (rc == 0) {
		rc = install(link, &hello, port, err);
		hello_drop(&hello);
		return rc;
	}
	if (!is_for_good(link, rc))
		return error_copy(err, &why);
	if (own->why[0])
		error_wrap(&why, rc, "%s", own->why);
	decide_line(link, why.text);
	return 0;
}

/* The guest's own agent has answered. */
static int settle(struct link *link, const struct call *call, struct hello *own, struct error *err)
{
	bool line;

	if (own->machine[0] || own->dialect == DIALECT_LINE)
		guest_set_machine(link->guest, own->machine);
	link_greeted(link);
	pthread_mutex_lock(&link->lock);
	line = link->info.decided && link->info.dialect == DIALECT_LINE;
	pthread_mutex_unlock(&link->lock);
	if (line)
		return 0;
	if (own->dialect == DIALECT_SESSION)
		return install(link, own, 0, err);
	return deliver(link, call, own, err);
}

static int make(struct link *link, const struct call *call, bool probe, struct error *err)
{
	struct hello own;
	int rc;

	rc = check(link, call, probe, err);
	if (rc == 0)
		rc = ask_delivered(link, call, probe, err);
	if (rc != 0)
		return rc < 0 ? rc : 0;
	rc = hello_ask(link->guest, call, probe, &own, err);
	if (rc < 0)
		return rc;
	rc = settle(link, call, &own, err);
	hello_drop(&own);
	return rc;
}

int link_make(struct link *link, const struct call *call, bool probe, struct error *err)
{
	int rc = make(link, call, probe, err);

	/* To who waits for a session it is a guest that answers too late. */
	return rc == -EBUSY ? error_set(err, ETIMEDOUT, "%s", err->text) : rc;
}
