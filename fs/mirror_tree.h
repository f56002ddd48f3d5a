/*
 * mirror_tree.h - the mirror's own view of its nodes.  Internal to fs/mirror*.c.
 *
 * Nodes are found by (directory, name) in one hash table.  A node holds its
 * directory, so paths can be built from any node that is still in place; a node that its name
 * does not lead to any more is gone: it is in no table and has no path.
 */
#ifndef VSOCKFS_MIRROR_TREE_H
#define VSOCKFS_MIRROR_TREE_H

#include "fs/mirror.h"
#include "protocol/limits.h"
#include "protocol/workspace.h"

struct mirror_file;

struct mirror_node {
	struct vnode vnode; /* first */
	struct mirror *mirror;
	struct mirror_node *dir;   /* lock; a reference; NULL for the root */
	struct mirror_node *chain; /* lock; the next in its bucket */
	char *name;                /* lock; owned; "" for the root */
	uint64_t ino;     /* as shown: stands for the guest's device and number; not the root's */
	uint32_t type;    /* S_IFMT part of the mode */
	int gone;         /* lock; 0, or the errno for who comes by name: ENOENT, ESTALE */
	unsigned writers; /* lock; open files that may have unsent writes */
	struct mirror_file *files; /* lock; open files */
	uint64_t changed;    /* lock; mirror->clock of its, or its names', last change from here */
	int64_t told;        /* lock; when the kernel was last told of it */
	int64_t told_size;   /* lock; and what of its size */
	uint64_t told_mtime; /* lock; and of its mtime, in nanoseconds */
};

struct mirror {
	atomic_uint refs; /* the nodes */
	struct mirror_set *set;
	struct mirror *prev, *next; /* set->lock */
	struct guest *guest;        /* a reference */
	struct workspace *ws;
	struct mirror_options options;
	uint64_t index; /* which of the mount's mirrors */
	pthread_mutex_t lock;
	struct mirror_node **buckets; /* lock */
	size_t bucket_count;          /* lock; a power of two */
	size_t node_count;            /* lock; in the buckets */
	struct mirror_node *root;     /* lock; no reference */
	uint64_t root_dev;            /* lock; the guest's device of the root */
	uint64_t clock;               /* lock; counts changes made from here */
	uint64_t moves;               /* lock; counts renames of directories */
};

extern const struct vnode_ops mirror_ops;

struct mirror_node *mirror_node_of(struct vnode *vnode);

/* Buckets for a new mirror.  -ENOMEM. */
int mirror_tree_init(struct mirror *mirror);

/* A path, and what it was built from. */
struct mirror_path {
	uint64_t moves;
	char text[LIMIT_PATH + 1];
};

/* The path of NODE or, with NAME, of that name in it.  -ENAMETOOLONG, or the node's -gone. */
int mirror_path(struct mirror_node *node, const char *name, struct mirror_path *out);

/* Whether a directory was moved since, so that an error may only mean that PATH was old. */
bool mirror_path_moved(struct mirror *mirror, const struct mirror_path *path);

/*
 * The node for NAME in DIR, which leads to the guest's file (INO as shown, TYPE): found or made;
 * one that led elsewhere is detached.  With a reference.
 */
int mirror_obtain(struct mirror_node *dir, const char *name, uint64_t ino, uint32_t type,
		  struct mirror_node **out);

/*
 * The same for an entry of a listing made when the clock was STAMP.  -EAGAIN if the
 * directory or the file was changed from here since, or is being written to.
 */
int mirror_obtain_listed(struct mirror_node *dir, const char *name, uint64_t ino, uint32_t type,
			 uint64_t stamp, struct mirror_node **out);

/* NODE's name does not lead to it any more (CODE: ENOENT or ESTALE). */
void mirror_detach(struct mirror_node *node, int code);
/* The same for whatever node NAME in DIR has, if any; the directory has changed. */
void mirror_detach_name(struct mirror_node *dir, const char *name, int code);

/* Under the mirror's lock: the node for NAME in DIR, or NULL. */
struct mirror_node *mirror_find(struct mirror *mirror, const struct mirror_node *dir,
				const char *name);
/* Takes a reference to a node that may be about to be dropped; false if it is. */
bool mirror_try_ref(struct mirror_node *node);
/* Under the mirror's lock: whether NODE is DIR or above it. */
bool mirror_is_above(const struct mirror_node *node, const struct mirror_node *dir);

/* What a rename in the guest means here. */
void mirror_moved(struct mirror_node *dir, const char *name, struct mirror_node *to_dir,
		  const char *to_name, bool exchange);

