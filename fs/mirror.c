/*
 * mirror.c - mirrors and the set of them.
 */
#include "fs/mirror.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "fs/log.h"
#include "fs/mirror_tree.h"
#include "protocol/guest.h"

const struct vnode_ops mirror_ops = {
	.lookup = mirror_op_lookup,
	.adopt = mirror_op_adopt,
	.list = mirror_op_list,
	.mkdir = mirror_op_mkdir,
	.rmdir = mirror_op_rmdir,
	.unlink = mirror_op_unlink,
	.rename = mirror_op_rename,
	.symlink = mirror_op_symlink,
	.link = mirror_op_link,
	.mknod = mirror_op_mknod,
	.create = mirror_op_create,
	.getattr = mirror_op_getattr,
	.setattr = mirror_op_setattr,
	.readlink = mirror_op_readlink,
	.statfs = mirror_op_statfs,
	.open = mirror_op_open,
	.read = mirror_op_read,
	.write = mirror_op_write,
	.flush = mirror_op_flush,
	.fsync = mirror_op_fsync,
	.release = mirror_op_release,
	.drop = mirror_drop,
};

void mirror_set_init(struct mirror_set *set)
{
	pthread_mutex_init(&set->lock, NULL);
	set->first = NULL;
	set->next_index = 0;
}

void mirror_set_destroy(struct mirror_set *set)
{
	pthread_mutex_destroy(&set->lock);
}

static void add_to_set(struct mirror_set *set, struct mirror *mirror)
{
	pthread_mutex_lock(&set->lock);
	mirror->set = set;
	mirror->index = set->next_index++;
	mirror->next = set->first;
	if (mirror->next)
		mirror->next->prev = mirror;
	set->first = mirror;
	pthread_mutex_unlock(&set->lock);
}

static void remove_from_set(struct mirror *mirror)
{
	struct mirror_set *set = mirror->set;

	pthread_mutex_lock(&set->lock);
	if (mirror->prev)
		mirror->prev->next = mirror->next;
	else
		set->first = mirror->next;
	if (mirror->next)
		mirror->next->prev = mirror->prev;
	pthread_mutex_unlock(&set->lock);
}

void mirror_unref(struct mirror *mirror)
{
	if (atomic_fetch_sub(&mirror->refs, 1) != 1)
		return;
	remove_from_set(mirror);
	guest_unref(mirror->guest); /* may wait for the guest's last replies */
	pthread_mutex_destroy(&mirror->lock);
	free(mirror->buckets);
	free(mirror);
}

/* Under the set's lock: the next from MIRROR on that is not about to go, with a reference. */
static struct mirror *ref_from(struct mirror *mirror)
{
	for (; mirror; mirror = mirror->next) {
		unsigned refs = atomic_load(&mirror->refs);

		while (refs) {
			if (atomic_compare_exchange_weak(&mirror->refs, &refs, refs + 1))
				return mirror;
		}
	}
	return NULL;
}

void mirror_set_sync(struct mirror_set *set, double timeout)
{
	struct mirror *mirror, *next;

	pthread_mutex_lock(&set->lock);
	mirror = ref_from(set->first);
	pthread_mutex_unlock(&set->lock);
	while (mirror) {
		struct call call = call_within(timeout, NULL);
		struct error err = { 0 };

		if (ws_sync(mirror->ws, &call, &err))
			log_message(LOG_ERR,
				    "%s: not everything that was written is in the guest: %s",
				    guest_address(mirror->guest)->name, err.text);
		pthread_mutex_lock(&set->lock);
		next = ref_from(mirror->next);
		pthread_mutex_unlock(&set->lock);
		mirror_unref(mirror);
		mirror = next;
	}
}

/* The root, in place of the node that is made for every other name.  NULL when out of memory. */
static struct mirror_node *make_root(struct mirror *mirror)
{
	struct mirror_node *node = calloc(1, sizeof(*node));

	if (!node)
		return NULL;
	node->name = strdup("");
	if (!node->name) {
		free(node);
		return NULL;
	}
	vn_init(&node->vnode, &mirror_ops);
	node->type = S_IFDIR;
	node->mirror = mirror;
	return node;
}

int mirror_new(struct mirror_set *set, struct guest *guest, const struct mirror_options *options,
	       struct vnode **root)
{
	struct mirror *mirror = calloc(1, sizeof(*mirror));

	if (!mirror)
		return -ENOMEM;
	mirror->root = make_root(mirror);
	if (!mirror->root || mirror_tree_init(mirror)) {
		if (mirror->root)
			free(mirror->root->name);
		free(mirror->root);
		free(mirror);
		return -ENOMEM;
	}
	atomic_init(&mirror->refs, 1); /* the root's */
	pthread_mutex_init(&mirror->lock, NULL);
	mirror->guest = guest_ref(guest);
	mirror->ws = guest_workspace(guest);
	mirror->options = *options;
	add_to_set(set, mirror);
	*root = &mirror->root->vnode;
	return 0;
}
