/*
 * link_beat.c - what was asked and heard on a guest's sessions: its health, its silence.
 *
 * Which calls are unanswered only the mux knows; here it is estimated from how much is sent and how
 * often something is heard, too high rather than too low: who is suspected has but to answer a
 * question.
 */
#include "protocol/session/link_internal.h"

#define NSEC_PER_SEC INT64_C(1000000000)

static void lock(struct link *link)
{
	pthread_mutex_lock(&link->beat_lock);
}

static void unlock(struct link *link)
{
	pthread_mutex_unlock(&link->beat_lock);
}

static void asked(struct link *link)
{
	lock(link);
	link->unanswered++;
	if (!link->asked_at)
		link->asked_at = call_now();
	unlock(link);
}

/* Seconds that the answer took, if it can only be that to the one call there was; else -1. */
static double took(struct link *link)
{
	double seconds = -1;

	lock(link);
	if (link->unanswered == 1 && link->asked_at)
		seconds = (double)(call_now() - link->asked_at) / (double)NSEC_PER_SEC;
	unlock(link);
	return seconds;
}

static void heard(struct link *link)
{
	int64_t now = call_now();

	lock(link);
	if (link->unanswered)
		link->unanswered--;
	link->asked_at = link->unanswered ? now : 0;
	link->heard_at = now;
	unlock(link);
}

void link_beat(void *arg, bool news)
{
	struct link *link = arg;

	if (!news) {
		asked(link);
		return;
	}
	/* In this order: what is unanswered still is so since the guest's answer, not since before it. */
	guest_health_ok(link->guest, took(link));
	heard(link);
}

void link_beat_reset(struct link *link)
{
	lock(link);
	link->unanswered = 0;
	link->asked_at = 0;
	link->heard_at = call_now();
	unlock(link);
}

int64_t link_silent_since(struct link *link)
{
	int64_t since;

	lock(link);
	since = link->asked_at;
	unlock(link);
	return since;
}

int64_t link_heard_at(struct link *link)
{
	int64_t at;

	lock(link);
	at = link->heard_at;
	unlock(link);
	return at;
}

bool link_is_suspicious(struct link *link)
{
	int64_t since = link_silent_since(link);
	int64_t timeout = (int64_t)(link->guest->options.timeout * (double)NSEC_PER_SEC);

	return since && call_now() - since >= timeout;
}
