/* test_agent_session_command.c - commands in a session, and many who wait, on a real agent. */
#include <dirent.h>
#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include "protocol/agent/command_internal.h"
#include "tests/unit/proc_client.h"

struct fixture {
	struct agent_world world;
	struct agent_client client;
};

static int setup(void **state)
{
	struct fixture *f = calloc(1, sizeof(*f));

	flow_reset();
	agent_world_open(&f->world);
	client_open(&f->client, &f->world);
	*state = f;
	return 0;
}

static int teardown(void **state)
{
	struct fixture *f = *state;

	client_close(&f->client);
	agent_world_close(&f->world);
	free(f);
	return 0;
}

static void drop(json_t *object)
{
	json_decref(object);
}

/* Entries of a directory. */
static int count(const char *path)
{
	const struct dirent *entry;
	DIR *dir = opendir(path);
	int entries = 0;

	while (dir && (entry = readdir(dir)) != NULL)
		entries += entry->d_name[0] != '.';
	if (dir)
		closedir(dir);
	return entries;
}

/* Files that commands have. */
static int files(struct fixture *f)
{
	char *path = commands_path(f->world.agent->commands);
	int found = count(path ? path : "/nowhere");

	free(path);
	return found;
}

#define START OP_COMMAND_START

/* Starts 'id' and waits for its end; the status. */
static void expect_exit(struct agent_client *c, const char *args, int code)
{
	json_t *status;

	drop(proc_call(c, START, "{'command_id': 'x', %s}", args));
	status = proc_wait(c, "command", "x", "end");
	proc_text(status, "state", "ended");
	proc_int(status, "exit_code", code);
	drop(status);
	drop(proc_call(c, OP_COMMAND_FORGET, "{'command_id': 'x'}"));
}

static void exit_codes_are_told(void **state)
{
	struct agent_client *c = &((struct fixture *)*state)->client;

	expect_exit(c, "'command': 'exit 7'", 7);
	expect_exit(c, "'command': 'kill -9 $$'", 128 + SIGKILL);
	expect_exit(c, "'argv': ['false']", 1);
	expect_exit(c, "'command': 'exec sleep 100', 'timeout_seconds': 0.05", 124);
	expect_exit(c, "'command': 'exit $N', 'env': {'N': '9'}", 9);
	expect_exit(c, "'command': 'test $(pwd) = /', 'cwd': '/'", 0);
	expect_exit(c, "'command': 'read x'", 1); /* it has no input */
}

/* One that takes no notice of TERM, with a child that has left its group. */
static void time_limit_ends_what_ignores_it(void **state)
{
	struct fixture *f = *state;
	struct agent_client *c = &f->client;
	struct flow *out;
	pid_t pid;

	drop(proc_call(c, START,
		       "{'command_id': 'x', 'timeout_seconds': 0.05, 'command': 'trap : TERM; "
		       "setsid sleep 100 & echo $!; while :; do wait; done'}"));
	out = flow_begin(c, OP_STREAM, "{'kind': 'command', 'name': 'x', 'follow': true}");
	flow_finish(c, out);
	proc_int(json_object_get(out->result, "status"), "exit_code", 124);
	pid = (pid_t)strtol(buf_str(&out->data), NULL, 10);
	assert_true(pid > 1);
	while (kill(pid, 0) == 0)
		usleep(1000);
	flow_free(out);
}

static void argument_vectors_are_taken_as_they_are(void **state)
{
	struct agent_client *c = &((struct fixture *)*state)->client;
	json_t *command, *status;
	const char *id;

	command = proc_call(c, START, "{'argv': ['printf', '%%s|', '$HOME  ;', '', '\\udcff']}");
	id = json_string_value(json_object_get(command, "command_id"));
	status = proc_wait(c, "command", id, "end");
	proc_int(status, "exit_code", 0);
	drop(status);
	proc_expect_output(c, "command", id, 1, "$HOME  ;||\xff|");
	proc_expect_output(c, "command", id, 2, "");
	drop(command);
}

