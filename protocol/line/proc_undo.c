/*
 * proc_undo.c - what is removed from a guest behind the callers' backs.  See proc_undo.h.
 *
 * One thread a room, while there is something to undo.
 */
#include "protocol/line/proc_undo.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <utlist.h>

#include "protocol/cleanup.h"
#include "protocol/thread.h"

#define PAUSE 1.0 /* seconds between two tries at a guest that does not answer */

struct proc_undo {
	proc_undo_fn fn; /* or NULL: the script is run */
	char name[LIMIT_ENTITY_NAME + 1];
	struct buf script;
	struct proc_undo *next;
};

static void undo_free(struct proc_undo *undo)
{
	buf_free(&undo->script);
	free(undo);
}

/* Whether the script has to be sent again after an attempt that ended so. */
static bool unanswered(int rc)
{
	return rc == -ENOTCONN || rc == -ETIMEDOUT || rc == -EPROTO;
}

static void undo_run(struct lproc_room *room, const struct proc_undo *undo)
{
	struct call whole = call_within(LIMIT_REAP_SECONDS, &room->ending);
	int rc;

	do {
		struct call call = guest_call(room->guest, &room->ending);
		struct shtext_reply reply = { 0 };

		rc = undo->fn ? undo->fn(room->guest, &call, undo->name) :
				proc_script(room->guest, &call, TRAFFIC_EXEC, &undo->script, &reply,
					    NULL);
		shtext_reply_free(&reply);
	} while (unanswered(rc) && call_sleep(&whole, PAUSE) == 0);
}

static void work(void *arg)
{
	struct lproc_room *room = arg;

	pthread_mutex_lock(&room->lock);
	while (room->undos && !cancel_fired(&room->ending)) {
		struct proc_undo *undo = room->undos;

		LL_DELETE(room->undos, undo);
		pthread_mutex_unlock(&room->lock);
		undo_run(room, undo);
		undo_free(undo);
		pthread_mutex_lock(&room->lock);
	}
	room->undoing = false;
	pthread_cond_broadcast(&room->undone);
	pthread_mutex_unlock(&room->lock);
}

/* Without a thread, the next one brings it on. */
static void add(struct lproc_room *room, struct proc_undo *undo)
{
	pthread_mutex_lock(&room->lock);
	LL_APPEND(room->undos, undo);
	if (!room->undoing)
		room->undoing = thread_detach(work, room) == 0;
	pthread_mutex_unlock(&room->lock);
}

/* Without memory for it the room's end has to do. */
void proc_undo(struct lproc_room *room, struct buf *script)
{
	struct proc_undo *undo = calloc(1, sizeof(*undo));

	if (!undo || script->overflow) {
		free(undo);
		buf_free(script);
		return;
	}
	undo->script = *script;
	*script = (struct buf){ 0 };
	add(room, undo);
}

void proc_undo_by(struct lproc_room *room, proc_undo_fn fn, const char *name)
{
	struct proc_undo *undo = calloc(1, sizeof(*undo));

	if (!undo)
		return;
	undo->fn = fn;
	snprintf(undo->name, sizeof(undo->name), "%s", name);
	add(room, undo);
}

void proc_undo_stop(struct lproc_room *room)
{
	struct proc_undo *undo, *next;

	cancel_fire(&room->ending);
	pthread_mutex_lock(&room->lock);
	while (room->undoing)
		pthread_cond_wait(&room->undone, &room->lock);
	pthread_mutex_unlock(&room->lock);
	LL_FOREACH_SAFE (room->undos, undo, next)
		undo_free(undo);
	room->undos = NULL;
}
