/*
 * test_ctl_exec.c - exec/NAME.
 */
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "protocol/cleanup.h"
#include "tests/unit/cmocka_all.h"
#include "tests/unit/ctl_world.h"
#include "tests/unit/fake_host.h"

#define X "dev/exec/x/"

static int setup(void **state)
{
	world_setup(state);
	assert_int_equal(fake_mkdir(world_root(state), "dev/exec/x"), 0);
	fake_log_take();
	return 0;
}

static void test_new(void **state)
{
	struct vnode *top = world_root(state);

	world_key_is(top, X "status", "state", "new");
	world_key_is(top, X "status", "command", "null");
	world_holds(top, X "ctl", "timeout 0\n");
	world_holds(top, X "exit_code", "");
	world_holds(top, X "stdin", "");
	world_holds(top, X "stdout", "");
	assert_int_equal(fake_echo(top, X "ctl", "kill\n"), -EBUSY);
	assert_int_equal(fake_echo(top, X "ctl", "timeout -1\n"), -EINVAL);
}

static void test_run(void **state)
{
	struct vnode *top = world_root(state);

	/* A non-zero exit is no error of the write. */
	assert_int_equal(fake_echo(top, X "ctl", "cwd /tmp\nenv A=1\ntimeout 2.5\nrun exit 3"), 0);
	assert_string_equal(world_command_settings(), "/tmp|A=1|2.5");
	assert_string_equal(fake_log_take(), "sync, command exit 3, invalidate, invalidate");
	world_holds(top, X "exit_code", "3\n");
	world_holds(top, X "wait", "3\n");
	world_key_is(top, X "status", "state", "exited");
	world_key_is(top, X "status", "exit_code", "3");
	world_key_is(top, X "status", "command", "exit 3");
	world_key_is(top, X "status", "timeout_seconds", "2.5");
	/* The next one takes its place. */
	assert_int_equal(fake_echo(top, X "ctl", "run exit 0\n"), 0);
	world_holds(top, X "exit_code", "0\n");
	assert_int_equal(world_commands_alive(), 1);
}

static void test_output_grows(void **state)
{
	struct vnode *top = world_root(state);
	struct fake_file file;
	char *text = NULL;

	assert_int_equal(fake_echo(top, X "ctl", "start make\n"), 0);
	world_key_is(top, X "status", "state", "running");
	world_key_is(top, X "status", "pid", "99");
	world_holds(top, X "exit_code", "");
	assert_int_equal(fake_open(top, X "stdout", O_RDONLY, &file), 0);
	assert_int_equal(fake_finish(fake_read(&file, 0, 100), NULL), 0);
	world_command_says(1, "one\r\n");
	world_command_says(2, "oops\n");
	assert_int_equal(fake_finish(fake_read(&file, 0, 100), &text), 5);
	assert_string_equal(text, "one\r\n");
	free(text);
	assert_int_equal(fake_size(top, X "stdout"), 5);
	world_holds(top, X "stderr", "oops\n");
	world_command_ends(0);
	world_holds(top, X "exit_code", "0\n");
	world_holds(top, X "stdout", "one\r\n");
	fake_close(&file);
}

/* A script that looks at exit_code only must not find that of the command before. */
static void test_a_command_that_is_not_started_shows_nothing(void **state)
{
	struct vnode *top = world_root(state);

	assert_int_equal(fake_echo(top, X "ctl", "run exit 0\n"), 0);
	world_holds(top, X "exit_code", "0\n");
	world_gone(true);
	assert_int_equal(fake_echo(top, X "ctl", "run exit 5\n"), -ENOTCONN);
	world_gone(false);
	world_holds(top, X "exit_code", "");
	world_holds(top, X "stdout", "");
	world_key_is(top, X "status", "state", "new");
	world_key_is(top, X "status", "command", "null");
	assert_int_equal(fake_echo(top, X "ctl", "run exit 5\n"), 0);
	world_holds(top, X "exit_code", "5\n");
}

static void test_stdin(void **state)
{
	struct vnode *top = world_root(state);
	struct fake_file file;
	struct call call = call_within(5, NULL);

	assert_int_equal(fake_echo(top, X "stdin", "hello\n"), 0);
	world_holds(top, X "stdin", "hello\n");
	assert_int_equal(fake_size(top, X "stdin"), 6);
	/* >> appends, > begins anew. */
	assert_int_equal(fake_open(top, X "stdin", O_WRONLY | O_APPEND, &file), 0);
	assert_int_equal(fake_write(&file, "more\n"), 5);
	fake_close(&file);
	world_holds(top, X "stdin", "hello\nmore\n");
	assert_int_equal(fake_echo(top, X "ctl", "start cat\n"), 0);
	assert_string_equal(world_command_input(), "hello\nmore\n");
	/* In use: it can be read, not changed. */
	world_holds(top, X "stdin", "hello\nmore\n");
	assert_int_equal(fake_echo(top, X "stdin", "x"), -EBUSY);
	assert_int_equal(fake_open(top, X "stdin", O_WRONLY, &file), -EBUSY);
	world_command_ends(0);
	world_holds(top, X "wait", "0\n");
	assert_int_equal(fake_echo(top, X "stdin", "x"), 0);
	world_holds(top, X "stdin", "x");
	/* Holes are zeros, and there is a limit. */
	assert_int_equal(fake_open(top, X "stdin", O_WRONLY, &file), 0);
	assert_int_equal(
		file.node->ops->write(file.node, &call, &file.file, LIMIT_STDIN_FILE, "y", 1),
		-EFBIG);
	assert_int_equal(file.node->ops->write(file.node, &call, &file.file, INT64_MAX, "y", 1),
			 -EFBIG);
	assert_int_equal(file.node->ops->write(file.node, &call, &file.file, 3, "y", 1), 1);
	fake_close(&file);
	assert_int_equal(fake_size(top, X "stdin"), 4);
}

