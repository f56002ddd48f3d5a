/*
 * ops_meta.c - names to nodes, attributes, links.
 */
#include "fs/ops.h"

#include <errno.h>
#include <limits.h>

#include "protocol/limits.h"

static struct vn_file *file_of(const struct fuse_file_info *info)
{
	struct handle *handle = info ? (struct handle *)(uintptr_t)info->fh : NULL;

	return handle && !handle->is_dir ? &handle->file : NULL;
}

void op_lookup(fuse_req_t fuse, fuse_ino_t parent, const char *name)
{
	struct vnode *child = NULL;
	struct vn_attr attr;
	struct fuse_entry_param entry;
	struct op op;
	int rc;

	if (!op_begin(&op, fuse, parent))
		return;
	rc = op_check_name(name);
	if (!rc)
		rc = op.node->ops->lookup ?
			     op.node->ops->lookup(op.node, op_call(&op), name, &child, &attr) :
			     -ENOENT;
	if (!rc)
		rc = op_enter(op.env, child, &attr, &entry);
	if (rc)
		req_reply_err(op.req, rc);
	else if (req_reply_entry(op.req, &entry))
		node_forget(op.env->nodes, entry.ino, 1);
	if (child)
		vn_unref(child);
	op_end(&op);
}

void op_forget(fuse_req_t fuse, fuse_ino_t id, uint64_t count)
{
	struct ops_env *env = fuse_req_userdata(fuse);

	node_forget(env->nodes, id, count);
	fuse_reply_none(fuse);
}

void op_forget_multi(fuse_req_t fuse, size_t count, struct fuse_forget_data *forgets)
{
	struct ops_env *env = fuse_req_userdata(fuse);

	for (size_t i = 0; i < count; i++)
		node_forget(env->nodes, forgets[i].ino, forgets[i].nlookup);
	fuse_reply_none(fuse);
}

void op_getattr(fuse_req_t fuse, fuse_ino_t id, struct fuse_file_info *info)
{
	struct vn_attr attr;
	struct op op;
	int rc;

	if (!op_begin(&op, fuse, id))
		return;
	rc = op.node->ops->getattr(op.node, op_call(&op), file_of(info), &attr);
	if (rc)
		req_reply_err(op.req, rc);
	else
		req_reply_attr(op.req, &attr);
	op_end(&op);
}

/* The kernel's bits as vnode.h has them; "now" travels in tv_nsec. */
static unsigned set_mask(int to_set, struct stat *in)
{
	unsigned mask = 0;

	if (to_set & FUSE_SET_ATTR_MODE)
		mask |= VN_SET_MODE;
	if (to_set & FUSE_SET_ATTR_UID)
		mask |= VN_SET_UID;
	if (to_set & FUSE_SET_ATTR_GID)
		mask |= VN_SET_GID;
	if (to_set & FUSE_SET_ATTR_SIZE)
		mask |= VN_SET_SIZE;
	if (to_set & (FUSE_SET_ATTR_ATIME | FUSE_SET_ATTR_ATIME_NOW))
		mask |= VN_SET_ATIME;
	if (to_set & (FUSE_SET_ATTR_MTIME | FUSE_SET_ATTR_MTIME_NOW))
		mask |= VN_SET_MTIME;
	if (to_set & FUSE_SET_ATTR_ATIME_NOW)
		in->st_atim = (struct timespec){ .tv_nsec = UTIME_NOW };
	if (to_set & FUSE_SET_ATTR_MTIME_NOW)
		in->st_mtim = (struct timespec){ .tv_nsec = UTIME_NOW };
	return mask;
}

void op_setattr(fuse_req_t fuse, fuse_ino_t id, struct stat *in, int to_set,
		struct fuse_file_info *info)
{
	unsigned mask = set_mask(to_set, in);
	const struct vnode_ops *ops;
	struct vn_attr attr;
	struct op op;
	int rc;

	if (!op_begin(&op, fuse, id))
		return;
	ops = op.node->ops;
	if (!mask) /* only what we do not keep, like a ctime: nothing to change */
		rc = ops->getattr(op.node, op_call(&op), file_of(info), &attr);
	else if (ops->setattr)
		rc = ops->setattr(op.node, op_call(&op), file_of(info), mask, in, &attr);
	else
		rc = -EPERM;
	if (rc)
		req_reply_err(op.req, rc);
	else
		req_reply_attr(op.req, &attr);
	op_end(&op);
}

void op_readlink(fuse_req_t fuse, fuse_ino_t id)
{
	char target[LIMIT_SYMLINK_TARGET + 1];
	struct op op;
	int rc;

	if (!op_begin(&op, fuse, id))
		return;
	rc = op.node->ops->readlink ?
		     op.node->ops->readlink(op.node, op_call(&op), target, sizeof(target)) :
		     -EINVAL;
	if (rc < 0)
		req_reply_err(op.req, rc);
	else
		req_reply_readlink(op.req, target);
	op_end(&op);
}

void op_statfs(fuse_req_t fuse, fuse_ino_t id)
{
	struct statvfs stat = { .f_bsize = 4096, .f_frsize = 4096, .f_namemax = LIMIT_NAME };
	struct op op;
	int rc = 0;

	if (!op_begin(&op, fuse, id))
		return;
	if (op.node->ops->statfs)
		rc = op.node->ops->statfs(op.node, op_call(&op), &stat);
	if (rc)
		req_reply_err(op.req, rc);
	else
		req_reply_statfs(op.req, &stat);
	op_end(&op);
}
