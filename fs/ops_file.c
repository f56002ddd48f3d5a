/*
 * ops_file.c - open files.
 */
#include "fs/ops.h"

#include <errno.h>
#include <poll.h>
#include <stdlib.h>

#include "protocol/cleanup.h"

#define MAX_READ (1u << 20)

static struct handle *handle_of(const struct fuse_file_info *info)
{
	return (struct handle *)(uintptr_t)info->fh;
}

/* What the kernel is told of a file that was just opened. */
static void fill_info(struct fuse_file_info *info, struct handle *handle)
{
	info->fh = (uintptr_t)handle;
	info->direct_io = handle->file.direct_io;
	info->nonseekable = handle->file.nonseekable;
	info->keep_cache = 0; /* close-to-open: an open begins without old contents */
}

static void release_handle(struct ops_env *env, struct handle *handle)
{
	struct call call = call_within(env->timeout, NULL);

	handle_remove(&env->handles, handle);
	if (handle->node->ops->release)
		handle->node->ops->release(handle->node, &call, &handle->file);
	handle_free(handle);
}

void op_open(fuse_req_t fuse, fuse_ino_t id, struct fuse_file_info *info)
{
	struct handle *handle;
	struct op op;
	int rc;

	if (!op_begin(&op, fuse, id))
		return;
	handle = handle_new(info->flags, false);
	if (!handle)
		rc = -ENOMEM;
	else
		rc = op.node->ops->open ? op.node->ops->open(op.node, op_call(&op), &handle->file) :
					  -EACCES;
	if (rc) {
		req_reply_err(op.req, rc);
		if (handle)
			handle_free(handle);
	} else {
		fill_info(info, handle);
		handle_add(&op.env->handles, handle, op.node);
		/* Or the kernel would read no further than the old size. */
		if (handle->file.changed)
			notify_attr_now(op.env->notify, id);
		if (req_reply_open(op.req, info))
			release_handle(op.env, handle);
	}
	op_end(&op);
}

/* The part of create that can fail before there is an open file. */
static int create(struct op *op, const char *name, mode_t mode, struct handle *handle,
		  struct vnode **child, struct vn_attr *attr)
{
	int rc = op_check_name(name);

	if (rc)
		return rc;
	if (!handle)
		return -ENOMEM;
	if (!op->node->ops->create)
		return -EPERM;
	return op->node->ops->create(op->node, op_call(op), name, mode, &handle->file, child, attr);
}

void op_create(fuse_req_t fuse, fuse_ino_t parent, const char *name, mode_t mode,
	       struct fuse_file_info *info)
{
	struct fuse_entry_param entry;
	struct vnode *child = NULL;
	struct handle *handle;
	struct vn_attr attr;
	struct op op;
	int rc;

	if (!op_begin(&op, fuse, parent))
		return;
	handle = handle_new(info->flags, false);
	rc = create(&op, name, mode, handle, &child, &attr);
	if (rc) {
		req_reply_err(op.req, rc);
		if (handle)
			handle_free(handle);
		op_end(&op);
		return;
	}
	handle_add(&op.env->handles, handle, child);
	fill_info(info, handle);
	rc = op_enter(op.env, child, &attr, &entry);
	if (rc) {
		release_handle(op.env, handle);
		req_reply_err(op.req, rc);
	} else if (req_reply_create(op.req, &entry, info)) {
		node_forget(op.env->nodes, entry.ino, 1);
		release_handle(op.env, handle);
	}
	vn_unref(child);
	op_end(&op);
}

void op_read(fuse_req_t fuse, fuse_ino_t id, size_t size, off_t offset, struct fuse_file_info *info)
{
	struct handle *handle = handle_of(info);
	autofree char *bytes = NULL;
	struct vn_req *parked;
	struct op op;
	ssize_t got;

	if (!op_begin(&op, fuse, id))
		return;
	handle->file.flags = info->flags;
	if (size > MAX_READ)
		size = MAX_READ;
	req_set_room(op.req, size);
	/* Once the node has parked it, the request is another thread's, which may be done first. */
	parked = req_ref(op.req);
	bytes = malloc(size ? size : 1);
	if (!bytes)
		got = -ENOMEM;
	else
		got = op.node->ops->read ? op.node->ops->read(op.node, op.req, &handle->file,
							      offset, bytes, size) :
					   -EINVAL;
	if (got != VN_PARKED)
		vn_req_finish(op.req, bytes, got);
	req_unref(parked);
	op_end(&op);
}

void op_write(fuse_req_t fuse, fuse_ino_t id, const char *bytes, size_t size, off_t offset,
	      struct fuse_file_info *info)
{
	struct handle *handle = handle_of(info);
	struct op op;
	ssize_t taken;

	if (!op_begin(&op, fuse, id))
		return;
	handle->file.flags = info->flags;
	taken = op.node->ops->write ? op.node->ops->write(op.node, op_call(&op), &handle->file,
							  offset, bytes, size) :
				      -EINVAL;
	if (taken < 0)
		req_reply_err(op.req, (int)taken);
	else
		req_reply_write(op.req, (size_t)taken);
	op_end(&op);
}

void op_flush(fuse_req_t fuse, fuse_ino_t id, struct fuse_file_info *info)
{
	struct handle *handle = handle_of(info);
	struct op op;
	int rc = 0;

	if (!op_begin(&op, fuse, id))
		return;
	if (op.node->ops->flush)
		rc = op.node->ops->flush(op.node, op_call(&op), &handle->file);
	req_reply_err(op.req, rc);
	op_end(&op);
}

/* Nobody waits for a release and nobody can end it. */
void op_release(fuse_req_t fuse, fuse_ino_t id, struct fuse_file_info *info)
{
	(void)id;
	release_handle(fuse_req_userdata(fuse), handle_of(info));
	fuse_reply_err(fuse, 0);
}

void op_fsync(fuse_req_t fuse, fuse_ino_t id, int data_only, struct fuse_file_info *info)
{
	struct handle *handle = handle_of(info);
	struct op op;
	int rc = 0;

	if (!op_begin(&op, fuse, id))
		return;
	if (op.node->ops->fsync)
		rc = op.node->ops->fsync(op.node, op_call(&op), &handle->file, data_only);
	req_reply_err(op.req, rc);
	op_end(&op);
}

/*
 * A node without poll is always ready.  Never ENOSYS: the kernel would not
 * ask for any file of the mount again.
 */
void op_poll(fuse_req_t fuse, fuse_ino_t id, struct fuse_file_info *info,
	     struct fuse_pollhandle *kernel)
{
	struct handle *handle = handle_of(info);
	struct vn_poll *poll = NULL;
	struct op op;

	if (!op_begin(&op, fuse, id)) {
		if (kernel)
			fuse_pollhandle_destroy(kernel);
		return;
	}
	if (!op.node->ops->poll) {
		if (kernel)
			fuse_pollhandle_destroy(kernel);
		req_reply_poll(op.req, POLLIN | POLLOUT | POLLRDNORM | POLLWRNORM);
	} else if (kernel && !(poll = notify_poll_new(op.env->notify, kernel))) {
		req_reply_err(op.req, -ENOMEM);
	} else {
		req_reply_poll(op.req, op.node->ops->poll(op.node, &handle->file, poll));
	}
	op_end(&op);
}