/* `run` in a thread of its own, with a token. */
struct runner {
	pthread_t thread;
	struct vnode *top;
	struct cancel cancel;
	ssize_t result;
};

static void *run_thread(void *arg)
{
	struct runner *runner = arg;
	struct call call = call_within(5, &runner->cancel);
	struct fake_file file;

	assert_int_equal(fake_open(runner->top, X "ctl", O_WRONLY, &file), 0);
	runner->result = file.node->ops->write(file.node, &call, &file.file, 0, "run sleep\n", 10);
	fake_close(&file);
	return NULL;
}

static void begin_run(struct runner *runner, struct vnode *top)
{
	*runner = (struct runner){ .top = top };
	cancel_init(&runner->cancel);
	assert_int_equal(pthread_create(&runner->thread, NULL, run_thread, runner), 0);
	assert_true(fake_eventually(world_commands_alive() == 1));
}

static ssize_t end_run(struct runner *runner)
{
	pthread_join(runner->thread, NULL);
	cancel_destroy(&runner->cancel);
	return runner->result;
}

static void test_kill_ends_a_run(void **state)
{
	struct vnode *top = world_root(state);
	struct runner runner;

	begin_run(&runner, top);
	assert_true(fake_eventually(fake_echo(top, X "ctl", "kill\n") == 0));
	assert_int_equal(end_run(&runner), 10);
	world_holds(top, X "exit_code", "143\n");
	assert_int_equal(fake_echo(top, X "ctl", "kill NOPE\n"), -EINVAL);
}

static void test_an_interrupt_leaves_the_command(void **state)
{
	struct vnode *top = world_root(state);
	struct runner runner;
	autofree char *error = NULL;

	begin_run(&runner, top);
	assert_true(fake_eventually(fake_echo(top, X "ctl", "run another\n") == -EBUSY));
	cancel_fire(&runner.cancel);
	assert_int_equal(end_run(&runner), -EINTR);
	error = fake_cat(top, X "error");
	assert_non_null(strstr(error, "the command goes on"));
	world_key_is(top, X "status", "state", "running");
	fake_log_take();
	assert_int_equal(fake_echo(top, X "ctl", "kill SIGUSR1\n"), 0);
	assert_non_null(strstr(fake_log_take(), "kill USR1"));
}

static void test_run_when_the_guest_goes(void **state)
{
	struct vnode *top = world_root(state);
	struct runner runner;

	begin_run(&runner, top);
	world_gone(true);
	assert_int_equal(end_run(&runner), -ENOTCONN);
	world_gone(false);
}

static void test_wait(void **state)
{
	struct vnode *top = world_root(state);
	struct fake_file file;
	struct vn_req *req;
	char *text = NULL;

	assert_int_equal(fake_open(top, X "wait", O_RDONLY, &file), 0);
	req = fake_read(&file, 0, 10);
	assert_int_equal(fake_echo(top, X "ctl", "start x\n"), 0);
	assert_true(fake_parked(req));
	fake_log_take();
	world_command_ends(12);
	assert_int_equal(fake_finish(req, &text), 3);
	assert_string_equal(text, "12\n");
	free(text);
	/* What it changed can be seen by whoever waited. */
	assert_string_equal(fake_log_take(), "invalidate");
	assert_int_equal(fake_finish(fake_read(&file, 3, 10), NULL), 0);
	fake_close(&file);
}

static void test_rmdir_kills(void **state)
{
	struct vnode *top = world_root(state);
	struct fake_file wait, out;
	struct vn_req *req;
	char *text = NULL;

	assert_int_equal(fake_echo(top, X "ctl", "start x\n"), 0);
	assert_int_equal(fake_open(top, X "wait", O_RDONLY, &wait), 0);
	assert_int_equal(fake_open(top, X "stdout", O_RDONLY, &out), 0);
	req = fake_read(&wait, 0, 10);
	fake_log_take();
	assert_int_equal(fake_rmdir(top, "dev/exec/x"), 0);
	assert_non_null(strstr(fake_log_take(), "kill KILL"));
	assert_int_equal(fake_finish(req, &text), 4);
	assert_string_equal(text, "137\n");
	free(text);
	assert_int_equal(world_commands_alive(), 0);
	assert_int_equal(fake_finish(fake_read(&out, 0, 10), NULL), -ENOENT);
	fake_close(&wait);
	fake_close(&out);
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, world_teardown)
	const struct CMUnitTest tests[] = {
		TEST(test_new),
		TEST(test_run),
		TEST(test_output_grows),
		TEST(test_a_command_that_is_not_started_shows_nothing),
		TEST(test_stdin),
		TEST(test_kill_ends_a_run),
		TEST(test_an_interrupt_leaves_the_command),
		TEST(test_run_when_the_guest_goes),
		TEST(test_wait),
		TEST(test_rmdir_kills),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
