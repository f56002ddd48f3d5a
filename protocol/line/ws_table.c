/*
 * ws_table.c - the files that are open here, by the guest's inode, and where they are.
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "protocol/cleanup.h"
#include "protocol/line/ws.h"

struct ws_inode *ws_inode_find(struct lws *ws, const struct ws_key *key)
{
	struct ws_inode *inode;

	/* NOLINTNEXTLINE(clang-analyzer-core.UndefinedBinaryOperatorResult): a key has bytes */
	HASH_FIND(hh, ws->inodes, key, sizeof(*key), inode);
	return inode;
}

static void inode_free(struct ws_inode *inode)
{
	ws_chunks_drop(inode);
	ws_dirty_free(&inode->dirty);
	ws_latch_destroy(&inode->gate);
	pthread_mutex_destroy(&inode->lock);
	free(inode->path);
	free(inode->other_path);
	free(inode);
}

static struct ws_inode *inode_new(struct lws *ws, const struct ws_key *key)
{
	struct ws_inode *inode = calloc(1, sizeof(*inode));

	if (!inode)
		return NULL;
	inode->ws = ws;
	inode->key = *key;
	inode->unsure = -1;
	ws_latch_init(&inode->gate);
	pthread_mutex_init(&inode->lock, NULL);
	ws_dirty_init(&inode->dirty);
	return inode;
}

/* Finds or adds.  ws->lock held. */
static struct ws_inode *find_or_add(struct lws *ws, const struct ws_key *key)
{
	struct ws_inode *inode = ws_inode_find(ws, key);

	if (inode)
		return inode;
	inode = inode_new(ws, key);
	if (!inode)
		return NULL;
	HASH_ADD(hh, ws->inodes, key, sizeof(inode->key), inode);
	return inode;
}

int ws_inode_get(struct lws *ws, const char *path, const struct ws_attr *attr,
		 struct ws_inode **out)
{
	const struct ws_key key = { attr->dev, attr->ino };
	char *name = strdup(path);
	struct ws_inode *inode;

	if (!name)
		return -ENOMEM;
	pthread_mutex_lock(&ws->lock);
	inode = find_or_add(ws, &key);
	if (inode) {
		inode->refs++;
		if (!inode->staged) { /* where it was seen last is where it is */
			free(move_ptr(inode->other_path));
			inode->other_staged = 0;
			free(inode->path);
			inode->path = move_ptr(name);
		}
	}
	pthread_mutex_unlock(&ws->lock);
	free(name);
	*out = inode;
	return inode ? 0 : -ENOMEM;
}

struct ws_inode *ws_inode_at(struct lws *ws, const char *path)
{
	struct ws_inode *inode, *found = NULL;

	pthread_mutex_lock(&ws->lock);
	for (inode = ws->inodes; inode; inode = inode->hh.next) {
		if (inode->path && !strcmp(inode->path, path)) {
			inode->refs++;
			found = inode;
			break;
		}
	}
	pthread_mutex_unlock(&ws->lock);
	return found;
}

struct ws_inode *ws_inode_of(struct lws *ws, const struct ws_attr *attr)
{
	const struct ws_key key = { attr->dev, attr->ino };
	struct ws_inode *inode;

	pthread_mutex_lock(&ws->lock);
	inode = ws_inode_find(ws, &key);
	if (inode)
		inode->refs++;
	pthread_mutex_unlock(&ws->lock);
	return inode;
}

void ws_inode_put(struct ws_inode *inode, const struct call *call)
{
	struct lws *ws = inode->ws;
	uint64_t staged = 0;
	bool last;

	pthread_mutex_lock(&ws->lock);
	last = --inode->refs == 0;
	if (last) {
		staged = inode->staged;
		HASH_DEL(ws->inodes, inode);
	}
	pthread_mutex_unlock(&ws->lock);
	if (last)
		inode_free(inode);
	if (staged) /* what cannot be removed now goes with the directory */
		ws_stage_remove(ws, call, staged, NULL);
}

bool ws_inode_dirty(struct ws_inode *inode)
{
	bool dirty;

	pthread_mutex_lock(&inode->lock);
	dirty = ws_dirty_any(&inode->dirty);
	pthread_mutex_unlock(&inode->lock);
	return dirty;
}

/* References to all that have unsent writes.  An array of *COUNT, owned. */
static int collect_dirty(struct lws *ws, struct ws_inode ***out, size_t *count)
{
	struct ws_inode *inode;

	*count = 0;
	pthread_mutex_lock(&ws->lock);
	*out = calloc(HASH_COUNT(ws->inodes) + 1, sizeof(struct ws_inode *));
	for (inode = ws->inodes; inode; inode = inode->hh.next) {
		if (!*out || !ws_inode_dirty(inode))
			continue;
		inode->refs++;
		(*out)[(*count)++] = inode;
	}
	pthread_mutex_unlock(&ws->lock);
	return *out ? 0 : -ENOMEM;
}

int ws_inode_each_dirty(struct lws *ws, const struct call *call,
			int (*each)(struct ws_inode *inode, void *arg), void *arg)
{
	autofree struct ws_inode **inodes = NULL;
	size_t count;
	int rc = collect_dirty(ws, &inodes, &count);

	for (size_t i = 0; i < count; i++) {
		int failed = each(inodes[i], arg);

		ws_inode_put(inodes[i], call);
		if (!rc)
			rc = failed;
	}
	return rc;
}
