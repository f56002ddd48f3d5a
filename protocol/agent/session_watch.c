/* session_watch.c - see session_watch.h. */
#include "protocol/agent/session_watch.h"

#include <errno.h>
#include <poll.h>
#include <stdlib.h>
#include <sys/eventfd.h>
#include <time.h>
#include <unistd.h>
#include <utlist.h>

#include "protocol/agent/session_conn.h"
#include "protocol/agent/session_hub.h"
#include "protocol/agent/workspace_path.h"
#include "protocol/cleanup.h"

/* Between two deliveries, so that a storm comes in large pieces.  Barriers do not wait for it. */
#define PAUSE_MS 5

void sess_hub_wake(void *arg)
{
	struct sess_hub *hub = arg;
	uint64_t one = 1;

	while (write(hub->wake, &one, sizeof(one)) < 0 && errno == EINTR)
		;
}

static void set_events(struct sess_hub *hub, int fd)
{
	pthread_mutex_lock(&hub->lock);
	hub->events = fd;
	pthread_mutex_unlock(&hub->lock);
}

/* Watches, or does it anew. */
static int begin(struct sess_hub *hub, struct error *err)
{
	int rc;

	set_events(hub, -1);
	sess_dirs_free(move_ptr(hub->dirs));
	rc = sess_dirs_new(hub->root, &hub->ring, &hub->dirs, err);
	if (rc == 0)
		set_events(hub, sess_dirs_fd(hub->dirs));
	return rc;
}

/* Takes in what has happened. */
static int drain(struct sess_hub *hub, struct error *err)
{
	int rc = sess_dirs_drain(hub->dirs, err);

	if (rc == -EOVERFLOW) {
		rc = begin(hub, err);
		sess_ring_add(&hub->ring, EVENT_RESCAN, "", 0);
	}
	return rc;
}

static void finish_watcher(struct sess_hub *hub, struct watcher *watcher, int rc,
			   const struct error *err)
{
	pthread_mutex_lock(&hub->lock);
	DL_DELETE(hub->watchers, watcher);
	pthread_mutex_unlock(&hub->lock);
	sess_call_finish(watcher->call, rc, NULL, err);
	free(watcher);
}

static void finish_barrier(struct sess_hub *hub, struct barrier *barrier, int rc,
			   const struct error *err)
{
	struct buf result = BUF_INIT(sizeof(uint64_t));

	/* NOLINTNEXTLINE(clang-analyzer-core.NullDereference): a list with an element has a head */
	DL_DELETE(hub->barriers, barrier);
	pack_u64(&result, barrier->sequence);
	sess_call_finish(barrier->call, rc, &result, err);
	buf_free(&result);
	free(barrier);
}

/* What those who came since the last round are to us.  False: nobody is left. */
static bool meet_new(struct sess_hub *hub)
{
	struct watcher *watcher;
	bool any;

	pthread_mutex_lock(&hub->lock);
	for (watcher = hub->new_watchers; watcher; watcher = watcher->next)
		watcher->at = sess_ring_seek(&hub->ring, watcher->since);
	DL_CONCAT(hub->watchers, hub->new_watchers);
	hub->new_watchers = NULL;
	DL_CONCAT(hub->barriers, hub->new_barriers);
	hub->new_barriers = NULL;
	hub->busy = true;
	hub->held = false;
	any = hub->watchers || hub->barriers;
	pthread_mutex_unlock(&hub->lock);
	return any;
}

/* Whether something can be posted for CALL; if not, the thread is woken when it can be. */
static bool has_room(struct sess_hub *hub, struct sess_call *call)
{
	if (sess_send_has_room(&call->sess->send))
		return true;
	/* First: from then on it is told. */
	pthread_mutex_lock(&hub->lock);
	hub->held = true;
	pthread_mutex_unlock(&hub->lock);
	return sess_send_want_room(&call->sess->send);
}

void sess_watch_on_room(struct sess *sess)
{
	struct sess_hub *hub = sess_room_hub(sess->room);
	bool held;

	pthread_mutex_lock(&hub->lock);
	held = hub->held;
	pthread_mutex_unlock(&hub->lock);
	if (held)
		sess_hub_wake(hub);
}

static void set_behind(struct sess_hub *hub, struct watcher *watcher, bool behind)
{
	pthread_mutex_lock(&hub->lock);
	watcher->behind = behind;
	pthread_mutex_unlock(&hub->lock);
}

/* Sends WATCHER what it has credit for; *SENT if that is something. */
static void deliver(struct sess_hub *hub, struct watcher *watcher, struct buf *piece, bool *sent)
{
	int rc = 0;

	/* Before its credit is looked at: who gives some from now on wakes us. */
	set_behind(hub, watcher, true);
	while (rc == 0 && watcher->at < hub->ring.tail) {
		uint64_t credit = sess_call_credit(watcher->call);

		if (!has_room(hub, watcher->call))
			break;
		piece->len = 0;
		sess_ring_take(&hub->ring, &watcher->at, piece,
			       credit < SESS_PIECE ? (size_t)credit : SESS_PIECE);
		if (!piece->len)
			break;
		rc = sess_call_post(watcher->call, piece->data, piece->len);
		*sent = true;
	}
	set_behind(hub, watcher, watcher->at < hub->ring.tail);
}

static void serve_watchers(struct sess_hub *hub, struct buf *piece, bool *sent)
{
	struct watcher *watcher, *next;

	for (watcher = hub->watchers; watcher; watcher = next) {
		int rc = sess_call_check(watcher->call);

		next = watcher->next;
		if (rc == 0)
			deliver(hub, watcher, piece, sent);
		else if (has_room(hub, watcher->call))
			finish_watcher(hub, watcher, rc, NULL);
	}
}

