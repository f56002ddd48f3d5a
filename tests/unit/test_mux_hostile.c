/*
 * test_mux_hostile.c - an agent that splits, cuts, lies, floods or does not read: a call fails in a
 * sentence, or goes on; nothing hangs and nothing grows.
 */
#include "tests/unit/mux_peer.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

static struct got got;

/* A stream of bytes from the agent, put together before it is sent. */
static void add_frame(struct buf *stream, uint32_t id, uint8_t kind, uint16_t code,
		      const void *body, size_t len)
{
	struct frame frame = { (uint32_t)len, id, kind, 0, code };
	unsigned char header[FRAME_HEADER];

	frame_encode(&frame, header);
	buf_add(stream, header, sizeof(header));
	buf_add(stream, body, len);
}

/* Answers to a call and a download of 5000 bytes, large enough to be received in place. */
static void add_answers(struct buf *stream, uint32_t call, uint32_t download)
{
	static char bytes[5000];

	memset(bytes, 'd', sizeof(bytes));
	add_frame(stream, download, FRAME_DATA, 0, "first", 5);
	add_frame(stream, call, FRAME_DONE, 0, "the answer", 10);
	add_frame(stream, download, FRAME_DATA, 0, bytes, sizeof(bytes));
	add_frame(stream, download, FRAME_DONE, 0, "", 0);
}

/* Both under way; their ids. */
static void start_two(struct world *world, struct caller callers[2], uint32_t ids[2])
{
	callers[0] = (struct caller){ 0 };
	callers[1] = (struct caller){ .how = BY_DOWNLOAD, .op = OP_EXPORT };
	for (int i = 0; i < 2; i++) {
		caller_start(&callers[i], world);
		peer_get(world, &got);
		ids[i] = got.frame.id;
	}
}

static void finish_two(struct caller callers[2])
{
	caller_answered(&callers[0], "the answer");
	caller_join(&callers[1], 0);
	assert_int_equal(callers[1].data.len, 5005);
	assert_memory_equal(callers[1].data.data, "firstd", 6);
	assert_int_equal(callers[1].data.data[5004], 'd');
	caller_free(&callers[1]);
}

static void test_split_anywhere(void **state)
{
	struct buf stream = BUF_INIT(8192);
	struct caller callers[2];
	struct world world;
	uint32_t ids[2];

	(void)state;
	world_open(&world);
	for (size_t at = 0; at <= stream.len; at += at > 60 && at < 4900 ? 97 : 1) {
		start_two(&world, callers, ids);
		stream.len = 0;
		add_answers(&stream, ids[0], ids[1]);
		peer_raw(&world, stream.data, at);
		peer_raw(&world, stream.data + at, stream.len - at);
		finish_two(callers);
	}
	buf_free(&stream);
	world_close(&world);
}

static void test_byte_by_byte(void **state)
{
	struct buf stream = BUF_INIT(8192);
	struct caller callers[2];
	struct world world;
	uint32_t ids[2];

	(void)state;
	world_open(&world);
	start_two(&world, callers, ids);
	add_answers(&stream, ids[0], ids[1]);
	for (size_t i = 0; i < stream.len; i++)
		peer_raw(&world, stream.data + i, 1);
	finish_two(callers);
	buf_free(&stream);
	world_close(&world);
}

static void test_cut_anywhere(void **state)
{
	struct buf stream = BUF_INIT(8192);
	struct caller callers[2];
	struct world world;
	uint32_t ids[2];
	size_t at = 0;

	(void)state;
	do {
		world_open(&world);
		start_two(&world, callers, ids);
		stream.len = 0;
		add_answers(&stream, ids[0], ids[1]);
		peer_raw(&world, stream.data, at);
		close(world.peer);
		world.peer = -1;
		if (at < 5 + FRAME_HEADER + 10 + FRAME_HEADER)
			caller_failed(&callers[0], -ECONNRESET, "closed the connection");
		else
			caller_answered(&callers[0], "the answer");
		caller_failed(&callers[1], -ECONNRESET, "closed the connection");
		world_close(&world);
		at += at > 60 && at < 4900 ? 97 : 1;
	} while (at < stream.len);
	buf_free(&stream);
}

