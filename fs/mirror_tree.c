/*
 * mirror_tree.c - the mirror's nodes: found by name, moved, detached, dropped.
 */
#include "fs/mirror_tree.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "protocol/cleanup.h"

#define FIRST_BUCKETS 256

struct mirror_node *mirror_node_of(struct vnode *vnode)
{
	return (struct mirror_node *)vnode;
}

int mirror_tree_init(struct mirror *mirror)
{
	mirror->buckets = calloc(FIRST_BUCKETS, sizeof(void *));
	mirror->bucket_count = mirror->buckets ? FIRST_BUCKETS : 0;
	return mirror->buckets ? 0 : -ENOMEM;
}

/* FNV-1a over the directory's address and the name. */
static size_t hash(const struct mirror_node *dir, const char *name)
{
	uint64_t h = UINT64_C(14695981039346656037) ^ (uint64_t)(uintptr_t)dir;

	h *= UINT64_C(1099511628211);
	for (; *name; name++)
		h = (h ^ (unsigned char)*name) * UINT64_C(1099511628211);
	return (size_t)(h ^ h >> 32);
}

/* All below: under the mirror's lock, where the name says nothing else. */

static struct mirror_node **bucket(struct mirror *mirror, const struct mirror_node *dir,
				   const char *name)
{
	return &mirror->buckets[hash(dir, name) & (mirror->bucket_count - 1)];
}

struct mirror_node *mirror_find(struct mirror *mirror, const struct mirror_node *dir,
				const char *name)
{
	struct mirror_node *node = *bucket(mirror, dir, name);

	while (node && (node->dir != dir || strcmp(node->name, name) != 0))
		node = node->chain;
	return node;
}

/* A bigger table; where there is no memory the chains get longer. */
static void grow(struct mirror *mirror)
{
	size_t old_count = mirror->bucket_count;
	struct mirror_node **old = mirror->buckets;
	struct mirror_node **made = calloc(old_count * 2, sizeof(void *));

	if (!made)
		return;
	mirror->buckets = made;
	mirror->bucket_count = old_count * 2;
	for (size_t i = 0; i < old_count; i++) {
		while (old[i]) {
			struct mirror_node *node = old[i];
			struct mirror_node **slot = bucket(mirror, node->dir, node->name);

			old[i] = node->chain;
			node->chain = *slot;
			*slot = node;
		}
	}
	free(old);
}

static void put_in(struct mirror *mirror, struct mirror_node *node)
{
	struct mirror_node **slot;

	if (mirror->node_count >= mirror->bucket_count)
		grow(mirror);
	slot = bucket(mirror, node->dir, node->name);
	node->chain = *slot;
	*slot = node;
	mirror->node_count++;
}

static void take_out(struct mirror *mirror, struct mirror_node *node)
{
	struct mirror_node **link = bucket(mirror, node->dir, node->name);

	while (*link != node)
		link = &(*link)->chain;
	*link = node->chain;
	node->chain = NULL;
	mirror->node_count--;
}

static void detach(struct mirror *mirror, struct mirror_node *node, int code)
{
	if (node->gone || node == mirror->root)
		return;
	take_out(mirror, node);
	node->gone = code;
}

bool mirror_try_ref(struct mirror_node *node)
{
	unsigned refs = atomic_load(&node->vnode.refs);

	while (refs) {
		if (atomic_compare_exchange_weak(&node->vnode.refs, &refs, refs + 1))
			return true;
	}
	return false;
}

int mirror_path(struct mirror_node *node, const char *name, struct mirror_path *out)
{
	struct mirror *mirror = node->mirror;
	size_t at = LIMIT_PATH;
	int rc = 0;

	out->text[at] = '\0';
	pthread_mutex_lock(&mirror->lock);
	out->moves = mirror->moves;
	for (bool first = true; !rc && (name || node->dir || node->gone); first = false) {
		const char *part = name ? name : node->name;
		size_t len = strlen(part) + !first; /* a slash behind all but the last */

		if (!name && node->gone) {
			rc = -node->gone;
		} else if (len > at) {
			rc = -ENAMETOOLONG;
		} else {
			at -= len;
			memcpy(out->text + at, part, len - !first);
			if (!first)
				out->text[at + len - 1] = '/';
			if (!name)
				node = node->dir;
			name = NULL;
		}
	}
	pthread_mutex_unlock(&mirror->lock);
	memmove(out->text, out->text + at, LIMIT_PATH + 1 - at);
	return rc;
}

