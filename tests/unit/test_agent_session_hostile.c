/*
 * test_agent_session_hostile.c - clients that ask for all there is, and take nothing: the agent, in
 * a process of its own, stays small, keeps its descriptors together, and goes on serving others.
 */
#include "tests/unit/agent_client.h"
#include "tests/unit/agent_fixture.h"

#include <dirent.h>
#include <errno.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "protocol/session/pack.h"

#define CEILING_KIB (32L << 10)

/* What a client is sent by that has filled its socket and is not read any more. */
#define FULL_MS 300

static struct got got;

static void enter(struct agent_client *client, const struct agent_fixture *fixture)
{
	static const char hello[] = "{\"action\": \"hello\", \"dialects\": [\"session/1\"]}\n";

	*client = (struct agent_client){ .fd = agent_connect(fixture) };
	buf_init(&client->data, SIZE_MAX / 2);
	client_raw(client, hello, sizeof(hello) - 1);
	client->hello = client_line(client);
}

static void leave(struct agent_client *client)
{
	close(client->fd);
	buf_free(&client->data);
	free(client->hello);
}

/* Sends as long as the agent takes it; false when it does not any more. */
static bool send_some(struct agent_client *client, const void *bytes, size_t len)
{
	const char *at = bytes;

	while (len) {
		struct pollfd wait = { .fd = client->fd, .events = POLLOUT };
		ssize_t n;

		if (poll(&wait, 1, FULL_MS) != 1)
			return false;
		n = send(client->fd, at, len, MSG_NOSIGNAL | MSG_DONTWAIT);
		if (n < 0)
			return false;
		at += n;
		len -= (size_t)n;
	}
	return true;
}

/* COUNT calls of OP, or as many as the agent takes; nothing is read. */
static void ask_much(struct agent_client *client, unsigned op, const struct buf *args, int count)
{
	struct buf frame = BUF_INIT(2 * FRAME_BODY_MAX);

	for (int i = 0; i < count; i++) {
		struct frame head = { (uint32_t)args->len + 4, ++client->id, FRAME_CALL, 0,
				      (uint16_t)op };
		unsigned char header[FRAME_HEADER];

		frame_encode(&head, header);
		frame.len = 0;
		buf_add(&frame, header, sizeof(header));
		pack_u32(&frame, 0);
		buf_add(&frame, args->data, args->len);
		if (!send_some(client, frame.data, frame.len))
			break;
	}
	buf_free(&frame);
}

/* JSON with a member PAD that makes it LEN bytes long. */
static struct buf padded(const char *members, size_t len)
{
	struct buf args = BUF_INIT(FRAME_BODY_MAX);

	buf_addf(&args, "{%s, \"pad\": \"", members);
	while (args.len < len - 2)
		buf_add(&args, "x", 1);
	buf_adds(&args, "\"}");
	assert_false(args.overflow);
	return args;
}

static size_t count_descriptors(const struct agent_fixture *fixture)
{
	size_t count = 0;
	char path[64];
	DIR *dir;

	snprintf(path, sizeof(path), "/proc/%d/fd", fixture->pid);
	dir = opendir(path);
	assert_non_null(dir);
	while (readdir(dir))
		count++;
	closedir(dir);
	return count;
}

/* Whoever comes now is served, and the agent was never large. */
static void is_well(const struct agent_fixture *fixture)
{
	struct agent_client other;

	enter(&other, fixture);
	expect_call(&other, 0, NULL, OP_STAT, "s", "");
	expect_call(&other, 0, NULL, OP_LIST, "sbsw", "", 1, "", 9u);
	leave(&other);
#ifndef __SANITIZE_ADDRESS__
	if (agent_peak_kib(fixture) >= CEILING_KIB)
		fail_msg("the agent had %ld KiB", agent_peak_kib(fixture));
#endif
}

/* A command of the name c that lives on. */
static void start_command(struct agent_client *client, const char *members)
{
	struct buf args = BUF_INIT(FRAME_BODY_MAX);

	buf_adds(&args, members);
	assert_int_equal(client_call(client, OP_COMMAND_START, &args, NULL), 0);
}

/* Calls that wait for something are kept for long: not with all that they were asked with. */
static void test_waiting_calls_with_much_to_say(void **state)
{
	struct buf args = padded("\"kind\": \"command\", \"name\": \"c\", \"for\": \"end\"",
				 130000);
	struct agent_client clients[2];

	for (int i = 0; i < 2; i++) {
		enter(&clients[i], *state);
		if (!i)
			start_command(&clients[i], "{\"command_id\": \"c\", "
						   "\"command\": \"exec sleep 1000\"}");
		ask_much(&clients[i], OP_WAIT, &args, 300);
	}
	is_well(*state);
	for (int i = 0; i < 2; i++)
		leave(&clients[i]);
	buf_free(&args);
}

