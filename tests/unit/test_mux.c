/*
 * test_mux.c - calls over one connection: answered in any order, given up, cancelled, broken off.
 */
#include "tests/unit/mux_peer.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

static struct got got;

static void test_a_call_is_one_frame_and_its_answer(void **state)
{
	struct world world;
	struct caller caller = { .op = OP_READLINK, .args = "path" };

	(void)state;
	world_open(&world);
	caller_start(&caller, &world);
	peer_get(&world, &got);
	assert_int_equal(got.frame.kind, FRAME_CALL);
	assert_int_equal(got.frame.code, OP_READLINK);
	assert_int_equal(got.frame.size, 8);
	assert_memory_equal(got.body + 4, "path", 4);
	/* the deadline: what is left of LONG */
	assert_in_range(got.body[0] | got.body[1] << 8, LONG * 1000 - 30000, LONG * 1000);
	peer_done(&world, got.frame.id, "target");
	caller_answered(&caller, "target");
	world_counted(&world, OP_READLINK,
		      (struct traffic_count){ 1, 0, FRAME_HEADER + 8, FRAME_HEADER + 6 });
	world_close(&world);
}

static void test_errors_are_the_agents_errno_and_sentence(void **state)
{
	static const struct {
		const char *text; /* of LEN bytes */
		size_t len;
		const char *says;
		int rc;
		uint16_t code;
	} answers[] = {
		{ "'x': none", 9, "'x': none", -ENOENT, ENOENT },
		{ "", 0, "Permission denied", -EACCES, EACCES },
		{ "\0x", 2, "Permission denied", -EACCES, EACCES },
		/*
		 * what would look as if the connection had broken, and what no kernel gives a
		 * program
		 */
		{ "liar", 4, "liar", -EIO, ECONNRESET },
		{ "liar", 4, "liar", -EIO, ENOTCONN },
		{ "odd", 3, "odd", -EIO, 512 },
		{ "odd", 3, "odd", -EIO, UINT16_MAX },
	};
	struct world world;

	(void)state;
	world_open(&world);
	for (size_t i = 0; i < sizeof(answers) / sizeof(answers[0]); i++) {
		struct caller caller = { 0 };

		caller_start(&caller, &world);
		peer_get(&world, &got);
		peer_frame(&world, got.frame.id, FRAME_DONE, 0, answers[i].code, answers[i].text,
			   answers[i].len);
		caller_failed(&caller, answers[i].rc, answers[i].says);
	}
	world_close(&world);
}

/* Each call is answered with its own arguments, the last first. */
static void test_answers_come_in_any_order(void **state)
{
	enum { COUNT = 32 };
	static const char *const args[4] = { "one", "two", "three", "four" };
	static struct caller callers[COUNT];
	struct {
		uint32_t id;
		char args[8];
	} seen[COUNT];
	struct world world;

	(void)state;
	world_open(&world);
	for (int i = 0; i < COUNT; i++) {
		callers[i] = (struct caller){ .args = args[i % 4] };
		caller_start(&callers[i], &world);
	}
	for (int i = 0; i < COUNT; i++) {
		peer_get(&world, &got);
		seen[i].id = got.frame.id;
		memcpy(seen[i].args, got.body + 4, got.frame.size - 4);
		seen[i].args[got.frame.size - 4] = '\0';
	}
	for (int i = COUNT - 1; i >= 0; i--)
		peer_done(&world, seen[i].id, seen[i].args);
	for (int i = 0; i < COUNT; i++)
		caller_answered(&callers[i], args[i % 4]);
	world_close(&world);
}

