/*
 * node.c - the node table.
 *
 * An id is (turn << 32 | slot).  Slot 1 is the root with turn 0, so that its
 * id is FUSE_ROOT_ID; slot 0 is never used.  Free slots form a list.
 */
#include "fs/node.h"

#include <errno.h>
#include <pthread.h>
#include <stdlib.h>

#include "protocol/cleanup.h"

#define ROOT_SLOT 1u

struct slot {
	struct vnode *node; /* a reference; NULL while free */
	uint64_t lookups;   /* of this id; the node has the sum */
	uint32_t turn;      /* how often the slot was given away before */
	uint32_t next_free;
};

struct node_table {
	pthread_mutex_t lock;
	struct slot *slots; /* lock */
	uint32_t count;     /* lock; slots that were ever used */
	uint32_t room;      /* lock */
	uint32_t free_slot; /* lock; 0 for none */
};

static uint64_t make_id(const struct node_table *table, uint32_t slot)
{
	return (uint64_t)table->slots[slot].turn << 32 | slot;
}

/* Under the lock.  A slot for a new id, or 0. */
static uint32_t take_slot(struct node_table *table)
{
	uint32_t slot = table->free_slot;

	if (slot) {
		table->free_slot = table->slots[slot].next_free;
		return slot;
	}
	if (table->count == table->room) {
		uint32_t room = table->room + table->room / 2;
		struct slot *slots = NULL;

		if (room > table->room)
			slots = reallocarray(table->slots, room, sizeof(*slots));
		if (!slots)
			return 0;
		table->slots = slots;
		table->room = room;
	}
	table->slots[table->count] = (struct slot){ 0 };
	return table->count++;
}

int node_table_new(struct vnode *root, struct node_table **out)
{
	struct node_table *table = calloc(1, sizeof(*table));

	if (!table)
		return -ENOMEM;
	table->room = 64;
	table->slots = calloc(table->room, sizeof(*table->slots));
	if (!table->slots) {
		free(table);
		return -ENOMEM;
	}
	pthread_mutex_init(&table->lock, NULL);
	table->slots[ROOT_SLOT] = (struct slot){ .node = vn_ref(root), .lookups = 1 };
	table->count = ROOT_SLOT + 1;
	root->lookups = 1; /* never forgotten */
	root->id = ROOT_SLOT;
	*out = table;
	return 0;
}

void node_table_free(struct node_table *table)
{
	if (!table)
		return;
	for (uint32_t i = 0; i < table->count; i++) {
		struct vnode *node = table->slots[i].node;

		if (!node)
			continue;
		node->lookups = 0;
		node->id = 0;
		vn_unref(node);
	}
	pthread_mutex_destroy(&table->lock);
	free(table->slots);
	free(table);
}

/* Under the lock. */
static struct slot *find(struct node_table *table, uint64_t id)
{
	uint32_t slot = (uint32_t)id;

	if (slot >= table->count || !table->slots[slot].node ||
	    table->slots[slot].turn != (uint32_t)(id >> 32))
		return NULL;
	return &table->slots[slot];
}

struct vnode *node_get(struct node_table *table, uint64_t id)
{
	struct slot *slot;
	struct vnode *node = NULL;

	pthread_mutex_lock(&table->lock);
	slot = find(table, id);
	if (slot)
		node = vn_ref(slot->node);
	pthread_mutex_unlock(&table->lock);
	return node;
}

/* Under the lock: an id for NODE, which has none or is to get another. */
static int give_id(struct node_table *table, struct vnode *node)
{
	uint32_t slot = take_slot(table);

	if (!slot)
		return -ENOMEM;
	table->slots[slot].node = vn_ref(node);
	table->slots[slot].lookups = 0;
	node->id = make_id(table, slot);
	return 0;
}

int node_enter(struct node_table *table, struct vnode *node, bool apart, uint64_t *id,
	       uint64_t *generation)
{
	int rc = 0;

	pthread_mutex_lock(&table->lock);
	if (!node->id || apart)
		rc = give_id(table, node);
	if (!rc) {
		node->lookups++;
		table->slots[(uint32_t)node->id].lookups++;
		*id = node->id;
		*generation = node->id >> 32;
	}
	pthread_mutex_unlock(&table->lock);
	return rc;
}

/* Under the lock: nobody knows the id of SLOT any more.  Its node, with the reference. */
static struct vnode *take_back(struct node_table *table, struct slot *slot)
{
	struct vnode *node = move_ptr(slot->node);

	if (node->id == ((uint64_t)slot->turn << 32 | (uint64_t)(slot - table->slots)))
		node->id = 0;
	/* A slot whose turns are used up is left alone: ids are never repeated. */
	if (++slot->turn) {
		slot->next_free = table->free_slot;
		table->free_slot = (uint32_t)(slot - table->slots);
	}
	return node;
}

void node_forget(struct node_table *table, uint64_t id, uint64_t count)
{
	struct vnode *forgotten = NULL;
	struct slot *slot;

	if (id == ROOT_SLOT)
		return;
	pthread_mutex_lock(&table->lock);
	slot = find(table, id);
	if (slot) {
		uint64_t less = count < slot->lookups ? count : slot->lookups;

		slot->lookups -= less;
		slot->node->lookups -= less;
		if (!slot->lookups)
			forgotten = take_back(table, slot);
	}
	pthread_mutex_unlock(&table->lock);
	if (forgotten)
		vn_unref(forgotten); /* may take the implementation's locks */
}

uint64_t node_id(struct node_table *table, struct vnode *node)
{
	uint64_t id;

	pthread_mutex_lock(&table->lock);
	id = node->id;
	pthread_mutex_unlock(&table->lock);
	return id;
}
