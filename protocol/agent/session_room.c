/* session_room.c - see session_room.h. */
#include "protocol/agent/session_room.h"

#include <errno.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <time.h>
#include <utlist.h>

#include "protocol/agent/clock.h"
#include "protocol/agent/session_conn.h"
#include "protocol/agent/session_ops.h"
#include "protocol/agent/session_verifier.h"
#include "protocol/agent/session_watch.h"

#define MAX_UPLOADS 32

/* Of the workers, so that no number of transfers that are stuck keeps an fsync or a listing waiting. */
#define MAX_BULK (SESS_MAX_WORKERS * 3 / 4)

#define MAX_QUEUED 1024
#define MAX_QUEUED_BYTES (4u << 20)
#define IDLE_SECONDS 5
#define WORKER_STACK (256u << 10)

/* For changes that the client's earlier sessions have under way. */
#define QUIET_SECONDS 1

/* For the handles of several sessions, where the system lets us. */
#define WANTED_FILES 16384

struct queue {
	struct sess_call *first, **last;
	unsigned count;
};

struct sess_room {
	int64_t started_ms;
	struct sess_hub *hub;
	struct sess_verifier verifier;

	pthread_mutex_t lock;
	pthread_cond_t work;  /* something is queued, or it is over */
	pthread_cond_t ended; /* a worker has ended */
	pthread_cond_t quiet; /* changes of a session that was ended are over */

	struct sess *first; /* lock; the sessions */
	unsigned sessions;  /* lock; how many */
	unsigned uploads;   /* lock */

	struct queue plain, bulk; /* lock */
	size_t queued_bytes;      /* lock; of the arguments of both */
	unsigned workers, idle;   /* lock */
	unsigned running_bulk;    /* lock; workers that have one of that queue */
	bool over;                /* lock */
};

/* Lock held. */
static void put(struct sess_room *room, struct queue *queue, struct sess_call *call)
{
	call->queued = true;
	call->next = NULL;
	*queue->last = call;
	queue->last = &call->next;
	queue->count++;
	room->queued_bytes += call->args_len;
}

/* Lock held.  The call that SLOT of QUEUE points at. */
static struct sess_call *take(struct sess_room *room, struct queue *queue, struct sess_call **slot)
{
	struct sess_call *call = *slot;

	*slot = call->next;
	if (queue->last == &call->next)
		queue->last = slot;
	call->queued = false;
	queue->count--;
	room->queued_bytes -= call->args_len;
	return call;
}

/* Lock held.  How many calls a worker could begin now. */
static unsigned ready(const struct sess_room *room)
{
	unsigned places = MAX_BULK - room->running_bulk;

	return room->plain.count + (room->bulk.count < places ? room->bulk.count : places);
}

/* Lock held.  Waits for something to do; NULL when it is time to end. */
static struct sess_call *await(struct sess_room *room)
{
	struct timespec until;
	int rc = 0;

	clock_gettime(CLOCK_MONOTONIC, &until);
	until.tv_sec += IDLE_SECONDS;
	room->idle++;
	while (!ready(room) && !room->over && rc != ETIMEDOUT)
		rc = pthread_cond_timedwait(&room->work, &room->lock, &until);
	room->idle--;
	if (!ready(room))
		return NULL;
	return room->plain.first ? take(room, &room->plain, &room->plain.first) :
				   take(room, &room->bulk, &room->bulk.first);
}

static void *work(void *arg)
{
	struct sess_room *room = arg;
	struct sess_call *call;

	sess_thread_prepare();
	pthread_mutex_lock(&room->lock);
	while ((call = await(room)) != NULL) {
		bool bulk = call->op->bulk;

		room->running_bulk += bulk;
		pthread_mutex_unlock(&room->lock);
		sess_call_run(call);
		pthread_mutex_lock(&room->lock);
		room->running_bulk -= bulk;
	}
	room->workers--;
	pthread_cond_broadcast(&room->ended);
	pthread_mutex_unlock(&room->lock);
	return NULL;
}