/* Whoever read for both has its answer first: the other one must be told to read for itself. */
static void test_the_reader_passes_on(void **state)
{
	struct caller callers[2] = { { .args = "0" }, { .args = "1" } };
	struct world world;
	uint32_t ids[2];

	(void)state;
	for (int first = 0; first < 2; first++) {
		world_open(&world);
		for (int i = 0; i < 2; i++) {
			caller_start(&callers[i], &world);
			peer_get(&world, &got);
			ids[i] = got.frame.id;
		}
		peer_done(&world, ids[first], "first");
		caller_answered(&callers[first], "first");
		peer_done(&world, ids[!first], "second");
		caller_answered(&callers[!first], "second");
		world_close(&world);
	}
}

static void test_several_are_begun_by_one_thread(void **state)
{
	enum { COUNT = 10 };
	struct mux_ticket *tickets[COUNT];
	struct call call = call_within(LONG, NULL);
	struct world world;
	struct buf reply = BUF_INIT(100);
	uint32_t ids[COUNT];

	(void)state;
	world_open(&world);
	for (int i = 0; i < COUNT; i++)
		assert_int_equal(mux_begin(world.mux, &call, OP_STAT, NULL, &tickets[i], NULL), 0);
	for (int i = 0; i < COUNT; i++) {
		peer_get(&world, &got);
		ids[i] = got.frame.id;
	}
	for (int i = 0; i < COUNT; i += 2) {
		peer_done(&world, ids[i + 1], "odd");
		peer_done(&world, ids[i], "even");
	}
	for (int i = 0; i < COUNT; i++) {
		assert_int_equal(mux_finish(tickets[i], &call, &reply, NULL, NULL), 0);
		assert_string_equal(buf_str(&reply), i % 2 ? "odd" : "even");
	}
	buf_free(&reply);
	world_close(&world);
}

static void test_large_answers_arrive(void **state)
{
	static char large[FRAME_BODY_MAX];
	static const size_t sizes[] = { 4095,  4096,  4097,  16371,         16372,
					16373, 16384, 70000, FRAME_BODY_MAX };
	struct world world;

	(void)state;
	for (size_t i = 0; i < sizeof(large); i++)
		large[i] = (char)(i * 2654435761u >> 13);
	world_open(&world);
	for (size_t i = 0; i < sizeof(sizes) / sizeof(sizes[0]); i++) {
		struct caller caller = { .op = OP_READ };

		caller_start(&caller, &world);
		peer_get(&world, &got);
		peer_frame(&world, got.frame.id, FRAME_DONE, 0, 0, large, sizes[i]);
		caller_join(&caller, 0);
		assert_int_equal(caller.reply.len, sizes[i]);
		assert_memory_equal(caller.reply.data, large, sizes[i]);
		caller_free(&caller);
	}
	world_close(&world);
}

static void test_an_answer_over_the_callers_ceiling_is_an_error(void **state)
{
	struct call call = call_within(LONG, NULL);
	struct buf reply = BUF_INIT(5);
	struct mux_ticket *ticket;
	struct error err = { 0 };
	struct world world;

	(void)state;
	world_open(&world);
	assert_int_equal(mux_begin(world.mux, &call, OP_STAT, NULL, &ticket, NULL), 0);
	peer_get(&world, &got);
	peer_done(&world, got.frame.id, "123456");
	assert_int_equal(mux_finish(ticket, &call, &reply, NULL, &err), -EPROTO);
	assert_string_equal(err.text, "the answer to 'stat' has 6 bytes, more than 5");
	buf_free(&reply);
	world_close(&world);
}

/*
 * A call that nobody waits for any more is cancelled, its answer dropped, its id not used
 * meanwhile.
 */
static void test_a_late_answer_is_dropped(void **state)
{
	struct caller late = { .seconds = 0.05 }, next = { 0 };
	struct world world;
	uint32_t id;

	(void)state;
	world_open(&world);
	caller_start(&late, &world);
	peer_get(&world, &got);
	id = got.frame.id;
	caller_failed(&late, -ETIMEDOUT, "did not answer 'stat' in time");
	assert_true(late.maybe_done);
	peer_get(&world, &got);
	assert_int_equal(got.frame.kind, FRAME_CANCEL);
	assert_int_equal(got.frame.id, id);

	caller_start(&next, &world);
	peer_get(&world, &got);
	assert_int_not_equal(got.frame.id, id);
	peer_done(&world, id, "late");
	peer_done(&world, got.frame.id, "in time");
	caller_answered(&next, "in time");
	world_close(&world);
}

