/*
 * session_setattr.c - attributes of a path, which is never followed, or of an open file.
 *
 * The order is that of what undoes what: a new size and a new owner change times and mode bits, so
 * they come first.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "protocol/agent/session_file.h"
#include "protocol/agent/session_ops.h"
#include "protocol/agent/session_path.h"
#include "protocol/beneath.h"
#include "protocol/cleanup.h"

#ifndef SYS_fchmodat2
#define SYS_fchmodat2 452
#endif

#define ALL_BITS (WS_SET_MODE | WS_SET_UID | WS_SET_GID | WS_SET_SIZE | WS_SET_ATIME | WS_SET_MTIME)

/* What is to be changed. */
struct target {
	const struct sess *sess;
	const char *path; /* NULL: an open file */
	int fd;           /* that file, or the path's O_PATH */
	mode_t mode;      /* as it is */
};

/* The name of a descriptor in /proc: what the kernel follows to the very file. */
static void proc_name(int fd, char name[static 40])
{
	snprintf(name, 40, "/proc/self/fd/%d", fd);
}

/*
 * For kernels before 6.6, and where /proc is not mounted: opens a file or directory that may be
 * opened.
 */
static int chmod_by_open(const struct target *target, mode_t mode)
{
	autoclose int fd = -1;
	struct stat ours, st;

	if (!S_ISREG(target->mode) && !S_ISDIR(target->mode))
		return -EOPNOTSUPP;
	fd = beneath_open(target->sess->root, target->path, O_RDONLY | O_NOFOLLOW | O_NONBLOCK, 0,
			  BENEATH_FOLLOW);
	if (fd < 0)
		return fd;
	if (fstat(target->fd, &ours) < 0 || fstat(fd, &st) < 0)
		return -errno;
	if (st.st_ino != ours.st_ino || st.st_dev != ours.st_dev)
		return -ESTALE;
	return fchmod(fd, mode) < 0 ? -errno : 0;
}

static int set_mode(const struct target *target, mode_t mode)
{
	char name[40];

	if (!target->path)
		return fchmod(target->fd, mode) < 0 ? -errno : 0;
	if (S_ISLNK(target->mode))
		return -EOPNOTSUPP; /* as chmod(2) says it of a link that is not followed */
	if (syscall(SYS_fchmodat2, target->fd, "", mode, AT_EMPTY_PATH) == 0)
		return 0;
	if (errno != ENOSYS && errno != EINVAL && errno != EPERM)
		return -errno;
	proc_name(target->fd, name);
	if (chmod(name, mode) == 0)
		return 0;
	return errno == ENOENT || errno == ENOTDIR ? chmod_by_open(target, mode) : -errno;
}

static int set_owner(const struct target *target, uint32_t mask, const struct ws_attr *attr)
{
	uid_t uid = mask & WS_SET_UID ? attr->uid : (uid_t)-1;
	gid_t gid = mask & WS_SET_GID ? attr->gid : (gid_t)-1;

	return fchownat(target->fd, "", uid, gid, AT_EMPTY_PATH | AT_SYMLINK_NOFOLLOW) < 0 ?
		       -errno :
		       0;
}

static int set_size(const struct target *target, int64_t size)
{
	autoclose int fd = -1;
	struct stat st;

	if (!target->path)
		return ftruncate(target->fd, size) < 0 ? -errno : 0;
	if (S_ISDIR(target->mode))
		return -EISDIR;
	if (!S_ISREG(target->mode))
		return S_ISLNK(target->mode) ? -ELOOP : -EINVAL;
	fd = beneath_open(target->sess->root, target->path, O_WRONLY | O_NOFOLLOW | O_NONBLOCK, 0,
			  BENEATH_FOLLOW);
	if (fd < 0)
		return fd;
	if (fstat(fd, &st) < 0 || !S_ISREG(st.st_mode))
		return -EINVAL;
	return ftruncate(fd, size) < 0 ? -errno : 0;
}

static int set_times(const struct target *target, uint32_t mask, const struct ws_attr *attr)
{
	struct timespec times[2] = {
		{ .tv_nsec = UTIME_OMIT },
		{ .tv_nsec = UTIME_OMIT },
	};
	char name[40];

	if (mask & WS_SET_ATIME)
		times[0] = attr->atime;
	if (mask & WS_SET_MTIME)
		times[1] = attr->mtime;
	if (!target->path)
		return futimens(target->fd, times) < 0 ? -errno : 0;
	if (utimensat(target->fd, "", times, AT_EMPTY_PATH) == 0)
		return 0;
	if (errno != EINVAL && errno != ENOENT)
		return -errno;
	/* Linux before 5.8. */
	proc_name(target->fd, name);
	return utimensat(AT_FDCWD, name, times, 0) < 0 ? -errno : 0;
}

static int apply(const struct target *target, uint32_t mask, const struct ws_attr *attr)
{
	int rc = 0;

	if (mask & WS_SET_SIZE)
		rc = set_size(target, attr->size);
	if (rc == 0 && (mask & (WS_SET_UID | WS_SET_GID)))
		rc = set_owner(target, mask, attr);
	if (rc == 0 && (mask & WS_SET_MODE))
		rc = set_mode(target, attr->mode & 07777);
	if (rc == 0 && (mask & (WS_SET_ATIME | WS_SET_MTIME)))
		rc = set_times(target, mask, attr);
	return rc;
}

static int set_path(struct sess_call *call, const char *path, uint32_t mask,
		    const struct ws_attr *attr, struct buf *result, struct error *err)
{
	autoclose int fd = sess_path_open(call->sess, path, err);
	struct target target = { .sess = call->sess, .path = path, .fd = fd };
	struct stat st;
	int rc;

	if (fd < 0)
		return fd;
	if (fstat(fd, &st) < 0)
		return sess_path_fail(err, errno, path);
	target.mode = st.st_mode;
	rc = apply(&target, mask, attr);
	return rc < 0 ? sess_path_fail(err, -rc, path) : sess_attr_add(fd, path, result, err);
}

static int set_file(struct sess_call *call, uint32_t number, uint32_t mask,
		    const struct ws_attr *attr, struct buf *result, struct error *err)
{
	struct sess_file *file = sess_handle_get(call, number, err);
	struct target target = { .sess = call->sess };
	int rc;

	if (!file)
		return -EBADF;
	target.fd = file->fd;
	rc = apply(&target, mask, attr);
	if (rc < 0)
		sess_handle_fail(err, -rc);
	else
		rc = sess_attr_add(file->fd, "an open file", result, err);
	sess_handles_put(&call->sess->handles, file);
	return rc;
}

int sess_op_setattr(struct sess_call *call, struct unpack *args, struct buf *result,
		    struct error *err)
{
	char path[LIMIT_PATH];
	struct ws_attr attr;
	uint32_t number, mask;
	int rc = sess_path_take(args, path, err);

	if (rc < 0)
		return rc;
	number = unpack_u32(args);
	mask = unpack_u32(args);
	ops_unpack_attr(args, &attr);
	rc = unpack_done(args, "setattr", err);
	if (rc < 0)
		return rc;
	if (mask & ~(uint32_t)ALL_BITS)
		return error_set(err, EINVAL, "setattr does not know all of %#x", mask);
	return number ? set_file(call, number, mask, &attr, result, err) :
			set_path(call, path, mask, &attr, result, err);
}
