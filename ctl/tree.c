/*
 * tree.c - objects: their life, their members, their error files.  See tree.h.
 */
#include "ctl/tree.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "ctl/guest.h"
#include "ctl/tree_internal.h"
#include "protocol/cleanup.h"

static void node_init(struct node *node, struct object *object, const struct file_type *file,
		      uint64_t ino)
{
	vn_init(&node->vnode, file ? file->ops : &tree_dir_ops);
	node->object = object;
	node->file = file;
	node->ino = ino;
}

int tree_object_init(struct object *object, const struct object_type *type, struct ctl *ctl,
		     struct cguest *guest, const char *name)
{
	uint64_t ino = ctl_new_inodes(ctl, 1 + type->count);

	object->nodes = calloc(1 + type->count, sizeof(*object->nodes));
	if (!object->nodes)
		return -ENOMEM;
	object->type = type;
	object->ctl = ctl;
	if (ctl_object(ctl) != object)
		tree_ref(ctl_object(ctl));
	object->guest = guest;
	if (guest)
		tree_ref(cguest_object(guest));
	strncpy(object->name, name, sizeof(object->name) - 1);
	clock_gettime(CLOCK_REALTIME, &object->changed);
	pthread_mutex_init(&object->lock, NULL);
	vlock_init(&object->verbs);
	atomic_init(&object->gone, 0);
	/* One for the caller; one for each node, until the node is dropped. */
	atomic_init(&object->refs, 1 + 1 + (unsigned)type->count);
	node_init(&object->nodes[0], object, NULL, ino);
	for (size_t i = 0; i < type->count; i++)
		node_init(&object->nodes[1 + i], object, &type->files[i], ino + 1 + i);
	return 0;
}

struct object *tree_ref(struct object *object)
{
	atomic_fetch_add(&object->refs, 1);
	return object;
}

void tree_unref(struct object *object)
{
	struct object *root = NULL, *guest = NULL;

	if (atomic_fetch_sub(&object->refs, 1) != 1)
		return;
	if (ctl_object(object->ctl) != object)
		root = ctl_object(object->ctl);
	if (object->guest)
		guest = cguest_object(object->guest);
	free(object->nodes);
	free(object->error);
	free(object->detail);
	vlock_destroy(&object->verbs);
	pthread_mutex_destroy(&object->lock);
	object->type->free(object);
	if (guest)
		tree_unref(guest);
	if (root)
		tree_unref(root);
}

void tree_drop(struct vnode *vnode)
{
	tree_unref(node_of(vnode)->object);
}

int tree_admit(struct object *object, const struct cmd_verb *verb, struct error *err)
{
	return object->type->admit ? object->type->admit(object, verb, err) : 0;
}

int tree_check(struct object *object)
{
	return -atomic_load(&object->gone);
}