static void test_commands_that_wait_for_their_input(void **state)
{
	struct buf args = BUF_INIT(FRAME_BODY_MAX);
	struct agent_client client;
	int begun = 0;

	buf_adds(&args, "{\"input\": \"first\", \"argv\": [\"true\", \"");
	while (args.len < 130000)
		buf_add(&args, "x", 1);
	buf_adds(&args, "\"]}");
	enter(&client, *state);
	for (int i = 0; i < 400; i++) {
		uint32_t id = client_begin(&client, OP_COMMAND_START, &args, 0);

		client_finish(&client, id, &got);
		begun += got.frame.code == 0;
		if (got.frame.code)
			assert_int_equal(got.frame.code, EAGAIN);
	}
	assert_in_range(begun, 10, 399);
	is_well(*state);
	leave(&client);
	buf_free(&args);
}

/* There is no way to forget a service, so there is an end to what is known of them. */
static void test_services_with_long_commands(void **state)
{
	struct agent_client client;
	int begun = 0;

	enter(&client, *state);
	for (int i = 0; i < 60; i++) {
		struct buf args = BUF_INIT(FRAME_BODY_MAX);

		buf_addf(&args, "{\"service_name\": \"s%d\", \"command\": \"exit #", i);
		while (args.len < 120000)
			buf_add(&args, "x", 1);
		buf_adds(&args, "\"}");
		client_finish(&client, client_begin(&client, OP_SERVICE_START, &args, 0), &got);
		begun += got.frame.code == 0;
		if (got.frame.code)
			assert_int_equal(got.frame.code, ENOSPC);
		buf_free(&args);
	}
	assert_in_range(begun, 10, 59);
	is_well(*state);
	leave(&client);
}

/* Few bytes that become much memory. */
static void test_json_of_nothing_but_brackets(void **state)
{
	struct agent_client clients[40];
	struct buf args = BUF_INIT(FRAME_BODY_MAX);

	buf_adds(&args, "{\"shell_id\": [");
	while (args.len < 130000)
		buf_adds(&args, "{},");
	buf_adds(&args, "0]}");
	for (int i = 0; i < 40; i++)
		enter(&clients[i], *state);
	for (int i = 0; i < 40; i++)
		ask_much(&clients[i], OP_SHELL_STATUS, &args, 4);
	is_well(*state);
	for (int i = 0; i < 40; i++)
		leave(&clients[i]);
	buf_free(&args);
}

/* Reads, listings and archives without end, and not one answer is taken. */
static void test_answers_that_nobody_takes(void **state)
{
	struct buf read = args_of("wqw", 4096u, (uint64_t)0, OPS_IO_MAX);
	struct buf list = args_of("sbsw", "many", 255, "", 1u << 20), whole = args_of("s", "");
	const struct agent_fixture *fixture = *state;
	struct agent_client clients[9];
	char command[256];

	snprintf(command, sizeof(command),
		 "cd %s && mkdir many && truncate -s 1G large && cd many && seq 5000 | xargs touch",
		 fixture->workspace);
	assert_int_equal(system(command), 0); /* NOLINT(cert-env33-c) */
	for (int i = 0; i < 9; i++) {
		enter(&clients[i], fixture);
		switch (i % 3) {
		case 0:
			expect_call(&clients[i], 0, NULL, OP_OPEN, "sww", "large", OPEN_READ, 0u);
			ask_much(&clients[i], OP_READ, &read, 4000);
			break;
		case 1:
			ask_much(&clients[i], OP_LIST, &list, 1000);
			break;
		default:
			ask_much(&clients[i], OP_EXPORT, &whole, 1000);
		}
	}
	is_well(fixture);
	for (int i = 0; i < 9; i++)
		leave(&clients[i]);
	buf_free(&read);
	buf_free(&list);
	buf_free(&whole);
}

/* Terminals that are written to for ever, and followed by who does not read. */
static void test_shells_that_never_stop(void **state)
{
	struct agent_client clients[6];

	for (int i = 0; i < 6; i++) {
		struct buf args = BUF_INIT(1000);

		enter(&clients[i], *state);
		buf_addf(&args, "{\"shell_id\": \"s%d\"}", i);
		assert_int_equal(client_call(&clients[i], OP_SHELL_OPEN, &args, NULL), 0);
		buf_init(&args, 1000);
		buf_addf(&args, "{\"kind\": \"shell\", \"name\": \"s%d\", \"follow\": true}", i);
		ask_much(&clients[i], OP_STREAM, &args, 50);
		buf_free(&args);
		args = args_of("sr",
			       i == 0 ? "s0" :
			       i == 1 ? "s1" :
			       i == 2 ? "s2" :
			       i == 3 ? "s3" :
			       i == 4 ? "s4" :
					"s5",
			       "yes\n", (size_t)4);
		ask_much(&clients[i], OP_SHELL_WRITE, &args, 1);
		buf_free(&args);
	}
	/* Until each of them has shown far more than is kept of it. */
	for (int64_t shown = 0; shown < 40 << 20;) {
		struct agent_client other;
		struct buf result = BUF_INIT(FRAME_BODY_MAX);

		shown = INT64_MAX;
		enter(&other, *state);
		for (int i = 0; i < 6; i++) {
			struct buf args = BUF_INIT(1000);
			const char *size;

			buf_addf(&args, "{\"shell_id\": \"s%d\"}", i);
			assert_int_equal(client_call(&other, OP_SHELL_STATUS, &args, &result), 0);
			size = strstr(buf_str(&result), "\"stdout_size\": ");
			assert_non_null(size);
			if (atoll(size + 15) < shown)
				shown = atoll(size + 15);
		}
		leave(&other);
		buf_free(&result);
		shown *= 6;
		poll(NULL, 0, 50);
	}
	is_well(*state);
	for (int i = 0; i < 6; i++)
		leave(&clients[i]);
}

