/*
 * session_room.h - what the sessions of an agent share: the workers that run slow operations, how
 * many there may be of what, and the watch.
 */
#ifndef VSOCKFS_AGENT_SESSION_ROOM_H
#define VSOCKFS_AGENT_SESSION_ROOM_H

#include <stdbool.h>
#include <stdint.h>

#include "protocol/agent/session_call.h"

#define SESS_MAX_SESSIONS 64

struct agent;
struct budget;
struct sess_hub;
struct sess_room;
struct sess_verifier;
struct sess_workers;

int sess_room_new(struct agent *agent, struct sess_room **out, struct error *err);
/* No session is left.  Waits for the workers. */
void sess_room_free(struct sess_room *room);

/*
 * SESS, whose sender is ready, is one more session.  Earlier ones of the same client are ended:
 * when this returns 0 no change of theirs is under way, and none will be.  It waits for those that
 * are, a second at most. -EAGAIN: there are too many sessions; -EBUSY: a change goes on, or the
 * client has a newer session: it may try again.
 */
int sess_room_enter(struct sess_room *room, struct sess *sess, struct error *err);
/* A session that was ended has no change under way any more. */
void sess_room_quieten(struct sess_room *room);
void sess_room_leave(struct sess_room *room, struct sess *sess);

/* Ends all sessions, also those whose clients take nothing. */
void sess_room_interrupt(struct sess_room *room);

/* One more upload: each may have OPS_WINDOW bytes waiting.  False when there are too many. */
bool sess_room_begin_upload(struct sess_room *room);
void sess_room_end_upload(struct sess_room *room);

struct sess_room_info {
	unsigned sessions, workers;
	int64_t uptime_ms;
};
void sess_room_get_info(struct sess_room *room, struct sess_room_info *out);

struct sess_workers *sess_room_workers(struct sess_room *room);

/* The files that all sessions may have open. */
struct budget *sess_room_files(struct sess_room *room);

/* Which guest and which agent this is. */
struct sess_verifier *sess_room_verifier(struct sess_room *room);

/* What watches the workspace (session_watch.h). */
struct sess_hub *sess_room_hub(struct sess_room *room);

#endif
