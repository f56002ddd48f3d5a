/*
 * session_proc_line.c - connections that are full: who waits for room on them, and for their
 * sockets.
 */
#include <errno.h>
#include <sys/epoll.h>
#include <utlist.h>

#include "protocol/agent/clock.h"
#include "protocol/agent/session_conn.h"
#include "protocol/agent/session_proc_hub_internal.h"

#define MAX_EVENTS 16

/* Lock held. */
static void unstick(struct proc_hub *hub, struct proc_line *line)
{
	if (line->stuck)
		DL_DELETE(hub->stuck, line);
	line->stuck = false;
}

bool proc_line_stuck(struct proc_hub *hub, struct proc_line *line)
{
	struct epoll_event event = { .events = EPOLLOUT | EPOLLONESHOT, .data.ptr = line };
	int how, rc;

	pthread_mutex_lock(&hub->lock);
	how = line->known ? EPOLL_CTL_MOD : EPOLL_CTL_ADD;
	rc = proc_hub_start(hub);
	if (rc == 0)
		rc = epoll_ctl(hub->lines, how, line->send->fd, &event);
	if (rc == 0) {
		unstick(hub, line);
		DL_APPEND(hub->stuck, line);
		line->known = line->stuck = true;
		line->due = clock_ms() + sess_send_patience(line->send);
		/*
		 * It sleeps longer than that at most because of another line, whose time comes
		 * before.
		 */
		if (hub->stuck == line)
			proc_hub_wake(hub);
	}
	pthread_mutex_unlock(&hub->lock);
	return rc == 0;
}

void proc_line_room(struct proc_hub *hub, struct proc_line *line)
{
	struct proc_item *item, *next;

	pthread_mutex_lock(&hub->lock);
	DL_FOREACH_SAFE2(line->held, item, next, below)
	{
		item->held = false;
		proc_hub_mark(hub, item);
	}
	line->held = NULL;
	pthread_mutex_unlock(&hub->lock);
}

void proc_line_leave(struct proc_hub *hub, struct proc_line *line)
{
	pthread_mutex_lock(&hub->using);
	pthread_mutex_lock(&hub->lock);
	unstick(hub, line);
	if (line->known)
		epoll_ctl(hub->lines, EPOLL_CTL_DEL, line->send->fd, NULL);
	line->known = false;
	pthread_mutex_unlock(&hub->lock);
	pthread_mutex_unlock(&hub->using);
}

static void hold(struct proc_hub *hub, struct proc_line *line, struct proc_item *item, bool held)
{
	pthread_mutex_lock(&hub->lock);
	if (held && !item->held)
		DL_APPEND2(line->held, item, above, below);
	else if (!held && item->held)
		/* NOLINTNEXTLINE(clang-analyzer-core.NullDereference): it is in the list */
		DL_DELETE2(line->held, item, above, below);
	item->held = held;
	pthread_mutex_unlock(&hub->lock);
}

bool proc_line_has_room(struct proc_hub *hub, struct proc_item *item)
{
	struct proc_line *line = &item->call->sess->line;
	bool room = sess_send_has_room(line->send);

	if (!room) {
		/* First: from then on it is told. */
		hold(hub, line, item, true);
		room = sess_send_want_room(line->send);
	}
	/* It may have been held all the time, when there were other news. */
	if (room)
		hold(hub, line, item, false);
	return room;
}

void proc_lines_resume(struct proc_hub *hub)
{
	struct epoll_event events[MAX_EVENTS];
	int count;

	/* What it tells of cannot leave meanwhile. */
	pthread_mutex_lock(&hub->using);
	count = epoll_wait(hub->lines, events, MAX_EVENTS, 0);
	for (int i = 0; i < count; i++) {
		struct proc_line *line = events[i].data.ptr;

		pthread_mutex_lock(&hub->lock);
		unstick(hub, line);
		pthread_mutex_unlock(&hub->lock);
		sess_send_resume(line->send);
	}
	pthread_mutex_unlock(&hub->using);
}

int proc_lines_tend(struct proc_hub *hub)
{
	struct proc_line *line;
	int ms = -1;

	pthread_mutex_lock(&hub->using);
	pthread_mutex_lock(&hub->lock);
	while ((line = hub->stuck) != NULL && (ms = clock_until(line->due)) == 0) {
		unstick(hub, line);
		pthread_mutex_unlock(&hub->lock);
		sess_send_kill(line->send);
		pthread_mutex_lock(&hub->lock);
	}
	pthread_mutex_unlock(&hub->lock);
	pthread_mutex_unlock(&hub->using);
	return line ? ms : -1;
}
