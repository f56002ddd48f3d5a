/* archive_place.c - see archive_place.h. */
#include "protocol/archive_place.h"

#include <errno.h>
#include <fcntl.h>
#include <stdbool.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "protocol/archive_unpack.h"
#include "protocol/beneath.h"
#include "protocol/cleanup.h"
#include "protocol/limits.h"

/* setuid and setgid never come out of an archive. */
#define MODE_MASK 01777

struct place_later {
	size_t previous; /* offset of the record before; its own for the first */
	mode_t mode;
	struct timespec times[2];
};

/* Where a member goes. */
struct spot {
	int parent; /* O_PATH, owned */
	const char *name;
	const char *path; /* the whole, for messages */
};

static int refuse(struct error *err, const char *path, const char *why)
{
	return error_set(err, EPERM, "refused archive member '%.255s': %s", path, why);
}

static int fail(struct error *err, const char *path, int code)
{
	return error_set(err, code, "archive member '%.255s': %s", path, strerror(code));
}

static void entry_times(struct archive_entry *entry, struct timespec times[2])
{
	times[0] = (struct timespec){ .tv_nsec = UTIME_OMIT };
	times[1] = (struct timespec){ .tv_nsec = UTIME_OMIT };
	if (archive_entry_mtime_is_set(entry)) {
		times[1].tv_sec = archive_entry_mtime(entry);
		times[1].tv_nsec = archive_entry_mtime_nsec(entry);
	}
}

static int parent_problem(struct error *err, const char *path, int rc)
{
	if (rc == -ELOOP || rc == -EXDEV)
		return refuse(err, path, "a directory above it is a symbolic link");
	if (rc == -ENOTDIR)
		return refuse(err, path, "something above it is not a directory");
	return fail(err, path, -rc);
}

/* Makes the directories above PATH, which an archive need not name. */
static int make_parents(int root, const char *path, struct error *err)
{
	const char *slash = path;

	while ((slash = strchr(slash + 1, '/')) != NULL) {
		char above[LIMIT_MEMBER_NAME];
		autoclose int parent = -1;
		const char *name;

		memcpy(above, path, (size_t)(slash - path));
		above[slash - path] = '\0';
		parent = beneath_open_parent(root, above, BENEATH_NO_LINKS, &name);
		if (parent < 0)
			return parent_problem(err, path, parent);
		if (mkdirat(parent, name, 0755) < 0 && errno != EEXIST)
			return fail(err, path, errno);
	}
	return 0;
}

static int open_spot(int root, const char *path, struct spot *spot, struct error *err)
{
	int parent = beneath_open_parent(root, path, BENEATH_NO_LINKS, &spot->name);

	if (parent == -ENOENT) {
		int rc = make_parents(root, path, err);

		if (rc < 0)
			return rc;
		parent = beneath_open_parent(root, path, BENEATH_NO_LINKS, &spot->name);
	}
	if (parent < 0)
		return parent_problem(err, path, parent);
	spot->parent = parent;
	spot->path = path;
	return 0;
}

/* The type of what is at SPOT now, 0 for nothing. */
static mode_t type_at(const struct spot *spot)
{
	struct stat st;

	return fstatat(spot->parent, spot->name, &st, AT_SYMLINK_NOFOLLOW) < 0 ?
		       0 :
		       st.st_mode & S_IFMT;
}

static int write_at(int fd, const void *bytes, size_t len, int64_t offset)
{
	const char *from = bytes;

	while (len) {
		ssize_t n = pwrite(fd, from, len, offset);

		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			return -errno;
		from += n;
		offset += n;
		len -= (size_t)n;
	}
	return 0;
}

/* Copies the member's data into FD; holes stay holes. */
static int copy_data(struct place *place, const struct spot *spot, int fd, int64_t size,
		     struct error *err)
{
	const void *bytes;
	size_t len;
	la_int64_t offset;
	int rc;

	if (ftruncate(fd, 0) < 0)
		return fail(err, spot->path, errno);
	while ((rc = archive_read_data_block(place->archive, &bytes, &len, &offset)) ==
	       ARCHIVE_OK) {
		rc = write_at(fd, bytes, len, offset);
		if (rc < 0)
			return fail(err, spot->path, -rc);
	}
	if (rc != ARCHIVE_EOF) {
		const char *why = archive_error_string(place->archive);

		return error_set(err, EBADMSG, "archive member '%.255s': %s", spot->path,
				 why ? why : "the archive is damaged");
	}
	if (ftruncate(fd, size) < 0)
		return fail(err, spot->path, errno);
	place->bytes += size;
	return 0;
}

