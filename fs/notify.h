/*
 * notify.h - the one thread that tells the kernel what has changed.
 *
 * A notification may block in the kernel until a request that is under way has been
 * answered, so it is made by a thread that answers none and holds no lock.  (But for
 * notify_attr_now.)
 *
 * Before notify_start and after notify_stop everything is dropped in silence.
 */
#ifndef VSOCKFS_NOTIFY_H
#define VSOCKFS_NOTIFY_H

#include <stdint.h>

#include "fs/lowlevel.h"
#include "fs/vnode.h"

struct notify;

int notify_new(struct notify **out);
int notify_start(struct notify *notify, struct fuse_session *session);
/* Waits for the notification that is being made, drops the others, ends the thread. */
void notify_stop(struct notify *notify);
void notify_free(struct notify *notify);

/* Attributes and, with DATA, cached contents of the node.  Queued; 0 or -ENOMEM. */
int notify_inode(struct notify *notify, uint64_t id, bool data);

/*
 * The node's attributes, by the time that it returns: for an operation that is about to be
 * answered. It waits for nothing in the kernel, which has no contents to drop.
 */
void notify_attr_now(struct notify *notify, uint64_t id);

/* The name NAME in the directory PARENT; IS_DIR where it is known to be a directory. */
int notify_entry(struct notify *notify, uint64_t parent, const char *name, bool is_dir);

/* Waits until the kernel has been told all that was queued before. */
void notify_wait(struct notify *notify);

/* Makes the handle that a node's poll gets; takes HANDLE over.  NULL when out of memory. */
struct vn_poll *notify_poll_new(struct notify *notify, struct fuse_pollhandle *handle);

#endif
