/*
 * tree_dir.c - directories as the kernel sees them: lookup, listing, mkdir, rmdir,
 * and the attributes that every control file has.
 */
#include <errno.h>
#include <string.h>

#include "ctl/guest.h"
#include "ctl/tree.h"
#include "ctl/tree_internal.h"
#include "protocol/cleanup.h"

/* Inode numbers with this bit are the control tree's; the mirror's never have it. */
#define CTL_INODE (UINT64_C(1) << 63)

/* How long the kernel may believe a directory; files change under it at any time. */
#define DIR_VALID 1.0

static void fill_attr(const struct node *node, struct vn_attr *attr)
{
	struct object *object = node->object;
	const struct file_type *file = node->file;
	const struct vn_host *host = ctl_host(object->ctl);

	*attr = (struct vn_attr){ .valid = file ? 0 : DIR_VALID };
	attr->st.st_ino = CTL_INODE | node->ino;
	attr->st.st_mode = file ? file->mode : S_IFDIR | 0755;
	attr->st.st_nlink = file ? 1 : 2;
	attr->st.st_uid = host->uid;
	attr->st.st_gid = host->gid;
	attr->st.st_blksize = 4096;
	pthread_mutex_lock(&object->lock);
	attr->st.st_mtim = attr->st.st_ctim = attr->st.st_atim = object->changed;
	pthread_mutex_unlock(&object->lock);
	if (file && file->size)
		attr->st.st_size = (off_t)file->size(object, file->which);
	attr->st.st_blocks = (attr->st.st_size + 511) / 512;
}

int tree_getattr(struct vnode *vnode, const struct call *call, struct vn_file *file,
		 struct vn_attr *attr)
{
	struct node *node = node_of(vnode);
	int rc = tree_check(node->object);

	(void)call;
	(void)file;
	if (rc == 0)
		fill_attr(node, attr);
	return rc;
}

int tree_setattr(struct vnode *vnode, const struct call *call, struct vn_file *file, unsigned mask,
		 const struct stat *in, struct vn_attr *attr)
{
	(void)in;
	/* `echo verb > ctl` truncates first, with or without new times; there is nothing to cut. */
	if (!(mask & VN_SET_SIZE) || (mask & (VN_SET_MODE | VN_SET_UID | VN_SET_GID)))
		return -EPERM;
	return vnode->ops->getattr(vnode, call, file, attr);
}

static int dir_setattr(struct vnode *vnode, const struct call *call, struct vn_file *file,
		       unsigned mask, const struct stat *in, struct vn_attr *attr)
{
	(void)vnode;
	(void)call;
	(void)file;
	(void)mask;
	(void)in;
	(void)attr;
	return -EPERM;
}

/* What stands at a row of the directory, with a reference; NULL when it is gone. */
static struct vnode *row_vnode(struct object *object, size_t row)
{
	const struct file_type *file = &object->type->files[row];

	if (file->place)
		return file->place(object);
	return tree_get(&object->nodes[1 + row].vnode);
}

/* The child that is here without asking anybody, with a reference, or NULL. */
static struct vnode *known_child(struct object *object, const char *name)
{
	struct object *member;
	struct vnode *vnode;

	for (size_t i = 0; i < object->type->count; i++)
		if (strcmp(object->type->files[i].name, name) == 0)
			return row_vnode(object, i);
	member = tree_member(object, name);
	if (!member)
		return NULL;
	vnode = tree_get(&member->nodes[0].vnode);
	tree_unref(member);
	return vnode;
}

static int child_attr(struct vnode *vnode, const struct call *call, struct vn_attr *attr)
{
	/*
	 * Control files: without a question; the kernel asks for the attributes when it needs them.
	 */
	if (vnode->ops->drop == tree_drop) {
		fill_attr(node_of(vnode), attr);
		return 0;
	}
	return vnode->ops->getattr(vnode, call, NULL, attr);
}

/*
 * Where the sentence of a mkdir, rmdir or lookup that failed in DIR goes: the guest's error file,
 * or the mount's.
 */
static void tell(struct object *dir, const char *what, const char *name, int rc, struct error *err)
{
	struct cguest *guest = cguest_of(dir);

	if (rc == 0)
		return;
	if (dir->guest)
		error_wrap(err, rc, "%s %s/%s", what, dir->name, name);
	else
		error_wrap(err, rc, "%s %s", what, name);
	tree_set_error(guest ? cguest_object(guest) : dir, err);
}

/* What DIR's guest knows of NAME becomes a member, whoever made it. */
static int find_elsewhere(struct object *dir, const struct call *call, const char *name)
{
	struct object *member = NULL;
	struct error err = { 0 };
	int rc;

	if (!dir->type->members || !dir->type->members->find || tree_check_name(dir, name, NULL))
		return -ENOENT;
	rc = dir->type->members->find(dir, call, name, &member, &err);
	/* mkdir begins with a lookup: whoever is told that the guest is gone is to find out why. */
	if (rc < 0 && rc != -ENOENT && rc != -EINTR)
		tell(dir, "look up", name, rc, &err);
	if (rc < 0)
		return rc;
	rc = tree_add(dir, member, NULL);
	if (rc < 0)
		tree_discard(member);
	/* Another lookup may have been faster, which is as good. */
	return rc == -EEXIST ? 0 : rc;
}

