/*
 * reaper.c - the thread behind reaper.h.
 *
 * Handing over is a push on a list and a wake-up; from then on the exchange is the thread's
 * alone.  The thread ends when it has nothing left, under the same lock under which
 * others look whether it runs: nothing is handed to a thread that is leaving.
 */
#include "protocol/reaper.h"

#include <errno.h>
#include <poll.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdlib.h>
#include <sys/eventfd.h>

#include "protocol/cleanup.h"
#include "protocol/line/exchange_io.h"
#include "protocol/thread.h"

#define NSEC_PER_SEC INT64_C(1000000000)
#define NSEC_PER_MSEC INT64_C(1000000)
#define POORLY_MS 100 /* how often to look where poll(2) cannot be told everything */

static struct {
	pthread_mutex_t lock;
	struct exchange *handed; /* lock; not yet seen by the thread */
	bool running;            /* lock */
	int wake;                /* lock; eventfd, while the thread runs */
} reaper = { .lock = PTHREAD_MUTEX_INITIALIZER, .wake = -1 };

/* What the thread works on. */
struct work {
	struct exchange *list;
	size_t count;
	struct pollfd *polls; /* [0] is the wake-up, then the list in its order; owned */
	size_t room;
};

/* Gives everything back that the exchange holds. */
static void settle(struct exchange *x)
{
	struct guest *guest = x->guest;

	exchange_account(x);
	exchange_free(x);
	gate_leave(&guest->gate);
	guest_pending(guest, -1, -1);
	guest_release(guest);
}

/* When something is to be done about X without any event. */
static int64_t next_look(const struct exchange *x)
{
	int64_t silent = x->heard_at + x->patience;

	if (x->state == EXCHANGE_DIAL)
		return x->dialled_at + LIMIT_HANDSHAKE_SECONDS * NSEC_PER_SEC;
	return !x->reported && silent < x->reap_until ? silent : x->reap_until;
}

static void report_silence(struct exchange *x)
{
	struct error why;

	error_set(&why, ETIMEDOUT, "the guest has not answered for %.0f s",
		  (double)(call_now() - x->heard_at) / (double)NSEC_PER_SEC);
	x->reported = true;
	guest_health_silent(x->guest, x->heard_at, &why);
}

static void report_stuck(struct exchange *x)
{
	struct error why;

	error_set(&why, ETIMEDOUT,
		  "a request to the guest has not come to its end: restart its agent");
	guest_health_stuck(x->guest, &why);
}

/* Judges X by the clock.  True when it is to be closed. */
static bool out_of_time(struct exchange *x, int64_t now)
{
	struct error why;

	if (x->state == EXCHANGE_DIAL) {
		/* Nobody has accepted yet, so nobody is hurt. */
		if (now < next_look(x))
			return false;
		dial_timed_out(&x->dial, &why);
		guest_health_gone(x->guest, &why);
		return true;
	}
	if (now >= x->reap_until || x->received > LIMIT_ARCHIVE_SIZE) {
		report_stuck(x);
		return true;
	}
	if (!x->reported && now >= x->heard_at + x->patience)
		report_silence(x);
	return false;
}

/* Moves X.  True when it is over. */
static bool step(struct exchange *x)
{
	struct error err;
	int rc = exchange_step(x, &err);

	if (x->state == EXCHANGE_IDLE) {
		if (rc < 0)
			guest_health_note(x->guest, &err);
		return true;
	}
	if (x->state != EXCHANGE_END)
		return false;
	if (x->braced)
		guest_health_ok(x->guest, -1);
	return true;
}

/* Steps what is ready, and lets go of what is over. */
static void go_round(struct work *work, size_t polled)
{
	int64_t now = call_now();
	size_t at = 0;

	for (struct exchange **link = &work->list; *link;) {
		struct exchange *x = *link;
		bool ready = ++at >= polled || work->polls[at].revents;

		if ((ready && step(x)) || out_of_time(x, now)) {
			*link = x->next;
			work->count--;
			settle(x);
		} else {
			link = &x->next;
		}
	}
}

/* Room for COUNT exchanges and the wake-up; what there is is used where memory is short. */
static void make_room(struct work *work, size_t count)
{
	size_t room = (count + 1) * 2;
	struct pollfd *grown;

	if (count < work->room)
		return;
	grown = realloc(work->polls, room * sizeof(*grown));
	if (grown) {
		work->polls = grown;
		work->room = room;
	}
}

/* Sleeps until something is ready or due.  Returns how many of polls were used. */
static size_t wait_for_work(struct work *work, int wake)
{
	int64_t now = call_now(), due = INT64_MAX;
	size_t used = 0;
	int timeout = -1;

	make_room(work, work->count);
	if (work->room)
		work->polls[used++] = (struct pollfd){ .fd = wake, .events = POLLIN };
	for (struct exchange *x = work->list; x; x = x->next) {
		if (used && used < work->room)
			work->polls[used++] = (struct pollfd){ .fd = exchange_fd(x),
							       .events = exchange_events(x) };
		if (next_look(x) < due)
			due = next_look(x);
	}
	if (due < INT64_MAX)
		timeout = due <= now ? 0 : (int)((due - now) / NSEC_PER_MSEC) + 1;
	if (used <= work->count && (timeout < 0 || timeout > POORLY_MS))
		timeout = POORLY_MS;
	if (poll(work->polls, used, timeout) <= 0)
		for (size_t i = 0; i < used; i++)
			work->polls[i].revents = 0;
	return used;
}

/* Takes what was handed over.  False, and the thread is no longer running, if there is nothing. */
static bool collect(struct work *work)
{
	struct exchange *handed;

	pthread_mutex_lock(&reaper.lock);
	handed = move_ptr(reaper.handed);
	if (!handed && !work->list) {
		cleanup_close(&reaper.wake);
		reaper.wake = -1;
		reaper.running = false;
		pthread_mutex_unlock(&reaper.lock);
		return false;
	}
	pthread_mutex_unlock(&reaper.lock);
	while (handed) {
		struct exchange *x = handed;

		handed = x->next;
		x->next = work->list;
		work->list = x;
		work->count++;
	}
	return true;
}

static void reap(void *arg)
{
	struct work work = { 0 };
	int wake = (int)(intptr_t)arg; /* only this thread closes it */
	uint64_t news;

	while (collect(&work)) {
		size_t polled = wait_for_work(&work, wake);

		if (read(wake, &news, sizeof(news)) < 0)
			news = 0; /* nothing new */
		go_round(&work, polled);
	}
	free(work.polls);
}

/* reaper.lock is held. */
static void start(void)
{
	reaper.wake = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	if (reaper.wake < 0)
		return;
	reaper.running = thread_detach(reap, (void *)(intptr_t)reaper.wake) == 0;
	if (!reaper.running) {
		cleanup_close(&reaper.wake);
		reaper.wake = -1;
	}
}

void reaper_take(struct exchange *x)
{
	uint64_t one = 1;

	if (!x->reap_until)
		x->reap_until = call_now() + LIMIT_REAP_SECONDS * NSEC_PER_SEC;
	guest_pending(x->guest, 1, 1);
	pthread_mutex_lock(&reaper.lock);
	x->next = reaper.handed;
	reaper.handed = x;
	if (!reaper.running)
		start();
	else if (write(reaper.wake, &one, sizeof(one)) < 0)
		one = 0; /* its counter is full: it is awake already */
	pthread_mutex_unlock(&reaper.lock);
}
