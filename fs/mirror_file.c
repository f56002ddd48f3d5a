/*
 * mirror_file.c - open files of the workspace.
 *
 * A node knows its open files: one whose name is gone can only be asked that
 * way, and a change to one that is written to must not overtake the writes.
 */
#include "fs/mirror_tree.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>

#include "fs/log.h"
#include "protocol/cleanup.h"
#include "protocol/guest.h"

/* What of open(2)'s flags concerns the guest. */
#define PASSED_FLAGS (O_ACCMODE | O_CREAT | O_EXCL | O_TRUNC | O_APPEND)
#define MAX_TRIES 3

struct mirror_file {
	struct mirror_node *node; /* kept by the handle */
	struct ws_file *ws;       /* owned */
	atomic_uint refs;         /* the handle, and who asks through it */
	bool writer;
	struct mirror_file *prev, *next; /* mirror->lock */
};

static struct mirror_file *file_of(const struct vn_file *file)
{
	return file->priv;
}

struct ws_file *mirror_file_ws(struct mirror_file *file)
{
	return file->ws;
}

struct mirror_file *mirror_file_pick(struct mirror_node *node, struct vn_file *preferred,
				     bool only_if_writing)
{
	struct mirror_file *picked = NULL;

	pthread_mutex_lock(&node->mirror->lock);
	if (preferred) {
		picked = file_of(preferred);
	} else {
		for (struct mirror_file *file = node->files; file; file = file->next) {
			if (file->writer || (!picked && !only_if_writing))
				picked = file;
		}
	}
	if (picked)
		atomic_fetch_add(&picked->refs, 1);
	pthread_mutex_unlock(&node->mirror->lock);
	return picked;
}

void mirror_file_put(struct mirror_file *file, const struct call *call)
{
	struct error err = { 0 };

	if (atomic_fetch_sub(&file->refs, 1) != 1)
		return;
	if (ws_close(file->ws, call, &err))
		log_message(LOG_ERR, "%s: closing a file: %s",
			    guest_address(file->node->mirror->guest)->name, err.text);
	free(file);
}

static void close_quietly(struct ws_file *ws, const struct call *call)
{
	ws_close(ws, call, NULL); /* nothing was written through it */
}

/* Hangs WS, which is taken over also on failure, on NODE and FILE. */
static int attach_file(struct mirror_node *node, const struct call *call, struct ws_file *ws,
		       struct vn_file *file)
{
	struct mirror_file *made = calloc(1, sizeof(*made));

	if (!made) {
		close_quietly(ws, call);
		return -ENOMEM;
	}
	made->node = node;
	made->ws = ws;
	made->writer = (file->flags & O_ACCMODE) != O_RDONLY;
	atomic_init(&made->refs, 1);
	pthread_mutex_lock(&node->mirror->lock);
	made->next = node->files;
	if (made->next)
		made->next->prev = made;
	node->files = made;
	node->writers += made->writer;
	if (made->writer)
		node->changed = ++node->mirror->clock;
	pthread_mutex_unlock(&node->mirror->lock);
	file->priv = made;
	return 0;
}

static int check_flags(const struct mirror_node *node, int flags)
{
	if ((flags & O_ACCMODE) == O_ACCMODE)
		return -EINVAL;
	if (node->mirror->options.read_only &&
	    ((flags & O_ACCMODE) != O_RDONLY || flags & (O_TRUNC | O_CREAT)))
		return -EROFS;
	return 0;
}

/* What NODE's name leads to in the guest, open as FLAGS say. */
static int open_node(struct mirror_node *node, const struct call *call, int flags,
		     struct ws_file **out, struct ws_attr *in)
{
	struct mirror_path path;
	int rc = -ENOENT;

	for (int tries = 0; tries < MAX_TRIES; tries++) {
		rc = mirror_path(node, NULL, &path);
		if (rc)
			return rc;
		rc = ws_open(node->mirror->ws, call, path.text,
			     flags & PASSED_FLAGS & ~(O_CREAT | O_EXCL), 0, out, in, NULL);
		if (rc != -ENOENT || !mirror_path_moved(node->mirror, &path))
			break;
	}
	if (rc == -ENOENT)
		mirror_detach(node, ENOENT);
	return rc;
}