static void test_callers_can_be_interrupted(void **state)
{
	struct caller reader = { .args = "r" }, sleeper = { .args = "s" }, third = { 0 };
	struct world world;
	uint32_t ids[2];

	(void)state;
	world_open(&world);
	caller_start(&reader, &world);
	peer_get(&world, &got);
	ids[0] = got.frame.id;
	caller_start(&sleeper, &world);
	peer_get(&world, &got);
	ids[1] = got.frame.id;

	/* both ways round: who sleeps takes over from a reader that leaves */
	cancel_fire(&reader.cancel);
	caller_failed(&reader, -EINTR, "interrupted");
	peer_get(&world, &got);
	assert_int_equal(got.frame.kind, FRAME_CANCEL);
	assert_int_equal(got.frame.id, ids[0]);

	caller_start(&third, &world);
	peer_get(&world, &got);
	cancel_fire(&sleeper.cancel);
	caller_failed(&sleeper, -EINTR, "interrupted");
	peer_done(&world, got.frame.id, "here");
	caller_answered(&third, "here");
	peer_get(&world, &got);
	assert_int_equal(got.frame.kind, FRAME_CANCEL);
	assert_int_equal(got.frame.id, ids[1]);
	world_close(&world);
}

static void test_when_the_agent_goes_all_fail_at_once(void **state)
{
	struct caller callers[8];
	struct caller after = { 0 };
	struct world world;

	(void)state;
	world_open(&world);
	for (int i = 0; i < 8; i++) {
		callers[i] = (struct caller){ 0 };
		caller_start(&callers[i], &world);
	}
	for (int i = 0; i < 8; i++)
		peer_get(&world, &got);
	assert_false(mux_dead(world.mux));
	close(world.peer);
	world.peer = -1;
	for (int i = 0; i < 8; i++) {
		caller_failed(&callers[i], -ECONNRESET, "the agent closed the connection");
		assert_true(callers[i].maybe_done);
	}
	assert_true(mux_dead(world.mux));
	caller_start(&after, &world);
	caller_failed(&after, -ECONNRESET, "the agent closed the connection");
	assert_false(after.maybe_done);
	world_close(&world);
}

/* The agent has gone while nobody was looking: the next call cannot have been seen. */
static void test_a_call_to_a_closed_socket_was_not_seen(void **state)
{
	struct caller caller = { 0 };
	struct world world;

	(void)state;
	world_open(&world);
	close(world.peer);
	world.peer = -1;
	caller_start(&caller, &world);
	caller_failed(&caller, -ECONNRESET, "broke: Broken pipe");
	assert_false(caller.maybe_done);
	world_close(&world);
}

static void test_kill_says_why(void **state)
{
	struct caller callers[2] = { { 0 }, { .how = BY_DOWNLOAD, .op = OP_EXPORT } };
	struct error why = { .code = EIO, .text = "the guest was detached" };
	struct world world;

	(void)state;
	world_open(&world);
	for (int i = 0; i < 2; i++) {
		caller_start(&callers[i], &world);
		peer_get(&world, &got);
	}
	mux_kill(world.mux, &why);
	for (int i = 0; i < 2; i++)
		caller_failed(&callers[i], -ECONNRESET, "the guest was detached");
	assert_true(peer_at_end(&world));
	world_close(&world);
}

