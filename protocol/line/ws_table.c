/*
 * ws_table.c - the files that are open here, by the guest's inode, and where they are.
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "protocol/cleanup.h"
#include "protocol/line/ws.h"

static struct ws_inode *find(struct workspace *ws, const struct ws_key *key)
{
	struct ws_inode *inode;

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
	free(inode->other);
	free(inode);
}

static struct ws_inode *inode_new(struct workspace *ws, const struct ws_key *key)
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
static struct ws_inode *find_or_add(struct workspace *ws, const struct ws_key *key)
{
	struct ws_inode *inode = find(ws, key);

	if (inode)
		return inode;
	inode = inode_new(ws, key);
	if (!inode)
		return NULL;
	HASH_ADD(hh, ws->inodes, key, sizeof(inode->key), inode);
	return inode;
}

int ws_inode_get(struct workspace *ws, const char *path, const struct ws_attr *attr,
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
			free(move_ptr(inode->other));
			free(inode->path);
			inode->path = move_ptr(name);
		}
	}
	pthread_mutex_unlock(&ws->lock);
	free(name);
	*out = inode;
	return inode ? 0 : -ENOMEM;
}

struct ws_inode *ws_inode_at(struct workspace *ws, const char *path)
{
	struct ws_inode *inode, *next, *found = NULL;

	pthread_mutex_lock(&ws->lock);
	HASH_ITER (hh, ws->inodes, inode, next) {
		if (inode->path && !strcmp(inode->path, path)) {
			inode->refs++;
			found = inode;
			break;
		}
	}
	pthread_mutex_unlock(&ws->lock);
	return found;
}

uint64_t ws_inode_put(struct ws_inode *inode)
{
	struct workspace *ws = inode->ws;
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
	return staged;
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
static int collect_dirty(struct workspace *ws, struct ws_inode ***out, size_t *count)
{
	struct ws_inode *inode, *next;

	*count = 0;
	pthread_mutex_lock(&ws->lock);
	*out = calloc(HASH_COUNT(ws->inodes) + 1, sizeof(struct ws_inode *));
	HASH_ITER (hh, ws->inodes, inode, next) {
		if (!*out || !ws_inode_dirty(inode))
			continue;
		inode->refs++;
		(*out)[(*count)++] = inode;
	}
	pthread_mutex_unlock(&ws->lock);
	return *out ? 0 : -ENOMEM;
}

int ws_inode_each_dirty(struct workspace *ws, int (*each)(struct ws_inode *inode, void *arg),
			void *arg)
{
	autofree struct ws_inode **inodes = NULL;
	size_t count;
	int rc = collect_dirty(ws, &inodes, &count);

	for (size_t i = 0; i < count; i++) {
		int failed = each(inodes[i], arg);

		ws_inode_put(inodes[i]);
		if (!rc)
			rc = failed;
	}
	return rc;
}

void ws_names_removed(struct workspace *ws, struct ws_inode *inode, uint64_t staged)
{
	pthread_mutex_lock(&ws->lock);
	pthread_mutex_lock(&inode->lock);
	inode->staged = staged;
	pthread_mutex_unlock(&inode->lock);
	free(inode->path);
	inode->path = NULL;
	pthread_mutex_unlock(&ws->lock);
}

/* PATH with FROM at its beginning replaced by TO: owned, or NULL where FROM is not in front. */
static char *moved(const char *path, const char *from, const char *to)
{
	size_t len = strlen(from);
	char *out = NULL;

	if (strncmp(path, from, len) || (path[len] && path[len] != '/'))
		return NULL;
	return asprintf(&out, "%s%s", to, path + len) < 0 ? NULL : out;
}

void ws_names_moved(struct workspace *ws, const char *from, const char *to, bool exchange)
{
	struct ws_inode *inode, *next;

	pthread_mutex_lock(&ws->lock);
	HASH_ITER (hh, ws->inodes, inode, next) {
		char *path = inode->path ? moved(inode->path, from, to) : NULL;

		if (!path && inode->path && exchange)
			path = moved(inode->path, to, from);
		if (path) {
			free(inode->path);
			inode->path = path;
		}
	}
	pthread_mutex_unlock(&ws->lock);
}

void ws_names_unsure(struct workspace *ws, const char *from, const char *to, bool exchange)
{
	struct ws_inode *inode, *next;

	pthread_mutex_lock(&ws->lock);
	HASH_ITER (hh, ws->inodes, inode, next) {
		autofree char *path = inode->path ? moved(inode->path, from, to) : NULL;

		if (!path && inode->path && exchange)
			path = moved(inode->path, to, from);
		if (path) {
			free(inode->other);
			inode->other = ws_absolute(ws, path);
		}
	}
	pthread_mutex_unlock(&ws->lock);
}

int ws_script_inode(struct ws_inode *inode, struct buf *script, struct error *err)
{
	struct workspace *ws = inode->ws;
	autofree char *place = NULL;
	bool known;

	pthread_mutex_lock(&ws->lock);
	known = inode->staged || inode->path || inode->other;
	place = inode->staged ? ws_stage_name(ws, inode->staged) :
		inode->path   ? ws_absolute(ws, inode->path) :
		inode->other  ? strdup(inode->other) :
				NULL;
	if (known)
		ws_script_var(script, "p", place);
	buf_addf(script, "i='%llu %llu'\n", (unsigned long long)inode->key.dev,
		 (unsigned long long)inode->key.ino);
	if (inode->path && inode->other) {
		ws_script_var(script, "o", inode->other);
		buf_adds(script,
			 "[ \"$(stat -c '%d %i' \"$p\" 2>/dev/null)\" = \"$i\" ] || p=$o\n");
	}
	pthread_mutex_unlock(&ws->lock);
	if (!known)
		return error_set(err, ESTALE, "the open file has no name any more in the guest");
	buf_adds(script, "[ \"$(stat -c '%d %i' \"$p\" 2>/dev/null)\" = \"$i\" ] || "
			 "die 'another file has taken its name: Stale file handle'\n");
	return 0;
}