int mirror_op_open(struct vnode *vnode, const struct call *call, struct vn_file *file)
{
	struct mirror_node *node = mirror_node_of(vnode);
	struct vn_attr attr;
	struct ws_file *ws;
	struct ws_attr in;
	int rc = check_flags(node, file->flags);

	if (!rc)
		rc = open_node(node, call, file->flags, &ws, &in);
	/*
	 * After ESTALE the kernel looks the name up again and comes back, or makes the
	 * file if that is what the caller wants: ENOENT would be believed.
	 */
	if (rc)
		return rc == -ENOENT ? -ESTALE : rc;
	rc = mirror_check_node(node, &in, &attr); /* the same file as the kernel means? */
	if (rc) {
		close_quietly(ws, call);
		return rc;
	}
	file->changed = mirror_told_other(node, &attr.st);
	return attach_file(node, call, ws, file);
}

int mirror_op_create(struct vnode *vdir, const struct call *call, const char *name, mode_t mode,
		     struct vn_file *file, struct vnode **child, struct vn_attr *attr)
{
	struct mirror_node *dir = mirror_node_of(vdir);
	struct ws_file *ws;
	struct mirror_path path;
	struct ws_attr in;
	int rc = check_flags(dir, file->flags | O_CREAT);

	if (!rc)
		rc = mirror_check_name(dir, name, EPERM);
	if (!rc)
		rc = mirror_path(dir, name, &path);
	if (!rc)
		rc = ws_open(dir->mirror->ws, call, path.text,
			     (file->flags & PASSED_FLAGS) | O_CREAT, mode & 07777, &ws, &in, NULL);
	if (rc)
		return rc;
	mirror_touch(dir);
	rc = mirror_show_child(dir, name, &in, S_IFREG, child, attr);
	if (rc) {
		close_quietly(ws, call);
		return rc;
	}
	rc = attach_file(mirror_node_of(*child), call, ws, file);
	if (rc) {
		vn_unref(*child);
		*child = NULL;
	}
	return rc;
}

ssize_t mirror_op_read(struct vnode *node, struct vn_req *req, struct vn_file *file, int64_t offset,
		       void *bytes, size_t len)
{
	(void)node;
	return ws_read(file_of(file)->ws, vn_req_call(req), offset, bytes, len, NULL);
}

ssize_t mirror_op_write(struct vnode *vnode, const struct call *call, struct vn_file *file,
			int64_t offset, const void *bytes, size_t len)
{
	struct ws_file *ws = file_of(file)->ws;
	int rc = ws_write(ws, call, offset, bytes, len, NULL);

	if (!rc && mirror_node_of(vnode)->mirror->options.sync_write)
		rc = ws_flush(ws, call, NULL);
	return rc ? rc : (ssize_t)len;
}

int mirror_op_flush(struct vnode *node, const struct call *call, struct vn_file *file)
{
	(void)node;
	return file_of(file)->writer ? ws_flush(file_of(file)->ws, call, NULL) : 0;
}

int mirror_op_fsync(struct vnode *node, const struct call *call, struct vn_file *file,
		    bool data_only)
{
	(void)node;
	return ws_fsync(file_of(file)->ws, call, data_only, NULL);
}

void mirror_op_release(struct vnode *vnode, const struct call *call, struct vn_file *vfile)
{
	struct mirror_node *node = mirror_node_of(vnode);
	struct mirror_file *file = file_of(vfile);
	bool writer = file->writer;

	pthread_mutex_lock(&node->mirror->lock);
	if (file->prev)
		file->prev->next = file->next;
	else
		node->files = file->next;
	if (file->next)
		file->next->prev = file->prev;
	pthread_mutex_unlock(&node->mirror->lock);
	mirror_file_put(file, call);
	if (!writer)
		return;
	/* Only now may listings be believed again that were made later. */
	pthread_mutex_lock(&node->mirror->lock);
	node->writers--;
	node->changed = ++node->mirror->clock;
	pthread_mutex_unlock(&node->mirror->lock);
}