static int place_file(struct place *place, const struct spot *spot, struct archive_entry *entry,
		      struct error *err)
{
	mode_t there = type_at(spot);
	struct timespec times[2];
	autoclose int fd = -1;
	struct stat st;
	int rc;

	if (there && there != S_IFREG)
		return refuse(err, spot->path, "something else than a file is there");
	fd = openat(spot->parent, spot->name,
		    O_WRONLY | O_CREAT | O_NOFOLLOW | O_NONBLOCK | O_NOCTTY | O_CLOEXEC, 0600);
	if (fd < 0)
		return errno == ELOOP ? refuse(err, spot->path, "a symbolic link is there") :
					fail(err, spot->path, errno);
	/* Between the two looks somebody may have put something else there. */
	if (fstat(fd, &st) < 0 || !S_ISREG(st.st_mode))
		return refuse(err, spot->path, "something else than a file is there");

	rc = copy_data(place, spot, fd, archive_entry_size(entry), err);
	if (rc < 0)
		return rc;
	entry_times(entry, times);
	if (fchmod(fd, archive_entry_perm(entry) & MODE_MASK) < 0 || futimens(fd, times) < 0)
		return fail(err, spot->path, errno);
	return 0;
}

static int place_directory(struct place *place, const struct spot *spot,
			   struct archive_entry *entry, struct error *err)
{
	struct place_later later = {
		.previous = place->last,
		.mode = archive_entry_perm(entry) & MODE_MASK,
	};

	if (mkdirat(spot->parent, spot->name, 0700) < 0) {
		if (errno != EEXIST)
			return fail(err, spot->path, errno);
		if (type_at(spot) != S_IFDIR)
			return refuse(err, spot->path, "something else than a directory is there");
	}
	entry_times(entry, later.times);
	place->last = place->later.len;
	buf_add(&place->later, &later, sizeof(later));
	buf_add(&place->later, spot->path, strlen(spot->path) + 1);
	if (place->later.room > place->taken) {
		int rc = archive_take_room(place->room, place->later.room - place->taken, err);

		if (rc < 0)
			return rc;
		place->taken = place->later.room;
	}
	if (place->later.overflow)
		return error_set(err, EFBIG, "the archive's directory names are over %zu bytes",
				 place->later.max);
	return 0;
}

/*
 * Whether a link at PATH with TARGET stays below the root, whatever else is there: it
 * may go up only at its beginning, where the directories above it are real ones, and not
 * further than to the root.  A ".." behind a name could go up from wherever a link of that name
 * leads.
 */
static const char *target_problem(const char *path, const char *target)
{
	size_t depth = 0;
	bool named = false;

	for (const char *slash = path; (slash = strchr(slash, '/')) != NULL; slash++)
		depth++;
	if (!target[0])
		return "its target is empty";
	if (strlen(target) > LIMIT_SYMLINK_TARGET)
		return "its target is longer than 4095 bytes";
	if (target[0] == '/')
		return "its target is absolute";
	while (*target) {
		size_t len = strcspn(target, "/");

		if (len == 2 && !strncmp(target, "..", 2)) {
			if (named)
				return "its target has a '..' behind a name";
			if (!depth--)
				return "its target leads outside";
		} else if (len && !(len == 1 && target[0] == '.')) {
			named = true;
		}
		target += len;
		target += *target == '/';
	}
	return NULL;
}

static int place_symlink(const struct spot *spot, struct archive_entry *entry, struct error *err)
{
	const char *target = archive_entry_symlink(entry);
	const char *problem = target ? target_problem(spot->path, target) : "it has no target";
	mode_t there = type_at(spot);
	struct timespec times[2];

	if (problem)
		return refuse(err, spot->path, problem);
	if (there && there != S_IFLNK)
		return refuse(err, spot->path, "something else than a symbolic link is there");
	if (there && unlinkat(spot->parent, spot->name, 0) < 0)
		return fail(err, spot->path, errno);
	if (symlinkat(target, spot->parent, spot->name) < 0)
		return fail(err, spot->path, errno);
	entry_times(entry, times);
	if (utimensat(spot->parent, spot->name, times, AT_SYMLINK_NOFOLLOW) < 0)
		return fail(err, spot->path, errno);
	return 0;
}

