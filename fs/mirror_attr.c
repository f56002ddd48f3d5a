/*
 * mirror_attr.c - questions to the guest: names, attributes, listings, links.
 *
 * What a guest says is checked before it is shown: types and sizes that no
 * file system has, names that no directory has.
 */
#include "fs/mirror_tree.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "fs/symlink.h"
#include "protocol/cleanup.h"

#define BLOCK_SIZE 4096
#define INDEX_SHIFT 47
#define SHOWN_MODE 01777 /* no setuid, no setgid */
#define MAX_TRIES 3      /* while directories are being moved under a path */

#define BIT63 (UINT64_C(1) << 63) /* control files have it */

static uint64_t mix(uint64_t x)
{
	x = (x ^ x >> 30) * UINT64_C(0xbf58476d1ce4e5b9);
	x = (x ^ x >> 27) * UINT64_C(0x94d049bb133111eb);
	return x ^ x >> 31;
}

uint64_t mirror_ino(struct mirror *mirror, const struct ws_attr *in)
{
	uint64_t ino = in->ino ^ mirror->index << INDEX_SHIFT;

	pthread_mutex_lock(&mirror->lock);
	if (!mirror->root_dev)
		mirror->root_dev = in->dev;
	if (in->dev != mirror->root_dev)
		ino ^= mix(in->dev);
	pthread_mutex_unlock(&mirror->lock);
	ino &= ~BIT63;
	return ino ? ino : 1;
}

static struct timespec sane_time(struct timespec time)
{
	if (time.tv_nsec < 0 || time.tv_nsec > 999999999)
		time.tv_nsec = 0;
	return time;
}

int mirror_show(struct mirror *mirror, const struct ws_attr *in, struct vn_attr *out)
{
	const struct mirror_options *options = &mirror->options;
	bool device = S_ISCHR(in->mode) || S_ISBLK(in->mode);

	if (!S_ISREG(in->mode) && !S_ISDIR(in->mode) && !S_ISLNK(in->mode) && !S_ISFIFO(in->mode) &&
	    !S_ISSOCK(in->mode) && !device)
		return -EIO;
	if (in->size < 0)
		return -EIO;
	*out = (struct vn_attr){ .valid = options->attr_timeout };
	/* Each name is a node here: what is written through one must show through the others. */
	if (S_ISREG(in->mode) && in->nlink > 1)
		out->valid = 0;
	out->st = (struct stat){
		.st_ino = mirror_ino(mirror, in),
		.st_mode = in->mode & (S_IFMT | SHOWN_MODE),
		.st_nlink = in->nlink,
		.st_uid = options->guest_ids ? in->uid : options->uid,
		.st_gid = options->guest_ids ? in->gid : options->gid,
		.st_rdev = device ? in->rdev : 0,
		.st_size = in->size,
		.st_blksize = BLOCK_SIZE,
		.st_blocks = in->blocks < 0 ? 0 : in->blocks,
		.st_atim = sane_time(in->atime),
		.st_mtim = sane_time(in->mtime),
		.st_ctim = sane_time(in->ctime),
	};
	return 0;
}

/* The workspace itself may be another directory each time: a guest that was started anew. */
static int show_root(struct mirror_node *node, const struct ws_attr *in, struct vn_attr *out)
{
	if (!S_ISDIR(in->mode))
		return -EIO;
	pthread_mutex_lock(&node->mirror->lock);
	node->mirror->root_dev = in->dev;
	pthread_mutex_unlock(&node->mirror->lock);
	return mirror_show(node->mirror, in, out);
}

int mirror_check_node(struct mirror_node *node, const struct ws_attr *in, struct vn_attr *out)
{
	int rc;

	if (node == node->mirror->root)
		rc = show_root(node, in, out);
	else
		rc = mirror_show(node->mirror, in, out);
	if (rc)
		return rc;
	if (node != node->mirror->root &&
	    (node->ino != out->st.st_ino || node->type != (out->st.st_mode & S_IFMT))) {
		mirror_detach(node, ESTALE);
		return -ESTALE;
	}
	if (!out->st.st_nlink && !mirror_is_gone(node))
		out->st.st_nlink = 1; /* a name leads to it; the kernel insists */
	return 0;
}

int mirror_show_node(struct mirror_node *node, const struct ws_attr *in, struct vn_attr *out)
{
	int rc = mirror_check_node(node, in, out);

	if (!rc)
		mirror_tell(node, &out->st);
	return rc;
}

int mirror_show_child(struct mirror_node *dir, const char *name, const struct ws_attr *in,
		      uint32_t type, struct vnode **child, struct vn_attr *out)
{
	struct mirror_node *node;
	int rc = mirror_show(dir->mirror, in, out);

	if (!rc && type && (out->st.st_mode & S_IFMT) != type)
		rc = -EIO;
	if (!rc)
		rc = mirror_obtain(dir, name, out->st.st_ino, out->st.st_mode & S_IFMT, &node);
	if (rc)
		return rc;
	if (!out->st.st_nlink)
		out->st.st_nlink = 1;
	mirror_tell(node, &out->st);
	*child = &node->vnode;
	return 0;
}

