/*
 * guest.h - one guest as the rest of the program holds it: where it is, its
 * connection gate, its health, and what was learned of it.
 *
 * workspace.h and process.h hang on a guest.  A guest is shared and counted;
 * nothing in it is visible to other rooms.  All functions are thread-safe.
 *
 * Health.  A guest that has answered is up.  A request that cannot be
 * delivered, or whose answer does not come by the deadline, costs its caller the
 * deadline (at most `timeout`) and makes the guest gone; from then on
 * every request fails with -ENOTCONN at once, except that at most one a second
 * starts a probe behind the callers' backs (an exec of the empty command; for a guest with
 * a session, the making of a new one), and that any answer that comes late counts as a probe.
 */
#ifndef VSOCKFS_GUEST_H
#define VSOCKFS_GUEST_H

#include <stdbool.h>
#include <stdint.h>

#include "protocol/address.h"
#include "protocol/call.h"
#include "protocol/error.h"
#include "protocol/traffic.h"

struct guest;
struct link;
struct workspace;
struct proc_room;

enum guest_agent {
	GUEST_AGENT_AUTO, /* where the guest's own agent speaks only the line dialect, bring ours */
	GUEST_AGENT_NEVER,
};

struct guest_options {
	double timeout;      /* seconds a caller waits for a short request; 10 */
	int max_connections; /* requests at the guest at once; 1 */
	bool local_net;      /* a local: sandbox keeps the network */
	enum guest_agent agent;
};

/* Makes a guest with one reference; sends nothing yet.  local: starts the sandbox. */
int guest_new(const struct address *address, const struct guest_options *options,
	      struct guest **out, struct error *err);
struct guest *guest_ref(struct guest *guest);

/*
 * Drops a reference.  The last one waits up to `timeout` for replies that are
 * still read behind a caller's back, removes what vsockfs left in the guest,
 * and ends a local: sandbox.
 */
void guest_unref(struct guest *guest);

/*
 * Asks the guest what it is and has (one request) and stores the answer: the
 * first request a guest gets.  Retries connecting until CALL's deadline only where
 * waiting can help.  What it speaks is settled as well, unless that takes longer (session/link.h).
 */
int guest_hello(struct guest *guest, const struct call *call, struct error *err);

/* A call bounded by the guest's `timeout`, with CANCEL or NULL. */
struct call guest_call(struct guest *guest, struct cancel *cancel);

const struct address *guest_address(struct guest *guest);
struct workspace *guest_workspace(struct guest *guest); /* lives as long as the guest */
struct proc_room *guest_proc(struct guest *guest);      /* likewise */
struct link *guest_link(struct guest *guest);           /* likewise */

/* 16 hex digits, random, this guest's for its life here: for names of working files. */
const char *guest_token(struct guest *guest);
const struct guest_options *guest_options(struct guest *guest);

/* Forgets that the guest was gone: the next request tries again at once. */
void guest_reconnect(struct guest *guest);

enum guest_state { GUEST_NEW, GUEST_UP, GUEST_GONE, GUEST_STUCK };

struct guest_status {
	enum guest_state state;
	const char *transport;        /* "vsock", "bridge", "unix" */
	struct traffic_count traffic; /* of all kinds */
	uint64_t abandoned;           /* replies that are read behind a caller's back, now */
	double round_trip;            /* seconds, the last short request; 0 if none yet */
	char machine[64];             /* uname -m; "" before hello */
	struct error last_error;      /* of the last request that failed for transport reasons */
};

void guest_get_status(struct guest *guest, struct guest_status *out);

/* What it was asked, by kind; counts as long as the guest lives. */
const struct traffic *guest_traffic(struct guest *guest);

#endif
