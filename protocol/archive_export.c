/*
 * archive_export.c - files become a tar in a stream; see archive.h.
 *
 * The same tree gives the same bytes: members are sorted by name, and nothing is told of a
 * file but its name, type, mode, owner's numbers, mtime, target and contents.
 */
#include <archive.h>
#include <archive_entry.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>
#include <uthash.h>

#include "protocol/archive.h"
#include "protocol/archive_names.h"
#include "protocol/beneath.h"
#include "protocol/buf.h"
#include "protocol/cleanup.h"

#define PIECE (64u << 10)

/* A file with several names, under the one that the archive has it by. */
struct seen {
	struct {
		dev_t dev;
		ino_t ino;
	} id;
	UT_hash_handle hh;
	char path[];
};

/* A directory that is being walked. */
struct level {
	int fd; /* owned; -1 while the walk is deeper: few are open at a time */
	struct archive_names names;
	size_t next;     /* of names */
	size_t path_len; /* of the walk's path at this level */
};

struct walk {
	int root;
	struct archive *archive;
	struct archive_counts counts;
	struct seen *seen;

	archive_write_fn write;
	void *arg;
	int code; /* negative errno of write, or the walk: nothing more is written */

	/* The path of the member below what is exported, and where that is below root. */
	struct buf path;
	const char *base;

	struct level *levels; /* owned */
	size_t depth, room;
	char *piece; /* owned, PIECE bytes */
};

/*
 * Never says that it failed: libarchive would not close its writer properly then, and lose the
 * writer's buffer.  Whoever writes looks at walk->code afterwards.
 */
static la_ssize_t write_block(struct archive *archive, void *arg, const void *bytes, size_t len)
{
	struct walk *walk = arg;

	(void)archive;
	if (!walk->code) {
		int rc = walk->write(walk->arg, bytes, len);

		walk->code = rc < 0 ? rc : 0;
	}
	return (la_ssize_t)len;
}

/* A pax writer that says nothing of its own and buffers little. */
static struct archive *new_writer(void *arg, archive_write_callback *write)
{
	struct archive *archive = archive_write_new();

	if (archive && archive_write_set_format_pax(archive) == ARCHIVE_OK &&
	    archive_write_add_filter_none(archive) == ARCHIVE_OK &&
	    archive_write_set_bytes_per_block(archive, PIECE) == ARCHIVE_OK &&
	    archive_write_set_bytes_in_last_block(archive, 1) == ARCHIVE_OK &&
	    archive_write_open(archive, arg, NULL, write, NULL) == ARCHIVE_OK)
		return archive;
	archive_write_free(archive);
	return NULL;
}

static int fail(const struct walk *walk, int code, struct error *err)
{
	return error_set(err, code, "cannot export '%s%s%.255s': %s", walk->base,
			 walk->base[0] && walk->path.len ? "/" : "", buf_str(&walk->path),
			 strerror(code));
}

static int writer_failed(const struct walk *walk, struct error *err)
{
	const char *why = archive_error_string(walk->archive);

	if (walk->code)
		return error_set(err, -walk->code, "cannot write the archive: %s",
				 strerror(-walk->code));
	return error_set(err, EIO, "cannot write the archive: %s", why ? why : "unknown cause");
}

static void fill_entry(struct archive_entry *entry, const char *path, const struct stat *st)
{
	archive_entry_copy_pathname(entry, path);
	archive_entry_set_filetype(entry, st->st_mode & S_IFMT);
	archive_entry_set_perm(entry, st->st_mode & 07777);
	archive_entry_set_uid(entry, st->st_uid);
	archive_entry_set_gid(entry, st->st_gid);
	archive_entry_set_mtime(entry, st->st_mtim.tv_sec, st->st_mtim.tv_nsec);
	if (S_ISREG(st->st_mode))
		archive_entry_set_size(entry, st->st_size);
	if (S_ISCHR(st->st_mode) || S_ISBLK(st->st_mode))
		archive_entry_set_rdev(entry, st->st_rdev);
}

/* Takes ENTRY over.  Warnings are about charsets: the bytes are written as they are. */
static int put_header(struct walk *walk, struct archive_entry *entry, struct error *err)
{
	int rc = archive_write_header(walk->archive, entry);

	archive_entry_free(entry);
	if (rc < ARCHIVE_WARN || walk->code)
		return writer_failed(walk, err);
	walk->counts.entries++;
	return 0;
}

