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
#include "protocol/agent/session_workers.h"

#define MAX_UPLOADS 32

/* For changes that the client's earlier sessions have under way. */
#define QUIET_SECONDS 1

/* For the handles of several sessions, where the system lets us. */
#define WANTED_FILES 16384

struct sess_room {
	int64_t started_ms;
	struct sess_hub *hub;
	struct sess_verifier verifier;

	pthread_mutex_t lock;
	pthread_cond_t quiet; /* changes of a session that was ended are over */

	struct sess *first; /* lock; the sessions */
	unsigned sessions;  /* lock; how many */
	unsigned uploads;   /* lock */

	struct budget files; /* open in all sessions */

	struct sess_workers workers;
};

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
	sess_workers_leave(&room->workers, sess);
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
		.workers = sess_workers_count(&room->workers),
		.uptime_ms = clock_ms() - room->started_ms,
	};
	pthread_mutex_unlock(&room->lock);
}

struct sess_workers *sess_room_workers(struct sess_room *room)
{
	return &room->workers;
}

struct budget *sess_room_files(struct sess_room *room)
{
	return &room->files;
}

struct sess_verifier *sess_room_verifier(struct sess_room *room)
{
	return &room->verifier;
}

struct sess_hub *sess_room_hub(struct sess_room *room)
{
	return room->hub;
}

/* How many files a process of ours may have. */
static size_t raise_file_limit(void)
{
	const struct rlimit more = { WANTED_FILES, WANTED_FILES };
	struct rlimit limit;

	if (getrlimit(RLIMIT_NOFILE, &limit) < 0)
		return WANTED_FILES;
	if (limit.rlim_cur >= WANTED_FILES)
		return limit.rlim_cur;
	if (limit.rlim_max < WANTED_FILES && setrlimit(RLIMIT_NOFILE, &more) == 0)
		return WANTED_FILES;
	limit.rlim_cur = limit.rlim_max < WANTED_FILES ? limit.rlim_max : WANTED_FILES;
	setrlimit(RLIMIT_NOFILE, &limit);
	return limit.rlim_cur;
}

int sess_room_new(struct agent *agent, struct sess_room **out, struct error *err)
{
	struct sess_room *room = calloc(1, sizeof(*room));
	pthread_condattr_t monotonic;
	size_t files;
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
	/* The others are for what clients start, and for those who come. */
	files = raise_file_limit() / 2;
	budget_init(&room->files, files < LIMIT_AGENT_FILES ? files : LIMIT_AGENT_FILES);
	room->started_ms = clock_ms();
	sess_workers_init(&room->workers);
	pthread_mutex_init(&room->lock, NULL);
	pthread_condattr_init(&monotonic);
	pthread_condattr_setclock(&monotonic, CLOCK_MONOTONIC);
	pthread_cond_init(&room->quiet, &monotonic);
	pthread_condattr_destroy(&monotonic);
	*out = room;
	return 0;
}

void sess_room_free(struct sess_room *room)
{
	if (!room)
		return;
	sess_workers_destroy(&room->workers);
	sess_hub_free(room->hub);
	pthread_cond_destroy(&room->quiet);
	pthread_mutex_destroy(&room->lock);
	free(room);
}
