/*
 * proc_service.h - what the parts of services share.  Internal to protocol/line/proc_service*.c.
 */
#ifndef VSOCKFS_LINE_PROC_SERVICE_H
#define VSOCKFS_LINE_PROC_SERVICE_H

#include "protocol/line/line.h"
#include "protocol/line/proc_room.h"

/* A call for one request: within CALL, and no longer than the guest's timeout. */
struct call proc_short_call(struct guest *guest, const struct call *call);

/* Runs SCRIPT; its status is 0 or the call fails. */
int proc_ask(struct guest *guest, const struct call *call, const struct buf *script,
	     struct shtext_reply *reply, struct error *err);

/*
 * Where the agent keeps a service's outputs: sh that sets $log to the path without ".stdout", or
 * to "" (an agent with a directory of its own choice).
 */
void proc_service_find_log(struct buf *script, const char *name);

/* Fills OUT from the agent's answer and what this side knows better; takes nothing from FROM. */
int proc_service_fill(struct guest *guest, const struct line_service *from,
		      struct proc_service *out, struct error *err);

/*
 * The agent's answer once it has noticed what has happened, the log sizes and the guest's clock.
 * Fills OUT.
 */
int proc_service_look(struct guest *guest, const struct call *call, const char *name,
		      struct proc_service *out, double *now, struct error *err);

/*
 * Ends a running service whose leader is PID: TERM, up to GRACE seconds, KILL, and the agent's own
 * stop for its record.  What it is afterwards goes into the note: STATE and REASON, or
 * "stopped" and the signal that did it where they are NULL.
 */
int proc_service_end(struct guest *guest, const struct call *call, const char *name, int64_t pid,
		     double grace, const char *state, const char *reason, struct error *err);

#endif