static bool name_char(char c, bool first)
{
	if ((c >= '0' && c <= '9') || (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z'))
		return true;
	return !first && (c == '.' || c == '_' || c == '-');
}

int tree_check_name(struct object *dir, const char *name, struct error *err)
{
	size_t len = strlen(name);
	bool good = len > 0 && len <= LIMIT_ENTITY_NAME;

	for (size_t i = 0; good && i < len; i++)
		good = name_char(name[i], i == 0);
	if (!good)
		return error_set(err, EINVAL,
				 "'%.80s' is no name here: up to %d letters, digits, '.', '_' and "
				 "'-', beginning with a letter or digit",
				 name, LIMIT_ENTITY_NAME);
	for (size_t i = 0; i < dir->type->count; i++)
		if (strcmp(dir->type->files[i].name, name) == 0)
			return error_set(err, EEXIST, "'%s' is a file here", name);
	return 0;
}

/* DIR's lock held. */
static struct object *find_member(struct object *dir, const char *name)
{
	for (struct object *m = dir->members; m; m = m->sibling)
		if (strcmp(m->name, name) == 0)
			return m;
	return NULL;
}

/* DIR's lock held. */
static int link_member(struct object *dir, struct object *member, struct error *err)
{
	int gone = atomic_load(&dir->gone);

	if (gone)
		return error_set(err, gone, "the directory is gone");
	if (find_member(dir, member->name))
		return error_set(err, EEXIST, "'%s' is there already", member->name);
	if (dir->member_count >= LIMIT_CTL_MEMBERS)
		return error_set(err, ENOSPC, "there are %d already, which is the limit",
				 LIMIT_CTL_MEMBERS);
	member->parent = dir;
	member->sibling = dir->members;
	dir->members = member;
	dir->member_count++;
	clock_gettime(CLOCK_REALTIME, &dir->changed);
	return 0;
}

int tree_add(struct object *dir, struct object *member, struct error *err)
{
	int rc;

	pthread_mutex_lock(&dir->lock);
	rc = link_member(dir, member, err);
	pthread_mutex_unlock(&dir->lock);
	return rc;
}

/* DIR's lock held.  The lowest number that no member has as its name. */
static unsigned lowest_free(struct object *dir)
{
	char name[16];

	for (unsigned n = 0;; n++) {
		snprintf(name, sizeof(name), "%u", n);
		if (!find_member(dir, name))
			return n;
	}
}

int tree_add_numbered(struct object *dir, struct object **out, struct error *err)
{
	struct object *member;
	int rc = dir->type->members->make(dir, "new", &member, err);

	if (rc < 0)
		return rc;
	pthread_mutex_lock(&dir->lock);
	snprintf(member->name, sizeof(member->name), "%u", lowest_free(dir));
	rc = link_member(dir, member, err);
	if (rc == 0)
		*out = tree_ref(member);
	pthread_mutex_unlock(&dir->lock);
	if (rc < 0)
		tree_discard(member);
	return rc;
}

struct object *tree_member(struct object *dir, const char *name)
{
	struct object *member;

	pthread_mutex_lock(&dir->lock);
	member = find_member(dir, name);
	if (member)
		tree_ref(member);
	pthread_mutex_unlock(&dir->lock);
	return member;
}

struct object *tree_any_member(struct object *dir)
{
	struct object *member;

	pthread_mutex_lock(&dir->lock);
	member = dir->members;
	if (member)
		tree_ref(member);
	pthread_mutex_unlock(&dir->lock);
	return member;
}

int tree_members(struct object *dir, struct object ***out, size_t *count)
{
	struct object **list;
	size_t n = 0;

	pthread_mutex_lock(&dir->lock);
	list = calloc(dir->member_count + 1, sizeof(struct object *));
	for (struct object *m = dir->members; list && m; m = m->sibling)
		list[n++] = tree_ref(m);
	pthread_mutex_unlock(&dir->lock);
	if (!list)
		return -ENOMEM;
	*out = list;
	*count = n;
	return 0;
}

static void unlink_member(struct object *member)
{
	struct object *dir = member->parent;
	struct object **link;

	if (!dir)
		return;
	pthread_mutex_lock(&dir->lock);
	link = &dir->members;
	while (*link != member)
		link = &(*link)->sibling;
	*link = member->sibling;
	dir->member_count--;
	clock_gettime(CLOCK_REALTIME, &dir->changed);
	pthread_mutex_unlock(&dir->lock);
}

/* Drops the references that the tree itself holds. */
static void let_go(struct object *object)
{
	size_t count = 1 + object->type->count;

	/* The caller's reference keeps nodes alive until the last of them is dropped. */
	for (size_t i = 0; i < count; i++)
		vn_unref(&object->nodes[i].vnode);
	tree_unref(object);
}

/*
 * True for the first who does it.  The lock makes sure that tree_get takes no node
 * whose last reference may be gone.
 */
static bool tree_mark_gone(struct object *object, int gone)
{
	bool first;

	pthread_mutex_lock(&object->lock);
	first = atomic_load(&object->gone) == 0;
	if (first)
		atomic_store(&object->gone, gone);
	pthread_mutex_unlock(&object->lock);
	return first;
}

struct vnode *tree_get(struct vnode *vnode)
{
	struct object *object;

	if (vnode->ops->drop != tree_drop)
		return vn_ref(vnode);
	object = node_of(vnode)->object;
	pthread_mutex_lock(&object->lock);
	vnode = atomic_load(&object->gone) ? NULL : vn_ref(vnode);
	pthread_mutex_unlock(&object->lock);
	return vnode;
}

void tree_discard(struct object *object)
{
	tree_mark_gone(object, ENOENT);
	let_go(object);
}

void tree_retire(struct object *object, int gone)
{
	if (!tree_mark_gone(object, gone))
		return;
	unlink_member(object);
	if (object->type->retire)
		object->type->retire(object, gone);
	let_go(object);
}

void tree_set_detail(struct object *object, char *detail)
{
	pthread_mutex_lock(&object->lock);
	free(object->detail);
	object->detail = detail;
	pthread_mutex_unlock(&object->lock);
}

void tree_set_error(struct object *object, const struct error *err)
{
	autobuf struct buf buf = BUF_INIT(LIMIT_ERROR_TEXT + LIMIT_STDERR_TAIL + 256);

	pthread_mutex_lock(&object->lock);
	if (err)
		buf_addf(&buf, "%s\n", err->text);
	if (err && object->detail)
		buf_adds(&buf, object->detail);
	free(object->detail);
	object->detail = NULL;
	free(object->error);
	/* Without memory the file is empty; the errno is told all the same. */
	object->error = buf.len ? buf_steal(&buf) : NULL;
	pthread_mutex_unlock(&object->lock);
}