/* Whether BARRIER's session has been sent everything up to its target. */
static bool is_reached(const struct sess_hub *hub, const struct barrier *barrier)
{
	const struct watcher *watcher;

	for (watcher = hub->watchers; watcher; watcher = watcher->next) {
		if (watcher->call->sess == barrier->call->sess && watcher->at < barrier->target)
			return false;
	}
	return true;
}

static void serve_barriers(struct sess_hub *hub)
{
	struct barrier *barrier, *next;

	for (barrier = hub->barriers; barrier; barrier = next) {
		int rc = sess_call_check(barrier->call);

		next = barrier->next;
		if ((rc < 0 || is_reached(hub, barrier)) && has_room(hub, barrier->call))
			finish_barrier(hub, barrier, rc, NULL);
	}
}

/* All that was met before the events were taken in is answered by them. */
static void set_targets(struct sess_hub *hub)
{
	struct barrier *barrier;

	for (barrier = hub->barriers; barrier; barrier = barrier->next) {
		if (barrier->drained)
			continue;
		barrier->drained = true;
		barrier->sequence = hub->ring.sequence;
		barrier->target = hub->ring.tail;
	}
}

static void rest(struct sess_hub *hub, bool sent)
{
	struct pollfd wait[2] = {
		{ .fd = hub->wake, .events = POLLIN },
		{ .fd = sent ? -1 : sess_dirs_fd(hub->dirs), .events = POLLIN },
	};
	uint64_t count;

	pthread_mutex_lock(&hub->lock);
	hub->busy = false;
	hub->sequence = hub->ring.sequence;
	pthread_mutex_unlock(&hub->lock);
	if (!hub->watchers && !hub->barriers)
		return;
	poll(wait, 2, sent ? PAUSE_MS : -1);
	while (read(hub->wake, &count, sizeof(count)) < 0 && errno == EINTR)
		;
}

/* There can be no watch: whoever is there is told to believe nothing, and why. */
static void give_up(struct sess_hub *hub, const struct error *err)
{
	autobuf struct buf piece = BUF_INIT(SESS_PIECE);
	struct watcher *watcher, *next;
	struct barrier *barrier, *after;
	bool sent = false;

	meet_new(hub);
	if (hub->ring.bytes)
		sess_ring_add(&hub->ring, EVENT_RESCAN, "", 0);
	for (watcher = hub->watchers; watcher; watcher = next) {
		next = watcher->next;
		deliver(hub, watcher, &piece, &sent);
		finish_watcher(hub, watcher, -err->code, err);
	}
	for (barrier = hub->barriers; barrier; barrier = after) {
		after = barrier->next;
		finish_barrier(hub, barrier, -err->code, err);
	}
}

static int serve(struct sess_hub *hub, struct error *err)
{
	autobuf struct buf piece = BUF_INIT(SESS_PIECE);
	int rc = begin(hub, err);

	while (rc == 0 && meet_new(hub)) {
		bool sent = false;

		rc = drain(hub, err);
		if (rc < 0)
			break;
		set_targets(hub);
		serve_watchers(hub, &piece, &sent);
		serve_barriers(hub);
		rest(hub, sent);
	}
	return rc;
}

/* From the first who watches to the last. */
static void watch(struct sess_hub *hub)
{
	struct error err = { 0 };
	int rc = sess_ring_init(&hub->ring, hub->sequence);

	hub->root = -1;
	if (rc < 0)
		error_set(&err, -rc, "out of memory");
	if (rc == 0)
		rc = hub->root = workspace_open(hub->agent, &err);
	if (rc >= 0)
		rc = serve(hub, &err);
	if (rc < 0)
		give_up(hub, &err);
	set_events(hub, -1);
	sess_dirs_free(move_ptr(hub->dirs));
	pthread_mutex_lock(&hub->lock);
	hub->sequence = hub->ring.sequence;
	pthread_mutex_unlock(&hub->lock);
	sess_ring_free(&hub->ring);
	cleanup_close(&hub->root);
}

void *sess_hub_run(void *arg)
{
	struct sess_hub *hub = arg;
	bool again;

	sess_thread_prepare();
	do {
		watch(hub);
		pthread_mutex_lock(&hub->lock);
		again = hub->new_watchers || hub->new_barriers;
		hub->running = again;
		pthread_cond_broadcast(&hub->ended);
		pthread_mutex_unlock(&hub->lock);
	} while (again);
	return NULL;
}

int sess_hub_new(struct agent *agent, struct sess_hub **out, struct error *err)
{
	struct sess_hub *hub = calloc(1, sizeof(*hub));
	struct timespec now;

	if (!hub)
		return error_set(err, ENOMEM, "out of memory");
	hub->wake = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	if (hub->wake < 0) {
		free(hub);
		return error_set(err, errno, "cannot make an eventfd");
	}
	clock_gettime(CLOCK_REALTIME, &now);
	hub->agent = agent;
	hub->root = hub->events = -1;
	hub->sequence = (uint64_t)now.tv_sec * 1000000000 + (uint64_t)now.tv_nsec;
	pthread_mutex_init(&hub->lock, NULL);
	pthread_cond_init(&hub->ended, NULL);
	*out = hub;
	return 0;
}

void sess_hub_free(struct sess_hub *hub)
{
	if (!hub)
		return;
	pthread_mutex_lock(&hub->lock);
	while (hub->running)
		pthread_cond_wait(&hub->ended, &hub->lock);
	pthread_mutex_unlock(&hub->lock);
	pthread_cond_destroy(&hub->ended);
	pthread_mutex_destroy(&hub->lock);
	close(hub->wake);
	free(hub);
}
