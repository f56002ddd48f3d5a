/*
 * vnode.h - the small interface between "a node" and the kernel.
 *
 * Two rooms implement nodes: ctl/ (control files) and fs/'s mirror (the guest's
 * files).  fs/'s operations translate what the kernel asks into these calls
 * and are the only place that replies.  An implementation never sees libfuse.
 *
 * Operations return 0 or a negative errno (or a count where they say so), may
 * block within their call's deadline, are called from many threads at once, and
 * hold none of their locks when they return.  An operation left NULL answers
 * with the errno that it names below.
 *
 * Lifetime.  A vnode is counted.  The kernel's lookups and open files hold
 * references through fs/node.c, the implementation holds what its own tables
 * point to; the last vn_unref calls ops->drop, which frees.
 *
 * The kernel lets one write at a time into a file, and who waits for its turn
 * cannot be interrupted.  So that a verb that takes long holds up nobody, a node with write and
 * without lookup, whose attributes are never valid, is shown to the kernel as another file each
 * time that its name is looked up.
 */
#ifndef VSOCKFS_VNODE_H
#define VSOCKFS_VNODE_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <sys/types.h>

#include "protocol/buf.h"
#include "protocol/call.h"
#include "protocol/limits.h"

struct vnode;
struct vn_req;
struct vn_poll;

struct vn_attr {
	struct stat st;
	double valid; /* seconds for which the kernel may believe this, and the name of it */
};

struct vn_file {
	atomic_int flags; /* open(2)'s; F_SETFL changes them, which the next read or write tells */
	void *priv;       /* the implementation's */
	bool direct_io;   /* set by open: reads and writes reach the node as they were made */
	bool nonseekable; /* set by open: a stream */
	bool changed;     /* set by open: size or mtime are not what the kernel was told last */
};

/*
 * A directory's contents at one moment, filled by ops->list, read in order.  It is the guest that
 * says how many they are: LIMIT_LISTING_MEMORY of them is in memory (less, where there are many
 * listings: LIMIT_LISTINGS_MEMORY), and what is more in a file without a name
 * (protocol/tempfile.h).
 */
struct vn_dirent {
	char name[LIMIT_NAME + 1];
	struct vn_attr attr; /* st_ino and the type in st_mode are always set */
	bool whole;          /* all of attr is known: the kernel may have it with the entry */
	uint64_t stamp;      /* 0, or what the implementation noted for its adopt */
};

/* Zeros are an empty one. */
struct vn_dir {
	size_t count;
	uint64_t stamp; /* of all entries */

	/* vndir.c's: entries as bytes, SPOOLED of them in a file, the rest in memory. */
	struct buf tail;
	uint64_t spooled;
	int spool;       /* open where spooled is not 0 */
	uint64_t *marks; /* where every MARK_EVERY-th entry begins (vndir.c) */
	size_t mark_room;
};

/*
 * Adds an entry (copies NAME).  -ENOMEM; -EOVERFLOW over LIMIT_LISTING_ENTRIES; -ENAMETOOLONG;
 * where the file cannot be had or written -ENOSPC, -EIO, ...  What was added before stays.  May
 * block on the disk.
 */
int vn_dir_add(struct vn_dir *dir, const char *name, const struct vn_attr *attr, bool whole);
void vn_dir_free(struct vn_dir *dir);

/* A place in a listing that nobody adds to any more.  Each thread has its own. */
struct vn_dir_reader {
	const struct vn_dir *dir;
	size_t left;  /* entries to come */
	uint64_t at;  /* where the next one begins */
	char *window; /* owned: a piece of the file, from window_at on */
	uint64_t window_at;
	size_t window_len;
};

/*
 * Puts READER before the entry INDEX, which may be behind the last.  0 or a negative errno of the
 * file; vn_dir_done in both cases.
 */
int vn_dir_seek(struct vn_dir_reader *reader, const struct vn_dir *dir, size_t index);
/* The next entry: 1; 0 behind the last; a negative errno of the file, or -ENOMEM. */
int vn_dir_next(struct vn_dir_reader *reader, struct vn_dirent *out);
void vn_dir_done(struct vn_dir_reader *reader);

/* ops->read's answer when it has parked the request. */
#define VN_PARKED ((ssize_t)-4096)

enum {
	VN_SET_MODE = 1,
	VN_SET_UID = 2,
	VN_SET_GID = 4,
	VN_SET_SIZE = 8,
	VN_SET_ATIME = 16, /* st_atim.tv_nsec may be UTIME_NOW */
	VN_SET_MTIME = 32,
};

