/* session_proc_loop.c - the thread that serves the calls that wait for processes. */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/inotify.h>
#include <unistd.h>
#include <utlist.h>

#include "protocol/agent/clock.h"
#include "protocol/agent/command.h"
#include "protocol/agent/rundir.h"
#include "protocol/agent/session_conn.h"
#include "protocol/agent/session_proc_hub_internal.h"
#include "protocol/cleanup.h"

/* Where nobody tells: a kernel that has no more of inotify or of descriptors for us. */
#define LATER_MS 50
/* So that who writes a little very often is not woken for every line. */
#define PAUSE_MS 2
#define MAX_EVENTS 64

/* The directory of a kind's files; the caller frees it. */
static char *directory(struct proc_hub *hub, enum proc_kind kind)
{
	char *path;

	if (kind == PROC_COMMAND)
		return commands_path(hub->agent->commands);
	if (asprintf(&path, "%s/" RUNDIR_SERVICES, hub->agent->run_dir) < 0)
		return NULL;
	return path;
}

/* For the next event only: then there is a pause. */
static int watch_files(struct proc_hub *hub, int how)
{
	struct epoll_event event = { .events = EPOLLIN | EPOLLONESHOT, .data.ptr = &hub->files };

	return epoll_ctl(hub->poll, how, hub->files, &event);
}

static void make_files(struct proc_hub *hub)
{
	hub->files = inotify_init1(IN_CLOEXEC | IN_NONBLOCK);
	if (hub->files >= 0 && watch_files(hub, EPOLL_CTL_ADD) < 0)
		close(move_fd(hub->files));
}

/* Before ITEM's file is looked at for the first time. */
static void watch_file(struct proc_hub *hub, const struct proc_item *item)
{
	autofree char *path = NULL;

	if (hub->watchers[item->kind]++ && hub->watches[item->kind] >= 0)
		return;
	if (hub->files < 0)
		make_files(hub);
	path = directory(hub, item->kind);
	if (path && hub->files >= 0)
		hub->watches[item->kind] = inotify_add_watch(hub->files, path, IN_MODIFY);
}

static void unwatch_file(struct proc_hub *hub, const struct proc_item *item)
{
	if (--hub->watchers[item->kind] || hub->watches[item->kind] < 0)
		return;
	inotify_rm_watch(hub->files, hub->watches[item->kind]);
	hub->watches[item->kind] = -1;
}

static void mark_all(struct proc_hub *hub)
{
	pthread_mutex_lock(&hub->lock);
	for (struct proc_item *item = hub->by_call; item; item = item->hh.next)
		proc_hub_mark(hub, item);
	pthread_mutex_unlock(&hub->lock);
}

static void take_event(struct proc_hub *hub, const struct inotify_event *event)
{
	char name[NAME_MAX + 1];
	char *dot;

	if (event->mask & IN_Q_OVERFLOW) {
		mark_all(hub);
		return;
	}
	if (!event->len)
		return;
	snprintf(name, sizeof(name), "%s", event->name);
	dot = strrchr(name, '.'); /* of .stdout and .stderr */
	if (dot)
		*dot = '\0';
	for (int kind = 0; kind < PROC_KINDS; kind++) {
		if (event->wd == hub->watches[kind])
			proc_hub_tell(hub, (enum proc_kind)kind, name);
	}
}

static void take_events(struct proc_hub *hub)
{
	_Alignas(struct inotify_event) char bytes[16384];
	ssize_t n;

	while ((n = read(hub->files, bytes, sizeof(bytes))) > 0) {
		for (const char *at = bytes; at < bytes + n;) {
			const struct inotify_event *event = (const struct inotify_event *)at;

			take_event(hub, event);
			at += sizeof(*event) + event->len;
		}
	}
}

/* Before the descriptor is closed: a process that is just being forked may have it for longer. */
void proc_hub_disarm(struct proc_item *item)
{
	if (item->armed >= 0)
		epoll_ctl(item->hub->poll, EPOLL_CTL_DEL, item->armed, NULL);
	item->armed = -1;
}

/* Makes epoll watch what ITEM's serving has left in it. */
static void arm(struct proc_hub *hub, struct proc_item *item)
{
	struct epoll_event event = { .events = item->events | EPOLLONESHOT, .data.ptr = item };

	if (item->armed != item->fd)
		proc_hub_disarm(item);
	if (item->fd < 0)
		return;
	if (epoll_ctl(hub->poll, item->armed < 0 ? EPOLL_CTL_ADD : EPOLL_CTL_MOD, item->fd,
		      &event) == 0)
		item->armed = item->fd;
}

static void finish(struct proc_hub *hub, struct proc_item *item, int rc, const struct buf *result,
		   const struct error *err)
{
	struct sess_call *call = item->call;

	proc_hub_forget(hub, item);
	proc_hub_disarm(item);
	if (item->met && item->in_file)
		unwatch_file(hub, item);
	cancel_unset_wake(&call->cancel);
	/* First: who has the answer may ask for the same again. */
	item->free(item);
	sess_call_finish(call, rc, result, err);
}

