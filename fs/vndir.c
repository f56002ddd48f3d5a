/*
 * vndir.c - listings: filled in order, read in order, of any size that a guest likes to say.
 *
 * An entry is a struct record and its name.  What does not fit in memory goes to a file, which
 * nobody changes any more; where an entry is is known for each MARK_EVERY-th only.  Memory is taken
 * in steps: the first is there for every listing, the others as long as all listings together have
 * left some.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "fs/vnode.h"
#include "protocol/budget.h"
#include "protocol/cleanup.h"
#include "protocol/tempfile.h"

#define MARK_EVERY 128
#define WINDOW (32u << 10)
#define STEP (16u << 10)

static struct budget steps = { .max = LIMIT_LISTINGS_MEMORY };

/* What stands before each name. */
struct record {
	struct vn_attr attr;
	uint8_t name_len;
	bool whole;
};

/* Whether LEN more bytes may be in memory. */
static bool has_room(struct vn_dir *dir, size_t len)
{
	while (dir->tail.len + len > dir->tail.max) {
		if (dir->tail.max == LIMIT_LISTING_MEMORY)
			return false;
		if (dir->tail.max && !budget_take(&steps, STEP))
			return false;
		dir->tail.max += STEP;
	}
	return true;
}

/* All that is in memory goes to the file. */
static int spool(struct vn_dir *dir)
{
	int rc = dir->spooled ? dir->spool : tempfile_open(NULL);

	if (rc < 0)
		return rc;
	dir->spool = rc;
	rc = tempfile_write(dir->spool, dir->tail.data, dir->tail.len, (off_t)dir->spooled);
	if (rc < 0 && !dir->spooled)
		close(move_fd(dir->spool));
	if (rc < 0)
		return rc;
	dir->spooled += dir->tail.len;
	dir->tail.len = 0;
	return 0;
}

/* Notes where the entry that is about to be added will be. */
static int mark(struct vn_dir *dir)
{
	size_t index = dir->count / MARK_EVERY;

	if (dir->count % MARK_EVERY)
		return 0;
	if (index == dir->mark_room) {
		size_t room = index ? 2 * index : 4;
		uint64_t *marks = reallocarray(dir->marks, room, sizeof(*marks));

		if (!marks)
			return -ENOMEM;
		dir->marks = marks;
		dir->mark_room = room;
	}
	dir->marks[index] = dir->spooled + dir->tail.len;
	return 0;
}

int vn_dir_add(struct vn_dir *dir, const char *name, const struct vn_attr *attr, bool whole)
{
	size_t len = strlen(name);
	struct record record = { .attr = *attr, .name_len = (uint8_t)len, .whole = whole };
	int rc = 0;

	if (dir->count >= LIMIT_LISTING_ENTRIES)
		return -EOVERFLOW;
	if (len > LIMIT_NAME)
		return -ENAMETOOLONG;
	if (!has_room(dir, sizeof(record) + len))
		rc = spool(dir);
	if (rc == 0)
		rc = mark(dir);
	if (rc < 0)
		return rc;
	buf_add(&dir->tail, &record, sizeof(record));
	buf_add(&dir->tail, name, len);
	if (dir->tail.overflow)
		return -ENOMEM;
	dir->count++;
	return 0;
}

void vn_dir_free(struct vn_dir *dir)
{
	if (dir->spooled)
		close(dir->spool);
	if (dir->tail.max > STEP)
		budget_give(&steps, dir->tail.max - STEP);
	buf_free(&dir->tail);
	free(dir->marks);
	*dir = (struct vn_dir){ 0 };
}

/* LEN bytes at reader->at of the file. */
static int read_spooled(struct vn_dir_reader *reader, size_t len, const char **out)
{
	const struct vn_dir *dir = reader->dir;
	uint64_t end = reader->window_at + reader->window_len;
	ssize_t n;

	if (!reader->window || reader->at < reader->window_at || reader->at + len > end) {
		if (!reader->window)
			reader->window = malloc(WINDOW);
		if (!reader->window)
			return -ENOMEM;
		do
			n = pread(dir->spool, reader->window, WINDOW, (off_t)reader->at);
		while (n < 0 && errno == EINTR);
		reader->window_at = reader->at;
		reader->window_len = n > 0 ? (size_t)n : 0;
		if (n < 0 || (size_t)n < len)
			return n < 0 ? -errno : -EIO;
	}
	*out = reader->window + (reader->at - reader->window_at);
	return 0;
}

/* The next LEN bytes.  No entry is partly in the file. */
static int take(struct vn_dir_reader *reader, void *bytes, size_t len)
{
	const struct vn_dir *dir = reader->dir;
	const char *from = NULL;
	int rc = 0;

	if (reader->at < dir->spooled)
		rc = read_spooled(reader, len, &from);
	else if (dir->tail.data)
		from = dir->tail.data + (reader->at - dir->spooled);
	if (!from)
		return rc < 0 ? rc : -EIO;
	memcpy(bytes, from, len);
	reader->at += len;
	return 0;
}

int vn_dir_next(struct vn_dir_reader *reader, struct vn_dirent *out)
{
	struct record record;
	int rc;

	if (!reader->left)
		return 0;
	rc = take(reader, &record, sizeof(record));
	if (rc == 0)
		rc = take(reader, out->name, record.name_len);
	if (rc < 0)
		return rc;
	out->name[record.name_len] = '\0';
	out->attr = record.attr;
	out->whole = record.whole;
	out->stamp = reader->dir->stamp;
	reader->left--;
	return 1;
}

int vn_dir_seek(struct vn_dir_reader *reader, const struct vn_dir *dir, size_t index)
{
	struct vn_dirent skipped;
	int rc = 1;

	*reader = (struct vn_dir_reader){ .dir = dir };
	if (index >= dir->count)
		return 0;
	reader->at = dir->marks[index / MARK_EVERY];
	reader->left = dir->count - index + index % MARK_EVERY;
	for (size_t i = 0; rc > 0 && i < index % MARK_EVERY; i++)
		rc = vn_dir_next(reader, &skipped);
	return rc < 0 ? rc : 0;
}

void vn_dir_done(struct vn_dir_reader *reader)
{
	free(reader->window);
	reader->window = NULL;
}
