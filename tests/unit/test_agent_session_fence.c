/*
 * test_agent_session_fence.c - what becomes of a session whose client has begun another one:
 * nothing of it is carried out any more, whatever was sent and wherever it has got to.
 */
#include "tests/unit/agent_client.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "protocol/agent/session_conn.h"
#include "protocol/agent/session_ops.h"
#include "protocol/session/pack.h"

#define TOKEN "0123456789abcdef0123456789abcdef"

/* Says hello with MORE members, and hears the answer. */
static void say_hello(struct agent_client *client, struct agent_world *world, const char *more)
{
	char hello[300];

	client_connect(client, world);
	snprintf(hello, sizeof(hello),
		 "{\"action\": \"hello\", \"dialects\": [\"session/1\"], \"command\": \":\", "
		 "\"timeout_seconds\": 10%s}\n",
		 more);
	client_raw(client, hello, strlen(hello));
	client->hello = client_line(client);
}

/* A session of the client TOKEN, by its hello number ATTEMPT. */
static void open_as(struct agent_client *client, struct agent_world *world, const char *token,
		    int attempt)
{
	char more[120];

	snprintf(more, sizeof(more), ", \"client\": \"%s\", \"attempt\": %d", token, attempt);
	say_hello(client, world, more);
	if (!strstr(client->hello, "\"dialect\": \"session/1\""))
		fail_msg("%s", client->hello);
}

static void expect_busy(struct agent_world *world, int attempt, const char *why)
{
	struct agent_client client;
	char more[120];

	snprintf(more, sizeof(more), ", \"client\": \"" TOKEN "\", \"attempt\": %d", attempt);
	say_hello(&client, world, more);
	assert_non_null(strstr(client.hello, "\"busy\": true"));
	assert_non_null(strstr(client.hello, why));
	client_expect_end(&client);
	client_close(&client);
}

static bool lives(struct agent_client *client)
{
	struct buf args = args_of("s", "file");

	return client_call(client, OP_STAT, &args, NULL) == 0;
}

static uint32_t open_file(struct agent_client *client)
{
	struct buf result = BUF_INIT(FRAME_BODY_MAX);
	struct unpack in;
	uint32_t number;

	expect_call(client, 0, &result, OP_OPEN, "sww", "file", OPEN_READ | OPEN_WRITE, 0u);
	in = unpack_from(result.data, result.len);
	number = unpack_u32(&in);
	buf_free(&result);
	return number;
}

static void has(struct agent_world *world, const char *text)
{
	char bytes[16] = "";
	int fd = openat(world->dir, "file", O_RDONLY | O_CLOEXEC);

	assert_true(fd >= 0);
	assert_true(read(fd, bytes, strlen(text)) == (ssize_t)strlen(text));
	close(fd);
	assert_string_equal(bytes, text);
}

/*
 * Reads that nobody takes the answers of, and behind them a write: it waits in the agent's buffers.
 */
static void send_behind_reads(struct agent_client *client, const char *text)
{
	uint32_t file = open_file(client);
	struct buf args = args_of("wqw", file, (uint64_t)0, OPS_IO_MAX);

	for (int i = 0; i < 24; i++)
		client_begin(client, OP_READ, &args, 0);
	buf_free(&args);
	args = args_of("wqbr", file, (uint64_t)0, 0, text, strlen(text));
	client_begin(client, OP_WRITE, &args, 0);
	buf_free(&args);
}

static void test_unread_write(void **state)
{
	struct agent_world *world = *state;
	struct agent_client old, new;

	agent_world_run(world, "head -c 131072 /dev/zero >file");
	open_as(&old, world, TOKEN, 1);
	send_behind_reads(&old, "old");
	open_as(&new, world, TOKEN, 2);
	expect_call(&new, 0, NULL, OP_WRITE, "wqbr", open_file(&new), (uint64_t)0, 0, "new",
		    (size_t)3);
	/* Whatever goes on in the old session goes on now, and to its end. */
	shutdown(old.fd, SHUT_WR);
	client_expect_end(&old);
	client_close(&old);
	has(world, "new");
	assert_true(lives(&new));
	client_close(&new);
}

