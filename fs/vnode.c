/*
 * vnode.c - counting of nodes.
 */
#include "fs/vnode.h"

void vn_init(struct vnode *node, const struct vnode_ops *ops)
{
	node->ops = ops;
	atomic_init(&node->refs, 1);
	node->lookups = 0;
	node->id = 0;
}

struct vnode *vn_ref(struct vnode *node)
{
	atomic_fetch_add_explicit(&node->refs, 1, memory_order_relaxed);
	return node;
}

void vn_unref(struct vnode *node)
{
	if (atomic_fetch_sub_explicit(&node->refs, 1, memory_order_acq_rel) == 1)
		node->ops->drop(node);
}
