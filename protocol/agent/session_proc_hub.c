/* session_proc_hub.c - see session_proc_hub.h: who is parked, and who is told what. */
#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <unistd.h>
#include <utlist.h>

#include "protocol/agent/session_conn.h"
#include "protocol/agent/session_proc_hub_internal.h"

#define STACK_SIZE (256u << 10)
#define MAX_HELPERS 256

static void make_key(char key[PROC_KEY_SIZE], enum proc_kind kind, const char *name)
{
	snprintf(key, PROC_KEY_SIZE, "%c%s", "svc"[kind], name);
}

void proc_hub_wake(struct proc_hub *hub)
{
	uint64_t one = 1;

	if (!hub->asleep)
		return;
	hub->asleep = false;
	while (write(hub->wake, &one, sizeof(one)) < 0 && errno == EINTR)
		;
}

void proc_hub_mark(struct proc_hub *hub, struct proc_item *item)
{
	if (item->marked || !item->topic)
		return;
	item->marked = true;
	DL_APPEND(hub->marked, item);
	proc_hub_wake(hub);
}

void proc_hub_tell(struct proc_hub *hub, enum proc_kind kind, const char *name)
{
	char key[PROC_KEY_SIZE];
	struct proc_topic *topic;

	make_key(key, kind, name);
	pthread_mutex_lock(&hub->lock);
	HASH_FIND_STR(hub->topics, key, topic);
	for (struct proc_item *item = topic ? topic->items : NULL; item; item = item->younger)
		proc_hub_mark(hub, item);
	pthread_mutex_unlock(&hub->lock);
}

/* Of a cancel token: the item cannot go away meanwhile. */
static void on_cancel(void *arg)
{
	struct proc_item *item = arg;

	pthread_mutex_lock(&item->hub->lock);
	proc_hub_mark(item->hub, item);
	pthread_mutex_unlock(&item->hub->lock);
}

void proc_hub_on_news(struct sess_call *call)
{
	struct proc_hub *hub = call->sess->agent->procs;
	struct proc_item *item;

	pthread_mutex_lock(&hub->lock);
	HASH_FIND_PTR(hub->by_call, &call, item);
	if (item)
		proc_hub_mark(hub, item);
	pthread_mutex_unlock(&hub->lock);
}

/* Detached, with all signals blocked. */
static int start_thread(void *(*run)(void *arg), void *arg)
{
	pthread_attr_t attributes;
	sigset_t all, before;
	pthread_t thread;
	int rc;

	pthread_attr_init(&attributes);
	pthread_attr_setstacksize(&attributes, STACK_SIZE);
	pthread_attr_setdetachstate(&attributes, PTHREAD_CREATE_DETACHED);
	sigfillset(&all);
	pthread_sigmask(SIG_SETMASK, &all, &before);
	rc = pthread_create(&thread, &attributes, run, arg);
	pthread_sigmask(SIG_SETMASK, &before, NULL);
	pthread_attr_destroy(&attributes);
	return -rc;
}

int proc_hub_start(struct proc_hub *hub)
{
	int rc;

	if (hub->running || hub->over)
		return hub->over ? -ESHUTDOWN : 0;
	rc = start_thread(proc_hub_run, hub);
	hub->running = rc == 0;
	return rc;
}

/* Lock held.  The topic of ITEM, made where it is missing. */
static struct proc_topic *get_topic(struct proc_hub *hub, const struct proc_item *item)
{
	struct proc_topic *topic;
	char key[PROC_KEY_SIZE];

	make_key(key, item->kind, item->name);
	HASH_FIND_STR(hub->topics, key, topic);
	if (!topic)
		topic = calloc(1, sizeof(*topic));
	if (topic && !topic->key[0]) {
		memcpy(topic->key, key, sizeof(key));
		HASH_ADD_STR(hub->topics, key, topic);
	}
	return topic;
}