static int place_hard_link(struct place *place, const struct spot *spot,
			   struct archive_entry *entry, struct error *err)
{
	char target[LIMIT_MEMBER_NAME];
	autoclose int parent = -1;
	struct stat from, to;
	const char *name;

	if (beneath_clean(archive_entry_hardlink(entry), target, sizeof(target)) < 0 || !target[0])
		return refuse(err, spot->path, "it is a hard link that leads outside");
	parent = beneath_open_parent(place->root, target, BENEATH_NO_LINKS, &name);
	if (parent < 0)
		return parent == -ENOENT ? fail(err, spot->path, ENOENT) :
					   parent_problem(err, spot->path, parent);
	if (fstatat(parent, name, &from, AT_SYMLINK_NOFOLLOW) < 0)
		return fail(err, spot->path, errno);
	if (S_ISDIR(from.st_mode) || S_ISLNK(from.st_mode))
		return refuse(err, spot->path, "it is a hard link to something else than a file");
	if (fstatat(spot->parent, spot->name, &to, AT_SYMLINK_NOFOLLOW) == 0) {
		if (from.st_dev == to.st_dev && from.st_ino == to.st_ino)
			return 0;
		if (!S_ISREG(to.st_mode))
			return refuse(err, spot->path, "something else than a file is there");
		if (unlinkat(spot->parent, spot->name, 0) < 0)
			return fail(err, spot->path, errno);
	}
	/* Without AT_SYMLINK_FOLLOW: a link put there meanwhile is linked, not followed. */
	if (linkat(parent, name, spot->parent, spot->name, 0) < 0)
		return fail(err, spot->path, errno);
	return 0;
}

static int place_fifo(const struct spot *spot, struct archive_entry *entry, struct error *err)
{
	mode_t there = type_at(spot);
	struct timespec times[2];

	if (there && there != S_IFIFO)
		return refuse(err, spot->path, "something else than a FIFO is there");
	if (!there && mkfifoat(spot->parent, spot->name, archive_entry_perm(entry) & 0777) < 0)
		return fail(err, spot->path, errno);
	entry_times(entry, times);
	if (utimensat(spot->parent, spot->name, times, AT_SYMLINK_NOFOLLOW) < 0)
		return fail(err, spot->path, errno);
	return 0;
}

int place_entry(struct place *place, struct archive_entry *entry, const char *path,
		struct error *err)
{
	struct spot spot = { .parent = -1 };
	mode_t type = archive_entry_filetype(entry);
	bool hard = archive_entry_hardlink(entry) != NULL;
	int rc;

	/* Before anything is made for its sake. */
	if (!hard && type != S_IFREG && type != S_IFDIR && type != S_IFLNK && type != S_IFIFO)
		return refuse(err, path, "devices and sockets are not taken");
	rc = open_spot(place->root, path, &spot, err);
	if (rc < 0)
		return rc;
	if (hard)
		rc = place_hard_link(place, &spot, entry, err);
	else if (type == S_IFREG)
		rc = place_file(place, &spot, entry, err);
	else if (type == S_IFDIR)
		rc = place_directory(place, &spot, entry, err);
	else if (type == S_IFLNK)
		rc = place_symlink(&spot, entry, err);
	else
		rc = place_fifo(&spot, entry, err);
	close(spot.parent);
	return rc;
}

static int finish_directory(int root, const char *path, const struct place_later *later)
{
	autoclose int fd = beneath_open(root, path, O_RDONLY | O_DIRECTORY, 0, BENEATH_NO_LINKS);

	if (fd < 0)
		return fd;
	return futimens(fd, later->times) < 0 || fchmod(fd, later->mode) < 0 ? -errno : 0;
}

int place_finish(struct place *place, struct error *err)
{
	size_t at = place->last;

	/* Backwards: a directory may lock its owner out of those below it. */
	while (place->later.len) {
		struct place_later later;
		const char *path = place->later.data + at + sizeof(later);
		int rc;

		memcpy(&later, place->later.data + at, sizeof(later));
		rc = finish_directory(place->root, path, &later);
		if (rc < 0 && rc != -ENOENT)
			return fail(err, path, -rc);
		if (later.previous == at)
			break;
		at = later.previous;
	}
	return 0;
}
