/*
 * transport.h - from an address to a connected socket, one step at a time.
 *
 * A dial never blocks: whoever owns it polls its descriptor and calls dial_step
 * until the connection stands, so that a waiting caller can be cancelled and a
 * dial that nobody waits for any more can be finished elsewhere.
 *
 *   unix:         connect to the socket
 *   firecracker:  connect to the VMM's socket, "CONNECT PORT\n", "OK NUMBER\n"
 *   vsock:        AF_VSOCK where this host has it, else the bridge, as for firecracker:
 *   local:        is not dialled: a guest turns it into unix: first
 *
 * No locks; a dial belongs to one thread at a time.
 */
#ifndef VSOCKFS_TRANSPORT_H
#define VSOCKFS_TRANSPORT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "protocol/address.h"
#include "protocol/error.h"
#include "protocol/limits.h"

/*
 * What this host can do.  Tests put their own here: no test may dial a CID.
 * connect_vsock returns a non-blocking close-on-exec socket that is connected or
 * connecting, or a negative errno.
 */
struct transport_ops {
	bool (*has_vsock)(void);
	int (*connect_vsock)(uint32_t cid, uint32_t port);
	/*
	 * What an agent in the guest is told to listen on, to be reached at PORT; NULL: vsock:PORT.
	 */
	void (*agent_listen)(uint32_t port, char *text, size_t size);
};

extern const struct transport_ops transport_system;

enum transport_kind { TRANSPORT_VSOCK, TRANSPORT_BRIDGE, TRANSPORT_UNIX };

/* Which of them ADDRESS leads over on this host. */
enum transport_kind transport_choose(const struct transport_ops *ops,
				     const struct address *address);
const char *transport_name(enum transport_kind kind); /* "vsock", "bridge", "unix" */

enum dial_state {
	DIAL_CONNECTING, /* AF_VSOCK, until the guest's kernel has answered */
	DIAL_ANSWER,     /* CONNECT was sent: reading the bridge's line */
	DIAL_DONE,
};

struct dial {
	enum dial_state state;
	enum transport_kind kind;
	int fd; /* owned; -1 after a failure */
	uint32_t cid, port;
	size_t len; /* of the bridge's answer so far */
	char line[LIMIT_HANDSHAKE_LINE + 1];
};

/*
 * Begins.  0, also where the connection stands already (state DIAL_DONE), or a
 * negative errno with a sentence that says what to do:
 *   -ENOENT        no such socket
 *   -ECONNREFUSED  nobody listens
 *   -EAGAIN        the listener's queue is full: it is there, and busy
 *   -EAFNOSUPPORT  vsock is not supported here and no bridge was given
 * and others as connect(2) gives them.
 */
int dial_start(struct dial *dial, const struct transport_ops *ops, const struct address *address,
	       struct error *err);

/* What poll(2) is to wait for. */
short dial_events(const struct dial *dial);

/*
 * Goes on after poll(2) said so.  0: state has the rest; a negative errno as above, and
 *   -ECONNREFUSED  the bridge closed or refused: nobody listens on the port
 *   -ECONNRESET    the connection was reset
 *   -EPROTO        what the bridge said is no answer at all
 * After an error the descriptor is closed.
 */
int dial_step(struct dial *dial, struct error *err);

/* The sentence for a bridge, or a guest, that answered nothing in time; -ETIMEDOUT. */
int dial_timed_out(const struct dial *dial, struct error *err);

/* Closes what is not done.  After DIAL_DONE the descriptor is the owner's to take (move_fd). */
void dial_close(struct dial *dial);

#endif
