/* session_meta.c - what the workspace and what is in it look like: stat, readlink, statfs, sync. */
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/statvfs.h>
#include <unistd.h>

#include "protocol/agent/session_conn.h"
#include "protocol/agent/session_ops.h"
#include "protocol/agent/session_path.h"
#include "protocol/agent/session_verifier.h"
#include "protocol/beneath.h"
#include "protocol/cleanup.h"

int sess_op_stat(struct sess_call *call, struct unpack *args, struct buf *result, struct error *err)
{
	char path[LIMIT_PATH];
	autoclose int fd = -1;
	int rc = sess_path_take(args, path, err);

	if (rc == 0)
		rc = unpack_done(args, "stat", err);
	if (rc < 0)
		return rc;
	fd = sess_path_open(call->sess, path, err);
	return fd < 0 ? fd : sess_attr_add(fd, path, result, err);
}

int sess_op_readlink(struct sess_call *call, struct unpack *args, struct buf *result,
		     struct error *err)
{
	char path[LIMIT_PATH], target[LIMIT_SYMLINK_TARGET + 1];
	autoclose int parent = -1;
	const char *name;
	ssize_t len;
	int rc = sess_path_take(args, path, err);

	if (rc == 0)
		rc = unpack_done(args, "readlink", err);
	if (rc < 0)
		return rc;
	parent = sess_path_parent(call->sess, path, EINVAL, &name, err);
	if (parent < 0)
		return parent;
	len = readlinkat(parent, name, target, sizeof(target));
	if (len < 0)
		return sess_path_fail(err, errno, path);
	if (len > LIMIT_SYMLINK_TARGET)
		return sess_path_fail(err, ENAMETOOLONG, path);
	pack_bytes(result, target, (size_t)len);
	return 0;
}

int sess_op_statfs(struct sess_call *call, struct unpack *args, struct buf *result,
		   struct error *err)
{
	struct statvfs st;
	struct ws_statfs out;
	int rc = unpack_done(args, "statfs", err);

	if (rc < 0)
		return rc;
	if (fstatvfs(call->sess->root, &st) < 0)
		return sess_path_fail(err, errno, "");
	out = (struct ws_statfs){
		.block_size = st.f_frsize ? st.f_frsize : st.f_bsize,
		.blocks = st.f_blocks,
		.blocks_free = st.f_bfree,
		.blocks_available = st.f_bavail,
		.files = st.f_files,
		.files_free = st.f_ffree,
		.name_max = st.f_namemax,
	};
	ops_pack_statfs(result, &out);
	return 0;
}

int sess_op_sync(struct sess_call *call, struct unpack *args, struct buf *result, struct error *err)
{
	autoclose int fd = -1;
	int rc = unpack_done(args, "sync", err);

	(void)result;
	if (rc < 0)
		return rc;
	fd = beneath_open(call->sess->root, "", O_RDONLY | O_DIRECTORY, 0, BENEATH_NO_LINKS);
	if (fd < 0)
		return sess_path_fail(err, -fd, "");
	if (syncfs(fd) < 0) {
		rc = sess_path_fail(err, errno, "");
		sess_verifier_fail(sess_room_verifier(call->sess->room));
	}
	return rc;
}