static int put_contents(struct walk *walk, int fd, int64_t size, struct error *err)
{
	for (int64_t left = size; left > 0;) {
		ssize_t n = read(fd, walk->piece, left < PIECE ? (size_t)left : PIECE);

		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			return fail(walk, errno, err);
		if (n == 0)
			return error_set(err, EAGAIN,
					 "'%.255s' shrank while it was exported: try "
					 "again",
					 buf_str(&walk->path));
		if (archive_write_data(walk->archive, walk->piece, (size_t)n) != n || walk->code)
			return writer_failed(walk, err);
		left -= n;
	}
	walk->counts.bytes += size;
	return 0;
}

/* The first name of a file that has several, NULL if this is it. */
static int remember(struct walk *walk, const struct stat *st, const char *path, const char **first)
{
	struct seen *seen, key = { 0 };

	*first = NULL;
	if (st->st_nlink < 2)
		return 0;
	key.id.dev = st->st_dev;
	key.id.ino = st->st_ino;
	/* NOLINTNEXTLINE(clang-analyzer-core.UndefinedBinaryOperatorResult): it is all set */
	HASH_FIND(hh, walk->seen, &key.id, sizeof(key.id), seen);
	if (seen) {
		*first = seen->path;
		return 0;
	}
	seen = calloc(1, sizeof(*seen) + strlen(path) + 1);
	if (!seen)
		return -ENOMEM;
	seen->id = key.id;
	memcpy(seen->path, path, strlen(path) + 1);
	HASH_ADD(hh, walk->seen, id, sizeof(seen->id), seen);
	return 0;
}

static int put_file(struct walk *walk, int at, const char *name, struct error *err)
{
	autoclose int fd = openat(at, name,
				  O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_NOCTTY | O_CLOEXEC);
	const char *path = buf_str(&walk->path), *first;
	struct archive_entry *entry;
	struct stat st;
	int rc;

	if (fd < 0)
		return errno == ENOENT ? 0 : fail(walk, errno, err);
	if (fstat(fd, &st) < 0 || !S_ISREG(st.st_mode))
		return fail(walk, EAGAIN, err); /* it has become something else meanwhile */
	entry = archive_entry_new();
	if (!entry || remember(walk, &st, path, &first) < 0) {
		archive_entry_free(entry);
		return fail(walk, ENOMEM, err);
	}
	fill_entry(entry, path, &st);
	if (first) {
		archive_entry_copy_hardlink(entry, first);
		archive_entry_set_size(entry, 0);
	}
	rc = put_header(walk, entry, err);
	return rc < 0 || first ? rc : put_contents(walk, fd, st.st_size, err);
}

static int put_other(struct walk *walk, int at, const char *name, const struct stat *st,
		     struct error *err)
{
	struct archive_entry *entry = archive_entry_new();

	if (!entry)
		return fail(walk, ENOMEM, err);
	fill_entry(entry, buf_str(&walk->path), st);
	if (S_ISLNK(st->st_mode)) {
		ssize_t len = readlinkat(at, name, walk->piece, LIMIT_SYMLINK_TARGET + 1);

		if (len < 0 || len > LIMIT_SYMLINK_TARGET) {
			archive_entry_free(entry);
			return fail(walk, len < 0 ? EAGAIN : ENAMETOOLONG, err);
		}
		walk->piece[len] = '\0';
		archive_entry_copy_symlink(entry, walk->piece);
	}
	return put_header(walk, entry, err);
}

