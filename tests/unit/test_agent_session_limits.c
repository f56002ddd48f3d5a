/*
 * test_agent_session_limits.c - the agent's sessions at their limits: too many of everything, more
 * than there was credit for, and clients that do not read.
 */
#include "tests/unit/agent_client.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <unistd.h>

#include "protocol/session/pack.h"

/* Reads until ID is answered; other calls' data is dropped. */
static void skip_to_answer(struct agent_client *client, uint32_t id, struct got *got)
{
	do
		client_get(client, got);
	while (got->frame.id != id || got->frame.kind != FRAME_DONE);
}

/*
 * More of an upload than there is credit for: of this one nothing is taken, for all workers are
 * busy.
 */
static void test_data_over_credit(void **state)
{
	struct agent_client client;
	struct got *got = malloc(sizeof(*got));
	char *piece = calloc(1, OPS_WINDOW / 4);
	struct buf args = args_of("s", "large"), root = args_of("s", "");
	uint32_t id;

	agent_world_run(*state, "truncate -s 1M large");
	client_open(&client, *state);
	for (int i = 0; i < 32; i++)
		client_begin(&client, OP_EXPORT, &args, 0);
	id = client_begin(&client, OP_IMPORT, &root, 0);
	for (int i = 0; i < 4; i++)
		client_frame(&client, FRAME_DATA, id, 0, 0, piece, OPS_WINDOW / 4);
	skip_to_answer(&client, client_begin(&client, OP_STAT, &args, 0), got);
	assert_int_equal(got->frame.code, 0);
	client_frame(&client, FRAME_DATA, id, 0, 0, piece, 1);
	client_expect_end(&client);
	client_close(&client);
	buf_free(&args);
	buf_free(&root);
	free(piece);
	free(got);
}

/*
 * However many transfers are stuck, others have workers; who waits for one still has its deadline.
 */
static void test_stuck_transfers(void **state)
{
	struct agent_client client;
	struct got *got = malloc(sizeof(*got));
	struct buf large = args_of("s", "large"), list = args_of("sbsw", "", 255, "", 100u);
	uint32_t id;

	agent_world_run(*state, "truncate -s 1M large");
	client_open(&client, *state);
	for (int i = 0; i < 40; i++)
		client_begin(&client, OP_EXPORT, &large, 0);
	skip_to_answer(&client, client_begin(&client, OP_LIST, &list, 0), got);
	assert_int_equal(got->frame.code, 0);
	skip_to_answer(&client, client_begin(&client, OP_SYNC, NULL, 0), got);
	assert_int_equal(got->frame.code, 0);
	skip_to_answer(&client, client_begin(&client, OP_EXPORT, &large, 50), got);
	assert_int_equal(got->frame.code, ETIMEDOUT);
	id = client_begin(&client, OP_EXPORT, &large, 0);
	client_frame(&client, FRAME_CANCEL, id, 0, 0, NULL, 0);
	skip_to_answer(&client, id, got);
	assert_int_equal(got->frame.code, ECANCELED);
	client_close(&client);
	buf_free(&large);
	buf_free(&list);
	free(got);
}

/* What has been answered counts no more: as many as there may be are open all the time. */
static void replace(struct agent_client *client, unsigned op, const struct buf *args,
		    uint32_t first, struct got *got)
{
	for (uint32_t i = 0; i < 100; i++) {
		client_frame(client, FRAME_CANCEL, first + i % 20, 0, 0, NULL, 0);
		do {
			client_get(client, got);
			assert_true(got->frame.kind != FRAME_DONE || got->frame.code == ECANCELED);
		} while (got->frame.id != first + i % 20 || got->frame.kind != FRAME_DONE);
		client->id = first + i % 20 - 1;
		client_begin(client, op, args, 0);
	}
}

/* Uploads have room set aside each, so there are not so many. */
static void test_too_many_uploads(void **state)
{
	struct agent_client client;
	struct got *got = malloc(sizeof(*got));
	struct buf args = args_of("s", "");
	uint32_t first, last = 0;

	client_open(&client, *state);
	first = client_begin(&client, OP_IMPORT, &args, 0);
	for (int i = 1; i < 32; i++)
		last = client_begin(&client, OP_IMPORT, &args, 0);
	replace(&client, OP_IMPORT, &args, first, got);
	client.id = last;
	expect_call(&client, EAGAIN, NULL, OP_IMPORT, "s", "");
	client_close(&client);
	buf_free(&args);
	free(got);
}

static void test_too_many_calls(void **state)
{
	static const char start[] = "{\"command\": \"sleep 1000\", \"command_id\": \"c\"}",
			  wait[] = "{\"kind\": \"command\", \"name\": \"c\", \"for\": \"end\"}";
	struct agent_client client;
	struct got *got = malloc(sizeof(*got));
	struct buf args = args_of("r", wait, sizeof(wait) - 1);
	uint32_t id = 0;

	client_open(&client, *state);
	expect_call(&client, 0, NULL, OP_COMMAND_START, "r", start, sizeof(start) - 1);
	for (int i = 0; i < 1025; i++)
		id = client_begin(&client, OP_WAIT, &args, 0);
	client_get(&client, got);
	assert_int_equal(got->frame.id, id);
	assert_int_equal(got->frame.code, EAGAIN);
	replace(&client, OP_WAIT, &args, id - 1024, got);
	client.id = id;
	expect_call(&client, 0, NULL, OP_STAT, "s", "file");
	client_close(&client);
	buf_free(&args);
	free(got);
}

