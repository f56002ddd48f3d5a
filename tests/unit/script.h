/*
 * script.h - one exchange of the line dialect with a scripted guest.
 *
 * A test says what the guest will answer, runs one action, and looks at the bytes
 * that the guest got.  The guest is a real one on a Unix socket, with the real exchange.
 */
#ifndef VSOCKFS_TEST_SCRIPT_H
#define VSOCKFS_TEST_SCRIPT_H

#include <stddef.h>

#include "protocol/call.h"
#include "protocol/error.h"
#include "protocol/guest.h"

struct script;

/* cmocka's setup and teardown: *state is the script. */
int script_setup(void **state);
int script_teardown(void **state);

/* What the guest answers to the next request. */
void script_reply(struct script *script, const char *reply);
void script_reply_bytes(struct script *script, const void *reply, size_t len);

struct guest *script_guest(struct script *script);

/* A call that outlasts every test; the same pointer each time, with the deadline renewed. */
const struct call *script_call(struct script *script);

/* The test's error, emptied. */
struct error *script_error(struct script *script);

/* Asserts that the guest got exactly these bytes, or that nothing was sent at all. */
void script_expect(struct script *script, const char *sent);
void script_expect_bytes(struct script *script, const void *sent, size_t len);
void script_expect_nothing(struct script *script);

/* Asserts that the last error's sentence contains TEXT. */
void script_expect_error(struct script *script, const char *text);

#endif
