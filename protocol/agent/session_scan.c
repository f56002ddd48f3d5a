/* session_scan.c - see session_scan.h. */
#include "protocol/agent/session_scan.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/inotify.h>
#include <sys/stat.h>
#include <sys/vfs.h>
#include <unistd.h>

#include <linux/magic.h>

#include "protocol/agent/session_dirs.h"
#include "protocol/beneath.h"
#include "protocol/cleanup.h"

#define WATCHED                                                                                    \
	(IN_MODIFY | IN_ATTRIB | IN_CLOSE_WRITE | IN_CREATE | IN_DELETE | IN_MOVED_FROM |          \
	 IN_MOVED_TO | IN_MOVE_SELF | IN_EXCL_UNLINK | IN_ONLYDIR)

/* More news of what is in new directories than this is one event that says so. */
#define TOLD_MAX 4096

#ifndef SMB2_SUPER_MAGIC
#define SMB2_SUPER_MAGIC 0xFE534D42
#endif
#ifndef CIFS_SUPER_MAGIC
#define CIFS_SUPER_MAGIC 0xFF534D42
#endif
#ifndef FUSE_SUPER_MAGIC
#define FUSE_SUPER_MAGIC 0x65735546
#endif

static void tell(struct sess_scan *scan, enum ops_event_kind kind, const char *path, size_t len)
{
	if (scan->quiet || scan->told > TOLD_MAX)
		return;
	if (++scan->told > TOLD_MAX)
		sess_ring_add(scan->ring, EVENT_RESCAN, "", 0);
	else
		sess_ring_add(scan->ring, kind, path, len);
}

/* On such others change files, of which inotify hears nothing. */
static bool is_remote(int fd)
{
	struct statfs st;

	if (fstatfs(fd, &st) < 0)
		return false;
	switch ((uint32_t)st.f_type) {
	case NFS_SUPER_MAGIC:
	case V9FS_MAGIC:
	case FUSE_SUPER_MAGIC: /* virtiofs, too */
	case AFS_SUPER_MAGIC:
	case CEPH_SUPER_MAGIC:
	case CIFS_SUPER_MAGIC:
	case SMB2_SUPER_MAGIC:
		return true;
	default:
		return false;
	}
}

/* By descriptor: a name could lead elsewhere by now. */
static int add_watch(const struct sess_scan *scan, int fd)
{
	char name[40];
	int wd;

	snprintf(name, sizeof(name), "/proc/self/fd/%d", fd);
	wd = inotify_add_watch(scan->inotify, name, WATCHED);
	/* Where /proc is not mounted; the thread's working directory is its own. */
	if (wd < 0 && errno == ENOENT && fchdir(fd) == 0)
		wd = inotify_add_watch(scan->inotify, ".", WATCHED);
	return wd < 0 ? -errno : wd;
}

/* A descriptor for DIR, if that is what is at its path; -ESTALE else. */
static int open_dir(const struct sess_scan *scan, const struct sess_dir *dir, int flags)
{
	char path[LIMIT_PATH];
	autoclose int fd = -1;
	struct stat st;

	sess_dir_path(dir, path);
	fd = beneath_open(scan->root, path, flags | O_DIRECTORY, 0, BENEATH_NO_LINKS);
	if (fd < 0)
		return fd;
	if (fstat(fd, &st) < 0 || st.st_ino != dir->ino || st.st_dev != dir->dev)
		return -ESTALE;
	return move_fd(fd);
}

bool sess_scan_is_there(const struct sess_scan *scan, const struct sess_dir *dir)
{
	autoclose int fd = open_dir(scan, dir, O_PATH);

	return fd >= 0;
}

void sess_scan_drop(struct sess_scan *scan, struct sess_dir *dir, bool unwatch)
{
	struct sess_dir *at = dir, **slot;

	while (at->child)
		at = at->child;
	for (;;) {
		struct sess_dir *parent = at->parent;
		bool last = at == dir;

		for (slot = &scan->pending; *slot; slot = &(*slot)->pending) {
			if (*slot == at) {
				*slot = at->pending;
				break;
			}
		}
		if (unwatch || !last)
			inotify_rm_watch(scan->inotify, at->wd);
		sess_nodes_remove(&scan->nodes, at);
		if (last)
			return;
		for (at = parent; at->child;)
			at = at->child;
	}
}

static void push(struct sess_scan *scan, struct sess_dir *dir)
{
	if (dir->queued)
		return;
	dir->queued = true;
	dir->pending = scan->pending;
	scan->pending = dir;
}

static int too_many(struct error *err)
{
	return error_set(err, ENOSPC,
			 "there are too many directories to watch: raise "
			 "fs.inotify.max_user_watches in the guest, or have fewer than %u",
			 SESS_DIRS_MAX);
}

/* A directory FD that was not known. */
static int add_dir(struct sess_scan *scan, struct sess_dir *parent, const char *name, int fd,
		   int wd, const struct stat *st, struct error *err)
{
	char path[LIMIT_PATH];
	struct sess_dir *dir;

	if (scan->nodes.count == SESS_DIRS_MAX)
		return too_many(err);
	if ((!parent || parent->dev != st->st_dev) && is_remote(fd))
		return error_set(err, EOPNOTSUPP,
				 "'%s' is on a file system that others change unseen", name);
	dir = sess_nodes_add(&scan->nodes, parent, name, wd);
	if (!dir)
		return error_set(err, ENOMEM, "out of memory");
	dir->ino = st->st_ino;
	dir->dev = st->st_dev;
	dir->fresh = true;
	if (!parent)
		scan->nodes.top = dir;
	push(scan, dir);
	tell(scan, EVENT_ENTRIES, path, sess_dir_path(dir, path));
	return 0;
}

