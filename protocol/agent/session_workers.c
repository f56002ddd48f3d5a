/* session_workers.c - see session_workers.h. */
#include "protocol/agent/session_workers.h"

#include <errno.h>
#include <signal.h>
#include <time.h>

#include "protocol/agent/session_conn.h"
#include "protocol/agent/session_ops.h"

/*
 * Of the workers, for each lane and for one session in it: so that no number of transfers that are
 * stuck keeps an fsync or a listing waiting, and none of one client's those of the others.
 */
static const struct {
	unsigned all, session;
} places[SESS_LANES] = {
	[SESS_LANE_SHORT] = { SESS_MAX_WORKERS, SESS_MAX_WORKERS / 2 },
	[SESS_LANE_LISTS] = { 16, 4 },
	[SESS_LANE_TRANSFERS] = { 12, 6 },
};

#define IDLE_SECONDS 5
#define WORKER_STACK (256u << 10)

/* All but the interface: with the lock held, where nothing else is said. */

static void put(struct sess_workers *workers, struct sess_call *call)
{
	struct sess_queue *queue = &workers->lanes[call->op->lane];

	call->queued = true;
	call->next = NULL;
	*queue->last = call;
	queue->last = &call->next;
	queue->count++;
}

/* The call that SLOT of its lane's queue points at. */
static struct sess_call *take(struct sess_workers *workers, struct sess_call **slot)
{
	struct sess_call *call = *slot;
	struct sess_queue *queue = &workers->lanes[call->op->lane];

	*slot = call->next;
	if (queue->last == &call->next)
		queue->last = slot;
	call->queued = false;
	queue->count--;
	return call;
}

/* How many calls workers could begin now, or more. */
static unsigned ready(const struct sess_workers *workers)
{
	unsigned sum = 0;

	for (int lane = 0; lane < SESS_LANES; lane++) {
		unsigned free = places[lane].all - workers->running[lane];

		sum += workers->lanes[lane].count < free ? workers->lanes[lane].count : free;
	}
	return sum;
}

/* Where the next call that may be begun is; NULL: there is none. */
static struct sess_call **find(struct sess_workers *workers)
{
	for (int lane = 0; lane < SESS_LANES; lane++) {
		struct sess_call **slot = &workers->lanes[lane].first;

		if (workers->running[lane] == places[lane].all)
			continue;
		while (*slot && (*slot)->sess->running[lane] == places[lane].session)
			slot = &(*slot)->next;
		if (*slot)
			return slot;
	}
	return NULL;
}

/* Waits for something to do; NULL when it is time to end. */
static struct sess_call *await(struct sess_workers *workers)
{
	struct sess_call **slot;
	struct timespec until;
	int rc = 0;

	clock_gettime(CLOCK_MONOTONIC, &until);
	until.tv_sec += IDLE_SECONDS;
	workers->idle++;
	while (!(slot = find(workers)) && !workers->over && rc != ETIMEDOUT)
		rc = pthread_cond_timedwait(&workers->work, &workers->lock, &until);
	workers->idle--;
	return slot ? take(workers, slot) : NULL;
}

static void *work(void *arg)
{
	struct sess_workers *workers = arg;
	struct sess_call *call;

	sess_thread_prepare();
	pthread_mutex_lock(&workers->lock);
	while ((call = await(workers)) != NULL) {
		enum sess_lane lane = call->op->lane;
		struct sess *sess = call->sess;

		workers->running[lane]++;
		sess->running[lane]++;
		pthread_mutex_unlock(&workers->lock);
		sess_call_run(call);
		pthread_mutex_lock(&workers->lock);
		workers->running[lane]--;
		sess->running[lane]--;
		/* A session that ends waits for us to be done with it. */
		pthread_cond_broadcast(&workers->ended);
	}
	workers->count--;
	pthread_cond_broadcast(&workers->ended);
	pthread_mutex_unlock(&workers->lock);
	return NULL;
}

/* Without a new one, those that there are must do. */
static void add_worker(struct sess_workers *workers)
{
	pthread_attr_t attributes;
	sigset_t all, before;
	pthread_t thread;

	if (pthread_attr_init(&attributes))
		return;
	pthread_attr_setstacksize(&attributes, WORKER_STACK);
	pthread_attr_setdetachstate(&attributes, PTHREAD_CREATE_DETACHED);
	sigfillset(&all);
	pthread_sigmask(SIG_SETMASK, &all, &before);
	if (pthread_create(&thread, &attributes, work, workers) == 0)
		workers->count++;
	pthread_sigmask(SIG_SETMASK, &before, NULL);
	pthread_attr_destroy(&attributes);
}

int sess_workers_submit(struct sess_workers *workers, struct sess_call *call)
{
	int rc = -EAGAIN;

	pthread_mutex_lock(&workers->lock);
	/* It may be ready only when another has ended: then its worker takes it. */
	if (ready(workers) >= workers->idle && workers->count < SESS_MAX_WORKERS)
		add_worker(workers);
	if (workers->count) {
		put(workers, call);
		pthread_cond_signal(&workers->work);
		rc = 0;
	}
	pthread_mutex_unlock(&workers->lock);
	return rc;
}

bool sess_workers_withdraw(struct sess_workers *workers, struct sess_call *call)
{
	struct sess_call **slot = &workers->lanes[call->op->lane].first;
	bool queued;

	pthread_mutex_lock(&workers->lock);
	queued = call->queued;
	if (queued) {
		while (*slot != call)
			slot = &(*slot)->next;
		take(workers, slot);
	}
	pthread_mutex_unlock(&workers->lock);
	return queued;
}

static bool is_running(const struct sess *sess)
{
	for (int lane = 0; lane < SESS_LANES; lane++) {
		if (sess->running[lane])
			return true;
	}
	return false;
}

void sess_workers_leave(struct sess_workers *workers, const struct sess *sess)
{
	pthread_mutex_lock(&workers->lock);
	while (is_running(sess))
		pthread_cond_wait(&workers->ended, &workers->lock);
	pthread_mutex_unlock(&workers->lock);
}

unsigned sess_workers_count(struct sess_workers *workers)
{
	unsigned count;

	pthread_mutex_lock(&workers->lock);
	count = workers->count;
	pthread_mutex_unlock(&workers->lock);
	return count;
}

void sess_workers_init(struct sess_workers *workers)
{
	pthread_condattr_t monotonic;

	*workers = (struct sess_workers){ 0 };
	for (int lane = 0; lane < SESS_LANES; lane++)
		workers->lanes[lane].last = &workers->lanes[lane].first;
	pthread_mutex_init(&workers->lock, NULL);
	pthread_condattr_init(&monotonic);
	pthread_condattr_setclock(&monotonic, CLOCK_MONOTONIC);
	pthread_cond_init(&workers->work, &monotonic);
	pthread_condattr_destroy(&monotonic);
	pthread_cond_init(&workers->ended, NULL);
}

void sess_workers_destroy(struct sess_workers *workers)
{
	pthread_mutex_lock(&workers->lock);
	workers->over = true;
	pthread_cond_broadcast(&workers->work);
	while (workers->count)
		pthread_cond_wait(&workers->ended, &workers->lock);
	pthread_mutex_unlock(&workers->lock);
	pthread_cond_destroy(&workers->ended);
	pthread_cond_destroy(&workers->work);
	pthread_mutex_destroy(&workers->lock);
}
