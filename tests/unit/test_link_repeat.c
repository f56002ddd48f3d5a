/*
 * test_link_repeat.c - of every operation: whether a call is made again when its session breaks
 * before the answer, or its caller hears that nobody knows.
 */
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "tests/unit/cmocka_all.h"

#include "bundled_agent.h"
#include "cut_relay.h"
#include "guest_fixture.h"
#include "protocol/session/link.h"

enum class {
	NONE,
	AGAIN,   /* changes nothing when it is done twice */
	ONCE,    /* it may have been done */
	SESSION, /* names what is only of one session, and is not for link_call */
};

/* Every operation is here: who adds one has to say what it is. */
static const enum class classes[128] = {
	[OP_STAT] = AGAIN,
	[OP_LIST] = ONCE, /* a stream: sws_list goes on behind the last name */
	[OP_READLINK] = AGAIN,
	[OP_OPEN] = ONCE, /* sws_open repeats what is not exclusive */
	[OP_CLOSE] = SESSION,
	[OP_READ] = SESSION,
	[OP_WRITE] = SESSION,
	[OP_FSYNC] = SESSION,
	[OP_FSTAT] = SESSION,
	[OP_SETATTR] = ONCE, /* sws_setattr repeats it: it sets what it set */
	[OP_MKDIR] = ONCE,
	[OP_RMDIR] = ONCE,
	[OP_UNLINK] = ONCE,
	[OP_RENAME] = ONCE,
	[OP_SYMLINK] = ONCE,
	[OP_LINK] = ONCE,
	[OP_MKNOD] = ONCE,
	[OP_STATFS] = AGAIN,
	[OP_SYNC] = AGAIN,
	[OP_BATCH] = ONCE,
	[OP_EXPORT] = ONCE, /* a stream */
	[OP_IMPORT] = ONCE,
	[OP_WATCH] = ONCE, /* a stream */
	[OP_BARRIER] = AGAIN,
	[OP_SERVICE_START] = ONCE,
	[OP_SERVICE_STATUS] = AGAIN,
	[OP_SERVICE_STOP] = ONCE, /* of the next run, perhaps */
	[OP_SERVICE_LIST] = AGAIN,
	[OP_SHELL_OPEN] = ONCE,
	[OP_SHELL_STATUS] = AGAIN,
	[OP_SHELL_WRITE] = ONCE,
	[OP_SHELL_RESIZE] = AGAIN,
	[OP_SHELL_SIGNAL] = ONCE,
	[OP_SHELL_CLOSE] = ONCE, /* the second would not find it */
	[OP_COMMAND_START] = ONCE,
	[OP_COMMAND_INPUT] = ONCE,
	[OP_COMMAND_STATUS] = AGAIN,
	[OP_COMMAND_SIGNAL] = ONCE,
	[OP_COMMAND_FORGET] = ONCE, /* likewise */
	[OP_STREAM] = ONCE,         /* a stream: sproc_read goes on where it was */
	[OP_WAIT] = AGAIN,
	[OP_INFO] = AGAIN,
};

/* Calls OP with arguments that it does not have, and cuts the answer off. */
static void cut_answer(struct guest *guest, struct cut_relay *relay, enum session_op op)
{
	struct call call = call_within(LONG, NULL);
	struct error err = { 0 };
	unsigned count;
	int rc;

	cut_relay_count(relay, op);
	cut_relay_order(relay, op, RELAY_CUT_ANSWER);
	rc = link_call(guest_link(guest), &call, op, NULL, NULL, NULL, &err);
	assert_int_equal(cut_relay_done(relay), classes[op] != SESSION);
	count = cut_relay_count(relay, op);
	if (classes[op] == SESSION) {
		assert_int_equal(rc, -EINVAL);
		assert_int_equal(count, 0);
	} else if (classes[op] == ONCE) {
		assert_int_equal(rc, -EIO);
		expect_text(&err, "not known");
		expect_text(&err, ops_name(op));
		assert_int_equal(count, 1);
	} else {
		assert_int_not_equal(rc, -EIO);
		assert_int_not_equal(rc, -ECONNRESET);
		assert_int_equal(count, 2);
	}
}

/* What the agent has not seen is made again, whatever it is. */
static void cut_before(struct guest *guest, struct cut_relay *relay, enum session_op op)
{
	struct call call = call_within(LONG, NULL);
	int rc;

	if (classes[op] == SESSION)
		return;
	cut_relay_order(relay, op, RELAY_CUT_BEFORE);
	rc = link_call(guest_link(guest), &call, op, NULL, NULL, NULL, NULL);
	assert_true(cut_relay_done(relay));
	/* That it was not seen is not known behind a relay. */
	assert_int_equal(rc == -EIO, classes[op] == ONCE);
}

static void test_every_operation(void **state)
{
	struct bundled_agent agent;
	struct cut_relay relay;
	struct guest *guest;
	char path[100];

	(void)state;
	bundled_agent_open(&agent);
	bundled_agent_start(&agent, NULL);
	snprintf(path, sizeof(path), "%s/relay", agent.top);
	cut_relay_open(&relay, path, agent.socket);
	guest = make_guest("unix:", path, LONG);
	for (unsigned op = 0; op < 128; op++) {
		assert_int_equal(classes[op] != NONE, ops_name(op) != NULL);
		if (classes[op] == NONE)
			continue;
		cut_answer(guest, &relay, op);
		cut_before(guest, &relay, op);
	}
	guest_unref(guest);
	cut_relay_close(&relay);
	bundled_agent_close(&agent);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_every_operation),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