static void what_cannot_start_leaves_nothing(void **state)
{
	struct fixture *f = *state;
	struct agent_client *c = &f->client;

	proc_refused(c, EINVAL, START, "{}");
	proc_refused(c, EINVAL, START, "{'argv': []}");
	proc_refused(c, EINVAL, START, "{'argv': ['']}");
	proc_refused(c, EINVAL, START, "{'argv': [3]}");
	proc_refused(c, EINVAL, START, "{'argv': ['a\\u0000b']}");
	proc_refused(c, ENOENT, START, "{'argv': ['no-such-program']}");
	proc_refused(c, EACCES, START, "{'argv': ['/etc/passwd']}");
	proc_refused(c, ENOENT, START, "{'command': 'true', 'cwd': '/none'}");
	proc_refused(c, EINVAL, START, "{'command': 'true', 'timeout_seconds': -1}");
	proc_refused(c, EINVAL, START, "{'command': 'true', 'command_id': '../x'}");
	proc_refused(c, ENOENT, OP_COMMAND_STATUS, "{'command_id': 'x'}");
	assert_int_equal(files(f), 0);
	drop(proc_call(c, START, "{'command': 'sleep 100', 'command_id': 'x'}"));
	proc_refused(c, EEXIST, START, "{'command': 'true', 'command_id': 'x'}");
	proc_refused(c, EINVAL, OP_COMMAND_SIGNAL, "{'command_id': 'x', 'signal': 'NONE'}");
	proc_refused(c, EBUSY, OP_COMMAND_INPUT, "{'command_id': 'x'}");
}

static void signals_and_forgetting_end_it(void **state)
{
	struct fixture *f = *state;
	struct agent_client *c = &f->client;
	json_t *command, *status;
	struct flow *out;
	pid_t pid;

	drop(proc_call(c, START, "{'command': 'exec sleep 100', 'command_id': 'x'}"));
	drop(proc_call(c, OP_COMMAND_SIGNAL, "{'command_id': 'x', 'signal': 'USR1'}"));
	status = proc_wait(c, "command", "x", "end");
	proc_int(status, "exit_code", 128 + SIGUSR1);
	drop(status);
	proc_refused(c, EBUSY, OP_COMMAND_SIGNAL, "{'command_id': 'x'}");
	assert_int_equal(files(f), 2);
	drop(proc_call(c, OP_COMMAND_FORGET, "{'command_id': 'x'}"));
	assert_int_equal(files(f), 0);
	command = proc_call(c, START,
			    "{'command': 'echo up; setsid sleep 100; :', 'command_id': 'x'}");
	pid = (pid_t)proc_get(command, "pid");
	drop(command);
	out = flow_begin(c, OP_STREAM, "{'kind': 'command', 'name': 'x', 'follow': true}");
	flow_await(c, out, "up");
	drop(proc_call(c, OP_COMMAND_FORGET, "{'command_id': 'x'}"));
	assert_int_equal(kill(pid, 0), -1);
	/* Its end, or that there is nothing any more. */
	flow_finish(c, out);
	assert_true(out->code == 0 || out->code == ENOENT);
	flow_free(out);
	assert_int_equal(files(f), 0);
}

static void send_input(struct agent_client *c, const struct flow *input, const char *text,
		       bool last)
{
	client_frame(c, FRAME_DATA, input->id, last ? FRAME_END : 0, 0, text, strlen(text));
}

static void input_is_streamed_and_closed(void **state)
{
	struct agent_client *c = &((struct fixture *)*state)->client;
	struct flow *input, *out;

	drop(proc_call(c, START, "{'argv': ['cat'], 'input': true, 'command_id': 'x'}"));
	input = flow_begin(c, OP_COMMAND_INPUT, "{'command_id': 'x'}");
	out = flow_begin(c, OP_STREAM, "{'kind': 'command', 'name': 'x', 'follow': true}");
	send_input(c, input, "one", false);
	flow_await(c, out, "one");
	proc_refused(c, EBUSY, OP_COMMAND_INPUT, "{'command_id': 'x'}");
	/* Who gives up leaves it open for the next. */
	client_frame(c, FRAME_CANCEL, input->id, 0, 0, NULL, 0);
	flow_finish(c, input);
	assert_int_equal(input->code, ECANCELED);
	flow_free(input);
	input = flow_begin(c, OP_COMMAND_INPUT, "{'command_id': 'x'}");
	send_input(c, input, "two", true);
	flow_finish(c, out);
	assert_string_equal(buf_str(&out->data), "onetwo");
	flow_finish(c, input);
	proc_int(input->result, "input_taken", 6);
	flow_free(input);
	flow_free(out);
	proc_refused(c, EBUSY, OP_COMMAND_INPUT, "{'command_id': 'x'}");
}

