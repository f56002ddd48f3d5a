/*
 * handle.c - open files and directories.
 */
#include "fs/handle.h"

#include <stdlib.h>

void handle_set_init(struct handle_set *set)
{
	pthread_mutex_init(&set->lock, NULL);
	set->first = NULL;
}

struct handle *handle_new(int flags, bool is_dir)
{
	struct handle *handle = calloc(1, sizeof(*handle));

	if (!handle)
		return NULL;
	handle->is_dir = is_dir;
	handle->file.flags = flags;
	pthread_mutex_init(&handle->lock, NULL);
	return handle;
}

void handle_add(struct handle_set *set, struct handle *handle, struct vnode *node)
{
	handle->node = vn_ref(node);
	pthread_mutex_lock(&set->lock);
	handle->prev = NULL;
	handle->next = set->first;
	if (handle->next)
		handle->next->prev = handle;
	set->first = handle;
	pthread_mutex_unlock(&set->lock);
}

void handle_remove(struct handle_set *set, struct handle *handle)
{
	pthread_mutex_lock(&set->lock);
	if (handle->prev)
		handle->prev->next = handle->next;
	else
		set->first = handle->next;
	if (handle->next)
		handle->next->prev = handle->prev;
	pthread_mutex_unlock(&set->lock);
}

void handle_free(struct handle *handle)
{
	dirsnap_unref(handle->snap);
	pthread_mutex_destroy(&handle->lock);
	if (handle->node)
		vn_unref(handle->node);
	free(handle);
}

void handle_set_close(struct handle_set *set, double timeout)
{
	struct handle *handle;

	while ((handle = set->first)) {
		struct call call = call_within(timeout, NULL);

		handle_remove(set, handle);
		if (!handle->is_dir && handle->node->ops->release)
			handle->node->ops->release(handle->node, &call, &handle->file);
		handle_free(handle);
	}
}
