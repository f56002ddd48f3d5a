/*
 * session_name.c - what changes names in directories: mkdir, rmdir, unlink, rename, symlink, link,
 * mknod.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "protocol/agent/session_ops.h"
#include "protocol/agent/session_path.h"
#include "protocol/cleanup.h"

#define MODE_BITS 07777

/* A name to be worked on. */
struct spot {
	char path[LIMIT_PATH];
	int parent; /* owned, O_PATH */
	const char *name;
};

#define autospot __attribute__((cleanup(spot_free)))
#define SPOT_NONE                                                                                  \
	{                                                                                          \
		.parent = -1                                                                       \
	}

static void spot_free(struct spot *spot)
{
	cleanup_close(&spot->parent);
}

static int spot_open(const struct sess *sess, struct spot *spot, int root_code, struct error *err)
{
	spot->parent = sess_path_parent(sess, spot->path, root_code, &spot->name, err);
	return spot->parent < 0 ? spot->parent : 0;
}

/* For the operations that have one path and MODE (NULL: none). */
static int take_one(struct sess_call *call, struct unpack *args, struct spot *spot, uint32_t *mode,
		    int root_code, struct error *err)
{
	int rc = sess_path_take(args, spot->path, err);

	if (rc == 0 && mode)
		*mode = unpack_u32(args);
	if (rc == 0)
		rc = unpack_done(args, "the operation", err);
	return rc < 0 ? rc : spot_open(call->sess, spot, root_code, err);
}

/* Two paths; the errno for the workspace itself is the same for both. */
static int take_two(struct unpack *args, struct spot *from, struct spot *to, struct error *err)
{
	int rc = sess_path_take(args, from->path, err);

	return rc < 0 ? rc : sess_path_take(args, to->path, err);
}

static int fail(struct error *err, const struct spot *spot)
{
	return sess_path_fail(err, errno, spot->path);
}

static int add_attr(const struct spot *spot, struct buf *result, struct error *err)
{
	return sess_attr_add_at(spot->parent, spot->name, spot->path, result, err);
}

int sess_op_mkdir(struct sess_call *call, struct unpack *args, struct buf *result,
		  struct error *err)
{
	autospot struct spot spot = SPOT_NONE;
	uint32_t mode = 0;
	int rc = take_one(call, args, &spot, &mode, EEXIST, err);

	if (rc < 0)
		return rc;
	if (mkdirat(spot.parent, spot.name, mode & MODE_BITS) < 0)
		return fail(err, &spot);
	return add_attr(&spot, result, err);
}

int sess_op_rmdir(struct sess_call *call, struct unpack *args, struct buf *result,
		  struct error *err)
{
	autospot struct spot spot = SPOT_NONE;
	int rc = take_one(call, args, &spot, NULL, EBUSY, err);

	(void)result;
	if (rc == 0 && unlinkat(spot.parent, spot.name, AT_REMOVEDIR) < 0)
		rc = fail(err, &spot);
	return rc;
}

int sess_op_unlink(struct sess_call *call, struct unpack *args, struct buf *result,
		   struct error *err)
{
	autospot struct spot spot = SPOT_NONE;
	int rc = take_one(call, args, &spot, NULL, EISDIR, err);

	(void)result;
	if (rc == 0 && unlinkat(spot.parent, spot.name, 0) < 0)
		rc = fail(err, &spot);
	return rc;
}

static int do_rename(const struct spot *from, const struct spot *to, uint32_t flags)
{
	long rc;

	if (!flags)
		return renameat(from->parent, from->name, to->parent, to->name);
	rc = syscall(SYS_renameat2, from->parent, from->name, to->parent, to->name, flags);
	/* What a file system without the flags says of them. */
	if (rc < 0 && errno == ENOSYS)
		errno = EINVAL;
	return (int)rc;
}

int sess_op_rename(struct sess_call *call, struct unpack *args, struct buf *result,
		   struct error *err)
{
	autospot struct spot from = SPOT_NONE;
	autospot struct spot to = SPOT_NONE;
	uint32_t flags;
	int rc = take_two(args, &from, &to, err);

