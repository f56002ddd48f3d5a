/*
 * session_send.h - the sending side of a session's connection, shared by all who answer on it.
 *
 * One sends at a time, whole frames.  Bulk gives way: while a small answer waits, no bulk frame
 * is begun, so an answer waits for one such frame at most.  A peer that takes nothing for a minute
 * is dropped: this and every later send fails, and the reader wakes up to the end of the stream.
 */
#ifndef VSOCKFS_AGENT_SESSION_SEND_H
#define VSOCKFS_AGENT_SESSION_SEND_H

#include <pthread.h>
#include <stdbool.h>
#include <sys/uio.h>

struct sess_send {
	int fd; /* not owned */

	pthread_mutex_t lock;
	pthread_cond_t free;
	bool busy;       /* lock; somebody sends */
	unsigned urgent; /* lock; small answers that wait */
	bool dead;       /* lock; nothing is sent any more */
};

void sess_send_init(struct sess_send *send, int fd);
void sess_send_destroy(struct sess_send *send);

/* Sends all of the COUNT pieces, which it uses up.  0 or -EPIPE. */
int sess_send_frames(struct sess_send *send, struct iovec *pieces, int count, bool bulk);

/* Whether a frame would be sent without waiting for the peer or for others.  A dead one never waits. */
bool sess_send_ready(struct sess_send *send);

/* Nothing more will be sent or received: whoever is about it comes back. */
void sess_send_kill(struct sess_send *send);

#endif
