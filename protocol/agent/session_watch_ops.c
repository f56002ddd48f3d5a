/*
 * session_watch_ops.c - OP_WATCH and OP_BARRIER: begun on the connection's thread, answered by the
 * watch's.
 */
#include <errno.h>
#include <stdlib.h>
#include <sys/ioctl.h>
#include <utlist.h>

#include "protocol/agent/session_conn.h"
#include "protocol/agent/session_hub.h"
#include "protocol/agent/session_ops.h"

#define STACK_SIZE (256u << 10)
#define MAX_WATCHES 16

/* Lock held. */
static int start(struct sess_hub *hub)
{
	pthread_attr_t attributes;
	pthread_t thread;
	int rc;

	if (hub->running)
		return 0;
	pthread_attr_init(&attributes);
	pthread_attr_setstacksize(&attributes, STACK_SIZE);
	pthread_attr_setdetachstate(&attributes, PTHREAD_CREATE_DETACHED);
	rc = pthread_create(&thread, &attributes, sess_hub_run, hub);
	pthread_attr_destroy(&attributes);
	hub->running = hub->busy = rc == 0;
	return -rc;
}

/*
 * Lock held.  Whether SESS has as many as a session may have: one is enough for whoever knows what
 * it has.
 */
static bool has_many(const struct sess_hub *hub, const struct sess *sess)
{
	const struct watcher *watcher;
	int count = 0;

	for (watcher = hub->watchers; watcher; watcher = watcher->next)
		count += watcher->call->sess == sess;
	for (watcher = hub->new_watchers; watcher; watcher = watcher->next)
		count += watcher->call->sess == sess;
	return count >= MAX_WATCHES;
}

static int refuse(int rc, struct error *err)
{
	if (rc == -EAGAIN)
		return error_set(err, EAGAIN, "this session has %d watches already", MAX_WATCHES);
	return error_set(err, -rc, "cannot start a thread to watch");
}

int sess_op_watch(struct sess_call *call, struct unpack *args, struct buf *result,
		  struct error *err)
{
	struct sess_hub *hub = sess_room_hub(call->sess->room);
	struct watcher *watcher;
	uint64_t since = unpack_u64(args);
	int rc = unpack_done(args, "watch", err);

	(void)result;
	if (rc < 0)
		return rc;
	watcher = calloc(1, sizeof(*watcher));
	if (!watcher)
		return error_set(err, ENOMEM, "out of memory");
	watcher->call = call;
	call->parked = true;
	watcher->since = since;
	/* Fired already: the thread looks at it in any case. */
	cancel_set_wake(&call->cancel, sess_hub_wake, hub);
	pthread_mutex_lock(&hub->lock);
	rc = has_many(hub, call->sess) ? -EAGAIN : start(hub);
	if (rc == 0)
		DL_APPEND(hub->new_watchers, watcher);
	pthread_mutex_unlock(&hub->lock);
	if (rc != 0) {
		call->parked = false;
		free(watcher);
		return refuse(rc, err);
	}
	sess_hub_wake(hub);
	return SESS_PARKED;
}

void sess_watch_on_credit(struct sess_call *call)
{
	struct sess_hub *hub = sess_room_hub(call->sess->room);
	const struct watcher *watcher;
	bool wanted = false;

	pthread_mutex_lock(&hub->lock);
	for (watcher = hub->watchers; watcher; watcher = watcher->next)
		wanted |= watcher->call == call && watcher->behind;
	pthread_mutex_unlock(&hub->lock);
	if (wanted)
		sess_hub_wake(hub);
}

enum standing { STANDING_NONE, STANDING_BEHIND, STANDING_TOLD };

/* Lock held.  How far the session's watchers are. */
static enum standing standing_of(struct sess_hub *hub, const struct sess *sess)
{
	enum standing standing = STANDING_NONE;
	const struct watcher *watcher;
	int bytes = 0;

	for (watcher = hub->new_watchers; watcher; watcher = watcher->next) {
		if (watcher->call->sess == sess)
			return STANDING_BEHIND;
	}
	for (watcher = hub->watchers; watcher; watcher = watcher->next) {
		if (watcher->call->sess != sess)
			continue;
		if (hub->busy || watcher->behind || hub->events < 0)
			return STANDING_BEHIND;
		standing = STANDING_TOLD;
	}
	/* What happened before this moment is in the kernel's queue, if nobody took it. */
	if (standing == STANDING_TOLD && (ioctl(hub->events, FIONREAD, &bytes) < 0 || bytes))
		standing = STANDING_BEHIND;
	return standing;
}

int sess_op_barrier(struct sess_call *call, struct unpack *args, struct buf *result,
		    struct error *err)
{
	struct sess_hub *hub = sess_room_hub(call->sess->room);
	struct barrier *barrier = NULL;
	enum standing standing;
	uint64_t sequence;
	int rc = unpack_done(args, "barrier", err);

	if (rc < 0)
		return rc;
	if (call->slow) {
		barrier = calloc(1, sizeof(*barrier));
		if (!barrier)
			return error_set(err, ENOMEM, "out of memory");
		barrier->call = call;
		cancel_set_wake(&call->cancel, sess_hub_wake, hub);
	}
	pthread_mutex_lock(&hub->lock);
	standing = standing_of(hub, call->sess);
	sequence = hub->sequence;
	if (barrier && standing == STANDING_BEHIND) {
		call->parked = true;
		DL_APPEND(hub->new_barriers, barrier);
	}
	pthread_mutex_unlock(&hub->lock);
	if (standing == STANDING_BEHIND) {
		if (!barrier)
			return SESS_SLOWLY;
		/* From here on it is the thread's. */
		sess_hub_wake(hub);
		return SESS_PARKED;
	}
	free(barrier);
	pack_u64(result, sequence);
	return 0;
}