static void test_at_most_4096_are_open(void **state)
{
	enum { MAX = 4096 };
	static struct mux_ticket *tickets[MAX];
	static unsigned char all[MAX][FRAME_HEADER];
	struct call call = call_within(LONG, NULL), soon = call_within(0.001, NULL);
	struct mux_ticket *more;
	struct error err = { 0 };
	struct world world;
	uint32_t first = 0;

	(void)state;
	world_open(&world);
	for (int i = 0; i < MAX; i++) {
		assert_int_equal(mux_begin(world.mux, &call, OP_STAT, NULL, &tickets[i], &err), 0);
		peer_get(&world, &got);
		first = i ? first : got.frame.id;
	}
	assert_int_equal(mux_begin(world.mux, &call, OP_STAT, NULL, &more, &err), -EAGAIN);
	assert_non_null(strstr(err.text, "4096 calls are open"));
	/* those that were given up count until the agent has answered */
	for (int i = 0; i < MAX; i++) {
		assert_int_equal(mux_finish(tickets[i], &soon, NULL, NULL, &err), -ETIMEDOUT);
		peer_get(&world, &got);
		assert_int_equal(got.frame.kind, FRAME_CANCEL);
	}
	assert_int_equal(mux_begin(world.mux, &call, OP_STAT, NULL, &more, &err), -EAGAIN);
	assert_false(mux_dead(world.mux));
	for (uint32_t i = 0; i < MAX; i++) {
		struct frame done = { 0, first + i, FRAME_DONE, 0, EINTR };

		frame_encode(&done, all[i]);
	}
	peer_raw(&world, all, sizeof(all));
	/* they are read by the next one, which must not need a free place for that */
	while (mux_begin(world.mux, &call, OP_STAT, NULL, &more, &err) == -EAGAIN)
		;
	peer_get(&world, &got);
	peer_done(&world, got.frame.id, "");
	assert_int_equal(mux_finish(more, &call, NULL, NULL, &err), 0);
	world_close(&world);
}

static void test_what_cannot_be_sent_is_refused_here(void **state)
{
	struct call call = call_within(LONG, NULL), over = call_within(0, NULL);
	struct buf args = BUF_INIT(FRAME_BODY_MAX);
	struct mux_ticket *ticket;
	struct error err = { 0 };
	struct world world;

	(void)state;
	world_open(&world);
	buf_reserve(&args, FRAME_BODY_MAX - 3);
	memset(args.data, 'x', FRAME_BODY_MAX - 3);
	buf_commit(&args, FRAME_BODY_MAX - 3);
	assert_int_equal(mux_begin(world.mux, &call, OP_WRITE, &args, &ticket, &err), -E2BIG);
	buf_reserve(&args, 1000);
	assert_true(args.overflow);
	assert_int_equal(mux_begin(world.mux, &call, OP_WRITE, &args, &ticket, &err), -ENOMEM);
	assert_int_equal(mux_begin(world.mux, &over, OP_STAT, NULL, &ticket, &err), -ETIMEDOUT);
	buf_free(&args);
	world_counted_all(&world, (struct traffic_count){ 0 });
	world_close(&world);
}

int main(void)
{
	static const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_a_call_is_one_frame_and_its_answer),
		cmocka_unit_test(test_errors_are_the_agents_errno_and_sentence),
		cmocka_unit_test(test_answers_come_in_any_order),
		cmocka_unit_test(test_the_reader_passes_on),
		cmocka_unit_test(test_several_are_begun_by_one_thread),
		cmocka_unit_test(test_large_answers_arrive),
		cmocka_unit_test(test_an_answer_over_the_callers_ceiling_is_an_error),
		cmocka_unit_test(test_a_late_answer_is_dropped),
		cmocka_unit_test(test_callers_can_be_interrupted),
		cmocka_unit_test(test_when_the_agent_goes_all_fail_at_once),
		cmocka_unit_test(test_a_call_to_a_closed_socket_was_not_seen),
		cmocka_unit_test(test_kill_says_why),
		cmocka_unit_test(test_at_most_4096_are_open),
		cmocka_unit_test(test_what_cannot_be_sent_is_refused_here),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
