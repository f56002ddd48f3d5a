/*
 * session_proc_source.h - a service, shell or command as what is read and waited for has it: one
 * that writes, may be ready, and ends.
 *
 * It is one run of it: a service that was started anew meanwhile has ended for this.
 */
#ifndef VSOCKFS_AGENT_SESSION_PROC_SOURCE_H
#define VSOCKFS_AGENT_SESSION_PROC_SOURCE_H

#include "protocol/agent/agent.h"
#include "protocol/agent/request.h"
#include "protocol/agent/session_proc_hub.h"

struct command;
struct shell;

struct proc_source {
	struct agent *agent; /* NULL: empty */
	enum proc_kind kind;
	char name[LIMIT_ENTITY_NAME + 1];
	struct shell *shell;     /* referenced */
	struct command *command; /* referenced */
	double run;              /* of a service */
	int orphan;              /* pidfd of a service that is no child of ours, -1 */
	bool blind;              /* there should be one and cannot */
};

/* Finds it.  -ENOENT; -EINVAL where KIND is none.  A command is OWNER's from then on. */
int proc_source_open(struct agent *agent, const void *owner, const char *kind, const char *name,
		     struct proc_source *out, struct error *err);
void proc_source_close(struct proc_source *source);

struct proc_view {
	bool ended;
	bool ready; /* or it will not be any more */
};
int proc_source_look(struct proc_source *source, struct proc_view *out, struct error *err);

/*
 * Reads of output STREAM (1 or 2) at *OFFSET, which is moved to what is still there.  Bytes, 0 at
 * the present end, which is the last one if VIEW says that it has ended.
 */
ssize_t proc_source_read(struct proc_source *source, int stream, int64_t *offset, char *bytes,
			 size_t len, struct proc_view *view, struct error *err);

/* SERVICE, SHELL or COMMAND. */
int proc_source_describe(struct proc_source *source, struct reply *reply, struct error *err);

/* The parts of that, for who has them. */
int proc_describe_service(struct agent *agent, const char *name, struct reply *reply,
			  struct error *err);
void proc_describe_shell(struct shell *shell, struct reply *reply);
void proc_describe_command(struct command *command, struct reply *reply);

#endif
