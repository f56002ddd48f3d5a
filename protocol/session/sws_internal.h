/*
 * sws_internal.h - what the files of the workspace over the session dialect share.
 *
 *     sws.c        life; questions about paths
 *     sws_call.c   a call of the living session, and what happens when it breaks
 *     sws_name.c   changes of names
 *     sws_list.c   listings
 *     sws_inode.c  the files that are open here, by inode, and where they are
 *     sws_open.c   open and close
 *     sws_handle.c a file's number in the living session; calls on open files
 *     sws_stray.c  answers that nobody waits for, but that somebody has to hear
 *     sws_read.c   reads
 *     sws_write.c  write, flush, sync
 *     sws_queue.c  unanswered writes: sent, settled, sent again
 *     sws_sync.c   fsync, and what a guest that was started anew has lost
 *
 * Locks, in the order in which they are taken:
 *     inode->gate  a sleeping lock (exclusive only), held over calls: whoever sends or settles writes
 *                  of the inode, or opens one of its files again
 *     ws->names    a sleeping lock, held over calls: shared by what changes names, exclusive for
 *                  what opens a file again by its name
 *     ws->lock     everything else: short, never held over a call
 * A field of "both" the gate and the lock is written with both held and read with either.
 */
#ifndef VSOCKFS_SESSION_SWS_INTERNAL_H
#define VSOCKFS_SESSION_SWS_INTERNAL_H

#include <pthread.h>
#include <uthash.h>

#include "protocol/buf.h"
#include "protocol/gate.h"
#include "protocol/line/ws_latch.h"
#include "protocol/session/frame.h"
#include "protocol/session/mux.h"
#include "protocol/session/ops.h"
#include "protocol/session/sws.h"

/* Unanswered writes: of one file, and of a workspace. */
#define SWS_FILE_BYTES (4u << 20)
#define SWS_FILE_WRITES 64u
#define SWS_ALL_BYTES (8u << 20)
#define SWS_ALL_WRITES 512u

/*
 * A read has so many calls under way; of reads that are not small, so many are under way.  With the
 * writes that is 16 MiB.
 */
#define SWS_READ_CALLS 4u
#define SWS_SMALL_READ (16u << 10)
#define SWS_BULKS 16

/* Handles that are being closed before the oldest is waited for. */
#define SWS_STRAYS 64u

/* A call goes over so many sessions, one after the other, where it may be repeated. */
#define SWS_SESSIONS 3

struct sws_key {
	uint64_t dev, ino, generation;
};

/* A write that the guest has not answered. */
struct sws_write {
	struct sws_write *prev, *next; /* both; inode->writes */
	struct sws_file *file;
	struct mux *mux;           /* both; referenced; NULL: it is to be sent (again) */
	struct mux_ticket *ticket; /* gate; there while mux is */
	struct buf args; /* gate; OP_WRITE's: the handle in front is that of the session */
	size_t len;      /* constant */
	bool append;     /* constant */
};

/* An inode of the guest's that is open here, shared by all its handles. */
struct sws_inode {
	struct sws *ws;
	struct sws_key key;
	UT_hash_handle hh;             /* lock */
	unsigned refs;                 /* lock; handles, and whoever works with it */
	struct sws_file *files;        /* lock; gate too to take one out */
	struct sws_inode *prev, *next; /* lock; ws->dirty, while there are writes */

	char *path;     /* lock; below the root; NULL when it has no name any more */
	char *maybe;    /* lock; where it may be instead: a rename had no answer, or came between */
	uint64_t named; /* lock; ws->clock when path was found to be so */

	/* lock; mux_epoch at the first change that was answered and not synced; 0: none */
	uint64_t unsynced;
	uint64_t changed; /* lock; ws->clock at the last of them */

	struct ws_latch gate;
	struct sws_write *writes; /* both; in the order in which they were made */
	size_t bytes;             /* both; of them */
	unsigned count;           /* both; of them */
};

struct sws_file {
	struct sws_inode *inode;      /* a reference */
	struct sws_file *prev, *next; /* as inode->files */
	int flags;                    /* constant; open(2)'s */
	struct mux *mux;              /* both; referenced; the session that handle is good in */
	uint32_t handle;              /* both */
	int lost;      /* lock; errno of a write that nobody was told of, 0 for none */
	char why[200]; /* lock */
	bool told;     /* lock; the last flush failed, and nothing was written since */
};