bool mirror_path_moved(struct mirror *mirror, const struct mirror_path *path)
{
	bool moved;

	pthread_mutex_lock(&mirror->lock);
	moved = mirror->moves != path->moves;
	pthread_mutex_unlock(&mirror->lock);
	return moved;
}

static struct mirror_node *make(struct mirror_node *dir, const char *name, uint64_t ino,
				uint32_t type)
{
	struct mirror_node *node = calloc(1, sizeof(*node));

	if (!node)
		return NULL;
	node->name = strdup(name);
	if (!node->name) {
		free(node);
		return NULL;
	}
	vn_init(&node->vnode, &mirror_ops);
	node->mirror = dir->mirror;
	atomic_fetch_add(&dir->mirror->refs, 1);
	node->dir = mirror_node_of(vn_ref(&dir->vnode));
	node->ino = ino;
	node->type = type;
	return node;
}

static int obtain(struct mirror_node *dir, const char *name, uint64_t ino, uint32_t type,
		  struct mirror_node **out)
{
	struct mirror *mirror = dir->mirror;
	struct mirror_node *node = mirror_find(mirror, dir, name);

	if (node && node->ino == ino && node->type == type && mirror_try_ref(node)) {
		*out = node;
		return 0;
	}
	if (node)
		detach(mirror, node, ESTALE);
	*out = make(dir, name, ino, type);
	if (!*out)
		return -ENOMEM;
	put_in(mirror, *out);
	return 0;
}

int mirror_obtain(struct mirror_node *dir, const char *name, uint64_t ino, uint32_t type,
		  struct mirror_node **out)
{
	int rc;

	pthread_mutex_lock(&dir->mirror->lock);
	rc = obtain(dir, name, ino, type, out);
	pthread_mutex_unlock(&dir->mirror->lock);
	return rc;
}

int mirror_obtain_listed(struct mirror_node *dir, const char *name, uint64_t ino, uint32_t type,
			 uint64_t stamp, struct mirror_node **out)
{
	struct mirror *mirror = dir->mirror;
	const struct mirror_node *known;
	int rc = -EAGAIN;

	pthread_mutex_lock(&mirror->lock);
	known = mirror_find(mirror, dir, name);
	if (dir->changed <= stamp && !(known && (known->changed > stamp || known->writers)))
		rc = obtain(dir, name, ino, type, out);
	pthread_mutex_unlock(&mirror->lock);
	return rc;
}

void mirror_detach(struct mirror_node *node, int code)
{
	pthread_mutex_lock(&node->mirror->lock);
	detach(node->mirror, node, code);
	pthread_mutex_unlock(&node->mirror->lock);
}

void mirror_detach_name(struct mirror_node *dir, const char *name, int code)
{
	struct mirror *mirror = dir->mirror;
	struct mirror_node *node;

	pthread_mutex_lock(&mirror->lock);
	node = mirror_find(mirror, dir, name);
	if (node)
		detach(mirror, node, code);
	dir->changed = ++mirror->clock;
	pthread_mutex_unlock(&mirror->lock);
}

bool mirror_is_above(const struct mirror_node *node, const struct mirror_node *dir)
{
	while (dir && dir != node)
		dir = dir->dir;
	return dir != NULL;
}

/* Puts NODE (in no table) under its new name; *OLD_DIR and *OLD_NAME are to be let go unlocked. */
static void rehang(struct mirror *mirror, struct mirror_node *node, struct mirror_node *dir,
		   char **name, struct mirror_node **old_dir)
{
	char *old_name = node->name;

	*old_dir = node->dir;
	node->dir = mirror_node_of(vn_ref(&dir->vnode));
	node->name = *name;
	*name = old_name;
	node->changed = ++mirror->clock;
	if (node->type == S_IFDIR)
		mirror->moves++;
	put_in(mirror, node);
}

