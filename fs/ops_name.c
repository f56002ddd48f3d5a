/*
 * ops_name.c - making, removing and moving names.
 */
#include "fs/ops.h"

#include <errno.h>

/* Answers with CHILD (whose reference goes) and its attributes, or with RC. */
static void reply_child(struct op *op, int rc, struct vnode *child, const struct vn_attr *attr)
{
	struct fuse_entry_param entry;

	if (!rc)
		rc = op_enter(op->env, child, attr, &entry);
	if (rc)
		req_reply_err(op->req, rc);
	else if (req_reply_entry(op->req, &entry))
		node_forget(op->env->nodes, entry.ino, 1);
	if (child)
		vn_unref(child);
}

void op_mknod(fuse_req_t fuse, fuse_ino_t parent, const char *name, mode_t mode, dev_t rdev)
{
	struct vnode *child = NULL;
	struct vn_attr attr;
	struct op op;
	int rc;

	(void)rdev; /* devices cannot be made: the mount is nodev */
	if (!op_begin(&op, fuse, parent))
		return;
	rc = op_check_name(name);
	if (!rc)
		rc = op.node->ops->mknod ?
			     op.node->ops->mknod(op.node, op_call(&op), name, mode, &child, &attr) :
			     -EPERM;
	reply_child(&op, rc, child, &attr);
	op_end(&op);
}

void op_mkdir(fuse_req_t fuse, fuse_ino_t parent, const char *name, mode_t mode)
{
	struct vnode *child = NULL;
	struct vn_attr attr;
	struct op op;
	int rc;

	if (!op_begin(&op, fuse, parent))
		return;
	rc = op_check_name(name);
	if (!rc)
		rc = op.node->ops->mkdir ?
			     op.node->ops->mkdir(op.node, op_call(&op), name, mode, &child, &attr) :
			     -EPERM;
	reply_child(&op, rc, child, &attr);
	op_end(&op);
}

void op_symlink(fuse_req_t fuse, const char *target, fuse_ino_t parent, const char *name)
{
	struct vnode *child = NULL;
	struct vn_attr attr;
	struct op op;
	int rc;

	if (!op_begin(&op, fuse, parent))
		return;
	rc = op_check_name(name);
	if (!rc)
		rc = op.node->ops->symlink ? op.node->ops->symlink(op.node, op_call(&op), target,
								   name, &child, &attr) :
					     -EPERM;
	reply_child(&op, rc, child, &attr);
	op_end(&op);
}

void op_unlink(fuse_req_t fuse, fuse_ino_t parent, const char *name)
{
	struct op op;
	int rc;

	if (!op_begin(&op, fuse, parent))
		return;
	rc = op_check_name(name);
	if (!rc)
		rc = op.node->ops->unlink ? op.node->ops->unlink(op.node, op_call(&op), name) :
					    -EPERM;
	req_reply_err(op.req, rc);
	op_end(&op);
}

void op_rmdir(fuse_req_t fuse, fuse_ino_t parent, const char *name)
{
	struct op op;
	int rc;

	if (!op_begin(&op, fuse, parent))
		return;
	rc = op_check_name(name);
	if (!rc)
		rc = op.node->ops->rmdir ? op.node->ops->rmdir(op.node, op_call(&op), name) :
					   -EPERM;
	req_reply_err(op.req, rc);
	op_end(&op);
}

static int rename_to(struct op *op, const char *name, struct vnode *to, const char *to_name,
		     unsigned flags)
{
	int rc = op_check_name(name);

	if (!rc)
		rc = op_check_name(to_name);
	if (rc)
		return rc;
	if (!op->node->ops->rename)
		return -EPERM;
	if (to->ops != op->node->ops) /* from one room, or kind of directory, into another */
		return -EXDEV;
	return op->node->ops->rename(op->node, op_call(op), name, to, to_name, flags);
}

void op_rename(fuse_req_t fuse, fuse_ino_t parent, const char *name, fuse_ino_t to_parent,
	       const char *to_name, unsigned flags)
{
	struct vnode *to;
	struct op op;

	if (!op_begin(&op, fuse, parent))
		return;
	to = node_get(op.env->nodes, to_parent);
	req_reply_err(op.req, to ? rename_to(&op, name, to, to_name, flags) : -ESTALE);
	if (to)
		vn_unref(to);
	op_end(&op);
}

static int link_to(struct op *op, struct vnode *dir, const char *name, struct vn_attr *attr)
{
	int rc = op_check_name(name);

	if (rc)
		return rc;
	if (!op->node->ops->link)
		return -EPERM;
	if (dir->ops != op->node->ops)
		return -EXDEV;
	return op->node->ops->link(op->node, op_call(op), dir, name, attr);
}

void op_link(fuse_req_t fuse, fuse_ino_t id, fuse_ino_t parent, const char *name)
{
	struct vn_attr attr;
	struct vnode *dir;
	struct op op;
	int rc;

	if (!op_begin(&op, fuse, id))
		return;
	dir = node_get(op.env->nodes, parent);
	rc = dir ? link_to(&op, dir, name, &attr) : -ESTALE;
	reply_child(&op, rc, vn_ref(op.node), &attr);
	if (dir)
		vn_unref(dir);
	op_end(&op);
}
