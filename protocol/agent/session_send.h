/*
 * session_send.h - the sending side of a session's connection, shared by all who answer on it.
 *
 * One sends at a time, whole frames: it has the turn.  Small frames go before bulk: while somebody
 * waits for the turn with small ones, no bulk frame is begun.  Who must not wait *posts* a small
 * frame: it is sent at once where that can be, else kept, and goes before all else with whoever
 * sends next, or when the socket can take it (on_stuck).  What is kept is bounded by those who
 * post: they ask for room before.
 *
 * A peer that takes nothing for a minute is dropped: this and every later send fails, and the
 * reader wakes up to the end of the stream.
 */
#ifndef VSOCKFS_AGENT_SESSION_SEND_H
#define VSOCKFS_AGENT_SESSION_SEND_H

#include <pthread.h>
#include <stdbool.h>
#include <stddef.h>
#include <sys/uio.h>

#include "protocol/buf.h"

/* Pieces of one sending, at most. */
#define SESS_SEND_PIECES 4

enum sess_send_how {
	SESS_SEND_SMALL, /* waits for the turn and for the peer */
	SESS_SEND_BULK,  /* likewise, behind all that is small */
	SESS_SEND_POST,  /* waits for nothing */
};

/* Called with the lock held: they only signal. */
struct sess_send_hooks {
	/*
	 * Something is kept, and nobody is about to send: sess_send_resume is due when the socket
	 * can take more. False, if nobody can see to that, ends the connection.
	 */
	bool (*on_stuck)(void *arg);
	/* There is room again, after sess_send_want_room has said that there is none. */
	void (*on_room)(void *arg);
	void *arg;
};

struct sess_send {
	int fd; /* not owned */
	struct sess_send_hooks hooks;

	pthread_mutex_t lock;
	pthread_cond_t small, bulk;           /* the turn is to be had */
	unsigned small_waiting, bulk_waiting; /* lock */
	bool busy;                            /* lock; somebody has the turn */
	bool dead;                            /* lock; nothing is sent any more */
	bool wants_room;                      /* lock; on_room is to be called */
	struct buf posted;                    /* lock; small frames that wait */
	size_t kept;      /* lock; bytes of posted and going that are not sent */
	struct buf going; /* the turn's: what was posted and is being sent */
};

void sess_send_init(struct sess_send *send, int fd, const struct sess_send_hooks *hooks);
void sess_send_destroy(struct sess_send *send);

/* Sends, or posts, all of the COUNT pieces, which are whole frames.  0 or -EPIPE. */
int sess_send_frames(struct sess_send *send, const struct iovec *pieces, int count,
		     enum sess_send_how how);

/* Whether something should be posted.  A dead one has room. */
bool sess_send_has_room(struct sess_send *send);
/* The same; if not, on_room tells when. */
bool sess_send_want_room(struct sess_send *send);

/* After on_stuck: sends what the socket takes. */
void sess_send_resume(struct sess_send *send);

/* Milliseconds that the peer may take nothing. */
int sess_send_patience(const struct sess_send *send);

/* Nothing more will be sent or received: whoever is about it comes back. */
void sess_send_kill(struct sess_send *send);

#endif
