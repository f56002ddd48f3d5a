/*
 * ops_dir.c - reading directories.
 *
 * A handle's snapshot is made when it is read from the start; positions are
 * indexes into it.
 */
#include "fs/ops.h"

#include <errno.h>
#include <stdlib.h>

#include "protocol/cleanup.h"

#define MAX_REPLY (1u << 20)

static struct handle *handle_of(const struct fuse_file_info *info)
{
	return (struct handle *)(uintptr_t)info->fh;
}

void op_opendir(fuse_req_t fuse, fuse_ino_t id, struct fuse_file_info *info)
{
	struct handle *handle;
	struct op op;

	if (!op_begin(&op, fuse, id))
		return;
	handle = handle_new(info->flags, true);
	if (!op.node->ops->list) {
		req_reply_err(op.req, -ENOTDIR);
		if (handle)
			handle_free(handle);
	} else if (!handle) {
		req_reply_err(op.req, -ENOMEM);
	} else {
		info->fh = (uintptr_t)handle;
		handle_add(&op.env->handles, handle, op.node);
		if (req_reply_open(op.req, info)) {
			handle_remove(&op.env->handles, handle);
			handle_free(handle);
		}
	}
	op_end(&op);
}

void op_releasedir(fuse_req_t fuse, fuse_ino_t id, struct fuse_file_info *info)
{
	struct ops_env *env = fuse_req_userdata(fuse);
	struct handle *handle = handle_of(info);

	(void)id;
	handle_remove(&env->handles, handle);
	handle_free(handle);
	fuse_reply_err(fuse, 0);
}

/* The handle's snapshot, a new one at the start, with a reference. */
static int snapshot(struct op *op, struct handle *handle, bool again, struct dirsnap **out)
{
	struct vn_dir listing = { 0 };
	struct dirsnap *made, *old;
	int64_t taken = call_now();
	int rc;

	pthread_mutex_lock(&handle->lock);
	*out = handle->snap && !again ? dirsnap_ref(handle->snap) : NULL;
	pthread_mutex_unlock(&handle->lock);
	if (*out)
		return 0;
	rc = handle->node->ops->list(handle->node, op_call(op), &listing);
	made = rc ? NULL : dirsnap_new(&listing, taken);
	vn_dir_free(&listing);
	if (!made)
		return rc ? rc : -ENOMEM;
	*out = dirsnap_ref(made);
	pthread_mutex_lock(&handle->lock);
	old = handle->snap;
	handle->snap = made;
	pthread_mutex_unlock(&handle->lock);
	dirsnap_unref(old);
	return 0;
}

struct page {
	char *bytes;
	size_t len, size;
};

static bool add_plain(fuse_req_t fuse, struct page *page, const struct vn_dirent *entry,
		      uint64_t position)
{
	size_t need = fuse_add_direntry(fuse, page->bytes + page->len, page->size - page->len,
					entry->name, &entry->attr.st, (off_t)position + 1);

	if (need > page->size - page->len)
		return false;
	page->len += need;
	return true;
}

/*
 * An entry with its node, which counts as a lookup: taken back if it did not
 * fit.  Without a node (id 0) the kernel takes name, number and type only, and asks when
 * it wants more.
 */
static bool add_plus(fuse_req_t fuse, struct op *op, struct page *page,
		     const struct vn_dirent *entry, double fresh, uint64_t position)
{
	const struct vnode_ops *ops = op->node->ops;
	struct fuse_entry_param param = { .attr = entry->attr.st };
	struct vn_attr attr = entry->attr;
	struct vnode *child = NULL;
	size_t need;

	if (fresh > 0 && ops->adopt && !ops->adopt(op->node, entry, &child)) {
		attr.valid = fresh;
		if (op_enter(op->env, child, &attr, &param))
			param.ino = 0;
		vn_unref(child);
	}
	need = fuse_add_direntry_plus(fuse, page->bytes + page->len, page->size - page->len,
				      entry->name, &param, (off_t)position + 1);
	if (need > page->size - page->len) {
		if (param.ino)
			node_forget(op->env->nodes, param.ino, 1);
		return false;
	}
	page->len += need;
	return true;
}

/*
 * Fills PAGE with what is from POSITION on.  0, or a negative errno where the first entry could not
 * be had: behind others the kernel comes again for it.
 */
static int fill_page(fuse_req_t fuse, struct op *op, struct page *page, const struct dirsnap *snap,
		     uint64_t position, bool plus)
{
	struct dirsnap_reader reader;
	struct vn_dirent entry;
	double fresh;
	int rc = dirsnap_begin(&reader, snap, position);
	bool fits = rc == 0;

	while (fits && (rc = dirsnap_next(&reader, &entry, &fresh)) > 0) {
		fits = plus ? add_plus(fuse, op, page, &entry, fresh, position) :
			      add_plain(fuse, page, &entry, position);
		position++;
	}
	dirsnap_done(&reader);
	return rc < 0 && !page->len ? rc : 0;
}

static void read_directory(fuse_req_t fuse, fuse_ino_t id, size_t size, off_t position,
			   struct fuse_file_info *info, bool plus)
{
	struct page page = { .size = size < MAX_REPLY ? size : MAX_REPLY };
	struct dirsnap *snap = NULL;
	struct op op;
	int rc;

	if (!op_begin(&op, fuse, id))
		return;
	page.bytes = malloc(page.size);
	if (!page.bytes)
		rc = -ENOMEM;
	else if (position < 0)
		rc = -EINVAL;
	else
		rc = snapshot(&op, handle_of(info), position == 0, &snap);
	if (rc == 0)
		rc = fill_page(fuse, &op, &page, snap, (uint64_t)position, plus);
	/*
	 * Should the kernel not take it, the lookups in it stay counted until the mount
	 * ends: a node too much, not one too few.
	 */
	if (rc)
		req_reply_err(op.req, rc);
	else
		req_reply_bytes(op.req, page.bytes, page.len);
	dirsnap_unref(snap);
	free(page.bytes);
	op_end(&op);
}

void op_readdir(fuse_req_t fuse, fuse_ino_t id, size_t size, off_t position,
		struct fuse_file_info *info)
{
	read_directory(fuse, id, size, position, info, false);
}

void op_readdirplus(fuse_req_t fuse, fuse_ino_t id, size_t size, off_t position,
		    struct fuse_file_info *info)
{
	read_directory(fuse, id, size, position, info, true);
}
