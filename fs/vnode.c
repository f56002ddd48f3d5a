/*
 * vnode.c - counting of nodes, and listings as they are filled.
 */
#include "fs/vnode.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "protocol/limits.h"

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

int vn_dir_add(struct vn_dir *dir, const char *name, const struct vn_attr *attr, bool whole)
{
	struct vn_dirent *entry;

	if (dir->count >= LIMIT_LISTING_ENTRIES)
		return -EOVERFLOW;
	if (dir->count == dir->room) {
		size_t room = dir->room ? dir->room + dir->room / 2 : 16;
		struct vn_dirent *entries = reallocarray(dir->entries, room, sizeof(*entries));

		if (!entries)
			return -ENOMEM;
		dir->entries = entries;
		dir->room = room;
	}
	entry = &dir->entries[dir->count];
	*entry = (struct vn_dirent){ .name = strdup(name), .attr = *attr, .whole = whole };
	if (!entry->name)
		return -ENOMEM;
	dir->count++;
	return 0;
}

void vn_dir_free(struct vn_dir *dir)
{
	for (size_t i = 0; i < dir->count; i++)
		free(dir->entries[i].name);
	free(dir->entries);
	*dir = (struct vn_dir){ 0 };
}