/* NODE was changed from here: listings made before are old. */
void mirror_touch(struct mirror_node *node);
/* The kernel is being told ST of NODE now. */
void mirror_tell(struct mirror_node *node, const struct stat *st);
/* Whether ST is of another size or time than the kernel was told of last. */
bool mirror_told_other(struct mirror_node *node, const struct stat *st);
bool mirror_is_gone(struct mirror_node *node);
uint64_t mirror_clock(struct mirror *mirror);

/* ops->drop, and what it ends with: a reference less to the mirror. */
void mirror_drop(struct vnode *vnode);
void mirror_unref(struct mirror *mirror);

/* Attributes, mirror_attr.c */

/* The number that is shown for a guest's file. */
uint64_t mirror_ino(struct mirror *mirror, const struct ws_attr *in);
/* What is shown of a guest's file; -EIO for what no file system may say. */
int mirror_show(struct mirror *mirror, const struct ws_attr *in, struct vn_attr *out);
/* The same for NODE; -ESTALE, detaching, if it is another file. */
int mirror_check_node(struct mirror_node *node, const struct ws_attr *in, struct vn_attr *out);
/* The same, remembering that the kernel is told. */
int mirror_show_node(struct mirror_node *node, const struct ws_attr *in, struct vn_attr *out);
/* The child that a call has found or made: node and attributes.  TYPE is 0 or what it must be. */
int mirror_show_child(struct mirror_node *dir, const char *name, const struct ws_attr *in,
		      uint32_t type, struct vnode **child, struct vn_attr *out);
/* 0, or the errno for a name that is ours in the guest's workspace. */
int mirror_check_name(struct mirror_node *dir, const char *name, int code);

int mirror_op_lookup(struct vnode *dir, const struct call *call, const char *name,
		     struct vnode **child, struct vn_attr *attr);
int mirror_op_adopt(struct vnode *dir, const struct vn_dirent *entry, struct vnode **child);
int mirror_op_list(struct vnode *dir, const struct call *call, struct vn_dir *out);
int mirror_op_getattr(struct vnode *node, const struct call *call, struct vn_file *file,
		      struct vn_attr *attr);
int mirror_op_setattr(struct vnode *node, const struct call *call, struct vn_file *file,
		      unsigned mask, const struct stat *in, struct vn_attr *attr);
int mirror_op_readlink(struct vnode *node, const struct call *call, char *target, size_t size);
int mirror_op_statfs(struct vnode *node, const struct call *call, struct statvfs *out);

/* Names, mirror_name.c */
int mirror_op_mkdir(struct vnode *dir, const struct call *call, const char *name, mode_t mode,
		    struct vnode **child, struct vn_attr *attr);
int mirror_op_mknod(struct vnode *dir, const struct call *call, const char *name, mode_t mode,
		    struct vnode **child, struct vn_attr *attr);
int mirror_op_symlink(struct vnode *dir, const struct call *call, const char *target,
		      const char *name, struct vnode **child, struct vn_attr *attr);
int mirror_op_unlink(struct vnode *dir, const struct call *call, const char *name);
int mirror_op_rmdir(struct vnode *dir, const struct call *call, const char *name);
int mirror_op_rename(struct vnode *dir, const struct call *call, const char *name,
		     struct vnode *to_dir, const char *to_name, unsigned flags);
int mirror_op_link(struct vnode *node, const struct call *call, struct vnode *dir, const char *name,
		   struct vn_attr *attr);

/* Open files, mirror_file.c */

/* An open file of NODE, preferably one with unsent writes, held until mirror_file_put; or NULL. */
struct mirror_file *mirror_file_pick(struct mirror_node *node, struct vn_file *preferred,
				     bool only_if_writing);
struct ws_file *mirror_file_ws(struct mirror_file *file);
void mirror_file_put(struct mirror_file *file, const struct call *call);

int mirror_op_create(struct vnode *dir, const struct call *call, const char *name, mode_t mode,
		     struct vn_file *file, struct vnode **child, struct vn_attr *attr);
int mirror_op_open(struct vnode *node, const struct call *call, struct vn_file *file);
ssize_t mirror_op_read(struct vnode *node, struct vn_req *req, struct vn_file *file, int64_t offset,
		       void *bytes, size_t len);
ssize_t mirror_op_write(struct vnode *node, const struct call *call, struct vn_file *file,
			int64_t offset, const void *bytes, size_t len);
int mirror_op_flush(struct vnode *node, const struct call *call, struct vn_file *file);
int mirror_op_fsync(struct vnode *node, const struct call *call, struct vn_file *file,
		    bool data_only);
void mirror_op_release(struct vnode *node, const struct call *call, struct vn_file *file);

#endif
