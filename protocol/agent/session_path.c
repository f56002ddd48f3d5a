/* session_path.c - see session_path.h. */
#include "protocol/agent/session_path.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>

#include "protocol/beneath.h"
#include "protocol/session/ops.h"

int sess_path_fail(struct error *err, int code, const char *path)
{
	return error_set(err, code, "'%.255s': %s", path, strerror(code));
}

/* Whether only lengths are wrong with it. */
static bool has_long_name(const char *path, size_t len)
{
	for (const char *end = path + len; path < end;) {
		const char *slash = memchr(path, '/', (size_t)(end - path));
		size_t name = (size_t)((slash ? slash : end) - path);

		if (name > LIMIT_NAME)
			return true;
		path += name + 1;
	}
	return false;
}

int sess_path_take(struct unpack *in, char path[static LIMIT_PATH], struct error *err)
{
	size_t len;
	const char *bytes = unpack_bytes(in, FRAME_BODY_MAX, &len);

	path[0] = '\0';
	if (in->failed)
		return error_set(err, EPROTO, "a path is missing");
	if (len >= LIMIT_PATH || has_long_name(bytes, len))
		return error_set(err, ENAMETOOLONG,
				 "a path is longer than %d bytes, or a name in it than %d",
				 LIMIT_PATH - 1, LIMIT_NAME);
	if (!ops_path_is_valid(bytes, len))
		return error_set(err, EINVAL, "'%.*s' is no path below the workspace",
				 len < 255 ? (int)len : 255, bytes);
	memcpy(path, bytes, len);
	path[len] = '\0';
	return 0;
}

int sess_path_parent(const struct sess *sess, const char *path, int root_code, const char **name,
		     struct error *err)
{
	int fd;

	if (!path[0])
		return error_set(err, root_code, "the workspace itself: %s", strerror(root_code));
	fd = beneath_open_parent(sess->root, path, BENEATH_FOLLOW, name);
	return fd < 0 ? sess_path_fail(err, -fd, path) : fd;
}

int sess_path_open(const struct sess *sess, const char *path, struct error *err)
{
	int fd = beneath_open(sess->root, path, O_PATH | O_NOFOLLOW, 0, BENEATH_FOLLOW);

	return fd < 0 ? sess_path_fail(err, -fd, path) : fd;
}

void sess_attr_from(struct ws_attr *attr, const struct stat *st)
{
	*attr = (struct ws_attr){
		.ino = st->st_ino,
		.dev = st->st_dev,
		.mode = st->st_mode,
		.nlink = (uint32_t)st->st_nlink,
		.uid = st->st_uid,
		.gid = st->st_gid,
		.rdev = st->st_rdev,
		.size = st->st_size,
		.blocks = st->st_blocks,
		.atime = st->st_atim,
		.mtime = st->st_mtim,
		.ctime = st->st_ctim,
	};
}

int sess_attr_add_at(int fd, const char *name, const char *path, struct buf *result,
		     struct error *err)
{
	struct ws_attr attr;
	struct stat st;

	if (fstatat(fd, name, &st, AT_SYMLINK_NOFOLLOW | AT_EMPTY_PATH) < 0)
		return sess_path_fail(err, errno, path);
	sess_attr_from(&attr, &st);
	ops_pack_attr(result, &attr);
	return 0;
}

int sess_attr_add(int fd, const char *path, struct buf *result, struct error *err)
{
	return sess_attr_add_at(fd, "", path, result, err);
}
