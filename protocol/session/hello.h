/*
 * hello.h - a connection's first request, which either dialect answers.
 *
 * A session agent answers with what it is, and the connection goes on as a session.  A line-dialect
 * agent takes it for a command, which tells the guest's machine and whether it has a workspace and
 * a few tools.
 */
#ifndef VSOCKFS_SESSION_HELLO_H
#define VSOCKFS_SESSION_HELLO_H

#include "protocol/build_id.h"
#include "protocol/call.h"
#include "protocol/error.h"
#include "protocol/session/link.h"

struct guest;

struct hello {
	enum dialect dialect;
	int fd;         /* of a session: owned, non-blocking; else -1 */
	char agent[64]; /* name and version */
	char build[BUILD_ID_SIZE];
	char machine[64]; /* uname -m; "" for unknown */
	/* Of a session: another one where data may be lost that was not synced; "" for unknown. */
	char verifier[128];
	char lacks[64]; /* line dialect: tools that the guest has not, "" for none */
	char why[256];  /* line dialect: what a stranger's answer was; "" for an ordinary one */
};

/*
 * Asks the guest's own agent: errors of exchange_run_hello, -ENOENT for a guest without /workspace,
 * -EPROTO for one whose sh does not do as told.  PROBE as there.  -EBUSY: up to CALL's deadline the
 * agent was still about what our last session asked of it.
 */
int hello_ask(struct guest *guest, const struct call *call, bool probe, struct hello *out,
	      struct error *err);

/*
 * Asks what listens on another of the guest's ports.  -EPROTONOSUPPORT for what answers but speaks
 * no session; -EBUSY as above; else as exchange_run_hello with ASIDE.
 */
int hello_ask_at(struct guest *guest, const struct call *call, uint32_t port, struct hello *out,
		 struct error *err);

/* Closes what was not taken (move_fd). */
void hello_drop(struct hello *hello);

#endif
