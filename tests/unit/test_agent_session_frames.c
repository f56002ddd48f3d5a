/*
 * test_agent_session_frames.c - the agent's sessions as streams of frames: entering one, frames in
 * any shape, clients that lie or stop in the middle.
 */
#include "tests/unit/agent_client.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "protocol/agent/session_hello.h"
#include "protocol/agent/session_room.h"
#include "protocol/agent/session_verifier.h"
#include "protocol/session/pack.h"

/* What the agent answers to one line. */
static char *ask(struct agent_world *world, const char *line)
{
	struct agent_client client;
	char *answer;

	client_connect(&client, world);
	client_raw(&client, line, strlen(line));
	answer = client_line(&client);
	client_expect_end(&client);
	client_close(&client);
	return answer;
}

static void test_hello(void **state)
{
	struct agent_client client;
	char id[65];

	client_open(&client, *state);
	assert_non_null(strstr(client.hello, "\"agent\": \"vsockfs-agent\""));
	assert_non_null(strstr(client.hello, "\"version\": \"" VSOCKFS_VERSION "\""));
	assert_non_null(strstr(client.hello, agent_build_id(id)));
	assert_non_null(strstr(client.hello, "\"watch\""));
	assert_non_null(strstr(client.hello, "\"handles\": 4096"));
	expect_call(&client, 0, NULL, OP_STAT, "s", "");
	client_close(&client);
}

/* The text of a member of a hello's reply, in one of a few buffers. */
static const char *member(const char *reply, const char *key)
{
	static char buffers[4][200];
	static int next;
	char *out = buffers[next++ % 4], pattern[40];
	const char *at;

	snprintf(pattern, sizeof(pattern), "\"%s\": \"", key);
	at = strstr(reply, pattern);
	assert_non_null(at);
	at += strlen(pattern);
	snprintf(out, sizeof(buffers[0]), "%.*s", (int)strcspn(at, "\""), at);
	return out;
}

/* Which boot of the guest it is, which agent, and whether what was written may have been lost. */
static void test_verifier(void **state)
{
	struct agent_world *world = *state;
	struct buf info = BUF_INIT(FRAME_BODY_MAX);
	struct agent_client first, second;
	char boot_id[64] = "";
	FILE *file = fopen("/proc/sys/kernel/random/boot_id", "r");

	assert_non_null(file);
	assert_int_equal(fscanf(file, "%63s", boot_id), 1);
	fclose(file);
	client_open(&first, world);
	assert_string_equal(member(first.hello, "boot_id"), boot_id);
	assert_string_equal(member(first.hello, "verifier"), boot_id);
	assert_int_equal(strlen(member(first.hello, "instance")), 32);
	sess_verifier_fail(sess_room_verifier(world->agent->sessions));
	client_open(&second, world);
	assert_string_equal(member(second.hello, "boot_id"), boot_id);
	assert_string_equal(member(second.hello, "instance"), member(first.hello, "instance"));
	assert_string_not_equal(member(second.hello, "verifier"), boot_id);
	expect_call(&first, 0, &info, OP_INFO, "r", "{}", (size_t)2);
	assert_string_equal(member(buf_str(&info), "verifier"), member(second.hello, "verifier"));
	buf_free(&info);
	client_close(&first);
	client_close(&second);
}

static void test_hello_of_others(void **state)
{
	char *answer = ask(*state, "{\"action\": \"hello\", \"dialects\": [\"session/9\", 7]}\n");

	assert_non_null(strstr(answer, "\"error\""));
	assert_non_null(strstr(answer, "session/1"));
	free(answer);
	answer = ask(*state, "{\"action\": \"hello\"}\n");
	assert_non_null(strstr(answer, "\"error\""));
	free(answer);
	answer = ask(*state, "{\"action\": \"hello\", \"dialects\": \"session/1\"}\n");
	assert_non_null(strstr(answer, "\"error\""));
	free(answer);
}

static void test_no_session(void **state)
{
	struct agent_world *world = *state;
	char *answer;

	world->agent->options.no_session = true;
	answer = ask(world, "{\"action\": \"hello\", \"dialects\": [\"session/1\"], "
			    "\"command\": \"echo line\", \"timeout_seconds\": 10}\n");
	assert_null(strstr(answer, "dialect"));
	assert_non_null(strstr(answer, "\"stdout\": \"line\\n\""));
	free(answer);
}

/* Frames that came together with the hello are frames. */
static void test_hello_and_call_at_once(void **state)
{
	static const char hello[] = "{\"action\": \"hello\", \"dialects\": [\"session/1\"]}\n";
	struct buf args = args_of("rwwbbhws", hello, sizeof(hello) - 1, 4u + 8u, 1u, FRAME_CALL, 0,
				  OP_STAT, 0u, "file");
	struct agent_client client;
	struct got *got = malloc(sizeof(*got));

	client_connect(&client, *state);
	client_raw(&client, args.data, args.len);
	free(client_line(&client));
	client_finish(&client, 1, got);
	assert_int_equal(got->frame.code, 0);
	assert_int_equal(got->frame.size, OPS_ATTR_SIZE);
	client_close(&client);
	buf_free(&args);
	free(got);
}

