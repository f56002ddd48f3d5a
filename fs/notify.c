/*
 * notify.c - the notification thread and its queue.
 */
#include "fs/notify.h"

#include <errno.h>
#include <pthread.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>

#include "protocol/cleanup.h"

enum item_kind { ITEM_INODE, ITEM_ENTRY, ITEM_POLL, ITEM_BARRIER };

struct item {
	enum item_kind kind;
	struct item *next; /* notify->lock */
	uint64_t id;       /* the node, or the directory of NAME */
	bool data;
	bool is_dir;
	bool passed; /* notify->lock; barriers: it has been their turn */
	char name[];
};

/* Waking must not fail, so a poll handle brings its place in the queue along. */
struct vn_poll {
	struct notify *notify;
	struct fuse_pollhandle *handle;
	struct item item; /* last: it ends in an open array */
};

struct notify {
	pthread_mutex_t lock;
	pthread_cond_t work; /* something was queued, or running went false */
	pthread_cond_t done; /* a barrier was passed */
	struct item *first;  /* lock */
	struct item **tail;  /* lock */
	bool running;        /* lock */
	bool started;        /* by the thread that starts and stops */
	pthread_t thread;
	struct fuse_session *session;
};

int notify_new(struct notify **out)
{
	struct notify *notify = calloc(1, sizeof(*notify));

	if (!notify)
		return -ENOMEM;
	pthread_mutex_init(&notify->lock, NULL);
	pthread_cond_init(&notify->work, NULL);
	pthread_cond_init(&notify->done, NULL);
	notify->tail = &notify->first;
	*out = notify;
	return 0;
}

void notify_free(struct notify *notify)
{
	if (!notify)
		return;
	pthread_cond_destroy(&notify->done);
	pthread_cond_destroy(&notify->work);
	pthread_mutex_destroy(&notify->lock);
	free(notify);
}

static struct vn_poll *poll_of(struct item *item)
{
	return (struct vn_poll *)((char *)item - offsetof(struct vn_poll, item));
}

/*
 * A name that is only expired is asked for again at its next use.  Kernels before
 * 6.2 can only drop it, which would take the current directory from under processes and
 * detach what is mounted there: not for directories, whose attributes
 * (notify_inode) send the kernel back to us as well.
 */
static void tell_entry(struct fuse_session *session, const struct item *item)
{
	size_t len = strlen(item->name);
	int rc = fuse_lowlevel_notify_expire_entry(session, item->id, item->name, len,
						   FUSE_LL_EXPIRE_ONLY);

	if (rc == -ENOSYS && !item->is_dir)
		fuse_lowlevel_notify_inval_entry(session, item->id, item->name, len);
}

/* Errors are no news: a node the kernel does not know, or a mount that has ended. */
static void tell(struct fuse_session *session, struct item *item)
{
	switch (item->kind) {
	case ITEM_INODE:
		fuse_lowlevel_notify_inval_inode(session, item->id, item->data ? 0 : -1, 0);
		break;
	case ITEM_ENTRY:
		tell_entry(session, item);
		break;
	case ITEM_POLL:
		fuse_lowlevel_notify_poll(poll_of(item)->handle);
		break;
	case ITEM_BARRIER:
		break;
	}
}

/* Under the lock. */
static void finish_item(struct notify *notify, struct item *item)
{
	switch (item->kind) {
	case ITEM_INODE:
	case ITEM_ENTRY:
		free(item);
		break;
	case ITEM_POLL:
		vn_poll_free(poll_of(item));
		break;
	case ITEM_BARRIER: /* on the stack of who waits */
		item->passed = true;
		pthread_cond_broadcast(&notify->done);
		break;
	}
}

/* Under the lock. */
static struct item *take(struct notify *notify)
{
	struct item *item = notify->first;

	if (item) {
		notify->first = item->next;
		if (!notify->first)
			notify->tail = &notify->first;
	}
	return item;
}

