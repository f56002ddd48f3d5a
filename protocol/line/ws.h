/*
 * ws.h - the workspace over the line dialect, as its own files see it.
 *
 * The strategy is plain: every operation is one exec of a small script, right on any guest
 * with a POSIX shell and coreutils or busybox.  A script checks before it acts, so that a tool
 * does not do something else instead (mv would copy across devices), and prints what
 * stat says afterwards.  Only what is written to files waits on this side, in a spool,
 * until close or fsync (ws_dirty.h, ws_flush.c).
 *
 * Locks, in the order in which they are taken:
 *   inode->gate       a sleeping lock, held over requests: one flush or fetch of a file at a time
 *   workspace->names  a sleeping lock, held over requests: shared by whoever addresses
 *                     an open file by its path, exclusive for what changes such paths
 *   workspace->lock   the table of open files: short, never held over a request
 *   inode->lock       a file's spool, chunks and attributes: short, likewise
 */
#ifndef VSOCKFS_LINE_WS_H
#define VSOCKFS_LINE_WS_H

#include <pthread.h>
#include <stdatomic.h>
#include <uthash.h>

#include "protocol/buf.h"
#include "protocol/guest.h"
#include "protocol/line/lws.h"
#include "protocol/line/shell_text.h"
#include "protocol/line/ws_dirty.h"
#include "protocol/line/ws_latch.h"
#include "protocol/workspace.h"

#define WS_ROOT "/workspace"
#define WS_CHUNKS 2
#define WS_CHUNK_MIN (128 << 10) /* what the kernel asks for at a time */

struct ws_key {
	uint64_t dev, ino;
};

/* Bytes of a file as the guest had them. */
struct ws_chunk {
	char *bytes; /* owned; NULL for none */
	int64_t offset;
	size_t len;
	size_t asked;    /* len is less where the file ended */
	int64_t fetched; /* call_now() */
};

/*
 * An inode of the guest's that is open here, shared by all its handles.  A field
 * of "both" locks is written with both held and read with either.
 */
struct ws_inode {
	struct lws *ws;
	struct ws_key key;
	UT_hash_handle hh; /* ws->lock */
	unsigned refs;     /* ws->lock: handles, and whoever works with it at the moment */
	unsigned handles;  /* ws->lock */

	char *path;      /* ws->lock: below the root; NULL when it has no name any more */
	uint64_t staged; /* both: the number of its link in the staging directory, 0 for none */
	/* Where it may be instead, since a change whose answer was not heard. */
	char *other_path;      /* ws->lock */
	uint64_t other_staged; /* ws->lock */

	struct ws_latch gate;

	pthread_mutex_t lock;
	struct ws_attr attr;     /* lock: what the guest said last, without this side's link */
	uint64_t seq;            /* lock: ws->seq when attr came from a change of our own */
	struct timespec written; /* lock: this side's time of the last unsent write */
	struct ws_dirty dirty;   /* lock */
	bool told;               /* lock: the error of the last flush was returned to a caller */
	int64_t unsure;  /* lock: size before an append that the guest may have; -1 for none */
	uint64_t orphan; /* lock: a staged file that a flush left when it was given up, or 0 */
	struct ws_chunk chunks[WS_CHUNKS]; /* lock; [0] is the newest */
	size_t window;                     /* lock: bytes of the next fetch */
	int64_t next;                      /* lock: where a sequential read would go on */
};

struct lws_file {
	struct ws_inode *inode; /* a reference */
	int flags;
};

struct lws {
	struct guest *guest;
	char *root;  /* absolute in the guest: WS_ROOT; tests have another */
	char *stage; /* absolute: root/.vsockfs-TOKEN */
	struct ws_latch names;
	atomic_ullong seq;    /* counts own changes that have been answered */
	atomic_ullong serial; /* names in the staging directory */
	atomic_llong cached;  /* bytes in chunks */
	atomic_bool staged;   /* the staging directory may exist: to be removed */
	atomic_bool swept;    /* ws_stage_prepare was done */
	size_t range;         /* bytes of a listing that one reply may have; tests have less */
	pthread_mutex_t lock;
	struct ws_inode *inodes; /* lock: by key */
};

/* ws.c: ws_new with another root, for tests. */
int lws_new_at(struct guest *guest, const char *root, struct lws **out, struct error *err);

