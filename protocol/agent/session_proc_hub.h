/*
 * session_proc_hub.h - calls that wait for news of a process: its output, its readiness, its end.
 *
 * They are parked: one thread serves all of them, made for the first.  News are told by whoever has
 * them (a shell's thread, the reaper, a start), cost nothing where nobody waits for them, and come
 * from inotify for output that goes to files.
 */
#ifndef VSOCKFS_AGENT_SESSION_PROC_HUB_H
#define VSOCKFS_AGENT_SESSION_PROC_HUB_H

#include <pthread.h>
#include <stdbool.h>
#include <stdint.h>
#include <uthash.h>

#include "protocol/agent/session_call.h"
#include "protocol/limits.h"

enum proc_kind { PROC_SERVICE, PROC_SHELL, PROC_COMMAND };
#define PROC_KINDS 3

struct agent;
struct proc_hub;
struct proc_topic;
struct sess_send;

int proc_hub_new(struct agent *agent, struct proc_hub **out, struct error *err);
/* No session is left: ends the threads.  What is told later is not heard. */
void proc_hub_stop(struct proc_hub *hub);
void proc_hub_free(struct proc_hub *hub);

/* There are news of a process.  Only signals: any lock may be held. */
void proc_hub_tell(struct proc_hub *hub, enum proc_kind kind, const char *name);

/* What a parked call is to the hub, besides 0 and a negative errno, which end it. */
enum {
	PROC_WAITS = 1, /* until there are news, or FD is ready */
	PROC_AGAIN = 2, /* it has more to do, after the others */
	PROC_LATER = 3, /* nobody can tell: look again soon */
};

/* A parked call; the first member of what its operation keeps beside it. */
struct proc_item {
	struct sess_call *call;
	enum proc_kind kind;
	char name[LIMIT_ENTITY_NAME + 1];
	bool in_file; /* it waits for a file of its kind's directory to grow */

	/* On the hub's thread, whenever there may be something to do.  It never blocks. */
	int (*serve)(struct proc_item *item, struct buf *result, struct error *err);
	/* Before the call is answered. */
	void (*free)(struct proc_item *item);
	int fd;          /* the item's, may be changed by serve; -1 */
	uint32_t events; /* of epoll, to wait for on fd */

	/* The hub's own. */
	struct proc_hub *hub;
	struct proc_topic *topic;          /* hub->lock; NULL: not known, or not any more */
	bool marked;                       /* hub->lock; in hub->marked */
	struct proc_item *prev, *next;     /* hub->lock; hub->marked */
	struct proc_item *older, *younger; /* hub->lock; topic->items */
	UT_hash_handle hh;                 /* hub->lock; hub->by_call */
	bool held;                         /* hub->lock; in its line's held */
	struct proc_item *above, *below;   /* hub->lock; line->held */
	bool met, later;                   /* the thread's */
	int armed;                         /* the thread's; what epoll was told of, -1 */
	struct proc_item *former, *latter; /* the thread's; hub->later */
};

/*
 * A connection, as the hub has it, which sends on it without waiting.  The session's; all its own.
 */
struct proc_line {
	struct sess_send *send;
	struct proc_item *held; /* hub->lock; calls that wait for room */
	int64_t due; /* hub->lock; of clock_ms(): when its peer has been silent for too long */
	bool stuck;  /* hub->lock; in hub->stuck */
	bool known;  /* hub->lock; to hub->lines */
	struct proc_line *prev, *next; /* hub->lock; hub->stuck */
};

/*
 * Parks ITEM, whose call is answered and which is freed from then on by the hub.  SESS_PARKED; a
 * negative errno: it stays the caller's.
 */
int proc_hub_park(struct proc_hub *hub, struct proc_item *item, struct error *err);

/* For serve, before it closes an fd that was waited for: it is not any more. */
void proc_hub_disarm(struct proc_item *item);

/*
 * For struct sess_send_hooks: the socket is full (false where nobody can wait for it), there is
 * room again.  Both only signal.  Before the session ends, when it has no call any more:
 * proc_line_leave.
 */
bool proc_line_stuck(struct proc_hub *hub, struct proc_line *line);
void proc_line_room(struct proc_hub *hub, struct proc_line *line);
void proc_line_leave(struct proc_hub *hub, struct proc_line *line);

/* For struct sess_op: news of a parked call. */
void proc_hub_on_news(struct sess_call *call);

/*
 * Makes the thread look at the times that commands have set (commands_tend), making it if it must.
 */
int proc_hub_poke(struct proc_hub *hub);

/* A helping thread that runs RUN(ARG); -EAGAIN where there are too many. */
int proc_hub_help(struct proc_hub *hub, void *(*run)(void *arg), void *arg);
/* The last thing that RUN does. */
void proc_hub_helped(struct proc_hub *hub);

#endif
