/*
 * session_hello.h - the way from the line dialect into a session: action "hello".
 *
 * A request that names a dialect which this agent speaks is answered with what it is and what it
 * can, and the connection goes on as a session (docs/protocol.md, part 2).
 */
#ifndef VSOCKFS_AGENT_SESSION_HELLO_H
#define VSOCKFS_AGENT_SESSION_HELLO_H

#include <jansson.h>
#include <stdbool.h>

#include "protocol/agent/agent.h"
#include "protocol/agent/peer.h"
#include "protocol/error.h"

/* Whether OBJECT is a hello that AGENT answers: with --no-session it is none of our actions. */
bool sess_hello_is(const struct agent *agent, const json_t *object);

/*
 * Answers it and serves the session to its end.  A negative errno, with nothing sent yet, where
 * there can be none.
 */
int sess_hello_serve(struct agent *agent, struct peer *peer, const json_t *object,
		     struct error *err);

/* This program's build: build_id.h's, or "unknown". */
const char *agent_build_id(char id[static 65]);

#endif