	(void)result;
	if (rc < 0)
		return rc;
	flags = unpack_u32(args);
	rc = unpack_done(args, "rename", err);
	if (rc == 0 && flags != 0 && flags != RENAME_NOREPLACE && flags != RENAME_EXCHANGE)
		rc = error_set(err, EINVAL, "rename does not have the flags %u", flags);
	if (rc == 0)
		rc = spot_open(call->sess, &from, EBUSY, err);
	if (rc == 0)
		rc = spot_open(call->sess, &to, EBUSY, err);
	if (rc == 0 && do_rename(&from, &to, flags) < 0)
		rc = error_set(err, errno, "'%.255s' to '%.255s': %s", from.path, to.path,
			       strerror(errno));
	return rc;
}

static int take_target(struct unpack *args, char target[static LIMIT_SYMLINK_TARGET + 1],
		       struct error *err)
{
	size_t len;
	const char *bytes = unpack_bytes(args, FRAME_BODY_MAX, &len);

	if (args->failed)
		return unpack_done(args, "symlink", err);
	if (memchr(bytes, '\0', len))
		return error_set(err, EINVAL, "the target of a link has a NUL");
	if (len > LIMIT_SYMLINK_TARGET)
		return error_set(err, ENAMETOOLONG, "the target of a link is longer than %d bytes",
				 LIMIT_SYMLINK_TARGET);
	memcpy(target, bytes, len);
	target[len] = '\0';
	return 0;
}

int sess_op_symlink(struct sess_call *call, struct unpack *args, struct buf *result,
		    struct error *err)
{
	autospot struct spot spot = SPOT_NONE;
	char target[LIMIT_SYMLINK_TARGET + 1];
	int rc;

	rc = take_target(args, target, err);
	if (rc < 0)
		return rc;
	rc = take_one(call, args, &spot, NULL, EEXIST, err);
	if (rc < 0)
		return rc;
	if (symlinkat(target, spot.parent, spot.name) < 0)
		return fail(err, &spot);
	return add_attr(&spot, result, err);
}

/* For link(2), which judges the workspace itself like any other directory, in its turn. */
static int link_spot(const struct sess *sess, struct spot *spot, struct error *err)
{
	if (spot->path[0])
		return spot_open(sess, spot, 0, err);
	spot->name = ".";
	spot->parent = sess_path_open(sess, "", err);
	return spot->parent < 0 ? spot->parent : 0;
}

int sess_op_link(struct sess_call *call, struct unpack *args, struct buf *result, struct error *err)
{
	autospot struct spot from = SPOT_NONE;
	autospot struct spot to = SPOT_NONE;
	struct stat st;
	int rc = take_two(args, &from, &to, err);

	if (rc == 0)
		rc = unpack_done(args, "link", err);
	if (rc == 0)
		rc = link_spot(call->sess, &from, err);
	if (rc < 0)
		return rc;
	rc = link_spot(call->sess, &to, err);
	/* Where both are wrong, link(2) tells of the first. */
	if (rc < 0 && fstatat(from.parent, from.name, &st, AT_SYMLINK_NOFOLLOW) < 0)
		return fail(err, &from);
	if (rc < 0)
		return rc;
	/* Without AT_SYMLINK_FOLLOW: a link gets another name, not what it leads to. */
	if (linkat(from.parent, from.name, to.parent, to.name, 0) < 0)
		return fail(err, &to);
	return add_attr(&to, result, err);
}

int sess_op_mknod(struct sess_call *call, struct unpack *args, struct buf *result,
		  struct error *err)
{
	autospot struct spot spot = SPOT_NONE;
	uint32_t mode = 0;
	int rc = take_one(call, args, &spot, &mode, EEXIST, err);

	if (rc < 0)
		return rc;
	if (!S_ISFIFO(mode) && !S_ISREG(mode) && !S_ISSOCK(mode))
		return error_set(err, EPERM, "'%.255s': a device cannot be made here", spot.path);
	if (mknodat(spot.parent, spot.name, mode & (S_IFMT | MODE_BITS), 0) < 0)
		return fail(err, &spot);
	return add_attr(&spot, result, err);
}