/* Others' sessions are not this client's, nor are those of who does not say who it is. */
static void test_others_live(void **state)
{
	struct agent_client nobody, other, mine, next;

	client_open(&nobody, *state);
	open_as(&other, *state, "another", 9);
	open_as(&mine, *state, TOKEN, 1);
	open_as(&next, *state, TOKEN, 2);
	client_expect_end(&mine);
	client_close(&mine);
	assert_true(lives(&nobody));
	assert_true(lives(&other));
	assert_true(lives(&next));
	client_close(&nobody);
	client_open(&nobody, *state);
	assert_true(lives(&other));
	assert_true(lives(&next));
	client_close(&nobody);
	client_close(&other);
	client_close(&next);
}

/* A hello that was sent before another one and comes behind it ends nothing. */
static void test_late_hello(void **state)
{
	struct agent_client new, old;

	open_as(&new, *state, TOKEN, 7);
	expect_busy(*state, 6, "newer");
	assert_true(lives(&new));
	client_close(&new);
	open_as(&old, *state, TOKEN, 6); /* there is nothing to end any more */
	assert_true(lives(&old));
	client_close(&old);
}

static void test_odd_clients(void **state)
{
	static const char *const odd[] = {
		", \"client\": 7",
		", \"client\": [\"" TOKEN "\"]",
		", \"client\": \"a\\u0000b\"",
		", \"client\": \"" TOKEN TOKEN "x\"",
		", \"client\": \"" TOKEN TOKEN "\", \"attempt\": \"x\"",
	};
	struct agent_client client;

	for (size_t i = 0; i < sizeof(odd) / sizeof(odd[0]); i++) {
		say_hello(&client, *state, odd[i]);
		assert_non_null(strstr(client.hello, "\"error\""));
		assert_null(strstr(client.hello, "busy"));
		client_expect_end(&client);
		client_close(&client);
	}
	say_hello(&client, *state, ", \"client\": null, \"attempt\": null");
	assert_true(lives(&client));
	client_close(&client);
	say_hello(&client, *state, ", \"client\": \"" TOKEN TOKEN "\"");
	assert_true(lives(&client));
	client_close(&client);
}

/* A session without a client of its own: what it is about is in the test's hands. */
struct handmade {
	struct sess sess;
	int ends[2];
};

static void handmade_open(struct handmade *made, struct agent_world *world)
{
	struct sess_client client = { .token = TOKEN, .attempt = 1 };
	struct error err;

	assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, made->ends), 0);
	assert_int_equal(sess_open(world->agent, made->ends[0], &client, &made->sess, &err), 0);
}

static void handmade_close(struct handmade *made)
{
	sess_close(&made->sess);
	close(made->ends[0]);
	close(made->ends[1]);
}

static struct sess_call *new_call(struct sess *sess, unsigned op, uint32_t id, struct buf args)
{
	struct sess_call *call = sess_call_new(sess, sess_op_find(op), id, 0, args.data, args.len);

	buf_free(&args);
	assert_int_equal(sess_table_add(&sess->calls, call), 0);
	return call;
}

/* A change that hangs keeps the client waiting for a bounded time, each time it asks. */
static void test_hanging_change(void **state)
{
	struct handmade old;
	struct agent_client new;

	handmade_open(&old, *state);
	assert_true(sess_fence_begin(&old.sess));
	expect_busy(*state, 2, "not over");
	expect_busy(*state, 3, "not over");
	assert_false(sess_fence_begin(&old.sess));
	sess_fence_end(&old.sess);
	open_as(&new, *state, TOKEN, 4);
	assert_true(lives(&new));
	client_close(&new);
	handmade_close(&old);
}

struct late_change {
	struct handmade old;
	struct agent_world *world;
};

/* Makes a change once its session has been told to end: it was in the middle of it. */
static void *change_when_told(void *arg)
{
	struct late_change *late = arg;
	char byte;

	assert_int_equal(recv(late->old.ends[1], &byte, 1, 0), 0);
	agent_world_write(late->world, "file", "late");
	sess_fence_end(&late->old.sess);
	return NULL;
}

