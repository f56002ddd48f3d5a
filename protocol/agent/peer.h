/*
 * peer.h - the bytes of one connection: buffered reads and whole writes, both
 * with a limit on silence, so that no client holds a thread for ever.
 *
 * A peer belongs to the one thread that serves it.  A client that has gone away is an
 * error of the call that meets it and nothing more: no signal, no exit.
 */
#ifndef VSOCKFS_AGENT_PEER_H
#define VSOCKFS_AGENT_PEER_H

#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include "protocol/buf.h"
#include "protocol/error.h"

struct peer {
	int fd; /* owned by whoever made the peer */
	size_t start, end;
	char bytes[64 << 10]; /* what was received and not read yet: start..end */
};

/*
 * Sets the limits: a receive or a send that moves nothing for a time of its own ends with
 * -ETIMEDOUT.
 */
void peer_init(struct peer *peer, int fd);

/* Reads at most LEN bytes; 0 at the end, negative errno. */
ssize_t peer_read(struct peer *peer, void *bytes, size_t len);

/*
 * Reads a line of at most MAX bytes, newline included, into LINE (without the newline);
 * the end of the stream ends it too.  The whole line must come within MILLISECONDS.
 * -ENODATA if the stream ended before the first byte, -E2BIG, -ETIMEDOUT.
 */
int peer_read_line(struct peer *peer, size_t max, int64_t milliseconds, struct buf *line);

/* Sends all of it or returns a negative errno. */
int peer_send(struct peer *peer, const void *bytes, size_t len);
/* Sends SIZE bytes of the file FD from its start. */
int peer_send_file(struct peer *peer, int fd, int64_t size);

/*
 * For a reply to a request that was not read to its end: says that nothing
 * more will be sent and reads for a moment what still comes, so that the reply is
 * not lost to a reset.
 */
void peer_linger(struct peer *peer);

#endif
