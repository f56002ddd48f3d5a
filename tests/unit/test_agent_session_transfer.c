/*
 * test_agent_session_transfer.c - subtrees in and out as streams: whole, under back pressure, given
 * up, and beside small calls.
 */
#include "tests/unit/agent_client.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

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

/* Sends BYTES as the stream of ID, in pieces of PIECE, as credit allows; GOT is its answer. */
static void upload(struct agent_client *client, uint32_t id, const char *bytes, size_t len,
		   size_t piece, struct got *got)
{
	size_t credit = OPS_WINDOW;

	while (len) {
		size_t n = len < piece ? len : piece;

		while (credit < n) {
			struct unpack in;

			client_get(client, got);
			assert_int_equal(got->frame.id, id);
			if (got->frame.kind == FRAME_DONE)
				return;
			assert_int_equal(got->frame.kind, FRAME_CREDIT);
			in = unpack_from(got->body, got->frame.size);
			credit += unpack_u32(&in);
			assert_true(credit <= OPS_WINDOW);
		}
		client_frame(client, FRAME_DATA, id, n == len ? FRAME_END : 0, 0, bytes, n);
		bytes += n;
		len -= n;
		credit -= n;
	}
	do
		client_get(client, got);
	while (got->frame.kind == FRAME_CREDIT);
	assert_int_equal(got->frame.kind, FRAME_DONE);
}

static void test_round_trip(void **state)
{
	static const size_t pieces[] = { 1000, 64 << 10, FRAME_BODY_MAX };
	struct place *place = *state;
	struct agent_client *client = &place->client;
	struct got *got = malloc(sizeof(*got));
	struct buf result = BUF_INIT(FRAME_BODY_MAX), tar;
	struct unpack in;

	agent_world_run(
		&place->world,
		"mkdir -p from/sub/empty one two three; head -c 3000000 /dev/urandom >from/big; "
		"echo small >from/sub/small; ln -s small from/sub/link; chmod 751 from/sub; "
		"touch -d @1234.5 from/sub/small; ln from/big from/hard");
	expect_call(client, 0, &result, OP_EXPORT, "s", "from");
	in = unpack_from(result.data, result.len);
	assert_int_equal(unpack_u64(&in), 6);
	assert_int_equal(unpack_u64(&in), 3000006);
	assert_int_equal(unpack_done(&in, "export", NULL), 0);
	tar = client->data;
	buf_init(&client->data, tar.max);
	for (int i = 0; i < 3; i++) {
		static const char *const to[] = { "one", "two", "three" };
		struct buf args = args_of("s", to[i]);

		upload(client, client_begin(client, OP_IMPORT, &args, 0), tar.data, tar.len,
		       pieces[i], got);
		buf_free(&args);
		assert_int_equal(got->frame.code, 0);
		in = unpack_from(got->body, got->frame.size);
		assert_int_equal(unpack_u64(&in), 6);
	}
	agent_world_run(&place->world, "show() { (cd $1; find . -printf '%p %m %T@ %l %n\\n' | "
				       "sort; cat big sub/small); }; "
				       "touch -r from one two three; show from >a; show one >b; "
				       "show two >c; show three >d; "
				       "cmp a b; cmp a c; cmp a d; ");
	buf_free(&tar);
	buf_free(&result);
	free(got);
}