/* One that ends soon is waited for: what the new session sees comes after it. */
static void test_change_under_way(void **state)
{
	struct late_change late = { .world = *state };
	struct agent_client new;
	pthread_t thread;

	handmade_open(&late.old, *state);
	assert_true(sess_fence_begin(&late.old.sess));
	assert_int_equal(pthread_create(&thread, NULL, change_when_told, &late), 0);
	open_as(&new, *state, TOKEN, 2);
	has(*state, "late");
	pthread_join(thread, NULL);
	client_close(&new);
	handmade_close(&late.old);
}

/* What waited for a worker, or was in the middle of a batch, does not begin either. */
static void test_nothing_begins(void **state)
{
	static const char command[] = "{\"argv\": [\"touch\", \"made\"]}";
	struct agent_world *world = *state;
	struct sess_call *calls[3];
	struct handmade old;
	struct agent_client new;

	handmade_open(&old, world);
	calls[0] = new_call(&old.sess, OP_MKDIR, 1, args_of("sw", "d0", 0755u));
	calls[1] = new_call(&old.sess, OP_COMMAND_START, 2,
			    args_of("r", command, sizeof(command) - 1));
	calls[2] = new_call(&old.sess, OP_BATCH, 3,
			    args_of("bhwsw", 1, OP_MKDIR, 4u + 2 + 4, "d2", 0755u));
	open_as(&new, world, TOKEN, 2);
	for (size_t i = 0; i < sizeof(calls) / sizeof(calls[0]); i++)
		sess_call_run(calls[i]);
	client_close(&new);
	handmade_close(&old);
	agent_world_run(world, "test ! -e d0 && test ! -e made && test ! -e d2");
}

static void call_service(struct agent_client *client, unsigned op, struct buf *result)
{
	static const char service[] =
		"{\"service_name\": \"deaf\", \"command\": \"trap '' TERM; touch deaf; "
		"while [ ! -e go ]; do sleep 0.01; done\"}";

	expect_call(client, 0, result, op, "r", service, sizeof(service) - 1);
}

/* What ends a process may take long, and concerns that process alone: nobody waits for it. */
static void test_slow_end(void **state)
{
	static const char deaf[] = "{\"service_name\": \"deaf\"}";
	struct buf args = args_of("r", deaf, sizeof(deaf) - 1), result = BUF_INIT(FRAME_BODY_MAX);
	struct agent_world *world = *state;
	struct agent_client old, new, nobody;

	client_open(&nobody, *state);
	open_as(&old, world, TOKEN, 1);
	call_service(&old, OP_SERVICE_START, NULL);
	while (faccessat(world->dir, "deaf", F_OK, 0) < 0)
		assert_true(lives(&nobody));
	client_begin(&old, OP_SERVICE_STOP, &args, 0);
	buf_free(&args);
	do
		call_service(&nobody, OP_SERVICE_STATUS, &result);
	while (!strstr(buf_str(&result), "\"stop_reason\": \"sigterm\""));
	open_as(&new, world, TOKEN, 2);
	call_service(&new, OP_SERVICE_STATUS, &result);
	assert_non_null(strstr(buf_str(&result), "\"state\": \"running\""));
	agent_world_write(world, "go", "");
	client_close(&old);
	client_close(&new);
	client_close(&nobody);
	buf_free(&result);
}

static const struct CMUnitTest tests[] = {
	cmocka_unit_test_setup_teardown(test_unread_write, agent_world_setup, agent_world_teardown),
	cmocka_unit_test_setup_teardown(test_others_live, agent_world_setup, agent_world_teardown),
	cmocka_unit_test_setup_teardown(test_late_hello, agent_world_setup, agent_world_teardown),
	cmocka_unit_test_setup_teardown(test_odd_clients, agent_world_setup, agent_world_teardown),
	cmocka_unit_test_setup_teardown(test_hanging_change, agent_world_setup,
					agent_world_teardown),
	cmocka_unit_test_setup_teardown(test_change_under_way, agent_world_setup,
					agent_world_teardown),
	cmocka_unit_test_setup_teardown(test_nothing_begins, agent_world_setup,
					agent_world_teardown),
	cmocka_unit_test_setup_teardown(test_slow_end, agent_world_setup, agent_world_teardown),
};

int main(void)
{
	return cmocka_run_group_tests(tests, NULL, NULL);
}
