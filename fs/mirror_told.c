/*
 * mirror_told.c - what the kernel may still believe of a mirror.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "fs/mirror_tree.h"

/* Under the mirror's lock: all but mirror_each_told. */

/* The node at PATH, or NULL where none is known. */
static struct mirror_node *find_path(struct mirror *mirror, const char *path)
{
	struct mirror_node *node = mirror->root;
	char name[LIMIT_NAME + 1];

	while (node && *path) {
		size_t len = strcspn(path, "/");

		if (len > LIMIT_NAME)
			return NULL;
		memcpy(name, path, len);
		name[len] = '\0';
		if (len)
			node = mirror_find(mirror, node, name);
		path += len + (path[len] == '/');
	}
	return node;
}

struct places {
	struct mirror_place *at;
	size_t count, room;
};

static int add_place(struct places *places, struct mirror_node *node)
{
	struct mirror_place place = { .is_dir = node->type == S_IFDIR };

	if (places->count == places->room) {
		size_t room = places->room ? places->room * 2 : 64;
		struct mirror_place *at = reallocarray(places->at, room, sizeof(*at));

		if (!at)
			return -ENOMEM;
		places->at = at;
		places->room = room;
	}
	place.name = strdup(node->name);
	if (!place.name)
		return -ENOMEM;
	if (!mirror_try_ref(node)) { /* about to be dropped: the kernel has forgotten it */
		free(place.name);
		return 0;
	}
	place.node = &node->vnode;
	place.dir = node->dir ? vn_ref(&node->dir->vnode) : NULL;
	places->at[places->count++] = place;
	return 0;
}

static int collect_told(struct mirror *mirror, const struct mirror_node *top, int64_t since,
			struct places *places)
{
	int rc = 0;

	if (top == mirror->root && mirror->root->told >= since)
		rc = add_place(places, mirror->root);
	for (size_t i = 0; i < mirror->bucket_count && !rc; i++) {
		for (struct mirror_node *node = mirror->buckets[i]; node && !rc;
		     node = node->chain) {
			if ((node->told >= since || node->files) && mirror_is_above(top, node))
				rc = add_place(places, node);
		}
	}
	return rc;
}

int mirror_each_told(struct vnode *root, const char *path,
		     void (*each)(void *arg, const struct mirror_place *place), void *arg)
{
	struct mirror *mirror = mirror_node_of(root)->mirror;
	int64_t since = call_now() - (int64_t)(mirror->options.attr_timeout * 1e9);
	struct places places = { 0 };
	struct mirror_node *top;
	int rc = 0;

	pthread_mutex_lock(&mirror->lock);
	top = find_path(mirror, path ? path : "");
	if (top)
		rc = collect_told(mirror, top, since, &places);
	pthread_mutex_unlock(&mirror->lock);
	for (size_t i = 0; i < places.count; i++) {
		each(arg, &places.at[i]);
		vn_unref(places.at[i].node);
		if (places.at[i].dir)
			vn_unref(places.at[i].dir);
		free(places.at[i].name);
	}
	free(places.at);
	return rc;
}