/* Each is sent while a call with id 1 and a download with id 2 are under way. */
static void test_lies_end_the_session(void **state)
{
	static const struct {
		struct frame frame;
		const char *says;
	} lies[] = {
		{ { FRAME_BODY_MAX + 1, 1, FRAME_DONE, 0, 0 }, "more than 135168" },
		{ { UINT32_MAX, 2, FRAME_DATA, 0, 0 }, "4294967295 bytes" },
		{ { 0, 0, FRAME_DONE, 0, 0 }, "the call 0" },
		{ { 0, 1, 9, 0, 0 }, "unknown kind 9" },
		{ { 0, 1, FRAME_DONE, 1, 0 }, "flags" },
		{ { 8193, 1, FRAME_DONE, 0, 0 }, "8193 bytes of answer to 'stat'" },
		{ { 0, 2, FRAME_DATA, 0, 0 }, "without a byte" },
		{ { 0, 3, FRAME_DONE, 0, 0 }, "call 3, which is not open" },
		{ { 1, UINT32_MAX, FRAME_DATA, 0, 0 }, "which is not open" },
		{ { 4, 77, FRAME_CREDIT, 0, 0 }, "which is not open" },
		{ { 4, 1, FRAME_CALL, 0, 1 }, "only a client sends" },
		{ { 0, 1, FRAME_CANCEL, 0, 0 }, "only a client sends" },
		{ { 1, 1, FRAME_DATA, 0, 0 }, "1 bytes of data with credit for 0" },
	};
	struct caller callers[2];
	struct world world;
	uint32_t ids[2];

	(void)state;
	for (size_t i = 0; i < sizeof(lies) / sizeof(lies[0]); i++) {
		unsigned char header[FRAME_HEADER];

		world_open(&world);
		start_two(&world, callers, ids);
		assert_int_equal(ids[0], 1);
		assert_int_equal(ids[1], 2);
		frame_encode(&lies[i].frame, header);
		peer_raw(&world, header, sizeof(header));
		/* what is wrong with a header is told before its body is waited for */
		for (int k = 0; k < 2; k++) {
			caller_join(&callers[k], -ECONNRESET);
			assert_non_null(strstr(callers[k].err.text, "broke the protocol: "));
			if (!strstr(callers[k].err.text, lies[i].says))
				fail_msg("'%s': not '%s'", callers[k].err.text, lies[i].says);
			caller_free(&callers[k]);
		}
		assert_true(mux_dead(world.mux));
		world_close(&world);
	}
}

static void test_a_second_answer_ends_the_session(void **state)
{
	struct caller callers[2];
	struct world world;
	uint32_t ids[2];

	(void)state;
	world_open(&world);
	start_two(&world, callers, ids);
	peer_done(&world, ids[0], "once");
	peer_done(&world, ids[0], "twice");
	caller_answered(&callers[0], "once");
	caller_failed(&callers[1], -ECONNRESET, "which is not open");
	world_close(&world);
}

/* An answer to a call that could not even be sent yet. */
static void test_an_answer_before_the_question(void **state)
{
	struct caller caller = { 0 };
	struct world world;

	(void)state;
	world_open(&world);
	peer_done(&world, 1, "I know");
	caller_start(&caller, &world);
	/* sent or not, it is the answer, or the end: never a hang */
	pthread_join(caller.thread, NULL);
	assert_true(caller.rc == 0 || caller.rc == -ECONNRESET);
	caller_free(&caller);
	world_close(&world);
}

/*
 * Nobody reads what is sent, and both sockets are full: calls wait outside and time out with
 * nothing sent, and the session goes on when the agent reads again.
 */
static void test_an_agent_that_does_not_read(void **state)
{
	static char large[100000];
	struct call call = call_within(LONG, NULL), soon = call_within(0.1, NULL);
	struct buf args = BUF_INIT(FRAME_BODY_MAX);
	struct mux_ticket *tickets[100], *one;
	struct error err = { 0 };
	struct world world;
	int begun = 0, rc;

	(void)state;
	world_open(&world);
	memset(large, 'x', sizeof(large));
	buf_add(&args, large, sizeof(large));
	while ((rc = mux_begin(world.mux, &soon, OP_WRITE, &args, &one, &err)) == 0) {
		assert_in_range(begun, 0, 99);
		tickets[begun++] = one;
	}
	assert_int_equal(rc, -ETIMEDOUT);
	assert_false(mux_dead(world.mux));
	/* every frame that was begun is whole, and no other one follows */
	for (int i = 0; i < begun; i++) {
		struct caller helper = { 0 };

		/* somebody waits, so that the end of the last frame is sent */
		if (i == begun - 1)
			caller_start(&helper, &world);
		peer_get(&world, &got);
		assert_int_equal(got.frame.size, sizeof(large) + 4);
		peer_done(&world, got.frame.id, "written");
		if (i == begun - 1) {
			peer_get(&world, &got);
			assert_int_equal(got.frame.size, 4);
			peer_done(&world, got.frame.id, "helped");
			caller_answered(&helper, "helped");
		}
	}
	for (int i = 0; i < begun; i++)
		assert_int_equal(mux_finish(tickets[i], &call, NULL, NULL, &err), 0);
	buf_free(&args);
	world_close(&world);
}

