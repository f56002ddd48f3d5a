/*
 * stream.c - see stream.h.
 *
 * An open file keeps the base that it was opened with, so that its offsets stay true
 * while the oldest part of a transcript is forgotten.
 */
#include "ctl/stream.h"

#include <errno.h>
#include <stdlib.h>

#include "ctl/guest.h"

struct stream_open {
	int64_t base;
};

static int64_t base_of(const struct node *node)
{
	const struct stream_type *type = node->file->stream;

	return type->base ? type->base(node->object, node->file->which) : 0;
}

static int stream_getattr(struct vnode *vnode, const struct call *call, struct vn_file *file,
			  struct vn_attr *attr)
{
	struct node *node = node_of(vnode);
	struct call within;
	int64_t base;
	int rc = tree_check(node->object);

	if (rc < 0)
		return rc;
	within = cguest_call(node->object->guest, call->cancel);
	rc = node->file->stream->refresh(node->object, &within);
	if (rc == 0)
		rc = tree_getattr(vnode, call, file, attr);
	if (rc < 0)
		return rc;
	/* file_type->size counts from the base of this moment. */
	base = base_of(node);
	if (file && file->priv)
		attr->st.st_size += base - ((struct stream_open *)file->priv)->base;
	return 0;
}

static int stream_open(struct vnode *vnode, const struct call *call, struct vn_file *file)
{
	struct node *node = node_of(vnode);
	struct stream_open *open;
	int rc = tree_check(node->object);

	(void)call;
	if (rc < 0)
		return rc;
	if ((file->flags & O_ACCMODE) != O_RDONLY)
		return -EACCES;
	open = calloc(1, sizeof(*open));
	if (!open)
		return -ENOMEM;
	open->base = base_of(node);
	file->priv = open;
	file->direct_io = true;
	return 0;
}

static ssize_t stream_read(struct vnode *vnode, struct vn_req *req, struct vn_file *file,
			   int64_t offset, void *bytes, size_t len)
{
	struct node *node = node_of(vnode);
	struct stream_open *open = file->priv;
	struct call within;
	int rc = tree_check(node->object);

	if (rc < 0)
		return rc;
	if (offset < 0 || offset > INT64_MAX - open->base)
		return -EINVAL;
	if (len == 0)
		return 0;
	within = cguest_call(node->object->guest, vn_req_call(req)->cancel);
	return node->file->stream->read(node->object, node->file->which, &within,
					open->base + offset, bytes, len);
}

static void stream_release(struct vnode *vnode, const struct call *call, struct vn_file *file)
{
	(void)vnode;
	(void)call;
	free(file->priv);
}

const struct vnode_ops stream_ops = {
	.getattr = stream_getattr,
	.setattr = tree_setattr,
	.open = stream_open,
	.read = stream_read,
	.release = stream_release,
	.drop = tree_drop,
};
