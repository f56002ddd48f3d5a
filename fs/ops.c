/*
 * ops.c - the table of operations, what the connection asks for, shared pieces.
 *
 * Left out on purpose: access (without default_permissions every access is allowed,
 * the guest decides), xattrs (the kernel remembers that there are none),
 * locks (they stay local in the kernel), fsyncdir (a change of names is in the guest when it
 * returns), fallocate, lseek and copy_file_range (the kernel falls back).
 */
#include "fs/ops.h"

#include <errno.h>
#include <string.h>

#include "protocol/limits.h"

#define MAX_WRITE (1u << 20)

static void op_init(void *userdata, struct fuse_conn_info *conn)
{
	const unsigned wanted = FUSE_CAP_ATOMIC_O_TRUNC | FUSE_CAP_READDIRPLUS |
				FUSE_CAP_READDIRPLUS_AUTO | FUSE_CAP_PARALLEL_DIROPS |
				FUSE_CAP_ASYNC_READ | FUSE_CAP_AUTO_INVAL_DATA;
	const unsigned unwanted = FUSE_CAP_WRITEBACK_CACHE | FUSE_CAP_SPLICE_READ |
				  FUSE_CAP_SPLICE_WRITE | FUSE_CAP_SPLICE_MOVE |
				  FUSE_CAP_EXPORT_SUPPORT | FUSE_CAP_CACHE_SYMLINKS;

	(void)userdata;
	conn->want |= conn->capable & wanted;
	conn->want &= ~unwanted;
	conn->max_write = MAX_WRITE;
}

const struct fuse_lowlevel_ops ops_table = {
	.init = op_init,
	.lookup = op_lookup,
	.forget = op_forget,
	.forget_multi = op_forget_multi,
	.getattr = op_getattr,
	.setattr = op_setattr,
	.readlink = op_readlink,
	.statfs = op_statfs,
	.mknod = op_mknod,
	.mkdir = op_mkdir,
	.unlink = op_unlink,
	.rmdir = op_rmdir,
	.symlink = op_symlink,
	.rename = op_rename,
	.link = op_link,
	.opendir = op_opendir,
	.readdir = op_readdir,
	.readdirplus = op_readdirplus,
	.releasedir = op_releasedir,
	.create = op_create,
	.open = op_open,
	.read = op_read,
	.write = op_write,
	.flush = op_flush,
	.release = op_release,
	.fsync = op_fsync,
	.poll = op_poll,
};

bool op_begin(struct op *op, fuse_req_t fuse, fuse_ino_t id)
{
	op->env = fuse_req_userdata(fuse);
	op->req = req_begin(op->env->requests, fuse);
	if (!op->req)
		return false;
	op->node = node_get(op->env->nodes, id);
	if (!op->node) {
		req_reply_err(op->req, -ESTALE);
		return false;
	}
	return true;
}

void op_end(struct op *op)
{
	vn_unref(op->node);
}

const struct call *op_call(const struct op *op)
{
	return vn_req_call(op->req);
}

int op_check_name(const char *name)
{
	if (strlen(name) > LIMIT_NAME)
		return -ENAMETOOLONG;
	if (!*name || !strcmp(name, ".") || !strcmp(name, "..") || strchr(name, '/'))
		return -EINVAL;
	return 0;
}

int op_enter(struct ops_env *env, struct vnode *child, const struct vn_attr *attr,
	     struct fuse_entry_param *entry)
{
	bool apart = child->ops->write && !child->ops->lookup && attr->valid == 0;

	*entry = (struct fuse_entry_param){
		.attr = attr->st,
		.attr_timeout = attr->valid,
		.entry_timeout = attr->valid,
	};
	return node_enter(env->nodes, child, apart, &entry->ino, &entry->generation);
}