/* Lock held.  Without a new one, those that there are must do. */
static void add_worker(struct sess_room *room)
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
	if (pthread_create(&thread, &attributes, work, room) == 0)
		room->workers++;
	pthread_sigmask(SIG_SETMASK, &before, NULL);
	pthread_attr_destroy(&attributes);
}

int sess_room_submit(struct sess_room *room, struct sess_call *call)
{
	int rc = -EAGAIN;

	pthread_mutex_lock(&room->lock);
	if (room->plain.count + room->bulk.count < MAX_QUEUED &&
	    room->queued_bytes + call->args_len <= MAX_QUEUED_BYTES) {
		/* It may be ready only when another has ended: then its worker takes it. */
		if (ready(room) >= room->idle && room->workers < SESS_MAX_WORKERS)
			add_worker(room);
		if (room->workers) {
			put(room, call->op->bulk ? &room->bulk : &room->plain, call);
			pthread_cond_signal(&room->work);
			rc = 0;
		}
	}
	pthread_mutex_unlock(&room->lock);
	return rc;
}

bool sess_room_withdraw(struct sess_room *room, struct sess_call *call)
{
	struct queue *queue = call->op->bulk ? &room->bulk : &room->plain;
	struct sess_call **slot = &queue->first;
	bool queued;

	pthread_mutex_lock(&room->lock);
	queued = call->queued;
	if (queued) {
		while (*slot != call)
			slot = &(*slot)->next;
		take(room, queue, slot);
	}
	pthread_mutex_unlock(&room->lock);
	return queued;
}

static bool is_another(const struct sess *sess, const struct sess *other)
{
	return sess != other && sess->client.token[0] &&
	       !strcmp(sess->client.token, other->client.token);
}

/* Lock held.  False where SESS itself is an earlier one: its hello has come late. */
static bool end_earlier(struct sess_room *room, const struct sess *sess)
{
	struct sess *other;

	DL_FOREACH (room->first, other) {
		if (is_another(sess, other) && other->client.attempt > sess->client.attempt)
			return false;
	}
	DL_FOREACH (room->first, other) {
		if (!is_another(sess, other))
			continue;
		sess_fence_raise(&other->fence);
		sess_send_kill(&other->send);
	}
	return true;
}

/* Lock held. */
static bool is_quiet(const struct sess_room *room, const struct sess *sess)
{
	const struct sess *other;

	DL_FOREACH (room->first, other) {
		if (is_another(sess, other) && sess_fence_is_raised(&other->fence) &&
		    !sess_fence_is_quiet(&other->fence))
			return false;
	}
	return true;
}

/* Lock held before and after. */
static bool wait_until_quiet(struct sess_room *room, const struct sess *sess)
{
	struct timespec until;
	int rc = 0;

	clock_gettime(CLOCK_MONOTONIC, &until);
	until.tv_sec += QUIET_SECONDS;
	while (!is_quiet(room, sess) && rc == 0)
		rc = pthread_cond_timedwait(&room->quiet, &room->lock, &until);
	return rc == 0;
}

/* Lock held. */
static int admit(struct sess_room *room, struct sess *sess, struct error *err)
{
	if (!end_earlier(room, sess))
		return error_set(err, EBUSY, "this client has a newer session");
	if (room->sessions >= SESS_MAX_SESSIONS)
		return error_set(err, EAGAIN, "this agent has %d sessions already: end one first",
				 SESS_MAX_SESSIONS);
	room->sessions++;
	DL_APPEND(room->first, sess);
	return 0;
}

int sess_room_enter(struct sess_room *room, struct sess *sess, struct error *err)
{
	bool quiet = false;
	int rc;

	pthread_mutex_lock(&room->lock);
	rc = admit(room, sess, err);
	if (rc == 0)
		quiet = wait_until_quiet(room, sess);
	pthread_mutex_unlock(&room->lock);
	/* Meanwhile, a newer one of the client's may have ended this one. */
	if (rc < 0 || (quiet && !sess_fence_is_raised(&sess->fence)))
		return rc;
	sess_room_leave(room, sess);
	return error_set(err, EBUSY,
			 "what this client's last session was about is not over: try again");
}