/* Two calls, cut in two at every byte, and then a byte at a time. */
static void test_split_anywhere(void **state)
{
	struct buf calls = args_of("wwbbhwswwbbhws", 12u, 1u, FRAME_CALL, 0, OP_STAT, 0u, "file",
				   12u, 2u, FRAME_CALL, 0, OP_STAT, 0u, "none");
	struct got *got = malloc(sizeof(*got));
	struct agent_client client;

	client_open(&client, *state);
	for (size_t cut = 1; cut <= calls.len; cut++) {
		client_raw(&client, calls.data, cut);
		/* The first has been answered, if it is there, before the rest is sent. */
		if (cut >= 12 + 12) {
			client_finish(&client, 1, got);
			assert_int_equal(got->frame.code, 0);
		}
		client_raw(&client, calls.data + cut, calls.len - cut);
		if (cut < 12 + 12)
			client_finish(&client, 1, got);
		client_finish(&client, 2, got);
		assert_int_equal(got->frame.code, ENOENT);
		assert_string_equal((char *)got->body, "'none': No such file or directory");
	}
	for (size_t i = 0; i < calls.len; i++)
		client_raw(&client, calls.data + i, 1);
	client_finish(&client, 1, got);
	client_finish(&client, 2, got);
	client_close(&client);
	buf_free(&calls);
	free(got);
}

/* Sent all at once; quick ones in order, the slow ones among them whenever they are done. */
static void test_many_at_once(void **state)
{
	struct agent_client client;
	struct got *got = malloc(sizeof(*got));
	bool answered[601] = { 0 };
	struct buf all = BUF_INIT(1 << 20);

	client_open(&client, *state);
	for (uint32_t id = 1; id <= 600; id++) {
		bool slow = id % 10 == 0;
		struct buf one = slow ? args_of("wwbbhwsbsw", 4u + 4 + 1 + 4 + 4, id, FRAME_CALL, 0,
						OP_LIST, 0u, "", 1, "", 100u) :
					args_of("wwbbhws", 12u, id, FRAME_CALL, 0, OP_STAT, 0u,
						"file");

		buf_add(&all, one.data, one.len);
		buf_free(&one);
	}
	client_raw(&client, all.data, all.len);
	for (int left = 600; left;) {
		client_get(&client, got);
		assert_in_range(got->frame.id, 1, 600);
		if (got->frame.kind == FRAME_DATA)
			continue;
		assert_int_equal(got->frame.code, 0);
		assert_false(answered[got->frame.id]);
		answered[got->frame.id] = true;
		left--;
	}
	client_close(&client);
	buf_free(&all);
	free(got);
}

/* One header each that ends the session. */
static void test_lies(void **state)
{
	static const struct frame lies[] = {
		{ .size = FRAME_BODY_MAX + 1, .id = 1, .kind = FRAME_CALL, .code = OP_STAT },
		{ .size = UINT32_MAX, .id = 1, .kind = FRAME_DATA },
		{ .size = 4, .id = 0, .kind = FRAME_CALL, .code = OP_STAT },
		{ .size = 0, .id = 1, .kind = FRAME_CALL, .code = OP_STAT },
		{ .size = 4, .id = 1, .kind = 0 },
		{ .size = 4, .id = 1, .kind = 6 },
		{ .size = 4, .id = 1, .kind = FRAME_DONE },
		{ .size = 4, .id = 1, .kind = FRAME_CALL, .flags = 1, .code = OP_STAT },
		{ .size = 4, .id = 1, .kind = FRAME_DATA, .flags = 2 },
		{ .size = 5, .id = 1, .kind = FRAME_CREDIT },
		{ .size = 1, .id = 1, .kind = FRAME_CANCEL },
		{ .size = 0, .id = 1, .kind = FRAME_DATA },
	};

	for (size_t i = 0; i < sizeof(lies) / sizeof(lies[0]); i++) {
		unsigned char header[FRAME_HEADER + 8] = { 0 };
		struct agent_client client;

		client_open(&client, *state);
		frame_encode(&lies[i], header);
		client_raw(&client, header, sizeof(header));
		client_expect_end(&client);
		client_close(&client);
	}
}

/* A call that is under way until it is cancelled. */
static uint32_t begin_watch(struct agent_client *client)
{
	struct buf args = args_of("q", (uint64_t)0);
	uint32_t id = client_begin(client, OP_WATCH, &args, 0);

	buf_free(&args);
	return id;
}

static void test_lies_about_calls(void **state)
{
	struct agent_client client;
	uint32_t id;

	/* An id that is taken. */
	client_open(&client, *state);
	id = begin_watch(&client);
	client.id = id - 1;
	begin_watch(&client);
	client_expect_end(&client);
	client_close(&client);

	/* Data for a call that takes none. */
	client_open(&client, *state);
	id = begin_watch(&client);
	client_frame(&client, FRAME_DATA, id, 0, 0, "x", 1);
	client_expect_end(&client);
	client_close(&client);
}