static int dir_lookup(struct vnode *vnode, const struct call *call, const char *name,
		      struct vnode **child, struct vn_attr *attr)
{
	struct object *dir = node_of(vnode)->object;
	int rc = tree_check(dir);

	if (rc < 0)
		return rc;
	*child = known_child(dir, name);
	if (!*child) {
		rc = find_elsewhere(dir, call, name);
		if (rc == 0)
			*child = known_child(dir, name);
		if (!*child)
			return rc < 0 ? rc : -ENOENT;
	}
	rc = child_attr(*child, call, attr);
	if (rc < 0) {
		vn_unref(*child);
		*child = NULL;
	}
	return rc;
}

static int dir_adopt(struct vnode *vnode, const struct vn_dirent *entry, struct vnode **child)
{
	*child = known_child(node_of(vnode)->object, entry->name);
	return *child ? 0 : -ENOENT;
}

static int list_members(struct object *dir, struct vn_dir *out)
{
	autofree struct object **members = NULL;
	size_t count = 0;
	int rc = tree_members(dir, &members, &count);

	for (size_t i = 0; i < count; i++) {
		struct vn_attr attr;

		fill_attr(&members[i]->nodes[0], &attr);
		if (rc == 0)
			rc = vn_dir_add(out, members[i]->name, &attr, true);
		tree_unref(members[i]);
	}
	return rc;
}

/* The attributes of another directory of this tree that stands in a row; takes the reference. */
static void fill_place_attr(struct vnode *vnode, struct vn_attr *attr)
{
	if (!vnode)
		return;
	if (vnode->ops->drop == tree_drop)
		fill_attr(node_of(vnode), attr);
	vn_unref(vnode);
}

static int dir_list(struct vnode *vnode, const struct call *call, struct vn_dir *out)
{
	struct object *dir = node_of(vnode)->object;
	int rc = tree_check(dir);

	(void)call;
	for (size_t i = 0; rc == 0 && i < dir->type->count; i++) {
		const struct file_type *file = &dir->type->files[i];
		struct vn_attr attr;

		/* Only number and type are sure; of a workspace, not even the number. */
		fill_attr(&dir->nodes[1 + i], &attr);
		if (file->place)
			fill_place_attr(file->place(dir), &attr);
		rc = vn_dir_add(out, file->name, &attr, false);
	}
	return rc < 0 ? rc : list_members(dir, out);
}

/* mkdir or rmdir where there is neither: says how it is done, -EPERM. */
static int not_here(struct object *dir, const char *what, const char *name)
{
	struct error err = { 0 };

	if (cguest_of(dir))
		error_set(&err, EPERM,
			  "directories are made and removed in services, shells and exec only");
	else
		error_set(&err, EPERM,
			  "guests come and go with the verbs attach and detach of ctl");
	tell(dir, what, name, -EPERM, &err);
	return -EPERM;
}

static int make_member(struct object *dir, const char *name, struct error *err)
{
	struct object *member = NULL;
	int rc = tree_check_name(dir, name, err);

	if (rc == 0)
		rc = dir->type->members->make(dir, name, &member, err);
	if (rc < 0)
		return rc;
	rc = tree_add(dir, member, err);
	if (rc < 0)
		tree_discard(member);
	return rc;
}

static int dir_mkdir(struct vnode *vnode, const struct call *call, const char *name, mode_t mode,
		     struct vnode **child, struct vn_attr *attr)
{
	struct object *dir = node_of(vnode)->object;
	struct error err = { 0 };
	int rc = tree_check(dir);

	(void)mode;
	if (rc < 0)
		return rc;
	if (!dir->type->members || !dir->type->members->make)
		return not_here(dir, "mkdir", name);
	rc = make_member(dir, name, &err);
	tell(dir, "mkdir", name, rc, &err);
	if (rc < 0)
		return rc;
	*child = known_child(dir, name);
	return *child ? child_attr(*child, call, attr) : -ENOENT;
}

static int remove_member(struct object *member, const struct call *call, struct error *err)
{
	struct call forever = call_extend(call, 1e9);
	int rc = tree_admit(member, NULL, err);

	if (rc < 0)
		return rc;
	rc = vlock_take(&member->verbs, &forever);
	if (rc < 0)
		return error_set(err, -rc, "interrupted while another verb was running");
	rc = tree_check(member);
	if (rc == 0)
		rc = member->parent->type->members->stop(member, call, err);
	vlock_release(&member->verbs);
	if (rc == 0)
		tree_retire(member, ENOENT);
	return rc;
}

static int dir_rmdir(struct vnode *vnode, const struct call *call, const char *name)
{
	struct object *dir = node_of(vnode)->object;
	struct object *member;
	struct error err = { 0 };
	int rc = tree_check(dir);

	if (rc < 0)
		return rc;
	if (!dir->type->members || !dir->type->members->stop)
		return not_here(dir, "rmdir", name);
	member = tree_member(dir, name);
	if (!member)
		return tree_check_name(dir, name, NULL) == -EEXIST ? -ENOTDIR : -ENOENT;
	rc = remove_member(member, call, &err);
	tell(dir, "rmdir", name, rc, &err);
	tree_unref(member);
	return rc;
}

const struct vnode_ops tree_dir_ops = {
	.lookup = dir_lookup,
	.adopt = dir_adopt,
	.list = dir_list,
	.mkdir = dir_mkdir,
	.rmdir = dir_rmdir,
	.getattr = tree_getattr,
	.setattr = dir_setattr,
	.drop = tree_drop,
};
