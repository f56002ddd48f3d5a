/*
 * ws_inode.c - what is known and what is told about an open file.
 *
 * An answer may be older than a change of our own that was asked for later and
 * answered earlier (there are many threads): ws->seq says which one is newer.
 */
#include <string.h>

#include "protocol/line/ws.h"

static bool same_time(const struct timespec *a, const struct timespec *b)
{
	return a->tv_sec == b->tv_sec && a->tv_nsec == b->tv_nsec;
}

static bool later(const struct timespec *a, const struct timespec *b)
{
	return a->tv_sec != b->tv_sec ? a->tv_sec > b->tv_sec : a->tv_nsec > b->tv_nsec;
}

/* Whether what was read at A is what is there at B. */
static bool same_version(const struct ws_attr *a, const struct ws_attr *b)
{
	return a->size == b->size && same_time(&a->mtime, &b->mtime) &&
	       same_time(&a->ctime, &b->ctime);
}

void ws_inode_show(const struct ws_inode *inode, struct ws_attr *attr)
{
	*attr = inode->attr;
	if (inode->staged && attr->nlink)
		attr->nlink--;
	if (!ws_dirty_any(&inode->dirty))
		return;
	attr->size = ws_dirty_size(&inode->dirty, attr->size);
	if (later(&inode->written, &attr->mtime))
		attr->mtime = attr->ctime = inode->written;
}

void ws_inode_learn(struct ws_inode *inode, const struct ws_attr *attr, bool own)
{
	if (!same_version(&inode->attr, attr))
		ws_chunks_drop(inode);
	inode->attr = *attr;
	if (own)
		inode->seq = atomic_fetch_add(&inode->ws->seq, 1) + 1;
}

void ws_attr_overlay(struct lws *ws, uint64_t seq, struct ws_attr *attr)
{
	const struct ws_key key = { attr->dev, attr->ino };
	struct ws_inode *inode;

	pthread_mutex_lock(&ws->lock);
	inode = ws_inode_find(ws, &key);
	if (inode) {
		pthread_mutex_lock(&inode->lock);
		if (inode->seq <= seq)
			ws_inode_learn(inode, attr, false);
		ws_inode_show(inode, attr);
		pthread_mutex_unlock(&inode->lock);
	}
	pthread_mutex_unlock(&ws->lock);
}
