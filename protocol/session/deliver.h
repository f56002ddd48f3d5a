/*
 * deliver.h - brings vsockfs's own agent to a guest that has only a line-dialect one.
 *
 * By upload (line/line.h): a static vsockfs-agent for the guest's `uname -m`, into a private
 * directory outside /workspace, started detached on another vsock port, checked by its build id.
 * The file is removed as soon as the agent runs.  The agent ends by itself when no host has been
 * there for a while.  Another daemon's delivered agent, of the same build, is used as it is.
 *
 * It shares the run directory with the guest's own agent, so that services and secrets are the same
 * for both. Shells are not: they live in the memory of the agent that opened them.
 */
#ifndef VSOCKFS_SESSION_DELIVER_H
#define VSOCKFS_SESSION_DELIVER_H

#include <stdint.h>

#include "protocol/call.h"
#include "protocol/error.h"
#include "protocol/session/hello.h"

struct guest;

struct delivery {
	struct guest *guest;
	const char *machine;   /* uname -m */
	struct cancel *cancel; /* or NULL */
	/* Called, from any thread, whenever it has got on. */
	void (*moved)(void *arg);
	void *arg;
};

/*
 * -EOPNOTSUPP with a sentence for status where it cannot be: another architecture, a unix: guest,
 * no static agent installed, no place in the guest to run it from.  Each step has the guest's
 * `timeout`; what was brought is removed also when one fails.  *PORT is where it listens, *OUT its
 * session.
 */
int deliver_agent(const struct delivery *delivery, struct hello *out, uint32_t *port,
		  struct error *err);

#endif