static void *notify_thread(void *arg)
{
	struct notify *notify = arg;

	pthread_mutex_lock(&notify->lock);
	while (notify->running) {
		struct item *item = take(notify);

		if (!item) {
			pthread_cond_wait(&notify->work, &notify->lock);
			continue;
		}
		pthread_mutex_unlock(&notify->lock);
		tell(notify->session, item);
		pthread_mutex_lock(&notify->lock);
		finish_item(notify, item);
	}
	pthread_mutex_unlock(&notify->lock);
	return NULL;
}

int notify_start(struct notify *notify, struct fuse_session *session)
{
	int rc;

	notify->session = session;
	notify->running = true;
	rc = pthread_create(&notify->thread, NULL, notify_thread, notify);
	notify->started = !rc;
	if (rc)
		notify->running = false;
	return -rc;
}

void notify_stop(struct notify *notify)
{
	struct item *item;

	if (!notify->started)
		return;
	pthread_mutex_lock(&notify->lock);
	notify->running = false;
	pthread_cond_signal(&notify->work);
	pthread_mutex_unlock(&notify->lock);
	pthread_join(notify->thread, NULL);
	notify->started = false;
	pthread_mutex_lock(&notify->lock);
	while ((item = take(notify)))
		finish_item(notify, item);
	pthread_mutex_unlock(&notify->lock);
}

/* Takes ITEM over if it returns true. */
static bool enqueue(struct notify *notify, struct item *item)
{
	bool running;

	pthread_mutex_lock(&notify->lock);
	running = notify->running;
	if (running) {
		item->next = NULL;
		*notify->tail = item;
		notify->tail = &item->next;
		pthread_cond_signal(&notify->work);
	}
	pthread_mutex_unlock(&notify->lock);
	return running;
}

int notify_inode(struct notify *notify, uint64_t id, bool data)
{
	autofree struct item *item = calloc(1, sizeof(*item));

	if (!item)
		return -ENOMEM;
	item->kind = ITEM_INODE;
	item->id = id;
	item->data = data;
	if (enqueue(notify, item))
		move_ptr(item);
	return 0;
}

void notify_attr_now(struct notify *notify, uint64_t id)
{
	bool running;

	pthread_mutex_lock(&notify->lock);
	running = notify->running;
	pthread_mutex_unlock(&notify->lock);
	if (running)
		fuse_lowlevel_notify_inval_inode(notify->session, id, -1, 0);
}

int notify_entry(struct notify *notify, uint64_t parent, const char *name, bool is_dir)
{
	size_t size = strlen(name) + 1;
	autofree struct item *item = calloc(1, sizeof(*item) + size);

	if (!item)
		return -ENOMEM;
	item->kind = ITEM_ENTRY;
	item->id = parent;
	item->is_dir = is_dir;
	memcpy(item->name, name, size);
	if (enqueue(notify, item))
		move_ptr(item);
	return 0;
}

void notify_wait(struct notify *notify)
{
	struct item barrier = { .kind = ITEM_BARRIER };

	if (!enqueue(notify, &barrier))
		return;
	pthread_mutex_lock(&notify->lock);
	while (!barrier.passed)
		pthread_cond_wait(&notify->done, &notify->lock);
	pthread_mutex_unlock(&notify->lock);
}

struct vn_poll *notify_poll_new(struct notify *notify, struct fuse_pollhandle *handle)
{
	struct vn_poll *poll = calloc(1, sizeof(*poll));

	if (!poll) {
		fuse_pollhandle_destroy(handle);
		return NULL;
	}
	poll->item.kind = ITEM_POLL;
	poll->notify = notify;
	poll->handle = handle;
	return poll;
}

void vn_poll_wake(struct vn_poll *poll)
{
	if (!enqueue(poll->notify, &poll->item))
		vn_poll_free(poll);
}

void vn_poll_free(struct vn_poll *poll)
{
	fuse_pollhandle_destroy(poll->handle);
	free(poll);
}
