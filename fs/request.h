/*
 * request.h - one request of the kernel, from its arrival to its one reply.
 *
 * Every operation begins with req_begin and ends with exactly one req_reply_*
 * (or vn_req_finish, for a read that was parked); a second reply is logged and
 * not made.  Between the two the request has a deadline, and a cancel
 * token that fires when the process that waits for it is interrupted.
 *
 * Interrupts.  libfuse runs the interrupt callback under a lock of the request's,
 * and inline while it is being registered if the interrupt came first.  So the
 * callback only fires the token and, for a parked read, queues it for the
 * completion thread, which runs its CANCELLED; nobody replies from there.  A reply
 * unregisters the callback first, holding no lock, which waits for a callback that
 * is running.  It waits for a CANCELLED that is running on the completion thread, too:
 * what CANCELLED was given may be freed once the reply has been made.
 *
 * Locks: libfuse's lock of a request, then requests.lock, then a token's lock.
 */
#ifndef VSOCKFS_REQUEST_H
#define VSOCKFS_REQUEST_H

#include "fs/lowlevel.h"
#include "fs/vnode.h"

struct requests;

/* What the requests of one session share.  TIMEOUT: seconds that one may wait. */
int requests_new(double timeout, struct requests **out);

/* Starts the completion thread: after daemonizing.  0 or a negative errno. */
int requests_start(struct requests *requests);

/* Fires the token of every request that is under way, and of those that still begin. */
void requests_cancel_all(struct requests *requests);

/* Ends the completion thread; requests that are parked by now must be gone or are leaked. */
void requests_stop(struct requests *requests);
void requests_free(struct requests *requests);

/*
 * Takes up FUSE.  NULL when out of memory: it has been answered then.  The
 * result belongs to the reply; who needs it longer takes req_ref.
 */
struct vn_req *req_begin(struct requests *requests, fuse_req_t fuse);

/* For a read: the kernel has room for SIZE bytes; a longer answer is cut. */
void req_set_room(struct vn_req *req, size_t size);
struct vn_req *req_ref(struct vn_req *req);
void req_unref(struct vn_req *req);

/*
 * The replies.  RC is 0 or a negative errno.  Where a guest chose it, it may be
 * anything: what the kernel would take for a statement about the whole mount (ENOSYS), or
 * would refuse and leave its caller waiting for, becomes EOPNOTSUPP or EIO.
 */
void req_reply_err(struct vn_req *req, int rc);
void req_reply_attr(struct vn_req *req, const struct vn_attr *attr);
void req_reply_readlink(struct vn_req *req, const char *target);
void req_reply_write(struct vn_req *req, size_t count);
void req_reply_bytes(struct vn_req *req, const void *bytes, size_t len);
void req_reply_statfs(struct vn_req *req, const struct statvfs *stat);
void req_reply_poll(struct vn_req *req, unsigned events);

/*
 * Replies that hand something over: when they return non-zero the kernel did not
 * get it (the process is gone), and what was counted or opened is to be undone.
 */
int req_reply_entry(struct vn_req *req, const struct fuse_entry_param *entry);
int req_reply_open(struct vn_req *req, const struct fuse_file_info *file);
int req_reply_create(struct vn_req *req, const struct fuse_entry_param *entry,
		     const struct fuse_file_info *file);

#endif
