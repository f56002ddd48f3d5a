/*
 * shell.h - shells/ID: a shell on a terminal of the guest's.
 *
 * Everything that the shell writes is fetched once, in order, into a spool: cons,
 * output and text read from there.  A directory may see several shells, one after the other;
 * its transcript goes on.
 */
#ifndef VSOCKFS_CTL_SHELL_H
#define VSOCKFS_CTL_SHELL_H

#include "ctl/job.h"
#include "ctl/render.h"
#include "ctl/spool.h"
#include "ctl/waitq.h"
#include "protocol/process.h"

enum shell_state { SHELL_NEW, SHELL_RUNNING, SHELL_STOPPED };

struct shell {
	struct job job;
	int cols, rows;     /* changed under the verb lock and object.lock */
	unsigned opened;    /* object.verbs; how many shells were opened here */
	struct vlock fetch; /* one fetch at a time; taken after object.verbs */
	/* changed under `fetch` and object.lock */
	char id[LIMIT_ENTITY_NAME + 1]; /* the guest's name for it; "" while new */
	struct proc_shell last;
	/* object.lock for all that follows */
	enum shell_state state;
	bool in_guest;       /* the guest still has the id: close frees it */
	int64_t cons_cursor; /* what cons has given */
	struct spool output; /* as it came */
	struct spool text;   /* the finished lines of it, rendered */
	struct render *render;
	struct waitq cons; /* reads of cons */
	struct waitq wait; /* reads of wait */
};

extern const struct object_type shell_type;

int shell_new(struct object *dir, const char *name, struct shell **out, struct error *err);

enum shell_state shell_state(struct shell *shell);

/* Opens a shell in the guest unless one runs.  Under object.verbs. */
int shell_open(struct shell *shell, const struct call *call, struct error *err);
/* The same, from outside: takes the verb lock. */
int shell_ensure_open(struct shell *shell, const struct call *call, struct error *err);

/* Fetches what is new.  Returns how many bytes came, or a negative errno. */
int64_t shell_fetch(struct shell *shell, const struct call *call, struct error *err);

/* close and rmdir.  Under object.verbs. */
int shell_close(struct shell *shell, const struct call *call, struct error *err);

enum poller_news shell_poll(struct object *object, const struct call *call); /* object_type.poll */

/* shell_files.c */
#define SHELL_FILES 7
extern const struct file_type shell_file_types[SHELL_FILES];

#endif