static bool is_private(const struct mirror_node *dir, const char *name)
{
	return dir == dir->mirror->root &&
	       !strncmp(name, WS_PRIVATE_PREFIX, strlen(WS_PRIVATE_PREFIX));
}

int mirror_check_name(struct mirror_node *dir, const char *name, int code)
{
	return is_private(dir, name) ? -code : 0;
}

/* The attributes at NODE's path, or at NAME's in it. */
static int stat_path(struct mirror_node *node, const struct call *call, const char *name,
		     struct ws_attr *out)
{
	struct mirror_path path;
	int rc;

	for (int tries = 0; tries < MAX_TRIES; tries++) {
		rc = mirror_path(node, name, &path);
		if (rc)
			return rc;
		rc = ws_stat(node->mirror->ws, call, path.text, out, NULL);
		if (rc != -ENOENT || !mirror_path_moved(node->mirror, &path))
			break;
	}
	return rc;
}

int mirror_op_lookup(struct vnode *vdir, const struct call *call, const char *name,
		     struct vnode **child, struct vn_attr *attr)
{
	struct mirror_node *dir = mirror_node_of(vdir);
	struct ws_attr in;
	int rc = mirror_check_name(dir, name, ENOENT);

	if (!rc)
		rc = stat_path(dir, call, name, &in);
	if (rc == -ENOENT)
		mirror_detach_name(dir, name, ENOENT);
	if (!rc)
		rc = mirror_show_child(dir, name, &in, 0, child, attr);
	return rc;
}

/* Through the open file that was given, or any where no name leads to the node any more. */
static int stat_node(struct mirror_node *node, const struct call *call, struct vn_file *given,
		     struct ws_attr *out)
{
	struct mirror_file *file = NULL;
	int rc;

	if (given || mirror_is_gone(node))
		file = mirror_file_pick(node, given, false);
	if (!file) {
		rc = stat_path(node, call, NULL, out);
		if (rc == -ENOENT)
			mirror_detach(node, ENOENT);
		return rc;
	}
	rc = ws_fstat(mirror_file_ws(file), call, out, NULL);
	mirror_file_put(file, call);
	if (rc == -ESTALE)
		mirror_detach(node, ESTALE);
	return rc;
}

int mirror_op_getattr(struct vnode *vnode, const struct call *call, struct vn_file *file,
		      struct vn_attr *attr)
{
	struct mirror_node *node = mirror_node_of(vnode);
	struct ws_attr in;
	int rc = stat_node(node, call, file, &in);

	return rc ? rc : mirror_show_node(node, &in, attr);
}

/* The mounting user already owns everything it is shown: chown to itself is done, to others not. */
static int map_ids(const struct mirror_options *options, unsigned *mask, const struct stat *in)
{
	if (options->guest_ids)
		return 0;
	if ((*mask & VN_SET_UID && in->st_uid != options->uid) ||
	    (*mask & VN_SET_GID && in->st_gid != options->gid))
		return -EPERM;
	*mask &= ~(unsigned)(VN_SET_UID | VN_SET_GID);
	return 0;
}

static unsigned ws_mask(unsigned mask)
{
	return (mask & VN_SET_MODE ? WS_SET_MODE : 0) | (mask & VN_SET_UID ? WS_SET_UID : 0) |
	       (mask & VN_SET_GID ? WS_SET_GID : 0) | (mask & VN_SET_SIZE ? WS_SET_SIZE : 0) |
	       (mask & VN_SET_ATIME ? WS_SET_ATIME : 0) | (mask & VN_SET_MTIME ? WS_SET_MTIME : 0);
}

/* Through FILE, which finds an unlinked file too, or by the path alone. */
static int set_attr(struct mirror_node *node, const struct call *call, struct mirror_file *file,
		    unsigned mask, const struct ws_attr *in, struct ws_attr *out)
{
	struct mirror_path path;
	int rc;

	for (int tries = 0; tries < MAX_TRIES; tries++) {
		rc = mirror_path(node, NULL, &path);
		if (rc && !(file && mirror_is_gone(node)))
			return rc;
		if (rc)
			path.text[0] = '\0';
		rc = ws_setattr(node->mirror->ws, call, path.text,
				file ? mirror_file_ws(file) : NULL, mask, in, out, NULL);
		if (rc != -ENOENT || !mirror_path_moved(node->mirror, &path))
			break;
	}
	return rc;
}

int mirror_op_setattr(struct vnode *vnode, const struct call *call, struct vn_file *vfile,
		      unsigned mask, const struct stat *st, struct vn_attr *attr)
{
	struct mirror_node *node = mirror_node_of(vnode);
	struct ws_attr out, in = {
		.mode = st->st_mode & 07777,
		.uid = st->st_uid,
		.gid = st->st_gid,
		.size = st->st_size,
		.atime = st->st_atim,
		.mtime = st->st_mtim,
	};
	struct mirror_file *file;
	int rc;

	if (node->mirror->options.read_only)
		return -EROFS;
	rc = map_ids(&node->mirror->options, &mask, st);
	if (rc)
		return rc;
	if (!mask)
		return mirror_op_getattr(vnode, call, vfile, attr);
	file = mirror_file_pick(node, vfile, !mirror_is_gone(node));
	rc = set_attr(node, call, file, ws_mask(mask), &in, &out);
	if (file)
		mirror_file_put(file, call);
	mirror_touch(node);
	return rc ? rc : mirror_show_node(node, &out, attr);
}

