/*
 * sws_inode.c - the files that are open here, by the guest's inode, and where they are.
 *
 * A name is only needed to open a file again in the next session.  What is not certain (a rename
 * that was not answered, or one that was under way when the file was opened) leaves two names, of
 * which the one with the inode behind it is right.
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <utlist.h>

#include "protocol/cleanup.h"
#include "protocol/session/sws_internal.h"

static struct sws_inode *inode_new(struct sws *ws, const struct sws_key *key)
{
	struct sws_inode *inode = calloc(1, sizeof(*inode));

	if (!inode)
		return NULL;
	inode->ws = ws;
	inode->key = *key;
	ws_latch_init(&inode->gate);
	HASH_ADD(hh, ws->inodes, key, sizeof(inode->key), inode);
	return inode;
}

/* Finds or adds.  ws->lock held. */
static struct sws_inode *find_or_add(struct sws *ws, const struct sws_key *key)
{
	struct sws_inode *inode;

	/* NOLINTNEXTLINE(clang-analyzer-core.UndefinedBinaryOperatorResult): a key has bytes */
	HASH_FIND(hh, ws->inodes, key, sizeof(*key), inode);
	return inode ? inode : inode_new(ws, key);
}

int sws_inode_add(struct sws *ws, struct sws_opening *opening, const struct ws_attr *attr,
		  struct sws_file *file)
{
	const struct sws_key key = { attr->dev, attr->ino, attr->generation };
	char *path = strdup(opening->path);
	struct sws_inode *inode;

	if (!path)
		return -ENOMEM;
	pthread_mutex_lock(&ws->lock);
	inode = find_or_add(ws, &key);
	if (inode) {
		inode->refs++;
		DL_APPEND(inode->files, file);
		file->inode = inode;
		/* where it was seen last is where it is */
		free(inode->path);
		free(inode->maybe);
		inode->path = move_ptr(path);
		inode->maybe = move_ptr(opening->maybe);
		inode->named = ++ws->clock;
	}
	pthread_mutex_unlock(&ws->lock);
	free(path);
	return inode ? 0 : -ENOMEM;
}

void sws_inode_put(struct sws_inode *inode)
{
	struct sws *ws = inode->ws;
	bool last;

	pthread_mutex_lock(&ws->lock);
	last = --inode->refs == 0;
	if (last)
		HASH_DEL(ws->inodes, inode);
	pthread_mutex_unlock(&ws->lock);
	if (!last)
		return;
	ws_latch_destroy(&inode->gate);
	free(inode->path);
	free(inode->maybe);
	free(inode);
}

void sws_opening_begin(struct sws *ws, struct sws_opening *opening)
{
	pthread_mutex_lock(&ws->lock);
	DL_APPEND(ws->openings, opening);
	pthread_mutex_unlock(&ws->lock);
}

void sws_opening_end(struct sws *ws, struct sws_opening *opening)
{
	pthread_mutex_lock(&ws->lock);
	DL_DELETE(ws->openings, opening);
	pthread_mutex_unlock(&ws->lock);
	free(opening->maybe);
}

/* PATH with FROM at its beginning replaced by TO: owned, or NULL where FROM is not in front. */
static char *replaced(const char *path, const char *from, const char *to)
{
	size_t len = strlen(from);
	char *out = NULL;

	if (!path || strncmp(path, from, len) != 0 || (path[len] && path[len] != '/'))
		return NULL;
	return asprintf(&out, "%s%s", to, path + len) < 0 ? NULL : out;
}

static char *moved(const char *path, const char *from, const char *to, bool exchange)
{
	char *out = replaced(path, from, to);

	return out || !exchange ? out : replaced(path, to, from);
}

static void assign(char **slot, char *text)
{
	free(*slot);
	*slot = text;
}

void sws_path_removed(struct sws *ws, const char *path, uint64_t begun)
{
	struct sws_inode *inode;

	for (inode = ws->inodes; inode; inode = inode->hh.next) {
		/* One that was opened meanwhile may be a new file of that name. */
		if (inode->path && inode->named < begun && !strcmp(inode->path, path)) {
			assign(&inode->path, NULL);
			inode->named = ++ws->clock;
		}
	}
}

static void inode_moved(struct sws *ws, struct sws_inode *inode, const char *from, const char *to,
			bool exchange, bool unsure)
{
	char *path = moved(inode->path, from, to, exchange);
	char *maybe = moved(inode->maybe, from, to, exchange);

	if (path && unsure) {
		assign(&inode->maybe, path);
		free(maybe);
		return;
	}
	if (path) {
		assign(&inode->path, path);
		inode->named = ++ws->clock;
	}
	if (maybe && !unsure)
		assign(&inode->maybe, maybe);
	else
		free(maybe);
}

void sws_path_moved(struct sws *ws, const char *from, const char *to, bool exchange, bool unsure,
		    uint64_t begun)
{
	struct sws_opening *opening;
	struct sws_inode *inode;

	if (!strcmp(from, to))
		return;
	if (!exchange && !unsure)
		sws_path_removed(ws, to, begun);
	for (inode = ws->inodes; inode; inode = inode->hh.next)
		inode_moved(ws, inode, from, to, exchange, unsure || inode->named >= begun);
	DL_FOREACH (ws->openings, opening) {
		char *path = moved(opening->path, from, to, exchange);

		if (path)
			assign(&opening->maybe, path);
	}
}
