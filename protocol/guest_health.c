/*
 * guest_health.c - what is known of whether a guest answers.
 *
 * The states: new (never answered, or told to forget), up, gone, stuck.  Any answer
 * makes it up.  While it is gone or stuck, requests fail at once and each second the first
 * of them starts a probe in a thread of its own.
 */
#include "protocol/guest_internal.h"

#include <errno.h>
#include <stdio.h>

#include "protocol/line/exchange.h"
#include "protocol/session/link.h"
#include "protocol/thread.h"

#define NSEC_PER_SEC INT64_C(1000000000)
#define PROBE_INTERVAL NSEC_PER_SEC
#define REFUSAL_GAP (2 * NSEC_PER_SEC) /* refusals further apart are two stories */
#define LAST_ATTEMPT 0.9               /* of the timeout, spent on attempts */

static void lock(struct guest *guest)
{
	pthread_mutex_lock(&guest->lock);
}

static void unlock(struct guest *guest)
{
	pthread_mutex_unlock(&guest->lock);
}

void guest_pending(struct guest *guest, int change, int abandoned)
{
	lock(guest);
	guest->pending += (unsigned)change;
	guest->status.abandoned += (uint64_t)(int64_t)abandoned;
	if (guest->pending == 0)
		pthread_cond_broadcast(&guest->quiet);
	unlock(guest);
}

static void probe(void *arg)
{
	struct guest *guest = arg;
	struct call call = guest_call(guest, NULL);

	/* Both tell the guest's health themselves. */
	if (!link_probe(guest->link, &call))
		exchange_probe(guest, &call, NULL);
	lock(guest);
	guest->probing = false;
	unlock(guest);
	guest_pending(guest, -1, 0);
	guest_release(guest);
}

/* guest->lock is held.  Whether the caller is the one who starts the next probe. */
static bool claim_probe(struct guest *guest)
{
	int64_t now = call_now();

	if (guest->probing || guest->ending || now < guest->next_probe)
		return false;
	guest->probing = true;
	guest->next_probe = now + PROBE_INTERVAL;
	guest->pending++;
	guest->holds++;
	return true;
}

static void start_probe(struct guest *guest)
{
	if (thread_detach(probe, guest) == 0)
		return;
	lock(guest);
	guest->probing = false;
	unlock(guest);
	guest_pending(guest, -1, 0);
	guest_release(guest);
}

int guest_admit(struct guest *guest, struct error *err)
{
	bool gone, stuck, claimed = false;
	struct error why;

	lock(guest);
	stuck = guest->status.state == GUEST_STUCK;
	gone = stuck || guest->status.state == GUEST_GONE;
	if (gone) {
		claimed = claim_probe(guest);
		why = guest->status.last_error;
	}
	unlock(guest);
	if (!gone)
		return 0;
	if (claimed)
		start_probe(guest);
	return error_set(err, ENOTCONN, "the guest is %s: %s", stuck ? "stuck" : "gone", why.text);
}

bool guest_answered(struct guest *guest)
{
	bool answered;

	lock(guest);
	answered = guest->answered;
	unlock(guest);
	return answered;
}

void guest_health_ok(struct guest *guest, double round_trip)
{
	lock(guest);
	guest->answered = true;
	guest->answered_at = call_now();
	guest->status.state = GUEST_UP;
	guest->next_probe = 0;
	guest->refused_since = 0;
	if (round_trip >= 0)
		guest->status.round_trip = round_trip;
	unlock(guest);
}

void guest_health_note(struct guest *guest, const struct error *why)
{
	lock(guest);
	error_copy(&guest->status.last_error, why);
	unlock(guest);
}

void guest_judge(struct guest *guest, int rc, const struct error *why)
{
	if ((rc == -EPROTO || rc == -EOVERFLOW) && why->code == -rc)
		guest_health_note(guest, why);
}

static void fall(struct guest *guest, enum guest_state state, const struct error *why)
{
	lock(guest);
	guest->status.state = state;
	guest->refused_since = 0;
	error_copy(&guest->status.last_error, why);
	unlock(guest);
	gate_turn_away(&guest->gate);
}

void guest_health_gone(struct guest *guest, const struct error *why)
{
	fall(guest, GUEST_GONE, why);
}

void guest_health_silent(struct guest *guest, int64_t since, const struct error *why)
{
	bool answered;

	lock(guest);
	answered = guest->answered && guest->answered_at > since;
	unlock(guest);
	if (!answered)
		guest_health_gone(guest, why);
}

void guest_health_stuck(struct guest *guest, const struct error *why)
{
	fall(guest, GUEST_STUCK, why);
}

bool guest_refused(struct guest *guest, bool given_up)
{
	double seconds = guest->options.timeout * (given_up ? LAST_ATTEMPT : 1);
	int64_t patience = (int64_t)(seconds * (double)NSEC_PER_SEC);
	int64_t now = call_now();
	bool enough;

	lock(guest);
	if (!guest->refused_since || now - guest->refused_last > REFUSAL_GAP)
		guest->refused_since = now;
	guest->refused_last = now;
	enough = now - guest->refused_since >= patience;
	unlock(guest);
	return enough;
}

void guest_reconnect(struct guest *guest)
{
	lock(guest);
	if (guest->status.state == GUEST_GONE || guest->status.state == GUEST_STUCK)
		guest->status.state = GUEST_NEW;
	guest->next_probe = 0;
	guest->refused_since = 0;
	unlock(guest);
}

void guest_set_machine(struct guest *guest, const char *machine)
{
	lock(guest);
	snprintf(guest->status.machine, sizeof(guest->status.machine), "%s", machine);
	unlock(guest);
}

bool guest_is_ending(struct guest *guest)
{
	bool ending;

	lock(guest);
	ending = guest->ending;
	unlock(guest);
	return ending;
}

void guest_get_status(struct guest *guest, struct guest_status *out)
{
	lock(guest);
	*out = guest->status;
	unlock(guest);
	out->traffic = traffic_total(&guest->traffic);
}