struct listing {
	struct mirror_node *dir;
	struct vn_dir *out;
};

static bool is_name(const char *name)
{
	size_t len = strnlen(name, LIMIT_NAME + 1);

	return len && len <= LIMIT_NAME && !strchr(name, '/') && strcmp(name, ".") != 0 &&
	       strcmp(name, "..") != 0;
}

static int list_each(void *arg, const char *name, const struct ws_attr *in)
{
	struct listing *listing = arg;
	struct vn_attr attr = { 0 };
	bool whole;

	if (!is_name(name) || is_private(listing->dir, name))
		return 0;
	whole = !mirror_show(listing->dir->mirror, in, &attr);
	if (!whole) /* looking it up will say why */
		attr.st.st_ino = mirror_ino(listing->dir->mirror, in);
	else if (!attr.st.st_nlink)
		attr.st.st_nlink = 1;
	return vn_dir_add(listing->out, name, &attr, whole);
}

int mirror_op_list(struct vnode *vdir, const struct call *call, struct vn_dir *out)
{
	struct mirror_node *dir = mirror_node_of(vdir);
	struct listing listing = { .dir = dir, .out = out };
	struct mirror_path path;
	int rc;

	for (int tries = 0; tries < MAX_TRIES; tries++) {
		rc = mirror_path(dir, NULL, &path);
		if (rc)
			return rc;
		vn_dir_free(out);
		out->stamp = mirror_clock(dir->mirror);
		rc = ws_list(dir->mirror->ws, call, path.text, list_each, &listing, NULL);
		if (rc != -ENOENT || !mirror_path_moved(dir->mirror, &path))
			break;
	}
	return rc;
}

int mirror_op_adopt(struct vnode *vdir, const struct vn_dirent *entry, struct vnode **child)
{
	struct mirror_node *node;
	int rc = mirror_obtain_listed(mirror_node_of(vdir), entry->name, entry->attr.st.st_ino,
				      entry->attr.st.st_mode & S_IFMT, entry->stamp, &node);

	if (rc)
		return rc;
	mirror_tell(node, &entry->attr.st);
	*child = &node->vnode;
	return 0;
}

struct asker {
	struct mirror_node *root;
	const struct call *call;
};

static int is_directory(void *arg, const char *path)
{
	const struct asker *asker = arg;
	struct ws_attr attr;
	int rc;

	if (is_private(asker->root, path))
		return 0;
	rc = ws_stat(asker->root->mirror->ws, asker->call, path, &attr, NULL);
	if (rc == -ENOENT || rc == -ENOTDIR || rc == -ELOOP)
		return 0;
	return rc ? rc : S_ISDIR(attr.mode);
}

int mirror_op_readlink(struct vnode *vnode, const struct call *call, char *target, size_t size)
{
	struct mirror_node *node = mirror_node_of(vnode);
	struct asker asker = { .root = node->mirror->root, .call = call };
	char text[LIMIT_SYMLINK_TARGET + 1];
	struct mirror_path path;
	char *slash;
	int rc = mirror_path(node, NULL, &path);

	if (!rc)
		rc = ws_readlink(node->mirror->ws, call, path.text, text, sizeof(text), NULL);
	if (rc == -EINVAL ||
	    rc == -ENOENT) { /* no link any more: the name is to be asked for again */
		mirror_detach(node, ESTALE);
		return -ESTALE;
	}
	if (rc < 0)
		return rc;
	if (node->mirror->options.raw_symlinks)
		return (size_t)snprintf(target, size, "%s", text) >= size ? -ENAMETOOLONG : 0;
	slash = strrchr(path.text, '/');
	*(slash ? slash : path.text) = '\0'; /* the link's directory */
	return symlink_contain(text, path.text, is_directory, &asker, target, size);
}

int mirror_op_statfs(struct vnode *vnode, const struct call *call, struct statvfs *out)
{
	struct ws_statfs in;
	int rc = ws_statfs(mirror_node_of(vnode)->mirror->ws, call, &in, NULL);

	if (rc)
		return rc;
	*out = (struct statvfs){
		.f_bsize = in.block_size && in.block_size <= 1u << 30 ? in.block_size : BLOCK_SIZE,
		.f_blocks = in.blocks,
		.f_bfree = in.blocks_free,
		.f_bavail = in.blocks_available,
		.f_files = in.files,
		.f_ffree = in.files_free,
		.f_favail = in.files_free,
		.f_namemax = in.name_max && in.name_max < LIMIT_NAME ? in.name_max : LIMIT_NAME,
	};
	out->f_frsize = out->f_bsize;
	return 0;
}
