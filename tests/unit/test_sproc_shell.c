/* test_sproc_shell.c - shells of process.h over a session, on the bundled agent. */
#include "cmocka_all.h"

#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "bundled_agent.h"
#include "cut_relay.h"
#include "protocol/buf.h"
#include "protocol/guest.h"
#include "protocol/session/sproc.h"

#define TIMEOUT 10.0

struct world {
	struct bundled_agent agent;
	struct cut_relay relay;
	struct guest *guest;
	struct sproc_room *room;
	struct call call;
	struct error err;
	struct proc_shell shell;
	struct buf output; /* that was read, up to shell.cursor */
};

static const struct proc_settings plain = { 0 };

static int setup(void **state)
{
	struct guest_options options = { .timeout = TIMEOUT,
					 .max_connections = 1,
					 .agent = GUEST_AGENT_NEVER };
	struct world *w = calloc(1, sizeof(*w));
	struct address address = { 0 };
	char path[100], source[120];

	bundled_agent_open(&w->agent);
	bundled_agent_start(&w->agent, NULL);
	snprintf(path, sizeof(path), "%s/relay", w->agent.top);
	cut_relay_open(&w->relay, path, w->agent.socket);
	snprintf(source, sizeof(source), "unix:%s", path);
	assert_int_equal(address_parse(source, &address, &w->err), 0);
	assert_int_equal(guest_new(&address, &options, &w->guest, &w->err), 0);
	assert_int_equal(sproc_room_new(guest_link(w->guest), TIMEOUT, &w->room), 0);
	buf_init(&w->output, 64u << 20);
	w->call = call_within(60, NULL);
	*state = w;
	return 0;
}

static int teardown(void **state)
{
	struct world *w = *state;

	sproc_room_free(w->room);
	guest_unref(w->guest);
	cut_relay_close(&w->relay);
	bundled_agent_close(&w->agent);
	buf_free(&w->output);
	free(w);
	return 0;
}

#define ok(w, rc) check((w), (rc), __LINE__)

static void check(struct world *w, ssize_t rc, int line)
{
	if (rc < 0)
		fail_msg("line %d: %zd: %s", line, rc, w->err.text);
}

static void open_shell(struct world *w)
{
	ok(w, sproc_shell_open(w->room, &w->call, "s", &plain, 80, 24, &w->shell, &w->err));
	assert_string_equal(w->shell.state, "running");
	assert_int_equal(w->shell.cols, 80);
	assert_int_equal(w->shell.rows, 24);
	assert_int_equal(w->shell.cursor, 0);
}

/* One reading, SIZE bytes at most. */
static ssize_t read_some(struct world *w, size_t size)
{
	char *room = buf_reserve(&w->output, size);
	ssize_t got = sproc_shell_read(w->room, &w->call, "s", w->shell.cursor, room, size,
				       &w->shell, &w->err);

	ok(w, got);
	buf_commit(&w->output, (size_t)got);
	return got;
}

static void await(struct world *w, const char *text)
{
	while (!w->output.len || !memmem(w->output.data, w->output.len, text, strlen(text))) {
		if (!read_some(w, 4096))
			usleep(1000);
	}
}

static void say(struct world *w, const char *text)
{
	assert_int_equal(sproc_shell_write(w->room, &w->call, "s", text, strlen(text), &w->err),
			 strlen(text));
}

static void shells_live_and_end(void **state)
{
	struct world *w = *state;
	char bytes[4096];

	open_shell(w);
	assert_int_equal(
		sproc_shell_open(w->room, &w->call, "s", &plain, 80, 24, &w->shell, &w->err),
		-EEXIST);
	say(w, "pwd; echo o''ver\n");
	await(w, "over\r\n");
	ok(w, sproc_shell_resize(w->room, &w->call, "s", 91, 37, &w->err));
	say(w, "stty size\n");
	await(w, "37 91\r\n");
	say(w, "sh -c 'echo jo''b runs; exec sleep 100'\n");
	await(w, "job runs\r\n");
	ok(w, sproc_shell_signal(w->room, &w->call, "s", "INT", &w->err));
	say(w, "exit 3\n");
	while (strcmp(w->shell.state, "running") == 0) {
		if (!read_some(w, 4096))
			usleep(1000);
	}
	while (read_some(w, 4096))
		;
	assert_true(w->shell.has_exit_code);
	assert_int_equal(w->shell.exit_code, 3);
	assert_true(w->shell.ended_at >= w->shell.started_at);
	assert_int_equal(w->shell.cursor, w->output.len);
	/* Read again from the beginning, it is the same. */
	assert_true(w->output.len < sizeof(bytes));
	assert_int_equal(sproc_shell_read(w->room, &w->call, "s", 0, bytes, sizeof(bytes),
					  &w->shell, &w->err),
			 w->output.len);
	assert_memory_equal(bytes, w->output.data, w->output.len);
	assert_int_equal(sproc_shell_write(w->room, &w->call, "s", "x", 1, &w->err), -EBUSY);
	assert_int_equal(sproc_shell_signal(w->room, &w->call, "s", "INT", &w->err), -EBUSY);
	assert_int_equal(sproc_shell_resize(w->room, &w->call, "s", 80, 24, &w->err), -EBUSY);
	ok(w, sproc_shell_close(w->room, &w->call, "s", &w->shell, &w->err));
	assert_string_equal(w->shell.state, "stopped");
	assert_int_equal(w->shell.exit_code, 3);
	assert_int_equal(sproc_shell_close(w->room, &w->call, "s", &w->shell, &w->err), -ENOENT);
	assert_int_equal(sproc_shell_read(w->room, &w->call, "s", 0, bytes, sizeof(bytes),
					  &w->shell, &w->err),
			 -ENOENT);
}

