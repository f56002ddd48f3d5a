/*
 * peer.h - a scripted guest: a thread that listens on a Unix socket in a
 * directory of its own and plays one script per connection, serially, as the agent
 * in the field does.
 *
 * Nothing here sleeps for time: a script stops at PEER_PAUSE until the test says peer_go().
 * What the peer saw is kept: the bytes it received, and whether the client left
 * before it had the whole answer.
 */
#ifndef VSOCKFS_TESTS_PEER_H
#define VSOCKFS_TESTS_PEER_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum peer_do {
	PEER_CLOSE, /* closes when the client has taken everything; ends every script */
	PEER_RESET, /* closes with unread bytes in the socket, which resets it; the last step, too */
	PEER_LINE,  /* reads up to a newline */
	PEER_BYTES,   /* reads COUNT bytes */
	PEER_SAY,     /* sends TEXT */
	PEER_DRIBBLE, /* sends TEXT a byte at a time */
	PEER_FLOOD,   /* sends COUNT times 'x' */
	PEER_PAUSE,   /* waits for peer_go */
};

struct peer_step {
	enum peer_do what;
	const char *text;
	int64_t count;
};

/* How a script is written down. */
/* clang-format off */
#define P_CLOSE         { PEER_CLOSE, NULL, 0 }
#define P_RESET         { PEER_RESET, NULL, 0 }
#define P_LINE          { PEER_LINE, NULL, 0 }
#define P_BYTES(n)      { PEER_BYTES, NULL, (n) }
#define P_SAY(text)     { PEER_SAY, (text), 0 }
#define P_DRIBBLE(text) { PEER_DRIBBLE, (text), 0 }
#define P_FLOOD(n)      { PEER_FLOOD, NULL, (n) }
#define P_PAUSE         { PEER_PAUSE, NULL, 0 }
/* clang-format on */

#define PEER_MAX_CONNECTIONS 16

struct peer;

/* Listens and plays SCRIPTS in order, one a connection, the last one for ever if REPEAT. */
struct peer *peer_start(const struct peer_step *const *scripts, size_t count, bool repeat);

/* The same on PATH (of an earlier peer that has stopped, or a name of its own). */
struct peer *peer_start_at(const char *path, const struct peer_step *const *scripts, size_t count,
			   bool repeat);

/* Stops the thread, whatever it does, and removes socket and directory. */
void peer_stop(struct peer *peer);

const char *peer_path(const struct peer *peer);

/* Waits until a script stands at a PEER_PAUSE; lets it go on. */
void peer_wait_paused(struct peer *peer);
void peer_go(struct peer *peer);

/* Waits until COUNT connections have been played to their end. */
void peer_wait_served(struct peer *peer, int count);
int peer_accepted(struct peer *peer);

/* Of a connection that was played to its end: the bytes it received (the first 256 KiB of them). */
const char *peer_received(struct peer *peer, int connection);
int64_t peer_received_len(struct peer *peer, int connection);
/* The client closed, or would not take what was sent, before the script's end. */
bool peer_left_early(struct peer *peer, int connection);

#endif
