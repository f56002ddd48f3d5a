/* session_walk.c - see session_list.h. */
#include <errno.h>
#include <fcntl.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "protocol/agent/session_ahead.h"
#include "protocol/agent/session_list.h"
#include "protocol/archive_names.h"
#include "protocol/beneath.h"
#include "protocol/buf.h"
#include "protocol/cleanup.h"

/* Directories that are kept open on the way down; those above are opened again on the way back. */
#define OPEN_LEVELS 16

struct level {
	int fd; /* owned; -1 while the walk is deeper */
	struct archive_names names;
	size_t next;     /* of names */
	size_t path_len; /* of the walk's path at this level */
	unsigned serial; /* no other level of this walk has it */
	/*
	 * Names that were looked at together, the one in turn among them; NULL of a small
	 * directory.
	 */
	struct sess_run *run;
	bool entered; /* the walk has been below: it will be again, and read ahead there */
};

struct walk {
	int root;
	unsigned max_depth;
	sess_walk_fn each;
	void *arg;
	const char *after; /* what is left of it; NULL when the walk is past it */
	struct buf path;   /* of the entry */

	struct level *levels; /* owned */
	unsigned depth, room;
	unsigned serial;
	struct sess_ahead *ahead; /* owned; NULL until there is a large directory */
};

/* The first name that is not before NAME, of LEN bytes. */
static size_t search(const struct archive_names *names, const char *name, size_t len)
{
	size_t low = 0, high = names->count;

	while (low < high) {
		size_t middle = low + (high - low) / 2;
		const char *there = archive_names_at(names, middle);
		int order = strncmp(there, name, len);

		if (order < 0)
			low = middle + 1;
		else
			high = middle;
	}
	return low;
}

static int push(struct walk *walk, const struct level *level)
{
	if (walk->depth == walk->room) {
		unsigned room = walk->room ? 2 * walk->room : 16;
		struct level *levels = realloc(walk->levels, room * sizeof(*levels));

		if (!levels)
			return -ENOMEM;
		walk->levels = levels;
		walk->room = room;
	}
	walk->levels[walk->depth++] = *level;
	if (walk->depth > OPEN_LEVELS) {
		struct level *above = &walk->levels[walk->depth - 1 - OPEN_LEVELS];

		sess_run_free(walk->ahead, move_ptr(above->run));
		if (above->fd >= 0)
			close(move_fd(above->fd));
	}
	return 0;
}

static void pop(struct walk *walk)
{
	struct level *level = &walk->levels[--walk->depth];

	if (walk->ahead)
		sess_ahead_leave(walk->ahead);
	sess_run_free(walk->ahead, level->run);
	if (level->fd >= 0)
		close(level->fd);
	archive_names_free(&level->names);
}

/* Whether a directory that says so is only left out, not the end of the listing. */
static bool is_passed_over(int code)
{
	return code == ENOENT || code == EACCES || code == EPERM || code == ELOOP ||
	       code == ENOTDIR || code == ESTALE;
}

