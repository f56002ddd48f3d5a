/*
 * test_ctl_lost.c - what becomes of what ran in a guest that was restarted, or whose agent was.
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
#define APP "dev/services/app/"
#define SH "dev/shells/me/"

/* What the guest does not know any more has ended, and nobody knows how; the directory goes on. */
static void test_command(void **state)
{
	struct vnode *top = world_root(state);
	struct fake_file file, out;
	struct vn_req *req;
	char *text = NULL;

	assert_int_equal(fake_mkdir(top, "dev/exec/x"), 0);
	assert_int_equal(fake_echo(top, X "ctl", "start x\n"), 0);
	world_command_says(1, "said\n");
	assert_int_equal(fake_size(top, X "stdout"), 5);
	assert_int_equal(fake_open(top, X "stdout", O_RDONLY, &out), 0);
	assert_int_equal(fake_open(top, X "wait", O_RDONLY, &file), 0);
	req = fake_read(&file, 0, 10);
	assert_true(fake_parked(req));
	world_restarts();
	assert_int_equal(fake_finish(req, &text), 5);
	assert_string_equal(text, "null\n");
	free(text);
	fake_close(&file);
	world_key_is(top, X "status", "state", "exited");
	world_key_is(top, X "status", "exit_code", "null");
	world_key_is(top, X "status", "stdout_size", "5");
	world_holds(top, X "exit_code", "");
	world_holds(top, X "error", "nothing of the command is there any more\n");
	assert_int_equal(fake_finish(fake_read(&out, 0, 10), NULL), -EIO);
	fake_close(&out);
	assert_int_equal(fake_echo(top, X "ctl", "kill\n"), -EBUSY);
	assert_int_equal(fake_echo(top, X "ctl", "run exit 4\n"), 0);
	world_holds(top, X "exit_code", "4\n");
	assert_int_equal(fake_echo(top, X "ctl", "start x\n"), 0);
	world_restarts();
	assert_int_equal(fake_rmdir(top, "dev/exec/x"), 0);
}

static void *restart_soon(void *arg)
{
	(void)arg;
	assert_true(fake_eventually(world_commands_alive()));
	world_restarts();
	return NULL;
}

static void test_command_that_is_run(void **state)
{
	struct vnode *top = world_root(state);
	pthread_t thread;

	assert_int_equal(fake_mkdir(top, "dev/exec/x"), 0);
	assert_int_equal(pthread_create(&thread, NULL, restart_soon, NULL), 0);
	assert_int_equal(fake_echo(top, X "ctl", "run x\n"), -EIO);
	pthread_join(thread, NULL);
	assert_int_equal(fake_rmdir(top, "dev/exec/x"), 0);
}

/*
 * One that the guest does not know any more is as one that was never started, but that whoever
 * waited hears so.
 */
static void test_service(void **state)
{
	struct vnode *top = world_root(state);
	struct fake_file file;
	struct vn_req *req;

	assert_int_equal(fake_mkdir(top, "dev/services/app"), 0);
	assert_int_equal(fake_echo(top, APP "ctl", "start x\n"), 0);
	assert_int_equal(fake_open(top, APP "wait", O_RDONLY, &file), 0);
	req = fake_read(&file, 0, 10);
	assert_true(fake_parked(req));
	world_restarts();
	assert_int_equal(fake_finish(req, NULL), -EIO);
	fake_close(&file);
	world_holds(top, APP "error",
		    "the guest was restarted, and does not know the service any more\n");
	world_key_is(top, APP "status", "state", "new");
	assert_int_equal(fake_echo(top, APP "ctl", "start x\n"), 0);
	world_key_is(top, APP "status", "state", "running");
}

/* Its transcript stays, and who reads it to its end hears that there is no more. */
static void test_shell(void **state)
{
	struct vnode *top = world_root(state);
	struct fake_file file, wait;
	struct vn_req *req, *end;
	char *text = NULL;

	assert_int_equal(fake_mkdir(top, "dev/shells/me"), 0);
	assert_int_equal(fake_open(top, SH "cons", O_RDWR, &file), 0);
	assert_int_equal(fake_open(top, SH "wait", O_RDONLY, &wait), 0);
	world_shell_says("said");
	assert_int_equal(fake_finish(fake_read(&file, 0, 10), NULL), 4);
	req = fake_read(&file, 4, 10);
	end = fake_read(&wait, 0, 10);
	assert_true(fake_parked(req) && fake_parked(end));
	world_restarts();
	assert_int_equal(fake_finish(req, NULL), 0);
	assert_int_equal(fake_finish(end, &text), 5);
	assert_string_equal(text, "null\n");
	free(text);
	assert_int_equal(fake_write(&file, "x"), -EIO);
	fake_close(&file);
	fake_close(&wait);
	world_key_is(top, SH "status", "state", "stopped");
	world_holds(top, SH "output", "said");
	assert_int_equal(fake_echo(top, SH "ctl", "open\n"), 0);
	world_key_is(top, SH "status", "state", "running");
	world_restarts();
	world_key_is(top, SH "status", "state", "stopped");
	world_holds(top, SH "error",
		    "the guest was restarted, or its agent, and the shell ended with it\n");
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, world_setup, world_teardown)
	const struct CMUnitTest tests[] = {
		TEST(test_command),
		TEST(test_command_that_is_run),
		TEST(test_service),
		TEST(test_shell),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
