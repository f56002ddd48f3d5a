/*
 * test_agent_session_batch.c - several operations in one call: in order, to the first error or
 * beyond it, and never without an answer for what was done.
 */
#include "tests/unit/agent_client.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "protocol/session/pack.h"

struct place {
	struct agent_world world;
	struct agent_client client;
};

static int setup(void **state)
{
	static struct place place;

	agent_world_open(&place.world);
	client_open(&place.client, &place.world);
	*state = &place;
	return 0;
}

static int teardown(void **state)
{
	struct place *place = *state;

	client_close(&place->client);
	agent_world_close(&place->world);
	return 0;
}

static uint32_t open_file(struct place *place, const char *path, uint32_t flags, uint32_t mode)
{
	struct buf result = BUF_INIT(FRAME_BODY_MAX);
	struct unpack in;
	uint32_t number;

	expect_call(&place->client, 0, &result, OP_OPEN, "sww", path, flags, mode);
	in = unpack_from(result.data, result.len);
	number = unpack_u32(&in);
	assert_int_not_equal(number, 0);
	buf_free(&result);
	return number;
}

static void expect_result(struct unpack *in, int code, size_t len)
{
	size_t got;

	assert_int_equal(unpack_u16(in), code);
	unpack_bytes(in, FRAME_BODY_MAX, &got);
	assert_false(in->failed);
	if (len != SIZE_MAX)
		assert_int_equal(got, len);
}

static void test_batch(void **state)
{
	struct place *place = *state;
	struct agent_client *client = &place->client;
	struct buf result = BUF_INIT(FRAME_BODY_MAX);
	struct unpack in;
	/* The lengths: of a text 4 + n, of numbers their own. */
	const uint32_t last = OPS_HANDLE_LAST;

	expect_call(client, 0, &result, OP_BATCH,
		    "bhwsww"
		    "hwwqbr"
		    "hwwqw"
		    "hww"
		    "hww"
		    "hws",
		    0, OP_OPEN, 4u + 1 + 8, "f", OPEN_READ | OPEN_WRITE | OPEN_CREATE, 0640u,
		    OP_WRITE, 4u + 8 + 1 + 4, last, (uint64_t)0, 0, "data", (size_t)4, OP_READ,
		    4u + 8 + 4, last, (uint64_t)1, 100u, OP_CLOSE, 4u, last, OP_CLOSE, 4u, last,
		    OP_UNLINK, 4u + 1, "f");
	in = unpack_from(result.data, result.len);
	expect_result(&in, 0, 4 + OPS_ATTR_SIZE);
	expect_result(&in, 0, OPS_ATTR_SIZE);
	expect_result(&in, 0, 3);
	expect_result(&in, 0, 0);
	expect_result(&in, EBADF, SIZE_MAX);
	assert_ptr_equal(in.at, in.end); /* it stopped there */
	expect_call(client, 0, NULL, OP_STAT, "s", "f");

	/* Goes on; what may not be in a batch is an error of its own. */
	expect_call(client, 0, &result, OP_BATCH,
		    "bhws"
		    "hw"
		    "hwb"
		    "hw"
		    "hws"
		    "hw",
		    1, OP_UNLINK, 4u + 4, "none", OP_LIST, 0u, OP_BATCH, 1u, 0, 23, 0u, OP_UNLINK,
		    4u + 1, "f", OP_SYNC, 0u);
	in = unpack_from(result.data, result.len);
	expect_result(&in, ENOENT, SIZE_MAX);
	expect_result(&in, EINVAL, SIZE_MAX);
	expect_result(&in, EINVAL, SIZE_MAX);
	expect_result(&in, EOPNOTSUPP, SIZE_MAX);
	expect_result(&in, 0, 0);
	expect_result(&in, 0, 0);
	assert_ptr_equal(in.at, in.end);

	/* Nothing of one that is not formed rightly is done. */
	expect_call(client, EPROTO, NULL, OP_BATCH,
		    "bhwsw"
		    "hw",
		    0, OP_MKDIR, 4u + 1 + 4, "m", 0755u, OP_STAT, 4u);
	expect_call(client, ENOENT, NULL, OP_STAT, "s", "m");

	/* A handle of one batch is no handle of the next. */
	expect_call(client, 0, &result, OP_BATCH, "bhww", 0, OP_FSTAT, 4u, last);
	in = unpack_from(result.data, result.len);
	expect_result(&in, EBADF, SIZE_MAX);
	buf_free(&result);
}

/* Two reads of the largest size do not fit: the second is not done, and that is told. */
static void test_batch_that_does_not_fit(void **state)
{
	struct place *place = *state;
	struct buf result = BUF_INIT(FRAME_BODY_MAX);
	uint32_t file;
	struct unpack in;

	agent_world_run(&place->world, "truncate -s 1M big");
	file = open_file(place, "big", OPEN_READ, 0);
	expect_call(&place->client, 0, &result, OP_BATCH,
		    "bhwwqw"
		    "hwwqw",
		    1, OP_READ, 16u, file, (uint64_t)0, OPS_IO_MAX, OP_READ, 16u, file, (uint64_t)0,
		    OPS_IO_MAX);
	in = unpack_from(result.data, result.len);
	expect_result(&in, 0, OPS_IO_MAX);
	assert_ptr_equal(in.at, in.end);
	buf_free(&result);
}

/* One too long to be done between two reads. */
static void test_batch_of_many(void **state)
{
	struct place *place = *state;
	struct buf args = args_of("b", 0), result = BUF_INIT(FRAME_BODY_MAX);
	struct unpack in;

	for (int i = 0; i < 500; i++) {
		char name[16];
		struct buf one;

		snprintf(name, sizeof(name), "d%03d", i);
		one = args_of("hwsw", OP_MKDIR, 4u + 4 + 4, name, 0700u);
		buf_add(&args, one.data, one.len);
		buf_free(&one);
	}
	assert_int_equal(client_call(&place->client, OP_BATCH, &args, &result), 0);
	in = unpack_from(result.data, result.len);
	for (int i = 0; i < 500; i++)
		expect_result(&in, 0, OPS_ATTR_SIZE);
	assert_ptr_equal(in.at, in.end);
	agent_world_run(&place->world, "test \"$(ls | wc -l)\" = 500");
	buf_free(&result);
}

int main(void)
{
#define test(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
	const struct CMUnitTest tests[] = {
		test(test_batch),
		test(test_batch_that_does_not_fit),
		test(test_batch_of_many),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