/* More than a session may have each, and together more than the agent has descriptors. */
static void test_all_descriptors(void **state)
{
	static const char line[] = "{\"command\": \"echo fine\", \"timeout_seconds\": 10}";
	struct agent_client clients[3];
	struct buf args = args_of("sww", "file", OPEN_READ, 0u);
	json_t *reply;

	agent_put_file(*state, "file", "x");
	for (int i = 0; i < 3; i++) {
		enter(&clients[i], *state);
		for (int k = 0; k < 64; k++) {
			ask_much(&clients[i], OP_OPEN, &args, 64);
			do
				client_get(&clients[i], &got);
			while (got.frame.id != clients[i].id);
		}
	}
	is_well(*state);
	reply = agent_call(*state, "%s", line);
	agent_expect_text(reply, "stdout", "fine\n");
	json_decref(reply);
	for (int i = 0; i < 3; i++)
		leave(&clients[i]);
	buf_free(&args);
}

static void test_watches_and_barriers(void **state)
{
	struct buf watch = args_of("q", (uint64_t)0), none = args_of("");
	struct agent_client clients[8];

	for (int i = 0; i < 8; i++) {
		enter(&clients[i], *state);
		ask_much(&clients[i], OP_WATCH, &watch, 1000);
		ask_much(&clients[i], OP_BARRIER, &none, 1000);
	}
	agent_put_file(*state, "file", "changed");
	is_well(*state);
	for (int i = 0; i < 8; i++)
		leave(&clients[i]);
	buf_free(&watch);
	buf_free(&none);
}

/* Cancels of what there is and of what there is not, and credit beyond all numbers. */
static void test_storms_of_small_frames(void **state)
{
	struct buf storm = BUF_INIT(8 << 20), watch = args_of("q", (uint64_t)0);
	struct agent_client client;

	enter(&client, *state);
	client_begin(&client, OP_WATCH, &watch, 0);
	for (uint32_t i = 0; i < 40000; i++) {
		struct frame frame = { 4, 1, FRAME_CREDIT, 0, 0 };
		unsigned char bytes[FRAME_HEADER + 4];

		if (i % 2)
			frame = (struct frame){ 0, i > 30000 ? 1 : i, FRAME_CANCEL, 0, 0 };
		frame_encode(&frame, bytes);
		memset(bytes + FRAME_HEADER, 0xff, 4);
		buf_add(&storm, bytes, FRAME_HEADER + frame.size);
	}
	client_raw(&client, storm.data, storm.len);
	client_finish(&client, 1, &got);
	assert_int_equal(got.frame.code, ECANCELED);
	expect_call(&client, 0, NULL, OP_STAT, "s", "");
	is_well(*state);
	leave(&client);
	buf_free(&storm);
	buf_free(&watch);
}

/*
 * As many sessions as there may be, each in the middle of its largest frame; and hellos, many more.
 */
static void test_sessions_that_stop_in_the_middle(void **state)
{
	static unsigned char part[FRAME_HEADER + 130000];
	struct frame frame = { FRAME_BODY_MAX, 1, FRAME_CALL, 0, OP_WRITE };
	struct agent_client clients[60];

	frame_encode(&frame, part);
	for (int i = 0; i < 60; i++) {
		enter(&clients[i], *state);
		client_raw(&clients[i], part, sizeof(part));
	}
	for (int i = 0; i < 150; i++) {
		struct agent_client more;

		enter(&more, *state);
		leave(&more);
	}
	is_well(*state);
	assert_in_range(count_descriptors(*state), 1, 400);
	for (int i = 0; i < 60; i++)
		leave(&clients[i]);
}

int main(void)
{
#define test(name) cmocka_unit_test_setup_teardown(name, agent_setup, agent_teardown)
	const struct CMUnitTest tests[] = {
		test(test_waiting_calls_with_much_to_say),
		test(test_commands_that_wait_for_their_input),
		test(test_services_with_long_commands),
		test(test_json_of_nothing_but_brackets),
		test(test_answers_that_nobody_takes),
		test(test_shells_that_never_stop),
		test(test_all_descriptors),
		test(test_watches_and_barriers),
		test(test_storms_of_small_frames),
		test(test_sessions_that_stop_in_the_middle),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
