/*
 * session_proc.h - the frame of the operations on processes: one JSON object in, one out.
 * Internal to session_proc*.c.
 *
 * The arguments are read as those of the line dialect are (request.h), with the same defaults.
 */
#ifndef VSOCKFS_AGENT_SESSION_PROC_H
#define VSOCKFS_AGENT_SESSION_PROC_H

#include "protocol/agent/request.h"
#include "protocol/agent/session_call.h"
#include "protocol/session/pack.h"

/* 0 or a negative errno; REPLY's object is the result. */
typedef int (*sess_json_fn)(struct sess_call *call, struct request *request, struct reply *reply,
			    struct error *err);

/* The whole of an operation that is not parked. */
int sess_json_run(struct sess_call *call, struct unpack *args, struct buf *result,
		  struct error *err, sess_json_fn fn);

/* Its parts.  The request's object is owned; nothing is an empty one.  -EPROTO for what is none. */
int sess_json_parse(struct sess_call *call, struct unpack *args, struct request *out,
		    struct error *err);
void sess_json_done(struct request *request);
/* Adds REPLY's object to RESULT and frees it.  A command that makes it too long is left out. */
int sess_json_dump(struct reply *reply, struct buf *result, struct error *err);

/* A number for a signal's name without SIG; -EINVAL. */
int sess_signal_number(const struct request *request, const char *fallback, struct error *err);

#endif
