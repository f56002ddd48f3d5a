/*
 * test_mux_stream.c - streams beside calls: credit both ways, slow takers, silence, and how a watch
 * leaves the reading to others.
 */
#include "tests/unit/mux_peer.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#define PIECE 65536u

static struct got got;
static char piece[PIECE];

static void expect(struct world *world, uint8_t kind, uint32_t id)
{
	peer_get(world, &got);
	if (got.frame.kind != kind || got.frame.id != id)
		fail_msg("a frame of kind %u and call %u instead of %u and %u", got.frame.kind,
			 got.frame.id, kind, id);
}

static uint32_t begun(struct world *world, struct caller *caller)
{
	caller_start(caller, world);
	peer_get(world, &got);
	assert_int_equal(got.frame.kind, FRAME_CALL);
	return got.frame.id;
}

static void answered(struct world *world)
{
	struct caller caller = { 0 };

	peer_done(world, begun(world, &caller), "x");
	caller_answered(&caller, "x");
}

static void test_data_arrives_in_order_with_credit(void **state)
{
	enum { PIECES = 64 };
	struct caller caller = { .how = BY_DOWNLOAD, .op = OP_EXPORT };
	struct world world;
	size_t credit = OPS_WINDOW;
	uint32_t id;

	(void)state;
	world_open(&world);
	id = begun(&world, &caller);
	for (int i = 0; i < PIECES; i++) {
		while (credit < PIECE) {
			expect(&world, FRAME_CREDIT, id);
			credit += got.body[0] | (unsigned)got.body[1] << 8 |
				  (unsigned)got.body[2] << 16;
			assert_true(credit <= OPS_WINDOW);
		}
		memset(piece, i, sizeof(piece));
		peer_data(&world, id, piece, sizeof(piece));
		credit -= PIECE;
	}
	peer_frame(&world, id, FRAME_DATA, FRAME_END, 0, "end", 3);
	peer_done(&world, id, "sum");
	caller_join(&caller, 0);
	assert_string_equal(buf_str(&caller.reply), "sum");
	assert_int_equal(caller.data.len, PIECES * PIECE + 3);
	for (int i = 0; i < PIECES; i++)
		assert_int_equal(caller.data.data[(size_t)i * PIECE + PIECE / 2], i);
	caller_free(&caller);
	world_close(&world);
}

static void test_many_small_pieces(void **state)
{
	struct caller caller = { .how = BY_DOWNLOAD, .op = OP_STREAM };
	struct world world;
	uint32_t id;

	(void)state;
	world_open(&world);
	id = begun(&world, &caller);
	for (int i = 0; i < 50000; i++)
		peer_data(&world, id, "abcde", 5);
	peer_done(&world, id, "");
	caller_join(&caller, 0);
	assert_int_equal(caller.data.len, 250000);
	assert_memory_equal(caller.data.data + 249990, "abcdeabcde", 10);
	caller_free(&caller);
	world_close(&world);
}

static void test_data_then_an_error(void **state)
{
	struct caller caller = { .how = BY_DOWNLOAD, .op = OP_LIST };
	struct world world;
	uint32_t id;

	(void)state;
	world_open(&world);
	id = begun(&world, &caller);
	peer_data(&world, id, "half", 4);
	peer_frame(&world, id, FRAME_DONE, 0, EIO, "the disk", 8);
	caller_join(&caller, -EIO);
	assert_string_equal(caller.err.text, "the disk");
	assert_string_equal(buf_str(&caller.data), "half");
	caller_free(&caller);
	world_close(&world);
}

static void test_data_behind_the_end(void **state)
{
	struct caller caller = { .how = BY_DOWNLOAD, .op = OP_LIST };
	struct world world;
	uint32_t id;

	(void)state;
	world_open(&world);
	id = begun(&world, &caller);
	peer_frame(&world, id, FRAME_DATA, FRAME_END, 0, "end", 3);
	peer_data(&world, id, "more", 4);
	caller_failed(&caller, -ECONNRESET, "behind the last");
	world_close(&world);
}

static int wait_at_the_gate(void *arg, const void *bytes, size_t len)
{
	struct caller *caller = arg;

	sem_wait(&caller->gate);
	sem_post(&caller->gate);
	buf_add(&caller->data, bytes, len);
	return 0;
}

/*
 * A sink that does not take holds up neither small calls nor other streams, and gets a window, no
 * more.
 */
