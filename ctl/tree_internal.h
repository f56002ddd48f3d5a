/*
 * tree_internal.h - what tree.c and tree_dir.c share with each other only, and
 * with those who make objects that may never be shown.
 */
#ifndef VSOCKFS_CTL_TREE_INTERNAL_H
#define VSOCKFS_CTL_TREE_INTERNAL_H

#include "ctl/tree.h"

extern const struct vnode_ops tree_dir_ops;

/* The root directory of a tree; no reference. */
struct object *ctl_object(struct ctl *ctl);

/*
 * A reference to a node of the tree, or NULL when its object is gone.  VNODE is a node of an
 * object that the caller holds, or another room's.
 */
struct vnode *tree_get(struct vnode *vnode);

/* Frees an object that was made but never added to a directory. */
void tree_discard(struct object *object);

#endif
