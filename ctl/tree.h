/*
 * tree.h - directories of control files: tables of what is in them, and the nodes.
 *
 * An object is one directory: the root, a guest, a collection (services, shells, exec), a service,
 * a shell, a command.  What it shows is a row in its type's table of files, so adding a file is
 * adding a row; a class of files is a vnode_ops (text_ops, ctl_ops, stream_ops, ...).  Beside its
 * files a directory may have members, which are objects of their own.
 *
 * Lifetime.  An object is counted; each of its nodes that is alive holds one reference, and so does
 * its directory, from tree_add to tree_retire.  Retiring takes it out of the directory and marks it
 * gone: from then on everything about it answers with that errno.
 *
 * Locks.  object->lock guards what it says and the type's own state; it is
 * held for moments, never over a request.  object->verbs serialises verbs and may be
 * held for long.  Order: verbs, then a waitq's lock, then object->lock; never two objects' locks.
 */
#ifndef VSOCKFS_CTL_TREE_H
#define VSOCKFS_CTL_TREE_H

#include <fcntl.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

#include "ctl/cmd.h"
#include "ctl/poller.h"
#include "ctl/vlock.h"
#include "fs/vnode.h"
#include "protocol/buf.h"
#include "protocol/error.h"

struct ctl;
struct cguest;
struct blocking_type;
struct stream_type;

/* One row: a name in an object's directory. */
struct file_type {
	const char *name;
	mode_t mode;
	const struct vnode_ops *ops;
	bool asks; /* `text` asks the guest */
	int which; /* tells rows apart that share their functions */
	/* Known without asking the guest; NULL: 0. */
	int64_t (*size)(struct object *object, int which);
	/* text_ops and ctl_ops: appends the contents. */
	int (*text)(struct object *object, const struct call *call, struct buf *out,
		    struct error *err);
	const struct stream_type *stream;     /* stream_ops */
	const struct blocking_type *blocking; /* blocking_ops */
	/*
	 * Instead of a file of its own, another directory: a reference to it, or NULL when it is
	 * gone.
	 */
	struct vnode *(*place)(struct object *object);
};

/* How a directory's members come and go.  All may block within CALL. */
struct member_ops {
	/* mkdir and clone: a new object that is not in the directory yet. */
	int (*make)(struct object *dir, const char *name, struct object **out, struct error *err);
	/* The guest knows something of that name that nobody made here; -ENOENT. */
	int (*find)(struct object *dir, const struct call *call, const char *name,
		    struct object **out, struct error *err);
	/* rmdir: ends what MEMBER still does; under its verb lock. */
	int (*stop)(struct object *member, const struct call *call, struct error *err);
};

struct object_type {
	const char *what; /* "service" */
	const struct file_type *files;
	size_t count;
	const struct cmd_verb *verbs;
	size_t verb_count;
	const struct member_ops *members;
	/* One poll of what somebody waits for; see poller.h. */
	enum poller_news (*poll)(struct object *object, const struct call *call);
	/*
	 * Before VERB, or rmdir (NULL), waits for its turn; may be NULL.  Refuses it (negative
	 * errno), or makes the verb at hand come to its end.
	 */
	int (*admit)(struct object *object, const struct cmd_verb *verb, struct error *err);
	void (*retire)(struct object *object, int gone); /* ends parked reads with -GONE */
	void (*free)(struct object *object);             /* what the type added, and the object */
};

struct node {
	struct vnode vnode;
	struct object *object;
	const struct file_type *file; /* NULL: the directory itself */
	uint64_t ino;
};

struct object {
	const struct object_type *type;
	struct ctl *ctl;      /* counted, except in the root */
	struct cguest *guest; /* counted, except in the guest itself; NULL in the root */
	char name[LIMIT_ENTITY_NAME + 1];
	struct node *nodes; /* [0] the directory, [1 + i] type->files[i] */
	atomic_uint refs;
	atomic_int gone; /* 0, or the errno of everything from now on */
	struct vlock verbs;
	pthread_mutex_t lock;
	struct timespec changed; /* lock */
	char *error;             /* lock; owned; what the error file shows, NULL for nothing */
	char *detail;            /* lock; owned; lines that go with the next error, or NULL */
	struct object *parent;   /* the parent's lock, set once */
	struct object *members;  /* lock */
	struct object *sibling;  /* the parent's lock */
	size_t member_count;     /* lock */
	struct poller_entry poller_entry;
};

static inline struct node *node_of(struct vnode *vnode)
{
	return (struct node *)vnode;
}

/* What every object of CTL shares. */
const struct vn_host *ctl_host(struct ctl *ctl);
uint64_t ctl_new_inodes(struct ctl *ctl, size_t count);

/*
 * Fills a zeroed OBJECT (the first member of whatever the type is); one
 * reference for the caller, which tree_add takes over.  On failure nothing is held.
 */
int tree_object_init(struct object *object, const struct object_type *type, struct ctl *ctl,
		     struct cguest *guest, const char *name);
struct object *tree_ref(struct object *object);
void tree_unref(struct object *object);

/* Asks object_type->admit, if there is one. */
int tree_admit(struct object *object, const struct cmd_verb *verb, struct error *err);

/* 0, or the negative errno of an object that is gone. */
int tree_check(struct object *object);

/* [A-Za-z0-9][A-Za-z0-9._-]{0,63} and no file of DIR; -EINVAL or -EEXIST. */
int tree_check_name(struct object *dir, const char *name, struct error *err);

/* Puts MEMBER (and the caller's reference) into DIR.  -EEXIST, -ENOSPC over LIMIT_CTL_MEMBERS. */
int tree_add(struct object *dir, struct object *member, struct error *err);
/* mkdir with the lowest free number as the name; *OUT has a reference of its own. */
int tree_add_numbered(struct object *dir, struct object **out, struct error *err);
/* A reference to the member NAME, or NULL. */
struct object *tree_member(struct object *dir, const char *name);
/* A reference to any member, or NULL when there is none: for those who end them all. */
struct object *tree_any_member(struct object *dir);
/* References to all members, owned array; -ENOMEM. */
int tree_members(struct object *dir, struct object ***out, size_t *count);
/*
 * Takes OBJECT out of its directory and ends it; GONE is a positive errno.  Once; later calls do
 * nothing.
 */
void tree_retire(struct object *object, int gone);

/*
 * The error file.  A failed verb's sentence is recorded with the lines that tree_set_detail left
 * for it (ownership taken, NULL allowed); ERR NULL clears.
 */
void tree_set_detail(struct object *object, char *detail);
void tree_set_error(struct object *object, const struct error *err);

/* Parts for the classes of files. */
int tree_getattr(struct vnode *vnode, const struct call *call, struct vn_file *file,
		 struct vn_attr *attr);
/* Accepts truncation and does nothing; refuses the rest with EPERM. */
int tree_setattr(struct vnode *vnode, const struct call *call, struct vn_file *file, unsigned mask,
		 const struct stat *in, struct vn_attr *attr);
void tree_drop(struct vnode *vnode);

#endif
