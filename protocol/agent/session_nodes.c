/* session_nodes.c - see session_nodes.h. */
#include "protocol/agent/session_nodes.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#define FIRST_ROOM 256

static struct sess_dir **bucket(const struct sess_nodes *nodes, int wd)
{
	return &nodes->buckets[(unsigned)wd & (nodes->room - 1)];
}

struct sess_dir *sess_nodes_find(const struct sess_nodes *nodes, int wd)
{
	struct sess_dir *dir = nodes->room ? *bucket(nodes, wd) : NULL;

	while (dir && dir->wd != wd)
		dir = dir->chain;
	return dir;
}

static int grow(struct sess_nodes *nodes)
{
	struct sess_nodes larger = { .room = nodes->room ? 2 * nodes->room : FIRST_ROOM };

	larger.buckets = calloc(larger.room, sizeof(struct sess_dir *));
	if (!larger.buckets)
		return -ENOMEM;
	for (size_t i = 0; i < nodes->room; i++) {
		struct sess_dir *dir = nodes->buckets[i], *next;

		for (; dir; dir = next) {
			next = dir->chain;
			dir->chain = *bucket(&larger, dir->wd);
			*bucket(&larger, dir->wd) = dir;
		}
	}
	free(nodes->buckets);
	nodes->buckets = larger.buckets;
	nodes->room = larger.room;
	return 0;
}

static void link_below(struct sess_dir *dir, struct sess_dir *parent)
{
	dir->parent = parent;
	dir->previous = NULL;
	dir->next = NULL;
	if (!parent)
		return;
	dir->next = parent->child;
	if (dir->next)
		dir->next->previous = dir;
	parent->child = dir;
}

static void unlink_from_parent(struct sess_dir *dir)
{
	if (dir->next)
		dir->next->previous = dir->previous;
	if (dir->previous)
		dir->previous->next = dir->next;
	else if (dir->parent)
		dir->parent->child = dir->next;
}

struct sess_dir *sess_nodes_add(struct sess_nodes *nodes, struct sess_dir *parent, const char *name,
				int wd)
{
	struct sess_dir *dir;

	if (nodes->count == nodes->room && grow(nodes) < 0)
		return NULL;
	dir = calloc(1, sizeof(*dir));
	if (!dir)
		return NULL;
	dir->name = strdup(name);
	if (!dir->name) {
		free(dir);
		return NULL;
	}
	dir->wd = wd;
	dir->chain = *bucket(nodes, wd);
	*bucket(nodes, wd) = dir;
	nodes->count++;
	link_below(dir, parent);
	return dir;
}

int sess_nodes_move(struct sess_dir *dir, struct sess_dir *parent, const char *name)
{
	char *copy;

	for (const struct sess_dir *above = parent; above; above = above->parent) {
		if (above == dir)
			return -ELOOP;
	}
	if (dir->parent == parent && !strcmp(dir->name, name))
		return 0;
	copy = strdup(name);
	if (!copy)
		return -ENOMEM;
	free(dir->name);
	dir->name = copy;
	unlink_from_parent(dir);
	link_below(dir, parent);
	return 0;
}

void sess_nodes_remove(struct sess_nodes *nodes, struct sess_dir *dir)
{
	struct sess_dir **slot = bucket(nodes, dir->wd);

	while (*slot != dir)
		slot = &(*slot)->chain;
	*slot = dir->chain;
	nodes->count--;
	unlink_from_parent(dir);
	if (nodes->top == dir)
		nodes->top = NULL;
	free(dir->name);
	free(dir);
}

void sess_nodes_free(struct sess_nodes *nodes)
{
	for (size_t i = 0; i < nodes->room; i++) {
		struct sess_dir *dir = nodes->buckets[i], *next;

		for (; dir; dir = next) {
			next = dir->chain;
			free(dir->name);
			free(dir);
		}
	}
	free(nodes->buckets);
	*nodes = (struct sess_nodes){ 0 };
}

size_t sess_dir_path(const struct sess_dir *dir, char path[static LIMIT_PATH])
{
	size_t at = LIMIT_PATH - 1;

	path[at] = '\0';
	for (; dir->parent; dir = dir->parent) {
		size_t len = strlen(dir->name), slash = path[at] != '\0';

		if (len + slash > at) {
			path[0] = '\0';
			return 0;
		}
		if (slash)
			path[--at] = '/';
		at -= len;
		memcpy(path + at, dir->name, len);
	}
	memmove(path, path + at, LIMIT_PATH - at);
	return LIMIT_PATH - 1 - at;
}