/* An open under way: renames that are answered meanwhile may have moved what it opens. */
struct sws_opening {
	struct sws_opening *prev, *next; /* lock; ws->openings */
	const char *path;
	char *maybe; /* lock; owned */
};

/* A call whose answer nobody waits for. */
struct sws_stray {
	struct sws_stray *prev, *next; /* lock; ws->strays, oldest first */
	struct mux *mux;               /* referenced */
	struct mux_ticket *ticket;
	enum session_op op; /* OP_OPEN or OP_CLOSE */
};

struct sws {
	struct link *link;
	struct ws_latch names;
	struct gate bulks;
	pthread_mutex_t lock;
	struct sws_inode *inodes;     /* lock; by key */
	struct sws_inode *dirty;      /* lock; those with unanswered writes, oldest first */
	size_t bytes;                 /* lock; of unanswered writes */
	unsigned count;               /* lock; likewise */
	struct sws_opening *openings; /* lock */
	struct sws_stray *strays;     /* lock */
	unsigned stray_count;         /* lock */
	uint64_t clock;               /* lock; counts what must be known to be before or after */
};

/* sws_call.c */

/*
 * Calls STEP with a living session, and with another one when it returns -ECONNRESET.  Writes that
 * broke with the last session have been sent over this one before: whatever STEP asks comes behind
 * them.  ERR is never NULL for STEP.  Call without a gate.  OP is what is asked again then; 0 for
 * writes, which are counted where they are sent again.
 */
typedef int (*sws_step)(void *arg, struct mux *mux, struct error *err);
int sws_run(struct sws *ws, const struct call *call, enum session_op op, sws_step step, void *arg,
	    struct error *err);

/* For a STEP whose call is not to be repeated: makes of WHY the session broke -EIO, not known. */
int sws_unknown(struct error *why);

struct sws_ask {
	enum session_op op;
	const struct buf *args;
	struct buf *reply; /* may be NULL */
	bool repeatable;   /* changes nothing when it is done twice */
	/*
	 * For changes of names: called under ws->names when it was done, or perhaps was (UNSURE).
	 */
	void (*renamed)(struct sws *ws, const struct sws_ask *ask, bool unsure);
	const char *victim; /* the name that goes, or NULL */
	uint64_t begun;     /* for it: ws->clock when the call was sent */
};

/* One call, without a handle. */
int sws_call(struct sws *ws, const struct call *call, struct sws_ask *ask, struct error *err);
/* The same where the result is ATTR; OUT may be NULL. */
int sws_call_attr(struct sws *ws, const struct call *call, struct sws_ask *ask, struct ws_attr *out,
		  struct error *err);
/* The attributes that are the whole of REPLY; OUT may be NULL. */
int sws_take_attr(const struct buf *reply, struct ws_attr *out, struct error *err);
/* -EPROTO for those of a type of file that there is not. */
int sws_check_attr(const struct ws_attr *attr, struct error *err);

/* sws_inode.c */

/* Around an open: what OPENING's path may have become meanwhile is known at its end. */
void sws_opening_begin(struct sws *ws, struct sws_opening *opening);
void sws_opening_end(struct sws *ws, struct sws_opening *opening);
/* Makes FILE one more of the files of ATTR's inode, which holds a reference then.  -ENOMEM. */
int sws_inode_add(struct sws *ws, struct sws_opening *opening, const struct ws_attr *attr,
		  struct sws_file *file);
/* Drops a reference; the last frees it. */
void sws_inode_put(struct sws_inode *inode);

/*
 * Changes of names that were answered, with ws->lock held.  BEGUN is ws->clock when the change was
 * sent: of what was learned later it is not known which came first.
 */
/* The name PATH is gone. */
void sws_path_removed(struct sws *ws, const char *path, uint64_t begun);
/* FROM became TO, with all that is below; EXCHANGE: and TO became FROM; UNSURE: perhaps. */
void sws_path_moved(struct sws *ws, const char *from, const char *to, bool exchange, bool unsure,
		    uint64_t begun);