static void test_too_many_watches(void **state)
{
	struct agent_client client;
	struct buf args = args_of("q", (uint64_t)0);

	client_open(&client, *state);
	for (int i = 0; i < 16; i++)
		client_begin(&client, OP_WATCH, &args, 0);
	expect_call(&client, EAGAIN, NULL, OP_WATCH, "q", (uint64_t)0);
	client_close(&client);
	buf_free(&args);
}

/* One that takes nothing for long is dropped; here long is short. */
static void test_a_client_that_does_not_read(void **state)
{
	struct timeval soon = { .tv_usec = 200000 };
	struct agent_client client;
	struct buf args = args_of("s", "file");

	client_open(&client, *state);
	assert_int_equal(setsockopt(client.served, SOL_SOCKET, SO_SNDTIMEO, &soon, sizeof(soon)),
			 0);
	for (int i = 0; i < 4000; i++) {
		struct frame frame = {
			.size = 4 + 8,
			.id = (uint32_t)i + 1,
			.kind = FRAME_CALL,
			.code = OP_STAT,
		};
		unsigned char bytes[FRAME_HEADER + 12] = { 0 };

		frame_encode(&frame, bytes);
		memcpy(bytes + FRAME_HEADER + 4, args.data, args.len);
		if (send(client.fd, bytes, sizeof(bytes), MSG_NOSIGNAL) < 0)
			break;
	}
	/* The thread is done although nothing was closed here. */
	assert_int_equal(pthread_join(client.thread, NULL), 0);
	close(client.fd);
	free(client.hello);
	buf_free(&args);
}

/* The same where no thread of the agent's waits for it: output that is followed. */
static void test_a_client_that_does_not_read_output(void **state)
{
	static const char start[] =
		"{\"command_id\": \"x\", \"command\": \"head -c 300000 /dev/zero\"}";
	static const char follow[] = "{\"kind\": \"command\", \"name\": \"x\", \"follow\": true}";
	struct timeval soon = { .tv_usec = 200000 };
	struct agent_client client;

	client_open(&client, *state);
	assert_int_equal(setsockopt(client.served, SOL_SOCKET, SO_SNDTIMEO, &soon, sizeof(soon)),
			 0);
	expect_call(&client, 0, NULL, OP_COMMAND_START, "r", start, sizeof(start) - 1);
	for (int i = 0; i < 4; i++) {
		struct buf args = args_of("r", follow, sizeof(follow) - 1);

		client_begin(&client, OP_STREAM, &args, 0);
		buf_free(&args);
	}
	assert_int_equal(pthread_join(client.thread, NULL), 0);
	close(client.fd);
	free(client.hello);
	buf_free(&client.data);
}

static void test_too_many_sessions(void **state)
{
	struct agent_client clients[65];
	static const char hello[] = "{\"action\": \"hello\", \"dialects\": [\"session/1\"]}\n";
	char *answer;

	for (int i = 0; i < 64; i++)
		client_open(&clients[i], *state);
	client_connect(&clients[64], *state);
	client_raw(&clients[64], hello, sizeof(hello) - 1);
	answer = client_line(&clients[64]);
	assert_non_null(strstr(answer, "error"));
	free(answer);
	client_close(&clients[64]);
	client_close(&clients[0]);
	client_open(&clients[0], *state);
	for (int i = 0; i < 64; i++)
		client_close(&clients[i]);
}

/* The agent has room for many files; what it starts has what it was started with. */
static void test_limit_of_files(void **state)
{
	static const char line[] = "{\"command\": \"ulimit -n\", \"timeout_seconds\": 10}\n";
	struct agent_client client;
	struct agent_world world;
	struct rlimit before, less;
	char *answer;

	(void)state;
	assert_int_equal(getrlimit(RLIMIT_NOFILE, &before), 0);
	if (before.rlim_max < 6000)
		skip();
	less = before;
	less.rlim_cur = 777;
	assert_int_equal(setrlimit(RLIMIT_NOFILE, &less), 0);
	agent_world_open(&world);
	agent_world_write(&world, "file", "x");
	client_connect(&client, &world);
	client_raw(&client, line, sizeof(line) - 1);
	answer = client_line(&client);
	client_expect_end(&client);
	client_close(&client);
	assert_non_null(strstr(answer, "\"777\\n\""));
	client_open(&client, &world);
	for (int i = 0; i < 1000; i++)
		expect_call(&client, 0, NULL, OP_OPEN, "sww", "file", OPEN_READ, 0u);
	client_close(&client);
	agent_world_close(&world);
	assert_int_equal(setrlimit(RLIMIT_NOFILE, &before), 0);
	free(answer);
}

int main(void)
{
#define test(name) cmocka_unit_test_setup_teardown(name, agent_world_setup, agent_world_teardown)
	const struct CMUnitTest tests[] = {
		test(test_data_over_credit),
		test(test_stuck_transfers),
		test(test_too_many_uploads),
		test(test_too_many_calls),
		test(test_too_many_watches),
		test(test_a_client_that_does_not_read),
		test(test_a_client_that_does_not_read_output),
		test(test_too_many_sessions),
		cmocka_unit_test(test_limit_of_files),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
