/*
 * exec.h - exec/NAME: one command, its input, its output and how it ended.
 *
 * A directory may run several commands, one after the other; what it shows is the last one's.
 */
#ifndef VSOCKFS_CTL_EXEC_H
#define VSOCKFS_CTL_EXEC_H

#include "ctl/job.h"
#include "ctl/waitq.h"
#include "protocol/process.h"

/*
 * One command that was started.  Counted, because a read of its output may be under way when the
 * next one is started; the last reference ends it and removes its files from the guest.
 */
struct exec_run {
	atomic_uint refs;
	struct guest *guest; /* a reference */
	struct proc_command *command;
};

enum exec_state { EXEC_NEW, EXEC_RUNNING, EXEC_EXITED };

struct exec {
	struct job job;
	double timeout; /* seconds, 0 for none; changed under object.verbs and object.lock */
	/* object.lock for all that follows */
	enum exec_state state;
	bool lost;            /* exited, and nobody knows how: the guest has forgotten it */
	char *command;        /* owned; NULL while new */
	struct exec_run *run; /* a reference; NULL while new */
	struct proc_command_status last;
	int stdin_fd; /* an unlinked temporary file; -1 while stdin is empty */
	int64_t stdin_size;
	struct waitq wait;
};

extern const struct object_type exec_type;

int exec_new(struct object *dir, const char *name, struct exec **out, struct error *err);

/* A reference to what was started last, or NULL. */
struct exec_run *exec_get_run(struct exec *exec);
void exec_put_run(struct exec_run *run);

/*
 * Asks the guest how the command is, while it runs.  One that the guest does not know any more has
 * ended: that is no error here, and its sentence is in `error`.
 */
int exec_refresh(struct exec *exec, const struct call *call, struct error *err);

/* Ends what still runs and removes it from the guest; parked waits get their code.  rmdir. */
int exec_end(struct object *object, const struct call *call, struct error *err);

/* exec_files.c */
#define EXEC_FILES 8
extern const struct file_type exec_file_types[EXEC_FILES];

#endif