static void set_later(struct proc_hub *hub, struct proc_item *item)
{
	if (item->later)
		return;
	if (!hub->later)
		hub->later_due = clock_ms() + LATER_MS;
	DL_APPEND2(hub->later, item, former, latter);
	item->later = true;
}

static void set_soon(struct proc_hub *hub, struct proc_item *item)
{
	if (item->later)
		DL_DELETE2(hub->later, item, former, latter);
	item->later = false;
}

static void serve(struct proc_hub *hub, struct proc_item *item)
{
	autobuf struct buf result = BUF_INIT(FRAME_BODY_MAX);
	struct error err = { 0 };
	int rc;

	set_soon(hub, item);
	if (!item->met && item->in_file)
		watch_file(hub, item);
	item->met = true;
	if (!proc_line_has_room(hub, item))
		return;
	rc = sess_call_check(item->call);
	if (rc == 0)
		rc = item->serve(item, &result, &err);
	if (rc <= 0) {
		finish(hub, item, rc, &result, &err);
		return;
	}
	arm(hub, item);
	if (rc == PROC_AGAIN) {
		pthread_mutex_lock(&hub->lock);
		proc_hub_mark(hub, item);
		pthread_mutex_unlock(&hub->lock);
	} else if (rc == PROC_LATER ||
		   (item->in_file && (hub->files < 0 || hub->watches[item->kind] < 0))) {
		set_later(hub, item);
	}
}

static struct proc_item *next_marked(struct proc_hub *hub)
{
	struct proc_item *item;

	pthread_mutex_lock(&hub->lock);
	item = hub->marked;
	if (item) {
		DL_DELETE(hub->marked, item);
		item->marked = false;
	}
	pthread_mutex_unlock(&hub->lock);
	return item;
}

/* Serves those that are marked now; whoever has more to do comes after them, in the next round. */
static void serve_all(struct proc_hub *hub)
{
	struct proc_item *item;
	size_t count;

	pthread_mutex_lock(&hub->lock);
	DL_COUNT(hub->marked, item, count);
	pthread_mutex_unlock(&hub->lock);
	while (count-- && (item = next_marked(hub)) != NULL)
		serve(hub, item);
}

static void take_ready(struct proc_hub *hub, const struct epoll_event *events, int count)
{
	uint64_t number;

	for (int i = 0; i < count; i++) {
		if (events[i].data.ptr == &hub->wake) {
			while (read(hub->wake, &number, sizeof(number)) < 0 && errno == EINTR)
				;
		} else if (events[i].data.ptr == &hub->lines) {
			proc_lines_resume(hub);
		} else if (events[i].data.ptr == &hub->files) {
			take_events(hub);
			hub->files_due = clock_ms() + PAUSE_MS;
		} else {
			pthread_mutex_lock(&hub->lock);
			proc_hub_mark(hub, events[i].data.ptr);
			pthread_mutex_unlock(&hub->lock);
		}
	}
}

/* The earlier of two times to wait, -1 being for ever. */
static int earlier(int left, int right)
{
	return left < 0 || (right >= 0 && right < left) ? right : left;
}

/* Milliseconds until there is something to do that nobody tells, -1: never. */
static int patience(struct proc_hub *hub)
{
	int ms = earlier(commands_tend(hub->agent->commands), proc_lines_tend(hub));

	if (hub->files_due && clock_until(hub->files_due) == 0) {
		watch_files(hub, EPOLL_CTL_MOD);
		hub->files_due = 0;
	}
	if (hub->files_due)
		ms = earlier(ms, clock_until(hub->files_due));
	return hub->later ? earlier(ms, clock_until(hub->later_due)) : ms;
}

static void mark_later(struct proc_hub *hub)
{
	if (!hub->later || clock_until(hub->later_due))
		return;
	pthread_mutex_lock(&hub->lock);
	for (struct proc_item *item = hub->later; item; item = item->latter)
		proc_hub_mark(hub, item);
	pthread_mutex_unlock(&hub->lock);
	hub->later_due = clock_ms() + LATER_MS;
}

/* Waits for something to do; false when it is over. */
static bool rest(struct proc_hub *hub)
{
	struct epoll_event events[MAX_EVENTS];
	int count, ms = patience(hub);
	bool over;

	pthread_mutex_lock(&hub->lock);
	over = hub->over;
	if (hub->marked)
		ms = 0;
	hub->asleep = ms != 0;
	pthread_mutex_unlock(&hub->lock);
	if (over)
		return false;
	count = epoll_wait(hub->poll, events, MAX_EVENTS, ms);
	pthread_mutex_lock(&hub->lock);
	hub->asleep = false; /* what comes from here on it looks at before it rests again */
	pthread_mutex_unlock(&hub->lock);
	take_ready(hub, events, count);
	mark_later(hub);
	return true;
}

void *proc_hub_run(void *arg)
{
	struct proc_hub *hub = arg;

	sess_thread_prepare();
	do
		serve_all(hub);
	while (rest(hub));
	pthread_mutex_lock(&hub->lock);
	hub->running = false;
	pthread_cond_broadcast(&hub->ended);
	pthread_mutex_unlock(&hub->lock);
	return NULL;
}