/* While nobody takes the bulk, small calls are answered, and the bulk stays within its credit. */
static void test_small_beside_bulk(void **state)
{
	struct place *place = *state;
	struct agent_client *client = &place->client;
	struct got *got = malloc(sizeof(*got));
	struct buf args = args_of("s", "big");
	size_t taken[8] = { 0 };
	uint32_t first, probe = 0;
	int open = 8, answered = 0;

	agent_world_run(&place->world, "truncate -s 3M big");
	first = client_begin(client, OP_EXPORT, &args, 0);
	for (int i = 1; i < 8; i++)
		client_begin(client, OP_EXPORT, &args, 0);
	while (open) {
		/* Between every two frames of bulk a small one is asked for. */
		if (!probe)
			probe = client_begin(client, OP_STAT, &args, 0);
		client_get(client, got);
		if (got->frame.id == probe) {
			assert_int_equal(got->frame.code, 0);
			probe = 0;
			answered++;
			continue;
		}
		assert_in_range(got->frame.id, first, first + 7);
		if (got->frame.kind == FRAME_DONE) {
			assert_int_equal(got->frame.code, 0);
			open--;
			continue;
		}
		assert_true(got->frame.size <= 64 << 10);
		taken[got->frame.id - first] += got->frame.size;
		client_credit(client, got->frame.id, got->frame.size);
	}
	for (int i = 0; i < 8; i++)
		assert_true(taken[i] >= 3 << 20);
	/* A few hundred frames of bulk came; the probes were not left to their end. */
	assert_true(answered > 20);
	if (probe)
		client_finish(client, probe, got);
	buf_free(&args);
	free(got);
}

/*
 * A stream that is not read ends at its deadline, and at its cancel, and never exceeds its credit.
 */
static void test_stalled_export(void **state)
{
	struct place *place = *state;
	struct agent_client *client = &place->client;
	struct got *got = malloc(sizeof(*got));
	struct buf args = args_of("s", "big");

	agent_world_run(&place->world, "truncate -s 3M big");
	for (int round = 0; round < 2; round++) {
		uint32_t id = client_begin(client, OP_EXPORT, &args, round ? 200 : 0);
		size_t sent = 0;

		for (;;) {
			client_get(client, got);
			if (got->frame.kind == FRAME_DONE)
				break;
			sent += got->frame.size;
			if (sent == OPS_WINDOW && !round)
				client_frame(client, FRAME_CANCEL, id, 0, 0, NULL, 0);
		}
		assert_int_equal(sent, OPS_WINDOW);
		assert_int_equal(got->frame.code, round ? ETIMEDOUT : ECANCELED);
	}
	buf_free(&args);
	free(got);
}

static void test_stalled_import(void **state)
{
	struct place *place = *state;
	struct agent_client *client = &place->client;
	struct got *got = malloc(sizeof(*got));
	struct buf args = args_of("s", "");
	uint32_t id = client_begin(client, OP_IMPORT, &args, 0);

	expect_call(client, 0, NULL, OP_STAT, "s", "");
	client_frame(client, FRAME_CANCEL, id, 0, 0, NULL, 0);
	client_finish(client, id, got);
	assert_int_equal(got->frame.code, ECANCELED);
	client_finish(client, client_begin(client, OP_IMPORT, &args, 50), got);
	assert_int_equal(got->frame.code, ETIMEDOUT);
	buf_free(&args);
	free(got);
}

/* What is refused is answered at once; what still comes is dropped. */
static void test_import_of_nonsense(void **state)
{
	struct place *place = *state;
	struct agent_client *client = &place->client;
	struct got *got = malloc(sizeof(*got));
	struct buf args = args_of("s", "");
	char *noise = malloc(OPS_WINDOW);
	uint32_t id;

	memset(noise, 'n', OPS_WINDOW);
	id = client_begin(client, OP_IMPORT, &args, 0);
	upload(client, id, noise, OPS_WINDOW, 32 << 10, got);
	assert_int_equal(got->frame.code, EBADMSG);
	client_frame(client, FRAME_DATA, id, FRAME_END, 0, noise, 1000);
	expect_call(client, ENOENT, NULL, OP_IMPORT, "s", "none");
	expect_call(client, ENOENT, NULL, OP_EXPORT, "s", "none");
	/* The end of the connection ends it as well. */
	client_begin(client, OP_IMPORT, &args, 0);
	client_begin(client, OP_IMPORT, &args, 0);
	buf_free(&args);
	free(noise);
	free(got);
}

int main(void)
{
#define test(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
	const struct CMUnitTest tests[] = {
		test(test_round_trip),     test(test_small_beside_bulk),  test(test_stalled_export),
		test(test_stalled_import), test(test_import_of_nonsense),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
