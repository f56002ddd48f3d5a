/*
 * blocking.h - files whose read waits for something: wait, events, cons.
 *
 * A read that has nothing to give is parked in the object's waitq and costs no
 * thread here; the guest's poller asks meanwhile.  poll(2) and O_NONBLOCK work.
 */
#ifndef VSOCKFS_CTL_BLOCKING_H
#define VSOCKFS_CTL_BLOCKING_H

#include "ctl/tree.h"
#include "ctl/waitq.h"

struct blocking_type {
	struct waitq *(*queue)(struct object *object);
	bool stream; /* no offsets: a read goes on where the one before ended */
	/* May be NULL: a reader's cursor at open. */
	void (*opened)(struct object *object, struct waitq_reader *reader);
	/* Whether somebody has to ask the guest for there to be news. */
	bool asks;
};

/* Read-only files (EACCES for writers). */
extern const struct vnode_ops blocking_ops;

/* Parts, for files that do more. */
int blocking_open(struct vnode *vnode, struct vn_file *file);
ssize_t blocking_read(struct vnode *vnode, struct vn_req *req, struct vn_file *file, int64_t offset,
		      void *bytes, size_t len);
unsigned blocking_poll(struct vnode *vnode, struct vn_file *file, struct vn_poll *poll);
void blocking_release(struct vnode *vnode, const struct call *call, struct vn_file *file);

/*
 * For waitq->take of a `wait` file: the slice at OFFSET of the code and a newline.
 * CODE is NULL where the thing ended without one ("null").
 */
ssize_t blocking_code(const int *code, int64_t offset, void *bytes, size_t len);

#endif
