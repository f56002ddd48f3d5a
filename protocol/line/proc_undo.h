/*
 * proc_undo.h - what is removed from a guest behind the callers' backs.
 * Internal to protocol/line/proc_*.c.
 *
 * A start that was interrupted, or not answered, may have happened.  Its caller is not kept until
 * that is undone: it is done as soon as the guest has time.
 */
#ifndef VSOCKFS_LINE_PROC_UNDO_H
#define VSOCKFS_LINE_PROC_UNDO_H

#include "protocol/buf.h"
#include "protocol/line/proc_room.h"

/*
 * Runs SCRIPT, whose bytes it takes over, in the room's guest: again until it was answered, for
 * LIMIT_REAP_SECONDS, or until the room goes, which removes everything anyway.  Does not block.
 */
void proc_undo(struct lproc_room *room, struct buf *script);

/*
 * The same with FN instead of a script; NAME, of a service or a shell, is copied.  What the room's
 * end comes before stays in the guest.
 */
typedef int (*proc_undo_fn)(struct guest *guest, const struct call *call, const char *name);
void proc_undo_by(struct lproc_room *room, proc_undo_fn fn, const char *name);

/* Ends that for good: nothing of it goes on when it comes back, which is soon. */
void proc_undo_stop(struct lproc_room *room);

#endif