/* The pipe, the chunk on its way and the window: no more is taken from who sends. */
static void input_waits_for_its_reader(void **state)
{
	struct fixture *f = *state;
	struct agent_client *c = &f->client;
	static char block[32768];
	struct flow *input, *out;

	agent_world_run(&f->world, "mkfifo gate");
	memset(block, 'x', sizeof(block));
	drop(proc_call(c, START,
		       "{'command': 'read x <gate; wc -c', 'input': true, 'command_id': 'x'}"));
	input = flow_begin(c, OP_COMMAND_INPUT, "{'command_id': 'x'}");
	/* The window; more would be a break of the protocol. */
	for (size_t sent = 0; sent < OPS_WINDOW; sent += sizeof(block))
		client_frame(c, FRAME_DATA, input->id, 0, 0, block, sizeof(block));
	drop(proc_call(c, OP_COMMAND_STATUS, "{'command_id': 'x'}"));
	assert_false(input->done);
	agent_world_run(&f->world, "echo >gate");
	client_frame(c, FRAME_DATA, input->id, FRAME_END, 0, NULL, 0);
	flow_finish(c, input);
	out = flow_begin(c, OP_STREAM, "{'kind': 'command', 'name': 'x', 'follow': true}");
	flow_finish(c, out);
	assert_int_equal(strtol(buf_str(&out->data), NULL, 10), OPS_WINDOW);
	flow_free(out);
	flow_free(input);
	/* Who reads only a little is no error. */
	drop(proc_call(c, START, "{'argv': ['true'], 'input': true, 'command_id': 'y'}"));
	input = flow_begin(c, OP_COMMAND_INPUT, "{'command_id': 'y'}");
	flow_finish(c, input);
	assert_int_equal(input->code, 0);
	flow_free(input);
}

static void input_may_come_first(void **state)
{
	struct fixture *f = *state;
	struct agent_client *c = &f->client;
	struct flow *input, *ready;
	json_t *command;

	command = proc_call(c, START, "{'argv': ['cat'], 'input': 'first', 'command_id': 'x'}");
	proc_text(command, "state", "waiting");
	proc_null(command, "pid");
	drop(command);
	proc_expect_output(c, "command", "x", 1, "");
	ready = flow_begin(c, OP_WAIT, "{'kind': 'command', 'name': 'x', 'for': 'ready'}");
	input = flow_begin(c, OP_COMMAND_INPUT, "{'command_id': 'x'}");
	send_input(c, input, "some ", false);
	assert_false(ready->done);
	send_input(c, input, "more", true);
	flow_finish(c, input);
	proc_int(input->result, "input_taken", 9);
	flow_finish(c, ready);
	assert_int_equal(ready->code, 0);
	drop(proc_wait(c, "command", "x", "end"));
	proc_expect_output(c, "command", "x", 1, "some more");
	flow_free(input);
	flow_free(ready);
	drop(proc_call(c, OP_COMMAND_FORGET, "{'command_id': 'x'}"));
	/* What cannot start then is gone with its input. */
	drop(proc_call(c, START, "{'argv': ['/none'], 'input': 'first', 'command_id': 'x'}"));
	input = flow_begin(c, OP_COMMAND_INPUT, "{'command_id': 'x'}");
	send_input(c, input, "x", true);
	flow_finish(c, input);
	assert_int_equal(input->code, ENOENT);
	flow_free(input);
	assert_int_equal(files(f), 0);
}

static void credit_bounds_what_is_on_its_way(void **state)
{
	struct agent_client *c = &((struct fixture *)*state)->client;
	struct flow *out;
	json_t *status;

	drop(proc_call(c, START, "{'command': 'head -c 1000000 /dev/zero', 'command_id': 'x'}"));
	status = proc_wait(c, "command", "x", "end");
	proc_int(status, "stdout_size", 1000000);
	drop(status);
	out = flow_begin(c, OP_STREAM, "{'kind': 'command', 'name': 'x', 'follow': true}");
	out->held = true;
	while (out->data.len < OPS_WINDOW)
		flow_pump(c);
	/* Behind an answer that was asked for later, there is no more of it. */
	drop(proc_call(c, OP_COMMAND_STATUS, "{'command_id': 'x'}"));
	assert_int_equal(out->data.len, OPS_WINDOW);
	out->held = false;
	client_credit(c, out->id, OPS_WINDOW);
	flow_finish(c, out);
	assert_int_equal(out->data.len, 1000000);
	proc_int(out->result, "next", 1000000);
	flow_free(out);
}

/*
 * More output than the connection takes while nobody reads, of several at once: all of it comes
 * when somebody does.
 */
static void output_waits_for_a_full_connection(void **state)
{
	struct agent_client *c = &((struct fixture *)*state)->client;
	struct flow *out[4];
	int ready = 0;

	drop(proc_call(c, START, "{'command_id': 'x', 'command': 'yes | head -c 1000000'}"));
	for (int i = 0; i < 4; i++)
		out[i] = flow_begin(c, OP_STREAM,
				    "{'kind': 'command', 'name': 'x', 'follow': true}");
	while (ready < 150000) {
		assert_int_equal(ioctl(c->fd, FIONREAD, &ready), 0);
		poll(NULL, 0, 1);
	}
	for (int i = 0; i < 4; i++) {
		flow_finish(c, out[i]);
		assert_int_equal(out[i]->data.len, 1000000);
		for (size_t at = 0; at < out[i]->data.len; at++)
			assert_int_equal(out[i]->data.data[at], at % 2 ? '\n' : 'y');
		flow_free(out[i]);
	}
}