int proc_hub_park(struct proc_hub *hub, struct proc_item *item, struct error *err)
{
	struct proc_topic *topic = NULL;
	int rc;

	sess_call_drop_args(item->call);
	item->hub = hub;
	item->call->parked = true;
	item->topic = NULL;
	item->armed = -1;
	/* Fired already: the thread looks at it in any case. */
	cancel_set_wake(&item->call->cancel, on_cancel, item);
	pthread_mutex_lock(&hub->lock);
	rc = proc_hub_start(hub);
	if (rc == 0)
		topic = get_topic(hub, item);
	if (topic) {
		item->topic = topic;
		DL_APPEND2(topic->items, item, older, younger);
		HASH_ADD_PTR(hub->by_call, call, item);
		proc_hub_mark(hub, item);
	}
	pthread_mutex_unlock(&hub->lock);
	if (topic)
		return SESS_PARKED;
	cancel_unset_wake(&item->call->cancel);
	item->call->parked = false;
	return error_set(err, rc < 0 ? -rc : ENOMEM, "cannot wait for news of a process");
}

void proc_hub_forget(struct proc_hub *hub, struct proc_item *item)
{
	struct proc_topic *topic = item->topic;

	pthread_mutex_lock(&hub->lock);
	if (item->marked)
		DL_DELETE(hub->marked, item);
	DL_DELETE2(topic->items, item, older, younger);
	HASH_DEL(hub->by_call, item);
	item->topic = NULL;
	if (!topic->items) {
		HASH_DEL(hub->topics, topic);
		free(topic);
	}
	pthread_mutex_unlock(&hub->lock);
}

int proc_hub_poke(struct proc_hub *hub)
{
	int rc;

	pthread_mutex_lock(&hub->lock);
	rc = proc_hub_start(hub);
	proc_hub_wake(hub);
	pthread_mutex_unlock(&hub->lock);
	return rc;
}

int proc_hub_help(struct proc_hub *hub, void *(*run)(void *arg), void *arg)
{
	int rc = -EAGAIN;

	pthread_mutex_lock(&hub->lock);
	if (hub->helpers < MAX_HELPERS && !hub->over)
		rc = start_thread(run, arg);
	if (rc == 0)
		hub->helpers++;
	pthread_mutex_unlock(&hub->lock);
	return rc;
}

void proc_hub_helped(struct proc_hub *hub)
{
	pthread_mutex_lock(&hub->lock);
	hub->helpers--;
	pthread_cond_broadcast(&hub->ended);
	pthread_mutex_unlock(&hub->lock);
}

/* The thread knows FD by WHERE it is kept. */
static int watch(struct proc_hub *hub, int fd, void *where)
{
	struct epoll_event event = { .events = EPOLLIN, .data.ptr = where };

	return epoll_ctl(hub->poll, EPOLL_CTL_ADD, fd, &event);
}

int proc_hub_new(struct agent *agent, struct proc_hub **out, struct error *err)
{
	struct proc_hub *hub = calloc(1, sizeof(*hub));
	int rc = 0;

	if (!hub)
		return error_set(err, ENOMEM, "out of memory");
	hub->agent = agent;
	hub->files = -1;
	hub->watches[0] = hub->watches[1] = hub->watches[2] = -1;
	hub->wake = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	hub->poll = epoll_create1(EPOLL_CLOEXEC);
	hub->lines = epoll_create1(EPOLL_CLOEXEC);
	if (hub->wake < 0 || hub->poll < 0 || hub->lines < 0 ||
	    watch(hub, hub->wake, &hub->wake) < 0 || watch(hub, hub->lines, &hub->lines) < 0)
		rc = error_set(err, errno, "cannot watch processes: %s", strerror(errno));
	pthread_mutex_init(&hub->using, NULL);
	pthread_mutex_init(&hub->lock, NULL);
	pthread_cond_init(&hub->ended, NULL);
	if (rc < 0)
		proc_hub_free(hub);
	else
		*out = hub;
	return rc;
}

void proc_hub_stop(struct proc_hub *hub)
{
	if (!hub)
		return;
	pthread_mutex_lock(&hub->lock);
	while (hub->helpers)
		pthread_cond_wait(&hub->ended, &hub->lock);
	hub->over = true;
	proc_hub_wake(hub);
	while (hub->running)
		pthread_cond_wait(&hub->ended, &hub->lock);
	pthread_mutex_unlock(&hub->lock);
}

void proc_hub_free(struct proc_hub *hub)
{
	if (!hub)
		return;
	if (hub->wake >= 0)
		close(hub->wake);
	if (hub->poll >= 0)
		close(hub->poll);
	if (hub->lines >= 0)
		close(hub->lines);
	if (hub->files >= 0)
		close(hub->files);
	pthread_cond_destroy(&hub->ended);
	pthread_mutex_destroy(&hub->lock);
	pthread_mutex_destroy(&hub->using);
	free(hub);
}