/* Goes down into the directory NAME below AT. */
static int enter(struct walk *walk, int at, const char *name, struct error *err)
{
	struct level level = { .path_len = walk->path.len };
	int rc;

	if (walk->depth == walk->room) {
		size_t room = walk->room ? 2 * walk->room : 16;
		struct level *levels = realloc(walk->levels, room * sizeof(*levels));

		if (!levels)
			return fail(walk, ENOMEM, err);
		walk->levels = levels;
		walk->room = room;
	}
	level.fd = openat(at, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
	if (level.fd < 0)
		return errno == ENOENT ? 0 : fail(walk, errno, err);
	rc = archive_names_read(level.fd, &level.names);
	if (rc < 0) {
		close(level.fd);
		return fail(walk, -rc, err);
	}
	walk->levels[walk->depth++] = level;
	return 0;
}

static void leave(struct walk *walk)
{
	struct level *level = &walk->levels[--walk->depth];

	if (level->fd >= 0)
		close(level->fd);
	archive_names_free(&level->names);
}

/* One thing NAME in the directory AT; the walk's path is its member name already. */
static int put(struct walk *walk, int at, const char *name, bool *is_directory, struct error *err)
{
	struct stat st;

	*is_directory = false;
	if (fstatat(at, name, &st, AT_SYMLINK_NOFOLLOW) < 0)
		return errno == ENOENT ? 0 : fail(walk, errno, err); /* gone meanwhile */
	if (S_ISSOCK(st.st_mode))
		return 0;
	if (S_ISREG(st.st_mode))
		return put_file(walk, at, name, err);
	*is_directory = S_ISDIR(st.st_mode);
	return put_other(walk, at, name, &st, err);
}

/* The descriptor of the level on top, opened again after a visit below. */
static int top_fd(struct walk *walk, struct level *level)
{
	char path[LIMIT_PATH];
	int len;

	if (level->fd >= 0)
		return level->fd;
	len = snprintf(path, sizeof(path), "%s/%.*s", walk->base, (int)level->path_len,
		       buf_str(&walk->path));
	if (len >= (int)sizeof(path))
		return -ENAMETOOLONG;
	level->fd = beneath_open(walk->root, path[0] == '/' ? path + 1 : path,
				 O_RDONLY | O_DIRECTORY, 0, BENEATH_NO_LINKS);
	return level->fd;
}

static void set_path(struct walk *walk, size_t len, const char *name)
{
	walk->path.len = len;
	if (len)
		buf_adds(&walk->path, "/");
	buf_adds(&walk->path, name);
}

static int walk_levels(struct walk *walk, struct error *err)
{
	while (walk->depth) {
		struct level *level = &walk->levels[walk->depth - 1];
		bool is_directory;
		const char *name;
		int fd, rc;

		if (level->next == level->names.count) {
			leave(walk);
			continue;
		}
		name = archive_names_at(&level->names, level->next++);
		set_path(walk, level->path_len, name);
		fd = top_fd(walk, level);
		if (walk->path.overflow || fd == -ENAMETOOLONG)
			return error_set(err, ENAMETOOLONG,
					 "cannot export: a path is longer than %d bytes",
					 LIMIT_MEMBER_NAME);
		if (fd < 0)
			return fail(walk, EAGAIN, err); /* the directory went away */
		rc = put(walk, fd, name, &is_directory, err);
		if (rc == 0 && is_directory) {
			size_t depth = walk->depth;

			rc = enter(walk, fd, name, err);
			if (rc == 0 && walk->depth > depth)
				close(move_fd(walk->levels[depth - 1].fd));
		}
		if (rc < 0)
			return rc;
	}
	return 0;
}

static int walk_from(struct walk *walk, const char *path, struct error *err)
{
	autoclose int parent = -1;
	bool is_directory;
	const char *name;
	struct stat st;
	int rc;

	if (!path[0])
		return enter(walk, walk->root, ".", err);
	parent = beneath_open_parent(walk->root, path, BENEATH_NO_LINKS, &name);
	if (parent < 0)
		return fail(walk, -parent, err);
	if (fstatat(parent, name, &st, AT_SYMLINK_NOFOLLOW) < 0)
		return fail(walk, errno, err);
	if (S_ISDIR(st.st_mode))
		return enter(walk, parent, name, err);
	if (S_ISSOCK(st.st_mode))
		return error_set(err, EPERM, "cannot export '%.255s': it is a socket", path);
	walk->base = "";
	set_path(walk, 0, name);
	rc = put(walk, parent, name, &is_directory, err);
	if (rc == 0 && !walk->counts.entries)
		return fail(walk, ENOENT, err);
	return rc;
}

static void walk_free(struct walk *walk)
{
	struct seen *seen, *next;

	while (walk->depth)
		leave(walk);
	HASH_ITER (hh, walk->seen, seen, next) {
		HASH_DEL(walk->seen, seen);
		free(seen);
	}
	free(walk->levels);
	free(walk->piece);
	buf_free(&walk->path);
	if (walk->archive)
		archive_write_free(walk->archive);
}

int archive_export(int root_fd, const char *path, archive_write_fn write, void *arg,
		   struct archive_counts *out, struct error *err)
{
	struct walk walk = {
		.root = root_fd,
		.write = write,
		.arg = arg,
		.path = BUF_INIT(LIMIT_MEMBER_NAME),
	};
	char clean[LIMIT_PATH];
	int rc = beneath_clean(path, clean, sizeof(clean));

	if (rc < 0)
		return error_set(err, -rc,
				 "cannot export '%.255s': the path leads outside or is "
				 "too long",
				 path);
	walk.base = clean;
	walk.piece = malloc(PIECE);
	walk.archive = new_writer(&walk, write_block);
	if (!walk.piece || !walk.archive)
		rc = error_set(err, ENOMEM, "out of memory");
	if (rc == 0)
		rc = walk_from(&walk, clean, err);
	if (rc == 0)
		rc = walk_levels(&walk, err);
	if (rc == 0 && (archive_write_close(walk.archive) != ARCHIVE_OK || walk.code))
		rc = writer_failed(&walk, err);
	/* Freeing closes it, and closing writes. */
	if (rc < 0)
		walk.code = rc;
	if (rc == 0)
		*out = walk.counts;
	walk_free(&walk);
	return rc;
}
