/*
 * test_mux_traffic.c - what is counted of a session: every frame, by the kind of its call.
 */
#include "tests/unit/mux_peer.h"

#include <errno.h>
#include <string.h>

/* Of a call without arguments. */
#define CALL (FRAME_HEADER + 4)
#define PIECE (OPS_WINDOW / 4)

static struct got got;
static char piece[PIECE];

static uint32_t begun(struct world *world, struct caller *caller)
{
	caller_start(caller, world);
	peer_get(world, &got);
	assert_int_equal(got.frame.kind, FRAME_CALL);
	return got.frame.id;
}

static struct traffic_count count(uint64_t requests, uint64_t sent, uint64_t received)
{
	return (struct traffic_count){ .requests = requests,
				       .bytes_sent = sent,
				       .bytes_received = received };
}

static void test_calls_of_many_kinds(void **state)
{
	enum session_op ops[] = { OP_STAT, OP_READ, OP_STAT, OP_WRITE, OP_SHELL_OPEN, OP_STATFS };
	enum { COUNT = sizeof(ops) / sizeof(ops[0]) };
	struct caller callers[COUNT];
	uint32_t ids[COUNT];
	struct world world;

	(void)state;
	world_open(&world);
	for (int i = 0; i < COUNT; i++) {
		callers[i] = (struct caller){ .op = ops[i], .args = i == 3 ? "0123456789" : NULL };
		ids[i] = begun(&world, &callers[i]);
	}
	for (int i = COUNT - 1; i >= 0; i--)
		peer_done(&world, ids[i], i == 1 ? "twenty bytes of data" : "");
	for (int i = 0; i < COUNT; i++)
		caller_answered(&callers[i], i == 1 ? "twenty bytes of data" : "");
	world_counted(&world, OP_STAT, count(3, 3 * CALL, 3 * FRAME_HEADER));
	world_counted(&world, OP_READ, count(1, CALL, FRAME_HEADER + 20));
	world_counted(&world, OP_WRITE, count(1, CALL + 10, FRAME_HEADER));
	world_counted(&world, OP_SHELL_OPEN, count(1, CALL, FRAME_HEADER));
	world_counted_all(&world, count(6, 6 * CALL + 10, 6 * FRAME_HEADER + 20));
	world_close(&world);
}

static void test_a_stream_with_its_credit(void **state)
{
	struct caller caller = { .how = BY_DOWNLOAD, .op = OP_LIST };
	struct world world;
	uint64_t credits = 0;
	uint32_t id;

	(void)state;
	world_open(&world);
	id = begun(&world, &caller);
	for (int i = 0; i < 8; i++) {
		peer_data(&world, id, piece, sizeof(piece));
		if (i % 2 == 0)
			continue;
		peer_get(&world, &got);
		assert_int_equal(got.frame.kind, FRAME_CREDIT);
		credits++;
	}
	peer_done(&world, id, "end");
	caller_answered(&caller, "end");
	world_counted(&world, OP_LIST,
		      count(1, CALL + credits * (FRAME_HEADER + 4),
			    8 * (FRAME_HEADER + PIECE) + FRAME_HEADER + 3));
	world_counted_all(&world, traffic_get(&world.traffic, TRAFFIC_LIST));
	world_close(&world);
}

static ssize_t give(void *arg, void *bytes, size_t len)
{
	struct caller *caller = arg;

	if (len > caller->left)
		len = caller->left;
	memset(bytes, 'x', len);
	caller->left -= len;
	return (ssize_t)len;
}

static void test_an_upload(void **state)
{
	struct caller caller = { .how = BY_UPLOAD, .op = OP_IMPORT, .source = give, .left = 1000 };
	struct world world;
	uint32_t id;

	(void)state;
	world_open(&world);
	id = begun(&world, &caller);
	do
		peer_get(&world, &got);
	while (!(got.frame.flags & FRAME_END));
	peer_credit(&world, id, 1000);
	peer_done(&world, id, "");
	caller_answered(&caller, "");
	world_counted(&world, OP_IMPORT,
		      count(1, CALL + FRAME_HEADER + 1000 + FRAME_HEADER,
			    FRAME_HEADER + 4 + FRAME_HEADER));
	world_close(&world);
}

/* What is given up still costs what comes of it. */
static void test_given_up(void **state)
{
	struct caller late = { .op = OP_READ, .seconds = 0.05 }, next = { .op = OP_STAT };
	struct world world;
	uint32_t id;

	(void)state;
	world_open(&world);
	id = begun(&world, &late);
	caller_failed(&late, -ETIMEDOUT, "in time");
	peer_get(&world, &got);
	assert_int_equal(got.frame.kind, FRAME_CANCEL);
	peer_done(&world, id, "late");
	peer_done(&world, begun(&world, &next), "");
	caller_answered(&next, "");
	world_counted(&world, OP_READ, count(1, CALL + FRAME_HEADER, FRAME_HEADER + 4));
	world_counted(&world, OP_STAT, count(1, CALL, FRAME_HEADER));
	world_close(&world);
}

/* Every operation has a kind, and what is none has not. */
static void test_operations_have_kinds(void **state)
{
	(void)state;
	for (unsigned op = 0; op < 300; op++)
		assert_int_equal(ops_kind(op) != TRAFFIC_UNSAID, ops_name(op) != NULL);
}

int main(void)
{
	static const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_calls_of_many_kinds),
		cmocka_unit_test(test_a_stream_with_its_credit),
		cmocka_unit_test(test_an_upload),
		cmocka_unit_test(test_given_up),
		cmocka_unit_test(test_operations_have_kinds),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