/* However little is read at once, characters come whole, and what is none comes at all. */
static void characters_are_not_cut(void **state)
{
	struct world *w = *state;
	size_t begin;

	open_shell(w);
	/* In one write(2), so that the half is there when the wholes are. */
	say(w, "e='\\342\\202\\254'; printf \"$e$e$e$e$e\\\\342\\\\202\"; read x\n");
	await(w, "\xe2\x82\xac\xe2\x82\xac\xe2\x82\xac\xe2\x82\xac\xe2\x82\xac");
	begin = (size_t)((char *)memmem(w->output.data, w->output.len, "\xe2\x82\xac", 3) -
			 w->output.data);
	w->shell.cursor = (int64_t)begin;
	w->output.len = 0;
	for (int i = 0; i < 5; i++)
		assert_int_equal(read_some(w, 4), 3);
	assert_int_equal(read_some(w, 4), 0); /* half a one may become whole */
	say(w, "\nexit\n");
	await(w, "\xe2\x82\r\n");
}

static void much_output_comes_in_order(void **state)
{
	struct world *w = *state;
	const char *at;

	open_shell(w);
	say(w, "stty -echo; i=0; while [ $i -lt 20000 ]; do echo line $i; i=$((i+1)); done; "
	       "echo a''ll\n");
	await(w, "all\r\n");
	at = strstr(w->output.data, "line 0\r\n");
	for (int i = 0; i < 20000; i++) {
		char expected[40];

		snprintf(expected, sizeof(expected), "line %d\r\n", i);
		assert_non_null(at);
		assert_memory_equal(at, expected, strlen(expected));
		at += strlen(expected);
	}
}

static void much_input_is_taken_in_parts(void **state)
{
	struct world *w = *state;
	size_t len = 300000, put = 0;
	char *bytes = malloc(len);

	memset(bytes, 'x', len);
	open_shell(w);
	say(w, "stty raw -echo; echo rea''dy; head -c 300000 | wc -c; stty sane\n");
	await(w, "ready");
	while (put < len) {
		ssize_t n = sproc_shell_write(w->room, &w->call, "s", bytes + put, len - put,
					      &w->err);

		if (n == -EAGAIN) {
			usleep(1000);
			continue;
		}
		ok(w, n);
		put += (size_t)n;
	}
	await(w, "300000");
	free(bytes);
}

static void broken_shells_come_through(void **state)
{
	static const enum session_op ops[] = { OP_SHELL_OPEN, OP_STREAM, OP_SHELL_CLOSE };
	struct world *w = *state;

	for (int i = 0; i < 3; i++) {
		for (int cut = RELAY_CUT_BEFORE; cut < RELAY_CUTS; cut++) {
			int rc;

			if (cut == RELAY_CUT_DATA)
				continue;
			w->output.len = 0;
			cut_relay_order(&w->relay, ops[i], (enum relay_cut)cut);
			rc = sproc_shell_open(w->room, &w->call, "s", &plain, 80, 24, &w->shell,
					      &w->err);
			ok(w, rc);
			say(w, "echo o''ver\n");
			await(w, "over\r\n");
			ok(w, sproc_shell_close(w->room, &w->call, "s", &w->shell, &w->err));
			assert_string_equal(w->shell.state, "stopped");
			assert_true(cut_relay_done(&w->relay));
		}
	}
	/*
	 * Typing twice is not typing once, nor is a signal that comes twice; a size is.  A shell
	 * that has not yet begun to read would die of the signal.
	 */
	w->output.len = 0;
	open_shell(w);
	say(w, "echo o''ver\n");
	await(w, "over\r\n");
	cut_relay_order(&w->relay, OP_SHELL_WRITE, RELAY_CUT_ANSWER);
	assert_int_equal(sproc_shell_write(w->room, &w->call, "s", "x", 1, &w->err), -EIO);
	assert_non_null(strstr(w->err.text, "not known"));
	assert_true(cut_relay_done(&w->relay));
	cut_relay_order(&w->relay, OP_SHELL_SIGNAL, RELAY_CUT_ANSWER);
	assert_int_equal(sproc_shell_signal(w->room, &w->call, "s", "INT", &w->err), -EIO);
	assert_true(cut_relay_done(&w->relay));
	cut_relay_order(&w->relay, OP_SHELL_RESIZE, RELAY_CUT_ANSWER);
	ok(w, sproc_shell_resize(w->room, &w->call, "s", 100, 40, &w->err));
	assert_true(cut_relay_done(&w->relay));
}

#define test(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		test(shells_live_and_end),        test(characters_are_not_cut),
		test(much_output_comes_in_order), test(much_input_is_taken_in_parts),
		test(broken_shells_come_through),
	};

	signal(SIGPIPE, SIG_IGN);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