static void test_frames_of_no_call(void **state)
{
	struct agent_client client;

	client_open(&client, *state);
	client_frame(&client, FRAME_CANCEL, 77, 0, 0, NULL, 0);
	client_frame(&client, FRAME_DATA, 77, FRAME_END, 0, "late", 4);
	client_credit(&client, 77, UINT32_MAX);
	expect_call(&client, EOPNOTSUPP, NULL, 999, "");
	expect_call(&client, EOPNOTSUPP, NULL, 0, "");
	expect_call(&client, 0, NULL, OP_STAT, "s", "file");
	client_close(&client);
}

/* Ends in the middle of everything. */
static void test_truncated(void **state)
{
	struct buf call = args_of("wwbbhws", 12u, 1u, FRAME_CALL, 0, OP_STAT, 0u, "file");

	for (size_t len = 0; len < call.len; len++) {
		struct agent_client client;

		client_open(&client, *state);
		client_raw(&client, call.data, len);
		client_close(&client); /* comes back: the agent is done with it */
	}
	buf_free(&call);
}

/* Arguments of every operation cut at every byte, and with one too many. */
static void test_arguments_cut(void **state)
{
	struct ws_attr attr = { 0 };
	struct buf packed = BUF_INIT(OPS_ATTR_SIZE);
	struct agent_client client;

	ops_pack_attr(&packed, &attr);
	const struct {
		struct buf args;
		unsigned op;
		bool has_rest;
	} calls[] = {
		{ args_of("s", "x"), OP_STAT, false },
		{ args_of("sbsw", "x", 1, "", 1u), OP_LIST, false },
		{ args_of("s", "x"), OP_READLINK, false },
		{ args_of("sww", "x", 1u, 0u), OP_OPEN, false },
		{ args_of("w", 5u), OP_CLOSE, false },
		{ args_of("wqw", 5u, (uint64_t)0, 1u), OP_READ, false },
		{ args_of("wqb", 5u, (uint64_t)0, 0), OP_WRITE, true },
		{ args_of("wb", 5u, 0), OP_FSYNC, false },
		{ args_of("w", 5u), OP_FSTAT, false },
		{ args_of("swwr", "x", 0u, 0u, packed.data, packed.len), OP_SETATTR, false },
		{ args_of("sw", "new", 0755u), OP_MKDIR, false },
		{ args_of("s", "x"), OP_RMDIR, false },
		{ args_of("s", "x"), OP_UNLINK, false },
		{ args_of("ssw", "file", "y", 0u), OP_RENAME, false },
		{ args_of("ss", "x", "new"), OP_SYMLINK, false },
		{ args_of("ss", "file", "new"), OP_LINK, false },
		{ args_of("sw", "new", 0100644u), OP_MKNOD, false },
		{ args_of(""), OP_STATFS, false },
		{ args_of(""), OP_SYNC, false },
		{ args_of("bhws", 0, OP_STAT, 5u, "x"), OP_BATCH, false },
		{ args_of("s", "x"), OP_EXPORT, false },
		{ args_of("s", "x"), OP_IMPORT, false },
		{ args_of("q", (uint64_t)0), OP_WATCH, false },
		{ args_of(""), OP_BARRIER, false },
	};

	client_open(&client, *state);
	for (size_t i = 0; i < sizeof(calls) / sizeof(calls[0]); i++) {
		struct buf all = calls[i].args;

		for (size_t len = 0; len < all.len; len++) {
			int code;

			/* A batch of nothing is one. */
			if (calls[i].op == OP_BATCH && len <= 1)
				continue;
			struct buf cut = args_of("r", all.data, len);

			code = client_call(&client, calls[i].op, &cut, NULL);
			if (code != EPROTO && code != ENAMETOOLONG)
				fail_msg("op %u cut at %zu: %d", calls[i].op, len, code);
		}
		if (!calls[i].has_rest)
			expect_call(&client, EPROTO, NULL, calls[i].op, "rb", all.data, all.len, 0);
		buf_free(&all);
	}
	/* None of them did anything. */
	expect_call(&client, 0, NULL, OP_STAT, "s", "file");
	expect_call(&client, ENOENT, NULL, OP_STAT, "s", "new");
	client_close(&client);
	buf_free(&packed);
}

int main(void)
{
#define test(name) cmocka_unit_test_setup_teardown(name, agent_world_setup, agent_world_teardown)
	const struct CMUnitTest tests[] = {
		test(test_hello),
		test(test_verifier),
		test(test_hello_of_others),
		test(test_no_session),
		test(test_hello_and_call_at_once),
		test(test_split_anywhere),
		test(test_many_at_once),
		test(test_lies),
		test(test_lies_about_calls),
		test(test_frames_of_no_call),
		test(test_truncated),
		test(test_arguments_cut),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
