/*
 * node.h - the node table: which vnode the kernel means by a node id.
 *
 * The kernel knows nodes by id and generation and counts how often it was told
 * of each (lookups); until it has forgotten all of them the id must go on
 * meaning the same node.  An id names a slot and the slot's turn, so that it is
 * never used twice and a late notification cannot reach another node.
 *
 * While the lookups of an id are not 0 the table holds one reference to its node.  All
 * functions are thread-safe; none blocks, except that node_forget and
 * node_table_free may drop the last reference of a node.
 */
#ifndef VSOCKFS_NODE_H
#define VSOCKFS_NODE_H

#include <stdint.h>

#include "fs/vnode.h"

struct node_table;

/* A table with ROOT (a reference is taken) as FUSE_ROOT_ID.  -ENOMEM. */
int node_table_new(struct vnode *root, struct node_table **out);

/* Drops what the kernel had not forgotten: after the mount has ended. */
void node_table_free(struct node_table *table);

/* The node of ID with a reference for the caller, or NULL where there is none. */
struct vnode *node_get(struct node_table *table, uint64_t id);

/*
 * Counts one more lookup of NODE, and gives the id and generation for the reply; with APART
 * under an id of its own (vnode.h says when).  -ENOMEM.
 */
int node_enter(struct node_table *table, struct vnode *node, bool apart, uint64_t *id,
	       uint64_t *generation);

/* The kernel has forgotten COUNT lookups of ID, or never got a reply that was counted. */
void node_forget(struct node_table *table, uint64_t id, uint64_t count);

/* What the kernel calls NODE now (the last of several ids), or 0 if it does not know it. */
uint64_t node_id(struct node_table *table, struct vnode *node);

#endif
