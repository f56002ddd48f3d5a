/*
 * mirror_name.c - making, removing and moving names in the guest.
 *
 * Each is one call; afterwards the tree is made to agree.  The kernel holds the
 * directories that are concerned, so nobody else changes the same names from here.
 */
#include "fs/mirror_tree.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>

/* Whether NAME may be made or removed in DIR, and where that is. */
static int change_path(struct mirror_node *dir, const char *name, struct mirror_path *out)
{
	int rc = dir->mirror->options.read_only ? -EROFS : mirror_check_name(dir, name, EPERM);

	return rc ? rc : mirror_path(dir, name, out);
}

/* A name that was just made. */
static int made(struct mirror_node *dir, int rc, const char *name, const struct ws_attr *in,
		uint32_t type, struct vnode **child, struct vn_attr *attr)
{
	if (rc)
		return rc;
	mirror_touch(dir);
	return mirror_show_child(dir, name, in, type, child, attr);
}

int mirror_op_mkdir(struct vnode *vdir, const struct call *call, const char *name, mode_t mode,
		    struct vnode **child, struct vn_attr *attr)
{
	struct mirror_node *dir = mirror_node_of(vdir);
	struct mirror_path path;
	struct ws_attr in;
	int rc = change_path(dir, name, &path);

	if (!rc)
		rc = ws_mkdir(dir->mirror->ws, call, path.text, mode & 07777, &in, NULL);
	return made(dir, rc, name, &in, S_IFDIR, child, attr);
}

int mirror_op_mknod(struct vnode *vdir, const struct call *call, const char *name, mode_t mode,
		    struct vnode **child, struct vn_attr *attr)
{
	struct mirror_node *dir = mirror_node_of(vdir);
	struct mirror_path path;
	struct ws_attr in;
	int rc = change_path(dir, name, &path);

	if (!rc)
		rc = ws_mknod(dir->mirror->ws, call, path.text, mode, &in, NULL);
	return made(dir, rc, name, &in, mode & S_IFMT ? mode & S_IFMT : S_IFREG, child, attr);
}

int mirror_op_symlink(struct vnode *vdir, const struct call *call, const char *target,
		      const char *name, struct vnode **child, struct vn_attr *attr)
{
	struct mirror_node *dir = mirror_node_of(vdir);
	struct mirror_path path;
	struct ws_attr in;
	int rc = change_path(dir, name, &path);

	if (!rc)
		rc = ws_symlink(dir->mirror->ws, call, target, path.text, &in, NULL);
	return made(dir, rc, name, &in, S_IFLNK, child, attr);
}

int mirror_op_unlink(struct vnode *vdir, const struct call *call, const char *name)
{
	struct mirror_node *dir = mirror_node_of(vdir);
	struct mirror_path path;
	int rc = change_path(dir, name, &path);

	if (!rc)
		rc = ws_unlink(dir->mirror->ws, call, path.text, NULL);
	if (!rc || rc == -ENOENT)
		mirror_detach_name(dir, name, ENOENT);
	return rc;
}

int mirror_op_rmdir(struct vnode *vdir, const struct call *call, const char *name)
{
	struct mirror_node *dir = mirror_node_of(vdir);
	struct mirror_path path;
	int rc = change_path(dir, name, &path);

	if (!rc)
		rc = ws_rmdir(dir->mirror->ws, call, path.text, NULL);
	if (!rc || rc == -ENOENT)
		mirror_detach_name(dir, name, ENOENT);
	return rc;
}

int mirror_op_rename(struct vnode *vdir, const struct call *call, const char *name,
		     struct vnode *vto, const char *to_name, unsigned flags)
{
	struct mirror_node *dir = mirror_node_of(vdir), *to = mirror_node_of(vto);
	struct mirror_path from_path, to_path;
	int rc;

	if (to->mirror != dir->mirror)
		return -EXDEV;
	if (flags & ~(unsigned)(RENAME_NOREPLACE | RENAME_EXCHANGE))
		return -EINVAL;
	rc = change_path(dir, name, &from_path);
	if (!rc)
		rc = change_path(to, to_name, &to_path);
	if (!rc)
		rc = ws_rename(dir->mirror->ws, call, from_path.text, to_path.text, flags, NULL);
	if (!rc)
		mirror_moved(dir, name, to, to_name, flags & RENAME_EXCHANGE);
	return rc;
}

/*
 * The node has one name here, so the new one is shown as not to be believed: its
 * next use looks it up and gets a node of its own, which goes on when the first name is
 * removed.  (mirror_show does so for every file with several names; here it must not depend on the
 * count that the guest gives.)
 */
int mirror_op_link(struct vnode *vnode, const struct call *call, struct vnode *vdir,
		   const char *name, struct vn_attr *attr)
{
	struct mirror_node *node = mirror_node_of(vnode), *dir = mirror_node_of(vdir);
	struct mirror_path from, path;
	struct ws_attr in;
	int rc;

	if (dir->mirror != node->mirror)
		return -EXDEV;
	rc = change_path(dir, name, &path);
	if (!rc)
		rc = mirror_path(node, NULL, &from);
	if (!rc)
		rc = ws_link(dir->mirror->ws, call, from.text, path.text, &in, NULL);
	if (rc)
		return rc;
	mirror_touch(dir);
	mirror_touch(node);
	rc = mirror_show_node(node, &in, attr);
	attr->valid = 0;
	return rc;
}
