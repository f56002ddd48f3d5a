/*
 * poller.c - see poller.h.
 */
#include "ctl/poller.h"

#include <errno.h>

#include "ctl/tree.h"
#include "protocol/guest.h"

#define INTERVAL_MIN 0.020
#define INTERVAL_MAX 0.500
#define INTERVAL_GROWTH 1.5

void poller_init(struct poller *poller, struct guest *guest)
{
	*poller = (struct poller){ .guest = guest };
	pthread_mutex_init(&poller->lock, NULL);
	cancel_init(&poller->cancel);
	call_event_init(&poller->event);
}

void poller_destroy(struct poller *poller)
{
	call_event_destroy(&poller->event);
	cancel_destroy(&poller->cancel);
	pthread_mutex_destroy(&poller->lock);
}

static int64_t after(double seconds)
{
	return call_now() + (int64_t)(seconds * 1e9);
}

/* Lock held.  The entry that is due first, or NULL. */
static struct object *next_due(struct poller *poller)
{
	struct object *best = poller->first;

	for (struct object *o = poller->first; o; o = o->poller_entry.next)
		if (o->poller_entry.due < best->poller_entry.due)
			best = o;
	return best;
}

/* Lock held.  The caller gets the list's reference. */
static void unlist(struct poller *poller, struct object *object)
{
	struct object **link = &poller->first;

	while (*link != object)
		link = &(*link)->poller_entry.next;
	*link = object->poller_entry.next;
	object->poller_entry.listed = false;
}

/* Lock held, and let go meanwhile.  Polls OBJECT once and decides when next. */
static void poll_one(struct poller *poller, struct object *object)
{
	struct poller_entry *entry = &object->poller_entry;
	enum poller_news news = POLLER_DONE;

	entry->again = false;
	tree_ref(object);
	pthread_mutex_unlock(&poller->lock);
	if (tree_check(object) == 0) {
		struct call call = guest_call(poller->guest, &poller->cancel);

		news = object->type->poll(object, &call);
	}
	pthread_mutex_lock(&poller->lock);
	if (news == POLLER_DONE && !entry->again) {
		unlist(poller, object);
		pthread_mutex_unlock(&poller->lock);
		tree_unref(object);
		tree_unref(object);
		pthread_mutex_lock(&poller->lock);
		return;
	}
	if (news == POLLER_ACTIVE || entry->again)
		entry->interval = INTERVAL_MIN;
	else
		entry->interval *= INTERVAL_GROWTH;
	if (entry->interval > INTERVAL_MAX)
		entry->interval = INTERVAL_MAX;
	entry->due = after(entry->interval);
	pthread_mutex_unlock(&poller->lock);
	tree_unref(object);
	pthread_mutex_lock(&poller->lock);
}

static void *poller_thread(void *arg)
{
	struct poller *poller = arg;
	struct object *object;

	pthread_mutex_lock(&poller->lock);
	while (!poller->stopped && (object = next_due(poller))) {
		int64_t due = object->poller_entry.due;

		if (due > call_now()) {
			struct call call = { .deadline = due, .cancel = &poller->cancel };

			pthread_mutex_unlock(&poller->lock);
			call_event_wait(&poller->event, &call);
			pthread_mutex_lock(&poller->lock);
			continue;
		}
		poll_one(poller, object);
	}
	poller->running = false;
	pthread_mutex_unlock(&poller->lock);
	return NULL;
}

/* Lock held.  Starts the thread, after the last of the one before. */
static int start_thread(struct poller *poller)
{
	/* It has let go of the lock for good: joining it is a matter of moments. */
	if (poller->joinable)
		pthread_join(poller->thread, NULL);
	poller->joinable = pthread_create(&poller->thread, NULL, poller_thread, poller) == 0;
	poller->running = poller->joinable;
	return poller->running ? 0 : -EAGAIN;
}

int poller_watch(struct poller *poller, struct object *object)
{
	struct poller_entry *entry = &object->poller_entry;
	int rc = 0;

	pthread_mutex_lock(&poller->lock);
	if (poller->stopped) {
		pthread_mutex_unlock(&poller->lock);
		return -ENOTCONN;
	}
	entry->again = true;
	entry->interval = INTERVAL_MIN;
	if (entry->listed && entry->due > after(INTERVAL_MIN))
		entry->due = after(INTERVAL_MIN);
	if (!entry->listed) {
		entry->due = call_now();
		entry->listed = true;
		entry->next = poller->first;
		poller->first = tree_ref(object);
	}
	if (!poller->running)
		rc = start_thread(poller);
	call_event_signal(&poller->event);
	pthread_mutex_unlock(&poller->lock);
	return rc;
}

void poller_stop(struct poller *poller)
{
	struct object *object;
	bool joinable;

	pthread_mutex_lock(&poller->lock);
	joinable = poller->joinable && !poller->stopped;
	poller->stopped = true;
	call_event_signal(&poller->event);
	pthread_mutex_unlock(&poller->lock);
	cancel_fire(&poller->cancel);
	if (joinable)
		pthread_join(poller->thread, NULL);

	pthread_mutex_lock(&poller->lock);
	while ((object = poller->first)) {
		unlist(poller, object);
		pthread_mutex_unlock(&poller->lock);
		tree_unref(object);
		pthread_mutex_lock(&poller->lock);
	}
	pthread_mutex_unlock(&poller->lock);
}