struct vnode_ops {
	/* Names in a directory.  CHILD comes with a reference. */
	int (*lookup)(struct vnode *dir, const struct call *call, const char *name,
		      struct vnode **child, struct vn_attr *attr); /* ENOENT */
	/*
	 * The child for an entry of a listing that was just made; no question to the guest.
	 * -EAGAIN: the listing has become old, the kernel shall look the name up.
	 */
	int (*adopt)(struct vnode *dir, const struct vn_dirent *entry, struct vnode **child);
	int (*list)(struct vnode *dir, const struct call *call, struct vn_dir *out); /* ENOTDIR */
	int (*mkdir)(struct vnode *dir, const struct call *call, const char *name, mode_t mode,
		     struct vnode **child, struct vn_attr *attr); /* EPERM, as all below */
	int (*rmdir)(struct vnode *dir, const struct call *call, const char *name);
	int (*unlink)(struct vnode *dir, const struct call *call, const char *name);
	int (*rename)(struct vnode *dir, const struct call *call, const char *name,
		      struct vnode *to_dir, const char *to_name, unsigned flags);
	int (*symlink)(struct vnode *dir, const struct call *call, const char *target,
		       const char *name, struct vnode **child, struct vn_attr *attr);
	int (*link)(struct vnode *node, const struct call *call, struct vnode *dir,
		    const char *name, struct vn_attr *attr); /* NODE gets the further name */
	int (*mknod)(struct vnode *dir, const struct call *call, const char *name, mode_t mode,
		     struct vnode **child, struct vn_attr *attr);
	int (*create)(struct vnode *dir, const struct call *call, const char *name, mode_t mode,
		      struct vn_file *file, struct vnode **child, struct vn_attr *attr);

	/* Nodes.  FILE is NULL where the kernel gave none. */
	int (*getattr)(struct vnode *node, const struct call *call, struct vn_file *file,
		       struct vn_attr *attr); /* required */
	int (*setattr)(struct vnode *node, const struct call *call, struct vn_file *file,
		       unsigned mask, const struct stat *in, struct vn_attr *attr); /* EPERM */
	int (*readlink)(struct vnode *node, const struct call *call, char *target,
			size_t size); /* EINVAL */
	int (*statfs)(struct vnode *node, const struct call *call, struct statvfs *out);

	/* Files. */
	int (*open)(struct vnode *node, const struct call *call, struct vn_file *file); /* EACCES */
	/*
	 * Bytes read, 0 at the end, a negative errno, or VN_PARKED after vn_req_park:
	 * then somebody calls vn_req_finish later, exactly once.  BYTES is valid only until return.
	 */
	ssize_t (*read)(struct vnode *node, struct vn_req *req, struct vn_file *file,
			int64_t offset, void *bytes, size_t len); /* EINVAL */
	/* Bytes taken or a negative errno. */
	ssize_t (*write)(struct vnode *node, const struct call *call, struct vn_file *file,
			 int64_t offset, const void *bytes, size_t len); /* EINVAL */
	int (*flush)(struct vnode *node, const struct call *call, struct vn_file *file); /* 0 */
	int (*fsync)(struct vnode *node, const struct call *call, struct vn_file *file,
		     bool data_only); /* 0 */
	void (*release)(struct vnode *node, const struct call *call, struct vn_file *file);
	/*
	 * poll(2) events that are true now.  With POLL not NULL, the node keeps it (giving back an
	 * older one with vn_poll_free) until something changes, then calls vn_poll_wake once.
	 */
	unsigned (*poll)(struct vnode *node, struct vn_file *file, struct vn_poll *poll);

	void (*drop)(struct vnode *node); /* required: the last reference is gone */
};

struct vnode {
	const struct vnode_ops *ops;
	atomic_uint refs;
	uint64_t lookups; /* fs/node.c's, guarded by its lock; others leave these two alone */
	uint64_t id;      /* what the kernel calls it, 0 if it does not know it */
};

void vn_init(struct vnode *node, const struct vnode_ops *ops); /* one reference */
struct vnode *vn_ref(struct vnode *node);
void vn_unref(struct vnode *node);

/* What a read may wait for: its deadline and its cancel token. */
const struct call *vn_req_call(struct vn_req *req);

/*
 * Parks a read: the caller returns VN_PARKED next.  When the reading process
 * is interrupted, CANCELLED(arg, req) runs once on a thread of the host's, outside any
 * kernel callback; it tells by its own tables whether REQ is still parked (the
 * pointer stays valid during the call, and is not reused before) and if so finishes it with -EINTR.
 * Call it with no lock held that CANCELLED takes.
 */
void vn_req_park(struct vn_req *req, void (*cancelled)(void *arg, struct vn_req *req), void *arg);

/* Ends a parked read with RESULT bytes of BYTES, or a negative errno.  Hold no lock. */
void vn_req_finish(struct vn_req *req, const void *bytes, ssize_t result);

void vn_poll_wake(struct vn_poll *poll); /* tells the kernel, frees POLL; hold no lock */
void vn_poll_free(struct vn_poll *poll);

/*
 * What fs/ does for ctl/.  HOST is opaque; main.c fills the struct.
 */
struct guest;
struct guest_options;

struct vn_host {
	void *arg;
	/* A new mirror of GUEST's workspace, with one reference. */
	int (*mirror)(void *arg, struct guest *guest, struct vnode **root);
	/*
	 * Whatever the kernel believes of MIRROR (PATH below it, or NULL for all) is forgotten
	 * when this returns.  Blocks; hold no lock; not from a read or lookup of that mirror.
	 */
	void (*invalidate)(void *arg, struct vnode *mirror, const char *path);
	/*
	 * The name NAME in DIR is gone or new, by somebody else's doing; the kernel knows when this
	 * returns. Blocks; hold no lock; not from an operation of DIR.
	 */
	void (*entry_changed)(void *arg, struct vnode *dir, const char *name);
	const struct guest_options *guest_options;
	uid_t uid; /* who owns control files */
	gid_t gid;
};

#endif
