/*
 * sproc_internal.h - what the files of the processes over the session dialect share.
 *
 *     sproc.c          the room; calls with one JSON object in and one out; reading output
 *     sproc_service.c  services
 *     sproc_shell.c    shells
 *     sproc_command.c  commands
 *
 * Objects are built and read with the line dialect's own functions: the keys are the same.
 */
#ifndef VSOCKFS_SESSION_SPROC_INTERNAL_H
#define VSOCKFS_SESSION_SPROC_INTERNAL_H

#include <pthread.h>

#include "protocol/line/proc_room.h"
#include "protocol/line/reply.h"
#include "protocol/line/request.h"
#include "protocol/session/frame.h"
#include "protocol/session/sproc.h"

#define SPROC_TOKEN 16 /* digits */

/* Most bytes of one reading. */
#define SPROC_READ_MAX (1u << 20)

struct sproc_debt;

struct sproc_room {
	struct link *link;
	double timeout;
	char token[SPROC_TOKEN + 1]; /* of the ids of its commands */

	pthread_mutex_t lock;
	uint64_t commands;        /* lock; that were made, for ids */
	struct sproc_debt *debts; /* lock; commands that the guest still has */
};

/*
 * One call.  REQUEST is used up, also where it latched an error; *REPLY (or NULL) is the caller's.
 */
int sproc_ask(struct sproc_room *room, const struct call *call, enum session_op op,
	      struct line_request *request, json_t **reply, struct error *err);
/* The same where all that is asked is KEY: NAME. */
int sproc_ask_name(struct sproc_room *room, const struct call *call, enum session_op op,
		   const char *key, const char *name, json_t **reply, struct error *err);

/* REQUEST's object as a call's arguments; REQUEST is used up. */
int sproc_pack(struct line_request *request, struct buf *args);

/* Adds cwd and env. */
void sproc_add_settings(struct line_request *request, const struct proc_settings *settings);

/*
 * Reads what the process NAME of KIND has written: at most LEN bytes from OFFSET on.  *END (the
 * caller's, where it is no error) says with `next` where the next ones are, and with `status` how
 * it was then.
 */
ssize_t sproc_read(struct sproc_room *room, const struct call *call, const char *kind,
		   const char *name, int stream, int64_t offset, void *bytes, size_t len,
		   json_t **end, struct error *err);

/* SECONDS from now or CALL's deadline, whichever is later. */
struct call sproc_longer(const struct call *call, double seconds);
/* For what has to be done although CALL is out of time, or interrupted. */
struct call sproc_last_call(const struct sproc_room *room, const struct call *call);

/* sproc_command.c: tries once more to forget what the guest still has. */
void sproc_pay_debts(struct sproc_room *room);

#endif
