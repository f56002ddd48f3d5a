/*
 * listen.h - where the agent listens, and who may come in.
 *
 *   vsock:PORT               AF_VSOCK, any CID; only the host (CID 2) may connect
 *   unix:PATH                a Unix socket
 *   firecracker:PATH[:PORT]  a Unix socket that answers as a VMM's does: CONNECT PORT
 */
#ifndef VSOCKFS_AGENT_LISTEN_H
#define VSOCKFS_AGENT_LISTEN_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>
#include <sys/un.h>

#include "protocol/error.h"

enum listen_kind { LISTEN_VSOCK, LISTEN_UNIX, LISTEN_BRIDGE };

struct listener {
	enum listen_kind kind;
	uint32_t port; /* of vsock and of the handshake */
	int fd;        /* owned, non-blocking */

	/* The socket's file, so that the one we made is removed and no other. */
	char path[sizeof(((struct sockaddr_un *)0)->sun_path)];
	dev_t dev;
	ino_t ino;
};

/* Parses TEXT and listens.  A socket file that nobody listens on any more is replaced. */
int listener_open(const char *text, struct listener *out, struct error *err);
void listener_close(struct listener *listener);

/*
 * A connected, blocking descriptor, or a negative errno; -EPERM for a vsock peer that is not
 * the host, unless ANY_PEER.
 */
int listener_accept(const struct listener *listener, bool any_peer);

/*
 * The bridge's part of a connection, nothing for the other kinds: reads CONNECT and
 * answers OK.  False where the peer wants another port or says nothing sensible in time.
 */
bool listener_greet(enum listen_kind kind, uint32_t port, int fd);

#endif
