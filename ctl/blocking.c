/*
 * blocking.c - see blocking.h.
 */
#include "ctl/blocking.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "ctl/guest.h"
#include "ctl/text.h"

static struct waitq *queue_of(struct node *node)
{
	return node->file->blocking->queue(node->object);
}

/* Has the guest asked as long as anybody waits here. */
static int watch(struct node *node)
{
	if (!node->file->blocking->asks || !waitq_wanted(queue_of(node)))
		return 0;
	return poller_watch(cguest_poller(node->object), node->object);
}

int blocking_open(struct vnode *vnode, struct vn_file *file)
{
	struct node *node = node_of(vnode);
	const struct blocking_type *type = node->file->blocking;
	struct waitq_reader *reader;
	int rc = tree_check(node->object);

	if (rc < 0)
		return rc;
	reader = calloc(1, sizeof(*reader));
	if (!reader)
		return -ENOMEM;
	if (type->opened)
		type->opened(node->object, reader);
	waitq_attach(queue_of(node), reader);
	file->priv = reader;
	file->direct_io = true;
	file->nonseekable = type->stream;
	return 0;
}

static int read_only_open(struct vnode *vnode, const struct call *call, struct vn_file *file)
{
	(void)call;
	if ((file->flags & O_ACCMODE) != O_RDONLY)
		return -EACCES;
	return blocking_open(vnode, file);
}

ssize_t blocking_read(struct vnode *vnode, struct vn_req *req, struct vn_file *file, int64_t offset,
		      void *bytes, size_t len)
{
	struct node *node = node_of(vnode);
	/* A parked read may end at once, and the file be closed, before this function does. */
	struct object *object = tree_ref(node->object);
	struct waitq *queue = queue_of(node);
	bool nonblock = file->flags & O_NONBLOCK;
	ssize_t got;
	int rc;

	got = waitq_read(queue, file->priv, req, nonblock, offset, bytes, len);
	if (got == -EAGAIN && nonblock && node->file->blocking->asks) {
		/* What this side does not know yet is one short question away. */
		struct cguest *guest = cguest_of(node->object);
		struct call call = cguest_call(guest, vn_req_call(req)->cancel);

		node->object->type->poll(node->object, &call);
		got = waitq_read(queue, file->priv, req, true, offset, bytes, len);
	}
	rc = watch(node);
	if (rc < 0 && got == VN_PARKED)
		waitq_fail(queue, -rc);
	tree_unref(object);
	return got;
}

unsigned blocking_poll(struct vnode *vnode, struct vn_file *file, struct vn_poll *poll)
{
	struct node *node = node_of(vnode);
	unsigned events = waitq_poll(queue_of(node), file->priv, poll);

	watch(node);
	return events;
}

void blocking_release(struct vnode *vnode, const struct call *call, struct vn_file *file)
{
	(void)call;
	waitq_detach(queue_of(node_of(vnode)), file->priv);
	free(file->priv);
}

ssize_t blocking_code(const int *code, int64_t offset, void *bytes, size_t len)
{
	char text[16] = "null\n";

	if (code)
		snprintf(text, sizeof(text), "%d\n", *code);
	return text_slice(text, strlen(text), offset, bytes, len);
}

const struct vnode_ops blocking_ops = {
	.getattr = tree_getattr,
	.setattr = tree_setattr,
	.open = read_only_open,
	.read = blocking_read,
	.poll = blocking_poll,
	.release = blocking_release,
	.drop = tree_drop,
};