/* ws_script.c: paths and scripts */

enum ws_path_use { WS_LOOKUP, WS_CREATE };

/* Components, lengths and the private prefix. */
int ws_check_path(const char *path, enum ws_path_use use, struct error *err);
/* The path as the guest knows it, owned; NULL when out of memory. */
char *ws_absolute(const struct lws *ws, const char *path);
/* NAME of the staging directory, absolute, owned. */
char *ws_stage_name(const struct lws *ws, uint64_t serial);

/*
 * Begins a script with the functions that scripts use:
 *   die TEXT       ends it with an errno's text
 *   here P         whether P exists, links not followed
 *   dir P          whether P is a directory, links not followed
 *   need P         ends it with the reason unless P exists
 *   in_dir P       ends it with the reason unless P can have names in it
 *   free P         ends it with EEXIST if P exists
 *   show P         prints P's attributes
 */
void ws_script_begin(struct buf *script);
/*
 * Defines make, which makes a new regular file "$p" with MODE or fails in silence, and
 * why, which ends the script with the reason unless "$p" exists by now.
 */
void ws_script_make(struct buf *script, mode_t mode);
/*
 * NAME=where PATH, of the workspace, is, after a look that none of its directories is a link: where
 * one is since the kernel was told of a directory, that is ESTALE, upon which the kernel looks
 * again. FD, 5 or 6, stays open in the script; another one for each place.
 */
void ws_script_place(struct buf *script, const struct lws *ws, const char *name, const char *path,
		     int fd);
/*
 * D=the directory that PATH is in, with a slash at its end.  True: the statement is not ended, and
 * its status is whether the directory passed that look; what is to be done if not comes next ("||
 * ...\n").
 */
bool ws_script_at(struct buf *script, const struct lws *ws, const char *path, int fd);
/*
 * Defines hold, which opens "$p" and fails unless it is the inode i='DEVICE INODE' and no link:
 * from then on "$F" is it, for tools that follow links, and stat $L shows it.
 */
void ws_script_hold(struct buf *script);
/* NAME=quoted path; VALUE may be NULL after an allocation that failed: the script overflows. */
void ws_script_var(struct buf *script, const char *name, const char *value);

/* Runs SCRIPT, which is counted as KIND.  A status other than 0 is the errno of its message. */
int ws_run(struct lws *ws, const struct call *call, enum traffic_kind kind,
	   const struct buf *script, struct shtext_reply *reply, struct error *err);
/* The same for a script whose output is one record of attributes, or none (OUT is NULL). */
int ws_run_attr(struct lws *ws, const struct call *call, enum traffic_kind kind,
		const struct buf *script, struct ws_attr *out, struct error *err);
/* Whether RC leaves open if the guest did what it was asked. */
bool ws_unanswered(int rc);

/* ws_parse.c: what stat prints */

#define WS_STAT_FORMAT "%n//%f %i %h %u %g %s %b %t %T %d %x|%y|%z"

struct ws_record {
	const char *name; /* not NUL-terminated */
	size_t name_len;
	struct ws_attr attr;
};
/* Takes a record off the front of *TEXT.  -EPROTO. */
int ws_parse_record(const char **text, const char *end, struct ws_record *out);
/* Takes decimal numbers, separated by white space. */
int ws_parse_numbers(const char *text, uint64_t *numbers, size_t count);

/* ws_table.c: open files */

/* The open inode for ATTR's key, or a new one, at PATH; with a reference. */
int ws_inode_get(struct lws *ws, const char *path, const struct ws_attr *attr,
		 struct ws_inode **out);
/* An open inode by its key or NULL.  ws->lock held. */
struct ws_inode *ws_inode_find(struct lws *ws, const struct ws_key *key);
/* An open inode by its path or NULL; with a reference. */
struct ws_inode *ws_inode_at(struct lws *ws, const char *path);
/* An open inode by its key or NULL; with a reference. */
struct ws_inode *ws_inode_of(struct lws *ws, const struct ws_attr *attr);
/* Drops a reference; the last frees it, with all that was not sent, and removes its staged link. */
void ws_inode_put(struct ws_inode *inode, const struct call *call);
/* Whether it has unsent writes. */
bool ws_inode_dirty(struct ws_inode *inode);
/* Calls EACH, with a reference, for every inode that has unsent writes.  The first failure. */
int ws_inode_each_dirty(struct lws *ws, const struct call *call,
			int (*each)(struct ws_inode *inode, void *arg), void *arg);