void mirror_moved(struct mirror_node *dir, const char *name, struct mirror_node *to_dir,
		  const char *to_name, bool exchange)
{
	struct mirror *mirror = dir->mirror;
	char *new_name = strdup(to_name), *other_name = strdup(name);
	struct mirror_node *old_dir = NULL, *other_old_dir = NULL;
	struct mirror_node *node, *other;

	pthread_mutex_lock(&mirror->lock);
	node = mirror_find(mirror, dir, name);
	other = mirror_find(mirror, to_dir, to_name);
	/* A node that cannot follow is only looked up again. */
	if (node && (node == other || !new_name || mirror_is_above(node, to_dir))) {
		detach(mirror, node, ESTALE);
		other = node == other ? NULL : other;
		node = NULL;
	}
	if (other && exchange && other_name && !mirror_is_above(other, dir)) {
		take_out(mirror, other);
		if (node)
			take_out(mirror, node);
		rehang(mirror, other, dir, &other_name, &other_old_dir);
	} else {
		if (other)
			detach(mirror, other, exchange ? ESTALE : ENOENT);
		if (node)
			take_out(mirror, node);
	}
	if (node)
		rehang(mirror, node, to_dir, &new_name, &old_dir);
	dir->changed = to_dir->changed = ++mirror->clock;
	pthread_mutex_unlock(&mirror->lock);
	if (old_dir)
		vn_unref(&old_dir->vnode);
	if (other_old_dir)
		vn_unref(&other_old_dir->vnode);
	free(new_name);
	free(other_name);
}

void mirror_touch(struct mirror_node *node)
{
	pthread_mutex_lock(&node->mirror->lock);
	node->changed = ++node->mirror->clock;
	pthread_mutex_unlock(&node->mirror->lock);
}

static uint64_t mtime_of(const struct stat *st)
{
	return (uint64_t)st->st_mtim.tv_sec * 1000000000 + (uint64_t)st->st_mtim.tv_nsec;
}

void mirror_tell(struct mirror_node *node, const struct stat *st)
{
	pthread_mutex_lock(&node->mirror->lock);
	node->told = call_now();
	node->told_size = st->st_size;
	node->told_mtime = mtime_of(st);
	pthread_mutex_unlock(&node->mirror->lock);
}

bool mirror_told_other(struct mirror_node *node, const struct stat *st)
{
	bool other;

	pthread_mutex_lock(&node->mirror->lock);
	other = node->told_size != st->st_size || node->told_mtime != mtime_of(st);
	pthread_mutex_unlock(&node->mirror->lock);
	return other;
}

bool mirror_is_gone(struct mirror_node *node)
{
	bool gone;

	pthread_mutex_lock(&node->mirror->lock);
	gone = node->gone;
	pthread_mutex_unlock(&node->mirror->lock);
	return gone;
}

uint64_t mirror_clock(struct mirror *mirror)
{
	uint64_t clock;

	pthread_mutex_lock(&mirror->lock);
	clock = mirror->clock;
	pthread_mutex_unlock(&mirror->lock);
	return clock;
}

/* A loop, not a recursion through vn_unref: a guest can make trees of any depth. */
void mirror_drop(struct vnode *vnode)
{
	struct mirror_node *node = mirror_node_of(vnode);

	while (node) {
		struct mirror *mirror = node->mirror;
		struct mirror_node *dir = node->dir;

		pthread_mutex_lock(&mirror->lock);
		if (node == mirror->root)
			mirror->root = NULL;
		else if (!node->gone)
			take_out(mirror, node);
		pthread_mutex_unlock(&mirror->lock);
		free(node->name);
		free(node);
		node = dir && atomic_fetch_sub(&dir->vnode.refs, 1) == 1 ? dir : NULL;
		mirror_unref(mirror);
	}
}
