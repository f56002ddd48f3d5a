/*
 * session_watch.h - the agent's watch over the workspace, shared by all sessions that ask for it.
 *
 * One thread, which exists while somebody watches, takes events in, sends them on, and answers
 * barriers.  It never waits for a client: to one that takes nothing, events are sent later, or an
 * EVENT_RESCAN in their place.  Numbers go on growing over the hub's whole life, also while nobody
 * watches, and begin with the time, so that those of an earlier agent are never taken for this
 * one's.
 */
#ifndef VSOCKFS_AGENT_SESSION_WATCH_H
#define VSOCKFS_AGENT_SESSION_WATCH_H

#include "protocol/error.h"

struct agent;
struct sess;
struct sess_hub;

int sess_hub_new(struct agent *agent, struct sess_hub **out, struct error *err);
/* No call is left; waits for the thread. */
void sess_hub_free(struct sess_hub *hub);

/* Something can be posted to SESS again (session_send.h).  Only signals. */
void sess_watch_on_room(struct sess *sess);

#endif
