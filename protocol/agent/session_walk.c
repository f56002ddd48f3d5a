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

	/* Names of one level that were looked at together: COUNT from FIRST on. */
	struct sess_ahead *ahead; /* owned; NULL until there is a large directory */
	unsigned ahead_serial;
	size_t ahead_first, ahead_count;
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

		if (above->fd >= 0)
			close(move_fd(above->fd));
	}
	return 0;
}

static void pop(struct walk *walk)
{
	struct level *level = &walk->levels[--walk->depth];

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

/* Goes down into the directory FD, which is taken over. */
static int enter_fd(struct walk *walk, int fd)
{
	struct level level = {
		.fd = fd,
		.path_len = walk->path.len,
		.serial = ++walk->serial,
	};
	int rc = archive_names_read(fd, &level.names);

	if (rc == 0)
		rc = push(walk, &level);
	if (rc < 0) {
		archive_names_free(&level.names);
		close(fd);
	}
	return rc;
}

static int enter(struct walk *walk, int at, const char *name)
{
	int rc = openat(at, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);

	rc = rc < 0 ? -errno : enter_fd(walk, rc);
	return rc < 0 && is_passed_over(-rc) ? 0 : rc;
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

/* Whether NAME is where the walk is to go on, told of before; AFTER becomes what is left below it. */
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
	const struct level *level = &walk->levels[walk->depth - 1];
	size_t left = level->names.count - index;
	const struct stat *st;
	int rc;

	if (walk->ahead_serial != level->serial || index < walk->ahead_first ||
	    index - walk->ahead_first >= walk->ahead_count) {
		if (left >= SESS_AHEAD_MIN && !walk->ahead)
			walk->ahead = sess_ahead_new();
		if (left < SESS_AHEAD_MIN || !walk->ahead)
			return fstatat(at, archive_names_at(&level->names, index), out,
				       AT_SYMLINK_NOFOLLOW) < 0 ?
				       -errno :
				       0;
		walk->ahead_serial = level->serial;
		walk->ahead_first = index;
		walk->ahead_count = left < SESS_AHEAD_MAX ? left : SESS_AHEAD_MAX;
		sess_ahead_run(walk->ahead, at, &level->names, index, walk->ahead_count);
	}
	rc = sess_ahead_get(walk->ahead, index - walk->ahead_first, &st);
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
		rc = enter(walk, at, name);
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
	int own = openat(fd, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	int rc = own < 0 ? -errno : enter_fd(&walk, own);

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
