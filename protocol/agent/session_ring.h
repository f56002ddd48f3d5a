/*
 * session_ring.h - the latest events of a watch, in bounded memory, each with its number.
 *
 * Positions are bytes since the beginning, never taken modulo anything by their holders.  A reader
 * that was overtaken is told EVENT_RESCAN instead of what it missed.  An event that is there
 * already, and that nobody has taken yet, is not added again.
 *
 * Belongs to one thread.
 */
#ifndef VSOCKFS_AGENT_SESSION_RING_H
#define VSOCKFS_AGENT_SESSION_RING_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "protocol/buf.h"
#include "protocol/session/ops.h"

#define SESS_RING_BYTES (2u << 20)
#define SESS_RING_EVENTS (64u << 10)
#define SESS_RING_RECENT 16

struct sess_ring {
	unsigned char *bytes; /* owned, SESS_RING_BYTES */
	uint64_t head, tail;  /* of what is kept */
	uint64_t taken;       /* what is before it was taken by somebody */
	uint64_t sequence;    /* of the last event */
	unsigned count;
	struct buf one; /* scratch */

	/* The last events, to be looked at before one is added. */
	uint64_t recent[SESS_RING_RECENT];
	unsigned next;
};

/* The first event after SEQUENCE gets the next number. */
int sess_ring_init(struct sess_ring *ring, uint64_t sequence);
void sess_ring_free(struct sess_ring *ring);

void sess_ring_add(struct sess_ring *ring, enum ops_event_kind kind, const char *path, size_t len);

/*
 * Where a reader begins that has heard of everything up to SINCE (0: from now).  Where what came
 * then is not known any more, that is a position at which it is told EVENT_RESCAN.
 */
uint64_t sess_ring_seek(const struct sess_ring *ring, uint64_t since);

/*
 * Adds whole events from *AT on to OUT, as they are sent, at most MOST bytes.  A reader that was
 * overtaken gets one EVENT_RESCAN and goes on behind all that is there.
 */
void sess_ring_take(struct sess_ring *ring, uint64_t *at, struct buf *out, size_t most);

#endif