/*
 * What the subdirectory NAME of PARENT, open as AT, is: known or new, it is to be looked through.
 */
static int meet(struct sess_scan *scan, struct sess_dir *parent, int at, const char *name,
		struct error *err)
{
	autoclose int fd = openat(at, name, O_PATH | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
	struct sess_dir *dir;
	struct stat st;
	int wd, rc;

	if (fd < 0 || fstat(fd, &st) < 0)
		return 0; /* gone again; of that there is news to come */
	wd = add_watch(scan, fd);
	if (wd == -ENOSPC)
		return too_many(err);
	if (wd < 0)
		return wd == -ENOENT || wd == -EACCES ?
			       0 :
			       error_set(err, -wd, "cannot watch '%s': %s", name, strerror(-wd));
	dir = sess_nodes_find(&scan->nodes, wd);
	if (!dir)
		return add_dir(scan, parent, name, fd, wd, &st, err);
	rc = sess_nodes_move(dir, parent, name);
	if (rc == -ENOMEM)
		return error_set(err, ENOMEM, "out of memory");
	if (rc == 0)
		push(scan, dir);
	return 0;
}

static bool is_directory(int at, const struct dirent *entry)
{
	struct stat st;

	if (entry->d_type != DT_UNKNOWN)
		return entry->d_type == DT_DIR;
	return fstatat(at, entry->d_name, &st, AT_SYMLINK_NOFOLLOW) == 0 && S_ISDIR(st.st_mode);
}

static int look_at(struct sess_scan *scan, struct sess_dir *dir, int fd, const struct dirent *entry,
		   struct error *err)
{
	char path[LIMIT_PATH];
	size_t len, name = strlen(entry->d_name);

	if (!strcmp(entry->d_name, ".") || !strcmp(entry->d_name, ".."))
		return 0;
	if (is_directory(fd, entry))
		return meet(scan, dir, fd, entry->d_name, err);
	if (scan->quiet || !dir->fresh)
		return 0;
	len = sess_dir_path(dir, path);
	if (len + name + 2 > sizeof(path))
		return 0;
	if (len)
		path[len++] = '/';
	memcpy(path + len, entry->d_name, name);
	tell(scan, EVENT_CHANGED, path, len + name);
	return 0;
}

/* Looks through DIR: watched before, so what comes later is heard of. */
static int look_through(struct sess_scan *scan, struct sess_dir *dir, struct error *err)
{
	int fd = open_dir(scan, dir, O_RDONLY), rc = 0;
	const struct dirent *entry;
	DIR *stream;

	if (fd == -EMFILE || fd == -ENFILE)
		return error_set(err, -fd, "cannot look through a directory: %s", strerror(-fd));
	if (fd < 0)
		return 0; /* moved or gone: of that there is news to come */
	stream = fdopendir(fd);
	if (!stream) {
		close(fd);
		return error_set(err, ENOMEM, "out of memory");
	}
	while (rc == 0 && (entry = readdir(stream)) != NULL)
		rc = look_at(scan, dir, fd, entry, err);
	closedir(stream);
	dir->fresh = false;
	return rc;
}

static int look_through_pending(struct sess_scan *scan, struct error *err)
{
	int rc = 0;

	while (rc == 0 && scan->pending) {
		struct sess_dir *dir = scan->pending;

		scan->pending = dir->pending;
		dir->queued = false;
		rc = look_through(scan, dir, err);
	}
	return rc;
}

int sess_scan_adopt(struct sess_scan *scan, struct sess_dir *parent, const char *name,
		    struct error *err)
{
	autoclose int at = open_dir(scan, parent, O_PATH);
	int rc;

	/* Moved itself: its own event makes us look through it. */
	if (at < 0)
		return 0;
	scan->told = 0;
	rc = meet(scan, parent, at, name, err);
	return rc < 0 ? rc : look_through_pending(scan, err);
}

int sess_scan_init(struct sess_scan *scan, int root, struct sess_ring *ring, struct error *err)
{
	struct stat st;
	int wd, rc;

	*scan = (struct sess_scan){ .inotify = -1, .root = root, .ring = ring, .quiet = true };
	scan->inotify = inotify_init1(IN_CLOEXEC | IN_NONBLOCK);
	if (scan->inotify < 0)
		return error_set(err, errno, "inotify cannot be had: %s", strerror(errno));
	wd = add_watch(scan, root);
	if (wd == -ENOSPC)
		return too_many(err);
	if (wd < 0 || fstat(root, &st) < 0)
		return error_set(err, wd < 0 ? -wd : errno, "cannot watch the workspace: %s",
				 strerror(wd < 0 ? -wd : errno));
	rc = add_dir(scan, NULL, "", root, wd, &st, err);
	if (rc == 0)
		rc = look_through_pending(scan, err);
	scan->quiet = false;
	return rc;
}

void sess_scan_destroy(struct sess_scan *scan)
{
	sess_nodes_free(&scan->nodes);
	if (scan->inotify >= 0)
		close(scan->inotify);
}