static void test_a_slow_taker_holds_up_nobody(void **state)
{
	struct caller slow = { .how = BY_DOWNLOAD, .op = OP_EXPORT, .sink = wait_at_the_gate };
	struct caller other = { .how = BY_DOWNLOAD, .op = OP_EXPORT };
	struct caller reader = { 0 };
	struct world world;
	uint32_t id, next;

	(void)state;
	world_open(&world);
	id = begun(&world, &slow);
	/* Somebody reads while the slow one is at its gate: a socket does not hold that much. */
	next = begun(&world, &reader);
	for (int i = 0; i < 4; i++)
		peer_data(&world, id, piece, PIECE);
	peer_done(&world, next, "read");
	caller_answered(&reader, "read");
	for (int i = 0; i < 100; i++)
		answered(&world);
	next = begun(&world, &other);
	for (int i = 0; i < 10; i++) {
		peer_data(&world, next, piece, PIECE);
		if (i % 2)
			expect(&world, FRAME_CREDIT, next);
	}
	peer_done(&world, next, "");
	caller_join(&other, 0);
	caller_free(&other);
	sem_post(&slow.gate);
	expect(&world, FRAME_CREDIT, id);
	expect(&world, FRAME_CREDIT, id);
	peer_done(&world, id, "");
	caller_join(&slow, 0);
	assert_int_equal(slow.data.len, 4 * PIECE);
	caller_free(&slow);
	world_close(&world);
}

static void test_more_than_the_window_ends_the_session(void **state)
{
	struct caller slow = { .how = BY_DOWNLOAD, .op = OP_EXPORT, .sink = wait_at_the_gate };
	struct caller other = { 0 };
	struct world world;
	uint32_t id;

	(void)state;
	world_open(&world);
	id = begun(&world, &slow);
	begun(&world, &other);
	for (int i = 0; i < 4; i++)
		peer_data(&world, id, piece, PIECE);
	peer_data(&world, id, piece, 1);
	caller_failed(&other, -ECONNRESET, "1 bytes of data with credit for 0");
	sem_post(&slow.gate);
	caller_failed(&slow, -ECONNRESET, "with credit for 0");
	world_close(&world);
}

static int refuse(void *arg, const void *bytes, size_t len)
{
	(void)arg;
	(void)bytes;
	(void)len;
	return -ENOSPC;
}

static void test_a_sink_that_refuses_cancels(void **state)
{
	struct caller caller = { .how = BY_DOWNLOAD, .op = OP_EXPORT, .sink = refuse };
	struct world world;
	uint32_t id;

	(void)state;
	world_open(&world);
	id = begun(&world, &caller);
	peer_data(&world, id, "x", 1);
	caller_failed(&caller, -ENOSPC, "No space left");
	expect(&world, FRAME_CANCEL, id);
	peer_data(&world, id, "dropped", 7);
	peer_frame(&world, id, FRAME_DONE, 0, EINTR, "", 0);
	answered(&world);
	world_close(&world);
}

/* Longer than the caller's seconds in all, but never so long silent. */
static int take_longer_than_the_deadline(void *arg, const void *bytes, size_t len)
{
	struct caller *caller = arg;
	struct call nap = call_within(LONG, NULL);

	buf_add(&caller->data, bytes, len);
	return call_sleep(&nap, caller->seconds * 1.1);
}

static void test_quiet_limits_silence_only(void **state)
{
	struct caller caller = { .how = BY_QUIET_DOWNLOAD,
				 .op = OP_WATCH,
				 .seconds = 0.3,
				 .sink = take_longer_than_the_deadline };
	struct world world;
	uint32_t id;

	(void)state;
	world_open(&world);
	id = begun(&world, &caller);
	assert_memory_equal(got.body, "\0\0\0\0", 4); /* no deadline for the agent */
	peer_data(&world, id, "x", 1);
	caller_join(&caller, -ETIMEDOUT);
	assert_string_equal(buf_str(&caller.data), "x");
	caller_free(&caller);
	expect(&world, FRAME_CANCEL, id);

	caller = (struct caller){ .how = BY_QUIET_DOWNLOAD,
				  .op = OP_WATCH,
				  .seconds = 0.3,
				  .sink = take_longer_than_the_deadline };
	id = begun(&world, &caller);
	peer_data(&world, id, "x", 1);
	peer_done(&world, id, "over");
	caller_answered(&caller, "over");
	world_close(&world);
}

static int pass_the_gate(void *arg, const void *bytes, size_t len)
{
	struct caller *caller = arg;

	(void)bytes;
	while (len--)
		sem_post(&caller->gate);
	return 0;
}

/*
 * Events come while others are busy and after they are, and others are answered while one watches.
 */
static void test_a_watch_and_callers(void **state)
{
	struct caller watch = { .how = BY_QUIET_DOWNLOAD, .op = OP_WATCH, .sink = pass_the_gate };
	struct caller waiter = { .op = OP_WAIT };
	struct world world;
	uint32_t id, waited;

	(void)state;
	world_open(&world);
	id = begun(&world, &watch);
	waited = begun(&world, &waiter);
	for (int i = 0; i < 300; i++) {
		answered(&world);
		if (i % 3 == 0) {
			peer_data(&world, id, "e", 1);
			sem_wait(&watch.gate);
		}
	}
	peer_data(&world, id, "e", 1);
	sem_wait(&watch.gate);
	peer_done(&world, waited, "ended");
	caller_answered(&waiter, "ended");
	answered(&world);
	cancel_fire(&watch.cancel);
	caller_failed(&watch, -EINTR, "interrupted while waiting for 'watch'");
	expect(&world, FRAME_CANCEL, id);
	answered(&world);
	world_close(&world);
}