void sess_room_quieten(struct sess_room *room)
{
	pthread_mutex_lock(&room->lock);
	pthread_cond_broadcast(&room->quiet);
	pthread_mutex_unlock(&room->lock);
}

void sess_room_leave(struct sess_room *room, struct sess *sess)
{
	pthread_mutex_lock(&room->lock);
	room->sessions--;
	/* NOLINTNEXTLINE(clang-analyzer-core.NullDereference): it is in the list */
	DL_DELETE(room->first, sess);
	pthread_mutex_unlock(&room->lock);
}

void sess_room_interrupt(struct sess_room *room)
{
	pthread_mutex_lock(&room->lock);
	for (struct sess *sess = room->first; sess; sess = sess->next)
		sess_send_kill(&sess->send);
	pthread_mutex_unlock(&room->lock);
}

bool sess_room_begin_upload(struct sess_room *room)
{
	bool fits;

	pthread_mutex_lock(&room->lock);
	fits = room->uploads < MAX_UPLOADS;
	room->uploads += fits;
	pthread_mutex_unlock(&room->lock);
	return fits;
}

void sess_room_end_upload(struct sess_room *room)
{
	pthread_mutex_lock(&room->lock);
	room->uploads--;
	pthread_mutex_unlock(&room->lock);
}

void sess_room_get_info(struct sess_room *room, struct sess_room_info *out)
{
	pthread_mutex_lock(&room->lock);
	*out = (struct sess_room_info){
		.sessions = room->sessions,
		.workers = room->workers,
		.uptime_ms = clock_ms() - room->started_ms,
	};
	pthread_mutex_unlock(&room->lock);
}

struct sess_verifier *sess_room_verifier(struct sess_room *room)
{
	return &room->verifier;
}

struct sess_hub *sess_room_hub(struct sess_room *room)
{
	return room->hub;
}

static void raise_file_limit(void)
{
	struct rlimit limit;

	if (getrlimit(RLIMIT_NOFILE, &limit) < 0 || limit.rlim_cur >= WANTED_FILES)
		return;
	if (limit.rlim_max < WANTED_FILES) {
		const struct rlimit more = { WANTED_FILES, WANTED_FILES };

		if (setrlimit(RLIMIT_NOFILE, &more) == 0)
			return;
	}
	limit.rlim_cur = limit.rlim_max < WANTED_FILES ? limit.rlim_max : WANTED_FILES;
	setrlimit(RLIMIT_NOFILE, &limit);
}

int sess_room_new(struct agent *agent, struct sess_room **out, struct error *err)
{
	struct sess_room *room = calloc(1, sizeof(*room));
	pthread_condattr_t monotonic;
	int rc;

	if (!room)
		return error_set(err, ENOMEM, "out of memory");
	rc = sess_verifier_init(&room->verifier);
	rc = rc < 0 ? error_set(err, -rc, "there are no random numbers") :
		      sess_hub_new(agent, &room->hub, err);
	if (rc < 0) {
		free(room);
		return rc;
	}
	raise_file_limit();
	room->started_ms = clock_ms();
	room->plain.last = &room->plain.first;
	room->bulk.last = &room->bulk.first;
	pthread_mutex_init(&room->lock, NULL);
	pthread_condattr_init(&monotonic);
	pthread_condattr_setclock(&monotonic, CLOCK_MONOTONIC);
	pthread_cond_init(&room->work, &monotonic);
	pthread_cond_init(&room->quiet, &monotonic);
	pthread_condattr_destroy(&monotonic);
	pthread_cond_init(&room->ended, NULL);
	*out = room;
	return 0;
}

void sess_room_free(struct sess_room *room)
{
	if (!room)
		return;
	pthread_mutex_lock(&room->lock);
	room->over = true;
	pthread_cond_broadcast(&room->work);
	while (room->workers)
		pthread_cond_wait(&room->ended, &room->lock);
	pthread_mutex_unlock(&room->lock);
	sess_hub_free(room->hub);
	pthread_cond_destroy(&room->ended);
	pthread_cond_destroy(&room->work);
	pthread_cond_destroy(&room->quiet);
	pthread_mutex_destroy(&room->lock);
	free(room);
}
