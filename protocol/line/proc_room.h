/*
 * proc_room.h - what the parts of process.h over the line dialect share.
 * Internal to protocol/line/proc_*.c.
 *
 * The room keeps what a guest's agent does not: which readiness a service was
 * started with and when it was reached.  Its lock is held for no request.
 */
#ifndef VSOCKFS_LINE_PROC_ROOM_H
#define VSOCKFS_LINE_PROC_ROOM_H

#include <pthread.h>
#include <stdbool.h>
#include <stdint.h>
#include <uthash.h>

#include "protocol/guest.h"
#include "protocol/line/line.h"
#include "protocol/line/lproc.h"
#include "protocol/line/shell_text.h"
#include "protocol/process.h"

/* What this side knows of a service that was started from here. */
struct proc_note {
	char name[LIMIT_ENTITY_NAME + 1]; /* key */
	int64_t pid;                      /* of the start that this is about */
	double ready_at, ended_at;        /* seconds since the epoch; 0 for not yet */
	char state[16];                   /* "" where the agent's stands */
	char stop_reason[32];             /* likewise */
	UT_hash_handle hh;
};

struct proc_undo;

struct lproc_room {
	struct guest *guest; /* which owns the room */
	pthread_mutex_t lock;
	struct proc_note *notes; /* lock; uthash by name */
	uint64_t commands;       /* lock; how many were started: the next one's number */
	bool used;               /* lock; the private directory may be there */
	struct proc_undo *undos; /* lock; owned: what is still to be undone (proc_undo.h) */
	bool undoing;            /* lock; a thread does it */
	pthread_cond_t undone;   /* with lock: that thread has ended */
	struct cancel ending;    /* fired when the room goes: that thread's */
};

/* Copies the note of NAME; false where there is none. */
bool proc_note_get(struct lproc_room *room, const char *name, struct proc_note *out);
/* Puts NOTE in the place of the one of its name. */
int proc_note_put(struct lproc_room *room, const struct proc_note *note, struct error *err);

/* Whether NAME may name a service or a shell. */
int proc_check_name(const char *what, const char *name, struct error *err);
/* Whether the variables may travel: names, count. */
int proc_check_env(const struct proc_settings *settings, struct error *err);

/* The settings' cwd, or the default. */
const char *proc_cwd(const struct proc_settings *settings);

/* The variables as line.h takes them, for free(); their strings stay the settings'. */
struct line_env *proc_line_env(const struct proc_settings *settings);

/*
 * What a failed request means to the callers of process.h: the texts of an agent become -ENOENT,
 * -EEXIST, -EBUSY, -EINVAL where they say so, and -EIO otherwise.
 */
int proc_error(int rc, struct error *err);

/*
 * Runs SCRIPT (freed by the caller) like shtext_run; a status other than 0 is returned as
 * it is (positive), with the reply filled.  Errors are negative.
 */
int proc_script(struct guest *guest, const struct call *call, enum traffic_kind kind,
		const struct buf *script, struct shtext_reply *reply, struct error *err);

/*
 * Reads up to LEN bytes (at most PROC_READ_MAX a request) at OFFSET of the guest's file that
 * FIND, sh statements, puts into $f.  Returns bytes, 0 at the end, -ENOENT where there is
 * no such file.
 */
#define PROC_READ_MAX (1u << 20)
ssize_t proc_range_read(struct guest *guest, const struct call *call, const char *find,
			int64_t offset, void *bytes, size_t len, struct error *err);

/* Kills what still runs in the private directory and removes it. */
void proc_command_sweep(struct guest *guest, const struct call *call);

/* An sh function: `size FILE` prints the bytes of FILE, 0 where it is not there. */
#define PROC_SH_SIZE                                                                               \
	"size() { stat -L -c %s \"$1\" 2>/dev/null || wc -c <\"$1\" 2>/dev/null || echo 0; }\n"

#endif