/* Opens and reads the directory NAME in AT.  A descriptor. */
static int open_and_read(int at, const char *name, struct archive_names *names)
{
	int fd = openat(at, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
	int rc = fd < 0 ? -errno : archive_names_read(fd, names);

	if (rc == 0)
		return fd;
	if (fd >= 0)
		close(fd);
	return rc;
}

/* Goes down into the directory FD with these NAMES, which are taken over. */
static int enter_fd(struct walk *walk, int fd, struct archive_names *names)
{
	struct level level = {
		.fd = fd,
		.names = *names,
		.path_len = walk->path.len,
		.serial = ++walk->serial,
	};
	int rc = push(walk, &level);

	if (rc < 0) {
		if (walk->ahead)
			sess_ahead_leave(walk->ahead);
		archive_names_free(names);
		close(fd);
	}
	return rc;
}

/*
 * The directory behind the name INDEX of the level above the one on top is likely to be entered
 * next.
 */
static void expect_next(struct walk *walk, size_t index)
{
	const struct level *above = &walk->levels[walk->depth - 2];
	const struct stat *st;

	while (sess_run_has(above->run, ++index)) {
		if (sess_run_get(above->run, index, &st) == 0 && S_ISDIR(st->st_mode)) {
			sess_ahead_expect(walk->ahead, above->fd,
					  archive_names_at(&above->names, index), above->serial,
					  index);
			return;
		}
	}
}

/* Goes down into the name INDEX of the level on top, open as AT. */
static int enter(struct walk *walk, int at, size_t index)
{
	struct level *level = &walk->levels[walk->depth - 1];
	struct archive_names names = { 0 };
	int rc = -EAGAIN;

	level->entered = true;
	if (walk->ahead)
		rc = sess_ahead_enter(walk->ahead, level->serial, index, &names);
	if (rc == -EAGAIN)
		rc = open_and_read(at, archive_names_at(&level->names, index), &names);
	if (rc >= 0)
		rc = enter_fd(walk, rc, &names);
	if (rc < 0)
		return is_passed_over(-rc) ? 0 : rc;
	if (walk->ahead && names.count >= SESS_AHEAD_MIN)
		expect_next(walk, index);
	return 0;
}

/* The descriptor of LEVEL, opened again after a visit below; a negative errno where it has gone. */
static int level_fd(struct walk *walk, struct level *level)
{
	char path[LIMIT_PATH];

	if (level->fd >= 0)
		return level->fd;
	if (level->path_len >= sizeof(path))
		return -ENAMETOOLONG;
	memcpy(path, buf_str(&walk->path), level->path_len);
	path[level->path_len] = '\0';
	level->fd = beneath_open(walk->root, path, O_RDONLY | O_DIRECTORY, 0, BENEATH_NO_LINKS);
	return level->fd;
}

/*
 * Whether NAME is where the walk is to go on, told of before; AFTER becomes what is left below it.
 */
static bool is_known(struct walk *walk, const char *name)
{
	size_t len;

	if (!walk->after)
		return false;
	len = strcspn(walk->after, "/");
	if (strncmp(name, walk->after, len) != 0 || name[len]) {
		walk->after = NULL;
		return false;
	}
	walk->after = walk->after[len] ? walk->after + len + 1 : NULL;
	return true;
}

/* Where the listing goes on in the level on top, if it is not past that. */
static void begin(struct walk *walk)
{
	struct level *level = walk->depth ? &walk->levels[walk->depth - 1] : NULL;

	if (walk->after && level)
		level->next = search(&level->names, walk->after, strcspn(walk->after, "/"));
}

/* What the name INDEX of the level on top is.  0 or a negative errno. */
static int look_at(struct walk *walk, int at, size_t index, struct stat *out)
{
	struct level *level = &walk->levels[walk->depth - 1];
	const struct stat *st;
	int rc;

	if (level->names.count >= SESS_AHEAD_MIN && !sess_run_has(level->run, index)) {
		if (!walk->ahead)
			walk->ahead = sess_ahead_new();
		sess_run_free(walk->ahead, move_ptr(level->run));
		if (walk->ahead)
			level->run = sess_ahead_next(walk->ahead, at, &level->names, index,
						     level->entered);
	}
	if (!sess_run_has(level->run, index)) {
		const char *name = archive_names_at(&level->names, index);

		return fstatat(at, name, out, AT_SYMLINK_NOFOLLOW) < 0 ? -errno : 0;
	}
	rc = sess_run_get(level->run, index, &st);
	*out = *st;
	return rc;
}

static int visit(struct walk *walk, int at, size_t index, const char *name)
{
	bool known = is_known(walk, name);
	unsigned depth = walk->depth;
	struct stat st;
	int rc = look_at(walk, at, index, &st);

	if (rc < 0) {
		walk->after = NULL;
		return is_passed_over(-rc) ? 0 : rc;
	}
	if (!known)
		rc = walk->each(walk->arg, at, name, walk->path.data, walk->path.len, &st);
	if (rc == 0 && S_ISDIR(st.st_mode) && depth < walk->max_depth)
		rc = enter(walk, at, index);
	if (walk->depth == depth)
		walk->after = NULL; /* what it was below is not walked */
	else
		begin(walk);
	return rc;
}

/* The next entry of the level on top, or back up from it. */
static int step(struct walk *walk)
{
	struct level *level = &walk->levels[walk->depth - 1];
	const char *name;
	size_t index;
	int fd;

	fd = level->next < level->names.count ? level_fd(walk, level) : -ENOENT;
	if (fd < 0) {
		pop(walk);
		walk->after = NULL;
		return is_passed_over(-fd) ? 0 : fd;
	}
	index = level->next++;
	name = archive_names_at(&level->names, index);
	walk->path.len = level->path_len;
	if (walk->path.len)
		buf_add(&walk->path, "/", 1);
	buf_add(&walk->path, name, strlen(name));
	if (walk->path.overflow) {
		/* Nobody could name it: no operation takes such a path. */
		walk->path.overflow = false;
		return 0;
	}
	return visit(walk, fd, index, name);
}

int sess_walk(int fd, unsigned levels, const char *after, sess_walk_fn each, void *arg,
	      struct error *err)
{
	struct walk walk = {
		.root = fd,
		.max_depth = levels,
		.each = each,
		.arg = arg,
		.after = after[0] ? after : NULL,
		.path = BUF_INIT(LIMIT_PATH - 1),
	};
	struct archive_names names;
	int rc = open_and_read(fd, ".", &names);

	if (rc >= 0)
		rc = enter_fd(&walk, rc, &names);
	if (rc == 0)
		begin(&walk);
	while (rc == 0 && walk.depth)
		rc = step(&walk);
	while (walk.depth)
		pop(&walk);
	sess_ahead_free(walk.ahead);
	free(walk.levels);
	buf_free(&walk.path);
	return rc < 0 ? error_set(err, -rc, "cannot list: %s", strerror(-rc)) : rc;
}