static void thousand_waits_need_no_threads(void **state)
{
	struct fixture *f = *state;
	struct agent_client *c = &f->client;
	static struct flow *waits[1000];

	agent_world_run(&f->world, "mkfifo gate");
	drop(proc_call(c, START, "{'command': 'read x <gate; exit 5', 'command_id': 'x'}"));
	for (int i = 0; i < 1000; i++)
		waits[i] = flow_begin(c, OP_WAIT, "{'kind': 'command', 'name': 'x', 'for': 'end'}");
	drop(proc_call(c, OP_COMMAND_STATUS, "{'command_id': 'x'}"));
	assert_true(count("/proc/self/task") < 60);
	client_frame(c, FRAME_CANCEL, waits[999]->id, 0, 0, NULL, 0);
	flow_finish(c, waits[999]);
	assert_int_equal(waits[999]->code, ECANCELED);
	agent_world_run(&f->world, "echo >gate");
	for (int i = 0; i < 1000; i++) {
		flow_finish(c, waits[i]);
		if (i < 999)
			proc_int(waits[i]->result, "exit_code", 5);
		flow_free(waits[i]);
	}
}

static void deadline_ends_a_wait(void **state)
{
	struct agent_client *c = &((struct fixture *)*state)->client;
	struct buf args = BUF_INIT(1000);
	struct got *got = malloc(sizeof(*got));
	uint32_t id;

	drop(proc_call(c, START, "{'command': 'sleep 100', 'command_id': 'x'}"));
	buf_adds(&args, "{\"kind\": \"command\", \"name\": \"x\", \"for\": \"end\"}");
	id = client_begin(c, OP_WAIT, &args, 20);
	client_finish(c, id, got);
	assert_int_equal(got->frame.code, ETIMEDOUT);
	buf_free(&args);
	free(got);
}

/* Sets the clock of what is to be forgotten forward. */
static void grow_old(struct fixture *f, const char *id)
{
	struct commands *commands = f->world.agent->commands;
	struct command *command;

	pthread_mutex_lock(&commands->lock);
	HASH_FIND_STR(commands->by_id, id, command);
	assert_non_null(command);
	command->owned_until = 0;
	pthread_mutex_lock(&command->lock);
	command->ended_ms -= 10LL * 60 * 1000;
	pthread_mutex_unlock(&command->lock);
	pthread_mutex_unlock(&commands->lock);
	commands_set_due(commands, 0);
}

static void what_nobody_owns_is_forgotten(void **state)
{
	struct fixture *f = *state;
	struct agent_client other, *c = &f->client;

	client_open(&other, &f->world);
	drop(proc_call(&other, START, "{'command': 'true', 'command_id': 'mine'}"));
	drop(proc_wait(&other, "command", "mine", "end"));
	drop(proc_call(&other, START, "{'command': 'true', 'command_id': 'yours'}"));
	drop(proc_wait(&other, "command", "yours", "end"));
	drop(proc_call(&other, START, "{'command': 'sleep 100', 'command_id': 'runs'}"));
	drop(proc_call(c, OP_COMMAND_STATUS, "{'command_id': 'mine'}"));
	client_close(&other);
	grow_old(f, "mine");
	grow_old(f, "runs");
	grow_old(f, "yours");
	while (files(f) > 4)
		usleep(1000);
	proc_refused(c, ENOENT, OP_COMMAND_STATUS, "{'command_id': 'yours'}");
	drop(proc_call(c, OP_COMMAND_STATUS, "{'command_id': 'mine'}"));
	drop(proc_call(c, OP_COMMAND_STATUS, "{'command_id': 'runs'}"));
}

#define test(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		test(exit_codes_are_told),
		test(time_limit_ends_what_ignores_it),
		test(argument_vectors_are_taken_as_they_are),
		test(what_cannot_start_leaves_nothing),
		test(signals_and_forgetting_end_it),
		test(input_is_streamed_and_closed),
		test(input_waits_for_its_reader),
		test(input_may_come_first),
		test(credit_bounds_what_is_on_its_way),
		test(output_waits_for_a_full_connection),
		test(thousand_waits_need_no_threads),
		test(deadline_ends_a_wait),
		test(what_nobody_owns_is_forgotten),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
