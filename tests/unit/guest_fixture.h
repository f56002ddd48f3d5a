/*
 * guest_fixture.h - a guest on a scripted peer, for the tests of exchanges and guests.
 */
#ifndef VSOCKFS_TESTS_GUEST_FIXTURE_H
#define VSOCKFS_TESTS_GUEST_FIXTURE_H

#include <jansson.h>
#include <stdbool.h>

#include "peer.h"
#include "protocol/guest_internal.h"
#include "protocol/line/exchange.h"

#define LONG 60.0 /* seconds: a test that waits so long has failed */

/* This host has no AF_VSOCK, and nothing may try. */
extern const struct transport_ops no_vsock_ops;

/* A guest at SCHEME PATH ("unix:", "firecracker:"), whose callers wait TIMEOUT seconds. */
struct guest *make_guest(const char *scheme, const char *path, double timeout);

/* {"command": COMMAND, "timeout_seconds": 30} */
struct exchange_request make_request(const char *command, bool repeatable);

/* Runs an exec within SECONDS; *REPLY may be NULL. */
int run(struct guest *guest, double seconds, struct error *err);
int run_cancellable(struct guest *guest, double seconds, struct cancel *cancel, struct error *err);

struct guest_status status_of(struct guest *guest);
/* Wait for a condition, as long as the test's own time limit allows. */
void wait_state(struct guest *guest, enum guest_state state);
void wait_abandoned(struct guest *guest, uint64_t count);
void wait_retries(struct guest *guest, uint64_t count);

void expect_text(const struct error *err, const char *part);

#define ANSWER "{\"stdout\": \"ok\\n\", \"stderr\": \"\", \"exit_code\": 0, \"duration_ms\": 7}"

#endif