/* While bulk waits for a full socket, small calls still get in line, and go before it. */
static void test_small_calls_go_before_bulk(void **state)
{
	static char large[100000];
	struct call call = call_within(LONG, NULL), soon = call_within(0.2, NULL);
	struct buf args = BUF_INIT(FRAME_BODY_MAX);
	struct mux_ticket *tickets[100], *small;
	struct caller bulk = { .op = OP_WRITE, .args = large };
	struct error err = { 0 };
	struct world world;
	int begun = 0;

	(void)state;
	world_open(&world);
	memset(large, 'x', sizeof(large) - 1);
	buf_add(&args, large, sizeof(large) - 1);
	while (mux_begin(world.mux, &soon, OP_WRITE, &args, &tickets[begun], &err) == 0) {
		begun++;
		soon = call_within(0.2, NULL);
	}
	caller_start(&bulk, &world);
	soon = call_within(0.2, NULL);
	assert_int_equal(mux_begin(world.mux, &soon, OP_STATFS, NULL, &small, &err), 0);
	for (int i = 0; i < begun; i++) {
		peer_get(&world, &got);
		assert_int_equal(got.frame.code, OP_WRITE);
		peer_done(&world, got.frame.id, "written");
	}
	peer_get(&world, &got);
	assert_int_equal(got.frame.code, OP_STATFS);
	peer_done(&world, got.frame.id, "small");
	peer_get(&world, &got);
	assert_int_equal(got.frame.code, OP_WRITE);
	peer_done(&world, got.frame.id, "written");
	caller_answered(&bulk, "written");
	for (int i = 0; i < begun; i++)
		assert_int_equal(mux_finish(tickets[i], &call, NULL, NULL, &err), 0);
	assert_int_equal(mux_finish(small, &call, NULL, NULL, &err), 0);
	buf_free(&args);
	world_close(&world);
}

/*
 * An agent with one thread, which reads nothing while it sends, and callers whose frames fill the
 * socket meanwhile: one that did not read while it cannot send would hang.
 */
static void test_two_full_sockets_do_not_deadlock(void **state)
{
	static char large[100000];
	static struct caller callers[20];
	struct caller first = { .how = BY_DOWNLOAD, .op = OP_EXPORT };
	struct world world;
	uint32_t id;

	(void)state;
	memset(large, 'x', sizeof(large) - 1);
	world_open(&world);
	caller_start(&first, &world);
	peer_get(&world, &got);
	id = got.frame.id;
	for (int i = 0; i < 20; i++) {
		callers[i] = (struct caller){ .op = OP_WRITE, .args = large };
		caller_start(&callers[i], &world);
	}
	/* 4 MiB, far more than the sockets hold, before the first of theirs is read */
	for (int i = 0; i < 64; i++) {
		peer_data(&world, id, large, 65536);
		while (i >= 2 && i % 2 == 0) {
			peer_get(&world, &got);
			if (got.frame.kind == FRAME_CREDIT)
				break;
			peer_done(&world, got.frame.id, "");
		}
	}
	peer_done(&world, id, "");
	caller_join(&first, 0);
	assert_int_equal(first.data.len, 64 * 65536);
	caller_free(&first);
	close(world.peer);
	world.peer = -1;
	for (int i = 0; i < 20; i++) {
		pthread_join(callers[i].thread, NULL);
		assert_true(callers[i].rc == 0 || callers[i].rc == -ECONNRESET);
		caller_free(&callers[i]);
	}
	world_close(&world);
}