static ssize_t give(void *arg, void *bytes, size_t len)
{
	struct caller *caller = arg;

	if (len > caller->left)
		len = caller->left;
	memset(bytes, 'u', len);
	caller->left -= len;
	return (ssize_t)len;
}

static void test_an_upload_keeps_to_its_credit(void **state)
{
	struct caller caller = {
		.how = BY_UPLOAD, .op = OP_IMPORT, .source = give, .left = OPS_WINDOW + 1000
	};
	struct world world;
	size_t seen = 0;
	uint32_t id;

	(void)state;
	world_open(&world);
	id = begun(&world, &caller);
	while (seen < OPS_WINDOW) {
		expect(&world, FRAME_DATA, id);
		seen += got.frame.size;
		assert_int_equal(got.frame.flags, 0);
	}
	assert_int_equal(seen, OPS_WINDOW);
	/* without credit nothing comes: the next frame is another call's */
	answered(&world);
	peer_credit(&world, id, 600);
	expect(&world, FRAME_DATA, id);
	assert_int_equal(got.frame.size, 600);
	peer_credit(&world, id, UINT32_MAX);
	expect(&world, FRAME_DATA, id);
	assert_int_equal(got.frame.size, 400);
	expect(&world, FRAME_DATA, id);
	assert_int_equal(got.frame.size, 0);
	assert_int_equal(got.frame.flags, FRAME_END);
	peer_done(&world, id, "imported");
	caller_answered(&caller, "imported");
	world_close(&world);
}

/* An agent that will not have it says so before the end, without giving credit. */
static void test_an_upload_ends_with_its_answer(void **state)
{
	struct caller caller = {
		.how = BY_UPLOAD, .op = OP_IMPORT, .source = give, .left = SIZE_MAX / 2
	};
	struct world world;
	size_t seen = 0;
	uint32_t id;

	(void)state;
	world_open(&world);
	id = begun(&world, &caller);
	while (seen < OPS_WINDOW) {
		expect(&world, FRAME_DATA, id);
		seen += got.frame.size;
	}
	peer_frame(&world, id, FRAME_DONE, 0, ENOSPC, "full", 4);
	caller_failed(&caller, -ENOSPC, "full");
	answered(&world);
	world_close(&world);
}

static ssize_t fail_to_give(void *arg, void *bytes, size_t len)
{
	struct caller *caller = arg;

	return caller->left ? give(arg, bytes, len) : -EIO;
}

static void test_a_source_that_fails_cancels(void **state)
{
	struct caller caller = {
		.how = BY_UPLOAD, .op = OP_IMPORT, .source = fail_to_give, .left = 10
	};
	struct world world;
	uint32_t id;

	(void)state;
	world_open(&world);
	id = begun(&world, &caller);
	caller_failed(&caller, -EIO, "cannot read what is to be sent");
	expect(&world, FRAME_DATA, id);
	assert_int_equal(got.frame.size, 10);
	expect(&world, FRAME_CANCEL, id);
	world_close(&world);
}

static void test_an_upload_without_credit_times_out(void **state)
{
	struct caller caller = { .how = BY_UPLOAD,
				 .op = OP_IMPORT,
				 .source = give,
				 .left = SIZE_MAX / 2,
				 .seconds = 0.2 };
	struct world world;
	size_t seen = 0;
	uint32_t id;

	(void)state;
	world_open(&world);
	id = begun(&world, &caller);
	while (seen < OPS_WINDOW) {
		expect(&world, FRAME_DATA, id);
		seen += got.frame.size;
	}
	caller_failed(&caller, -ETIMEDOUT, "did not answer 'import' in time");
	expect(&world, FRAME_CANCEL, id);
	world_close(&world);
}

int main(void)
{
	static const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_data_arrives_in_order_with_credit),
		cmocka_unit_test(test_many_small_pieces),
		cmocka_unit_test(test_data_then_an_error),
		cmocka_unit_test(test_data_behind_the_end),
		cmocka_unit_test(test_a_slow_taker_holds_up_nobody),
		cmocka_unit_test(test_more_than_the_window_ends_the_session),
		cmocka_unit_test(test_a_sink_that_refuses_cancels),
		cmocka_unit_test(test_quiet_limits_silence_only),
		cmocka_unit_test(test_a_watch_and_callers),
		cmocka_unit_test(test_an_upload_keeps_to_its_credit),
		cmocka_unit_test(test_an_upload_ends_with_its_answer),
		cmocka_unit_test(test_a_source_that_fails_cancels),
		cmocka_unit_test(test_an_upload_without_credit_times_out),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