/* sws_open.c */

struct sws_opened {
	bool answered;   /* whatever was returned is what the agent said */
	bool maybe_done; /* after -ECONNRESET: the agent may have opened it */
	uint32_t handle;
	struct ws_attr attr;
};
/* OP_OPEN's arguments; -EINVAL for an access mode that is none. */
int sws_open_args(struct buf *args, const char *path, int flags, mode_t mode);
int sws_open_call(struct sws *ws, struct mux *mux, const struct call *call, const struct buf *args,
		  struct sws_opened *out, struct error *err);

/* sws_handle.c */

/* Makes FILE's session MUX.  Gate held.  -ESTALE is for good. */
int sws_file_reopen(struct sws_file *file, struct mux *mux, const struct call *call,
		    struct error *err);
/* The same without the gate; FILE's number there. */
int sws_file_handle(struct sws_file *file, struct mux *mux, const struct call *call,
		    uint32_t *handle, struct error *err);
/*
 * Whoever has PATH open gets a handle in MUX: when the name is gone the file could not be opened
 * again.
 */
int sws_path_reopen(struct sws *ws, struct mux *mux, const struct call *call, const char *path,
		    struct error *err);
/* A repeatable call on FILE.  Its handle is put in at AT. */
int sws_file_call(struct sws_file *file, const struct call *call, enum session_op op,
		  struct buf *args, size_t at, struct buf *reply, struct error *err);
void sws_put_handle(struct buf *args, size_t at, uint32_t handle);

/* sws_stray.c */

/* Takes the reference and the ticket over; gives the call up when out of memory. */
void sws_stray_add(struct sws *ws, struct mux *mux, struct mux_ticket *ticket, enum session_op op);
/* Hears those that are answered, and the oldest where there are too many. */
void sws_strays_hear(struct sws *ws, const struct call *call);
void sws_strays_drop(struct sws *ws);
/* Closes HANDLE without waiting for it.  Takes the reference over; NULL: it is closed. */
void sws_close_handle(struct sws *ws, struct mux *mux, uint32_t handle);

/* sws_write.c */

bool sws_is_writer(const struct sws_file *file);
/* Whoever wrote through FILE is told next.  ws->lock held. */
void sws_file_lose(struct sws_file *file, const struct error *why);
/* That error, once. */
int sws_tell_lost(struct sws_file *file, struct error *err);
void sws_set_told(struct sws_file *file, bool told);

/* sws_sync.c */

/* The guest of EPOCH has taken a change of INODE's contents. */
void sws_inode_changed(struct sws_inode *inode, uint64_t epoch);
/*
 * The guest is known to be in EPOCH now: where INODE has unsynced changes of another one, who has
 * it open for writing is told next, and this is true.  ws->lock held.
 */
bool sws_inode_judge(struct sws_inode *inode, uint64_t epoch);

/* sws_queue.c */

/* Whether writes have to be sent before anything else is asked in MUX.  ws->lock held. */
bool sws_queue_is_behind(const struct sws_inode *inode, const struct mux *mux);
/* Sends over MUX what is not under way there.  Gate held. */
int sws_queue_send(struct sws_inode *inode, struct mux *mux, const struct call *call,
		   struct error *err);
/*
 * One more, of at most OPS_IO_MAX bytes, over the session of FILE, where all others are.  Gate
 * held.
 */
int sws_queue_add(struct sws_file *file, const struct call *call, int64_t offset, const void *bytes,
		  size_t len, struct error *err);
/* Waits until none of INODE's writes is unanswered.  Takes the gate if there are any. */
int sws_inode_settle(struct sws_inode *inode, const struct call *call, struct error *err);
/* Waits until no more than COUNT writes of BYTES together are unanswered.  Gate held. */
int sws_queue_settle(struct sws_inode *inode, struct mux *mux, const struct call *call,
		     unsigned count, size_t bytes, struct error *err);
/* Forgets what FILE wrote and was not answered; whether there was any.  Gate held. */
bool sws_queue_abandon(struct sws_file *file);
/* Settles others' oldest writes until there is room for one more in the workspace. */
int sws_queue_make_room(struct sws *ws, const struct call *call, struct error *err);

#endif