/* ws_names.c: where open files are, while names change */

/* The name of INODE is gone; it lives on under STAGED (0: not). */
void ws_names_removed(struct lws *ws, struct ws_inode *inode, uint64_t staged);
/* FROM became TO, with all that is below; EXCHANGE: and TO became FROM. */
void ws_names_moved(struct lws *ws, const char *from, const char *to, bool exchange);
/* The same, but perhaps: the answer was not waited for. */
void ws_names_unsure(struct lws *ws, const char *from, const char *to, bool exchange);

/* The name of INODE is gone, perhaps, and STAGED made. */
void ws_name_removed_unsure(struct lws *ws, struct ws_inode *inode, uint64_t staged);
/*
 * Asks where the files are of which that is not sure.  Call with names held exclusively, before
 * the next change of names.  Sends nothing where all is sure.
 */
int ws_names_settle(struct lws *ws, const struct call *call, struct error *err);
/* The same for who does not hold names. */
int ws_names_settle_all(struct lws *ws, const struct call *call, struct error *err);

/*
 * Adds p=PATH of an open file, and F and L as hold does, which checks that it is still that inode
 * (or is ESTALE).  Call with names held.
 */
int ws_script_inode(struct ws_inode *inode, struct buf *script, struct error *err);

/* ws_inode.c: what is known of open files, and what is told */

/* What is told about a file: unsent writes and the staged link taken into account. */
void ws_attr_overlay(struct lws *ws, uint64_t seq, struct ws_attr *attr);
/* The guest said ATTR of INODE; OWN: after a change of ours.  inode->lock held. */
void ws_inode_learn(struct ws_inode *inode, const struct ws_attr *attr, bool own);
/* ATTR as it is shown.  inode->lock held. */
void ws_inode_show(const struct ws_inode *inode, struct ws_attr *attr);

/* ws_flush.c */

/*
 * Puts unsent writes in place, then runs EXTRA (statements on "$p" or "$F", or NULL), in one script
 * where it fits.  EXTRA may use what is in front of it: unlock makes it writable for who has
 * it open though its mode says no (a file made with mode 0444), relock undoes that.
 * Nothing unsent and no EXTRA: sends nothing.  OUT may be NULL; it is what
 * ws_inode_show says afterwards.
 */
int ws_inode_flush(struct ws_inode *inode, const struct call *call, const char *extra,
		   struct ws_attr *out, struct error *err);

/* ws_stage.c */

/* Makes the staging directory, once, and sweeps those of daemons that died. */
int ws_stage_prepare(struct lws *ws, const struct call *call, struct error *err);
/* Removes FILE from it, or all of it where SERIAL is 0. */
int ws_stage_remove(struct lws *ws, const struct call *call, uint64_t serial, struct error *err);
/* Uploads the bytes of EXTENTS, back to back, as the file SERIAL. */
int ws_stage_upload(struct lws *ws, const struct call *call, int spool_fd,
		    const struct ws_extents *extents, uint64_t serial, struct error *err);

/* ws_read.c */
void ws_chunks_drop(struct ws_inode *inode); /* inode->lock held */
/* Statements that print CHUNK's bytes of what is held behind its attributes. */
void ws_chunk_script(struct buf *script, const struct ws_chunk *chunk);
/* Takes the attributes, and the bytes that were asked for, out of a reply.  -EPROTO. */
int ws_chunk_take(struct shtext_reply *reply, struct ws_chunk *chunk, struct ws_attr *attr,
		  struct error *err);
/*
 * The beginning of a file, which came with its open when ws->seq was SEQ: kept for the reads
 * that follow, unless there are unsent writes or it is too old.  Takes the bytes over.
 */
void ws_chunk_offer(struct ws_inode *inode, uint64_t seq, const struct ws_attr *attr,
		    struct ws_chunk *chunk);

/* ws_attr.c */
/*
 * Statements on "$p" and "$F" for ws_inode_flush (OPEN: the caller has it open for writing,
 * whatever its mode says now) or for a script of their own.
 */
int ws_setattr_statements(struct buf *script, unsigned mask, const struct ws_attr *in, bool open,
			  struct error *err);

#endif
