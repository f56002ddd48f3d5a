/* session_dirs.c - see session_dirs.h: events, and what they make of the nodes. */
#include "protocol/agent/session_dirs.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/inotify.h>
#include <unistd.h>

#include "protocol/agent/session_nodes.h"
#include "protocol/agent/session_scan.h"
#include "protocol/cleanup.h"

#define EVENTS_SIZE (64u << 10)
#define NAME_EVENTS (IN_CREATE | IN_DELETE | IN_MOVED_FROM | IN_MOVED_TO)

struct sess_dirs {
	struct sess_scan scan;
	/* What inotify gives is aligned as its structs are. */
	_Alignas(struct inotify_event) char events[EVENTS_SIZE];
};

int sess_dirs_new(int root, struct sess_ring *ring, struct sess_dirs **out, struct error *err)
{
	struct sess_dirs *dirs = calloc(1, sizeof(*dirs));
	int rc;

	if (!dirs)
		return error_set(err, ENOMEM, "out of memory");
	rc = sess_scan_init(&dirs->scan, root, ring, err);
	if (rc < 0) {
		sess_dirs_free(dirs);
		return rc;
	}
	*out = dirs;
	return 0;
}

void sess_dirs_free(struct sess_dirs *dirs)
{
	if (!dirs)
		return;
	sess_scan_destroy(&dirs->scan);
	free(dirs);
}

int sess_dirs_fd(const struct sess_dirs *dirs)
{
	return dirs->scan.inotify;
}

/* Something of the name NAME in DIR. */
static int take_name(struct sess_scan *scan, struct sess_dir *dir,
		     const struct inotify_event *event, struct error *err)
{
	char path[LIMIT_PATH];
	size_t len = sess_dir_path(dir, path), name = strlen(event->name);

	if (event->mask & NAME_EVENTS)
		sess_ring_add(scan->ring, EVENT_ENTRIES, path, len);
	if (len + name + 2 <= sizeof(path)) {
		if (len)
			path[len++] = '/';
		memcpy(path + len, event->name, name);
		sess_ring_add(scan->ring, EVENT_CHANGED, path, len + name);
	}
	if ((event->mask & IN_ISDIR) && (event->mask & (IN_CREATE | IN_MOVED_TO)))
		return sess_scan_adopt(scan, dir, event->name, err);
	return 0;
}

/* Something of DIR itself. */
static int take_self(struct sess_scan *scan, struct sess_dir *dir, uint32_t mask, struct error *err)
{
	bool is_top = dir == scan->nodes.top;
	char path[LIMIT_PATH];

	if (is_top && (mask & (IN_IGNORED | IN_UNMOUNT | IN_MOVE_SELF)))
		return error_set(err, ESTALE, "the workspace was moved or removed");
	if (mask & IN_IGNORED) {
		sess_scan_drop(scan, dir, false);
	} else if (mask & IN_MOVE_SELF) {
		/* Either it has its new place already, or that is outside. */
		if (!sess_scan_is_there(scan, dir))
			sess_scan_drop(scan, dir, true);
	} else if (mask & IN_ATTRIB) {
		sess_ring_add(scan->ring, EVENT_CHANGED, path, sess_dir_path(dir, path));
	}
	return 0;
}

static int take(struct sess_scan *scan, const struct inotify_event *event, struct error *err)
{
	struct sess_dir *dir;

	if (event->mask & IN_Q_OVERFLOW)
		return error_set(err, EOVERFLOW, "the kernel lost events");
	dir = sess_nodes_find(&scan->nodes, event->wd);
	if (!dir)
		return 0; /* it was dropped meanwhile */
	return event->len ? take_name(scan, dir, event, err) :
			    take_self(scan, dir, event->mask, err);
}

int sess_dirs_drain(struct sess_dirs *dirs, struct error *err)
{
	struct sess_scan *scan = &dirs->scan;

	for (;;) {
		ssize_t len = read(scan->inotify, dirs->events, sizeof(dirs->events));
		int rc = 0;

		if (len < 0 && errno == EINTR)
			continue;
		if (len <= 0)
			return len < 0 && errno != EAGAIN ?
				       error_set(err, errno, "inotify: %s", strerror(errno)) :
				       0;
		for (ssize_t at = 0; at < len && rc == 0;) {
			const struct inotify_event *event = (const void *)(dirs->events + at);

			rc = take(scan, event, err);
			at += (ssize_t)(sizeof(*event) + event->len);
		}
		if (rc < 0)
			return rc;
	}
}
