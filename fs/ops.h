/*
 * ops.h - what the kernel's operations have in common.
 *
 * An operation takes up its request and its node (op_begin), calls the node,
 * replies once and lets go (op_end).  Nothing is decided here that a node could
 * decide.
 */
#ifndef VSOCKFS_OPS_H
#define VSOCKFS_OPS_H

#include "fs/handle.h"
#include "fs/lowlevel.h"
#include "fs/node.h"
#include "fs/notify.h"
#include "fs/request.h"
#include "fs/vnode.h"

/* libfuse's userdata: all that the operations need.  It outlives the session. */
struct ops_env {
	struct node_table *nodes;
	struct requests *requests;
	struct notify *notify;
	struct handle_set handles;
	double timeout; /* seconds a release may take */
};

/* The table for fuse_session_new, with an ops_env as userdata. */
extern const struct fuse_lowlevel_ops ops_table;

struct op {
	struct ops_env *env;
	struct vn_req *req;
	struct vnode *node; /* a reference */
};

/*
 * Takes up a request for the node of ID.  False after it was answered.
 * op_end lets the node go; the request goes with its reply.
 */
bool op_begin(struct op *op, fuse_req_t fuse, fuse_ino_t id);
void op_end(struct op *op);

const struct call *op_call(const struct op *op);

/* 0, or what a name in a request is refused with. */
int op_check_name(const char *name);

/* Counts a lookup of CHILD and fills the reply's entry.  Undone with node_forget. */
int op_enter(struct ops_env *env, struct vnode *child, const struct vn_attr *attr,
	     struct fuse_entry_param *entry);

/* ops_meta.c */
void op_lookup(fuse_req_t fuse, fuse_ino_t parent, const char *name);
void op_forget(fuse_req_t fuse, fuse_ino_t id, uint64_t count);
void op_forget_multi(fuse_req_t fuse, size_t count, struct fuse_forget_data *forgets);
void op_getattr(fuse_req_t fuse, fuse_ino_t id, struct fuse_file_info *info);
void op_setattr(fuse_req_t fuse, fuse_ino_t id, struct stat *in, int to_set,
		struct fuse_file_info *info);
void op_readlink(fuse_req_t fuse, fuse_ino_t id);
void op_statfs(fuse_req_t fuse, fuse_ino_t id);

/* ops_name.c */
void op_mknod(fuse_req_t fuse, fuse_ino_t parent, const char *name, mode_t mode, dev_t rdev);
void op_mkdir(fuse_req_t fuse, fuse_ino_t parent, const char *name, mode_t mode);
void op_unlink(fuse_req_t fuse, fuse_ino_t parent, const char *name);
void op_rmdir(fuse_req_t fuse, fuse_ino_t parent, const char *name);
void op_symlink(fuse_req_t fuse, const char *target, fuse_ino_t parent, const char *name);
void op_rename(fuse_req_t fuse, fuse_ino_t parent, const char *name, fuse_ino_t to_parent,
	       const char *to_name, unsigned flags);
void op_link(fuse_req_t fuse, fuse_ino_t id, fuse_ino_t parent, const char *name);

/* ops_dir.c */
void op_opendir(fuse_req_t fuse, fuse_ino_t id, struct fuse_file_info *info);
void op_readdir(fuse_req_t fuse, fuse_ino_t id, size_t size, off_t position,
		struct fuse_file_info *info);
void op_readdirplus(fuse_req_t fuse, fuse_ino_t id, size_t size, off_t position,
		    struct fuse_file_info *info);
void op_releasedir(fuse_req_t fuse, fuse_ino_t id, struct fuse_file_info *info);

/* ops_file.c */
void op_create(fuse_req_t fuse, fuse_ino_t parent, const char *name, mode_t mode,
	       struct fuse_file_info *info);
void op_open(fuse_req_t fuse, fuse_ino_t id, struct fuse_file_info *info);
void op_read(fuse_req_t fuse, fuse_ino_t id, size_t size, off_t offset,
	     struct fuse_file_info *info);
void op_write(fuse_req_t fuse, fuse_ino_t id, const char *bytes, size_t size, off_t offset,
	      struct fuse_file_info *info);
void op_flush(fuse_req_t fuse, fuse_ino_t id, struct fuse_file_info *info);
void op_release(fuse_req_t fuse, fuse_ino_t id, struct fuse_file_info *info);
void op_fsync(fuse_req_t fuse, fuse_ino_t id, int data_only, struct fuse_file_info *info);
void op_poll(fuse_req_t fuse, fuse_ino_t id, struct fuse_file_info *info,
	     struct fuse_pollhandle *poll);

#endif