/* A download that does not stop: what is within its credit is dropped, more is the end. */
static void test_a_flood_after_cancel(void **state)
{
	static char piece[65536];
	struct caller late = { .how = BY_DOWNLOAD, .op = OP_EXPORT, .seconds = 0.05 };
	struct caller next = { 0 };
	struct world world;
	uint32_t id;

	(void)state;
	world_open(&world);
	caller_start(&late, &world);
	peer_get(&world, &got);
	id = got.frame.id;
	caller_failed(&late, -ETIMEDOUT, "'export' in time");
	peer_get(&world, &got);
	assert_int_equal(got.frame.kind, FRAME_CANCEL);
	caller_start(&next, &world);
	peer_get(&world, &got);
	for (size_t sent = 0; sent < OPS_WINDOW; sent += sizeof(piece))
		peer_data(&world, id, piece, sizeof(piece));
	peer_done(&world, got.frame.id, "fine");
	caller_answered(&next, "fine");

	next = (struct caller){ 0 };
	caller_start(&next, &world);
	peer_get(&world, &got);
	peer_data(&world, id, piece, 1);
	caller_failed(&next, -ECONNRESET, "with credit for 0");
	world_close(&world);
}

/*
 * Stops in the middle of an answer, wherever: its caller goes when its time is up, and what comes
 * of the answer then is the end of that frame.
 */
static void test_an_agent_that_stops_in_the_middle(void **state)
{
	static char large[OPS_SMALL_ANSWER];
	static const size_t cuts[] = { 1, FRAME_HEADER, FRAME_HEADER + 1, 5000, sizeof(large) };

	(void)state;
	for (size_t i = 0; i < sizeof(cuts) / sizeof(cuts[0]); i++) {
		struct buf stream = BUF_INIT(FRAME_BODY_MAX);
		struct caller late = { .seconds = 0.05 }, next = { 0 };
		struct world world;

		world_open(&world);
		caller_start(&late, &world);
		peer_get(&world, &got);
		add_frame(&stream, got.frame.id, FRAME_DONE, 0, large, sizeof(large));
		peer_raw(&world, stream.data, cuts[i]);
		caller_failed(&late, -ETIMEDOUT, "'stat' in time");
		peer_get(&world, &got);
		assert_int_equal(got.frame.kind, FRAME_CANCEL);
		caller_start(&next, &world);
		peer_get(&world, &got);
		peer_raw(&world, stream.data + cuts[i], stream.len - cuts[i]);
		peer_done(&world, got.frame.id, "fine");
		caller_answered(&next, "fine");
		buf_free(&stream);
		world_close(&world);
	}
}

/* Frames that may come, but none that is waited for: whoever is out of time looks only once. */
static void test_a_flood_does_not_stop_the_clock(void **state)
{
	struct call call = call_within(LONG, NULL), over = { 0 };
	const unsigned char one[4] = { 1 };
	struct buf frames = BUF_INIT(1 << 20);
	struct mux_ticket *ticket;
	struct error err = { 0 };
	struct world world;

	(void)state;
	world_open(&world);
	assert_int_equal(mux_begin(world.mux, &call, OP_STAT, NULL, &ticket, &err), 0);
	peer_get(&world, &got);
	for (int i = 0; i < 6000; i++)
		add_frame(&frames, got.frame.id, FRAME_CREDIT, 0, one, sizeof(one));
	peer_raw(&world, frames.data, frames.len);
	assert_int_equal(mux_finish(ticket, &over, NULL, NULL, &err), -ETIMEDOUT);
	assert_in_range(traffic_total(&world.traffic).bytes_received, 1, frames.len / 2);
	buf_free(&frames);
	world_close(&world);
}

int main(void)
{
	static const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_split_anywhere),
		cmocka_unit_test(test_byte_by_byte),
		cmocka_unit_test(test_cut_anywhere),
		cmocka_unit_test(test_lies_end_the_session),
		cmocka_unit_test(test_a_second_answer_ends_the_session),
		cmocka_unit_test(test_an_answer_before_the_question),
		cmocka_unit_test(test_an_agent_that_does_not_read),
		cmocka_unit_test(test_small_calls_go_before_bulk),
		cmocka_unit_test(test_two_full_sockets_do_not_deadlock),
		cmocka_unit_test(test_a_flood_after_cancel),
		cmocka_unit_test(test_an_agent_that_stops_in_the_middle),
		cmocka_unit_test(test_a_flood_does_not_stop_the_clock),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
