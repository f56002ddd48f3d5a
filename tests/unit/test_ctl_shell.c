/*
 * test_ctl_shell.c - shells/ID.
 */
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "protocol/cleanup.h"
#include "tests/unit/cmocka_all.h"
#include "tests/unit/ctl_world.h"
#include "tests/unit/fake_host.h"

#define SH "dev/shells/sh/"

static void reads(struct fake_file *file, const char *text)
{
	char *got = NULL;

	assert_int_equal(fake_finish(fake_read(file, 0, 4096), &got), strlen(text));
	assert_string_equal(got, text);
	free(got);
}

static int setup(void **state)
{
	world_setup(state);
	assert_int_equal(fake_mkdir(world_root(state), "dev/shells/sh"), 0);
	fake_log_take();
	return 0;
}

static void test_new(void **state)
{
	struct vnode *top = world_root(state);

	assert_int_equal(world_shells_open(), 0);
	world_key_is(top, SH "status", "state", "new");
	world_key_is(top, SH "status", "shell_id", "null");
	world_holds(top, SH "ctl", "size 120 30\n");
	world_holds(top, SH "output", "");
	assert_int_equal(fake_echo(top, SH "ctl", "close\n"), -EBUSY);
	assert_int_equal(fake_echo(top, SH "ctl", "signal INT\n"), -EBUSY);
}

static void test_verbs(void **state)
{
	struct vnode *top = world_root(state);

	assert_int_equal(fake_echo(top, SH "ctl", "cwd /tmp\nenv A=b\nsize 80 24\nopen\n"), 0);
	assert_string_equal(fake_log_take(), "sync, open sh-01234567-1 80x24");
	assert_string_equal(world_command_settings(), "/tmp|A=b|0");
	world_key_is(top, SH "status", "state", "running");
	world_key_is(top, SH "status", "shell_id", "sh-01234567-1");
	world_key_is(top, SH "status", "cols", "80");
	assert_int_equal(fake_echo(top, SH "ctl", "open\n"), -EBUSY);
	fake_log_take();
	assert_int_equal(fake_echo(top, SH "ctl", "size 100 40\n"), 0);
	assert_string_equal(fake_log_take(), "resize 100x40");
	assert_int_equal(fake_echo(top, SH "ctl", "size 100 999\n"), -EOPNOTSUPP);
	world_key_is(top, SH "status", "cols", "100");
	world_key_is(top, SH "status", "rows", "40");
	fake_log_take();
	assert_int_equal(fake_echo(top, SH "ctl", "signal SIGHUP\n"), 0);
	assert_string_equal(fake_log_take(), "sync, signal HUP, invalidate");
	assert_int_equal(fake_echo(top, SH "ctl", "signal USR1\n"), -EINVAL);
	assert_int_equal(fake_echo(top, SH "ctl", "size 0 24\n"), -EINVAL);
	assert_int_equal(fake_echo(top, SH "ctl", "close\n"), 0);
	assert_int_equal(world_shells_open(), 0);
	world_key_is(top, SH "status", "state", "stopped");
	/* Closing what is closed is no error; opening it is a new shell. */
	assert_int_equal(fake_echo(top, SH "ctl", "close\nopen\n"), 0);
	world_key_is(top, SH "status", "shell_id", "sh-01234567-2");
	world_key_is(top, SH "status", "exit_code", "null");
}

static void test_cons_opens_the_shell(void **state)
{
	struct vnode *top = world_root(state);
	struct fake_file first, second;

	assert_int_equal(fake_open(top, SH "cons", O_RDWR, &first), 0);
	assert_int_equal(world_shells_open(), 1);
	assert_int_equal(fake_open(top, SH "cons", O_RDWR, &second), 0);
	assert_int_equal(world_shells_open(), 1);
	fake_close(&first);
	fake_close(&second);
	/* It goes on without an open file. */
	assert_int_equal(world_shells_open(), 1);
	world_gone(true);
	assert_int_equal(fake_mkdir(top, "dev/shells/other"), 0);
	assert_int_equal(fake_open(top, "dev/shells/other/cons", O_RDWR, &first), -ENOTCONN);
	world_gone(false);
}

static void test_each_character_once(void **state)
{
	struct vnode *top = world_root(state);
	struct fake_file first, second;
	struct vn_req *req;
	char *text = NULL;

	assert_int_equal(fake_open(top, SH "cons", O_RDWR, &first), 0);
	assert_int_equal(fake_open(top, SH "cons", O_RDWR, &second), 0);
	req = fake_read(&first, 0, 4096);
	assert_true(fake_parked(req));
	world_shell_says("pyro$ ");
	assert_int_equal(fake_finish(req, &text), 6);
	assert_string_equal(text, "pyro$ ");
	free(text);
	/* More than one request's worth; one cursor for both open files. */
	world_shell_says("a rather long line of output\n");
	req = fake_read(&second, 0, 4096);
	fake_finish(req, &text);
	assert_true(strlen(text) > 0 &&
		    strncmp("a rather long line of output\n", text, strlen(text)) == 0);
	free(text);
	fake_close(&first);
	fake_close(&second);
	world_holds(top, SH "output", "pyro$ a rather long line of output\n");
}

static void test_short_reads_keep_characters_whole(void **state)
{
	struct vnode *top = world_root(state);
	struct fake_file file;
	char *text = NULL;

	assert_int_equal(fake_open(top, SH "cons", O_RDWR, &file), 0);
	world_shell_says("aé€b");
	world_holds(top, SH "output", "aé€b");
	assert_int_equal(fake_finish(fake_read(&file, 0, 2), &text), 1);
	free(text);
	assert_int_equal(fake_finish(fake_read(&file, 0, 4), &text), 2);
	assert_string_equal(text, "é");
	free(text);
	assert_int_equal(fake_finish(fake_read(&file, 0, 4), &text), 4);
	assert_string_equal(text, "€b");
	free(text);
	fake_close(&file);
}

static void test_typing(void **state)
{
	struct vnode *top = world_root(state);
	struct fake_file file;

	assert_int_equal(fake_open(top, SH "cons", O_RDWR, &file), 0);
	/* As it stands, over as many requests as it takes. */
	assert_int_equal(fake_write(&file, "echo hello\n\003"), 12);
	assert_string_equal(world_shell_typed(), "echo hello\n\003");
	world_gone(true);
	assert_int_equal(fake_write(&file, "x"), -ENOTCONN);
	world_gone(false);
	world_shell_ends(0);
	world_key_is(top, SH "status", "state", "stopped");
	assert_int_equal(fake_write(&file, "x"), -EIO);
	fake_close(&file);
}

static void test_the_end(void **state)
{
	struct vnode *top = world_root(state);
	struct fake_file cons, wait;
	struct vn_req *read_wait, *read_cons;
	char *text = NULL;

	assert_int_equal(fake_open(top, SH "wait", O_RDONLY, &wait), 0);
	read_wait = fake_read(&wait, 0, 10);
	assert_true(fake_parked(read_wait));
	assert_int_equal(fake_open(top, SH "cons", O_RDWR, &cons), 0);
	world_shell_says("exit\n");
	world_shell_ends(5);
	assert_int_equal(fake_finish(read_wait, &text), 2);
	assert_string_equal(text, "5\n");
	free(text);
	/* What it left is read first, then comes the end. */
	reads(&cons, "exit\n");
	read_cons = fake_read(&cons, 0, 10);
	assert_int_equal(fake_finish(read_cons, NULL), 0);
	world_key_is(top, SH "status", "exit_code", "5");
	/* A shell that ended stays so, until it is opened again. */
	fake_close(&cons);
	assert_int_equal(fake_open(top, SH "cons", O_RDWR, &cons), 0);
	assert_int_equal(fake_finish(fake_read(&cons, 0, 10), NULL), 0);
	assert_int_equal(fake_echo(top, SH "ctl", "open\n"), 0);
	world_shell_says("again");
	reads(&cons, "again");
	world_holds(top, SH "output", "exit\nagain");
	fake_close(&cons);
	fake_close(&wait);
}

static void test_nonblock_and_poll(void **state)
{
	struct vnode *top = world_root(state);
	struct fake_file file;
	bool woken = false;
	struct vn_poll *poll = calloc(1, sizeof(*poll));

	poll->woken = &woken;
	assert_int_equal(fake_open(top, SH "cons", O_RDWR | O_NONBLOCK, &file), 0);
	assert_int_equal(fake_finish(fake_read(&file, 0, 10), NULL), -EAGAIN);
	assert_int_equal(file.node->ops->poll(file.node, &file.file, poll), POLLOUT | POLLWRNORM);
	world_shell_says("x");
	assert_true(fake_eventually(__atomic_load_n(&woken, __ATOMIC_SEQ_CST)));
	assert_true(file.node->ops->poll(file.node, &file.file, NULL) & POLLIN);
	reads(&file, "x");
	/* What is in the guest already is not EAGAIN. */
	world_shell_says("y");
	reads(&file, "y");
	assert_int_equal(fake_finish(fake_read(&file, 0, 10), NULL), -EAGAIN);
	fake_close(&file);
}

static void test_transcripts(void **state)
{
	struct vnode *top = world_root(state);
	struct fake_file output;
	char *text = NULL;

	assert_int_equal(fake_echo(top, SH "ctl", "open\n"), 0);
	world_shell_says("\033[?2004hpyro$ lx\bs\r\n10%\r100%\r\npy");
	assert_int_equal(fake_size(top, SH "output"), 32);
	world_holds(top, SH "text", "pyro$ ls\n100%\npy");
	assert_int_equal(fake_size(top, SH "text"), 16);
	/* The unfinished line may still change; an open file follows. */
	assert_int_equal(fake_open(top, SH "output", O_RDONLY, &output), 0);
	assert_int_equal(fake_finish(fake_read(&output, 32, 10), NULL), 0);
	world_shell_says("\rPYro$ \033[K\r\n");
	assert_int_equal(fake_finish(fake_read(&output, 32, 100), &text), 12);
	free(text);
	world_holds(top, SH "text", "pyro$ ls\n100%\nPYro$ \n");
	fake_close(&output);
	/* What was fetched is readable when the guest is gone. */
	world_gone(true);
	world_holds(top, SH "text", "pyro$ ls\n100%\nPYro$ \n");
	world_gone(false);
	world_key_is(top, SH "status", "output_size", "44");
	world_key_is(top, SH "status", "output_forgotten", "0");
}

/*
 * A few bytes that move the cursor far make long lines of blanks: bounded, and nothing gets stuck.
 */
static void test_far_movements(void **state)
{
	struct vnode *top = world_root(state);
	autofree char *text = NULL;

	assert_int_equal(fake_echo(top, SH "ctl", "open\n"), 0);
	for (int i = 0; i < 100; i++)
		world_shell_says("\033[4000Cx\n");
	world_shell_says("end");
	assert_true(fake_eventually(fake_size(top, SH "text") == 100 * 4002 + 3));
	text = fake_cat(top, SH "text");
	assert_string_equal(text + 100 * 4002, "end");
}

static void test_interrupt_and_loss(void **state)
{
	struct vnode *top = world_root(state);
	struct fake_file file;
	struct vn_req *req;

	assert_int_equal(fake_open(top, SH "cons", O_RDWR, &file), 0);
	req = fake_read(&file, 0, 10);
	fake_interrupt(req);
	assert_int_equal(fake_finish(req, NULL), -EINTR);
	req = fake_read(&file, 0, 10);
	world_gone(true);
	assert_int_equal(fake_finish(req, NULL), -ENOTCONN);
	world_gone(false);
	/* And it goes on afterwards. */
	world_shell_says("z");
	reads(&file, "z");
	fake_close(&file);
}

static void test_rmdir_without_the_guest(void **state)
{
	struct vnode *top = world_root(state);

	assert_int_equal(fake_echo(top, SH "ctl", "open\n"), 0);
	world_gone(true);
	assert_int_equal(fake_rmdir(top, "dev/shells/sh"), -ENOTCONN);
	world_gone(false);
	assert_int_equal(fake_echo(top, SH "ctl", "close\n"), 0);
	world_gone(true);
	assert_int_equal(fake_rmdir(top, "dev/shells/sh"), 0);
	world_gone(false);
}

static void test_rmdir(void **state)
{
	struct vnode *top = world_root(state);
	struct fake_file file;
	struct vn_req *req;

	assert_int_equal(fake_open(top, SH "cons", O_RDWR, &file), 0);
	req = fake_read(&file, 0, 10);
	assert_true(fake_parked(req));
	assert_int_equal(fake_rmdir(top, "dev/shells/sh"), 0);
	assert_int_equal(world_shells_open(), 0);
	/* The end of the shell. */
	assert_int_equal(fake_finish(req, NULL), 0);
	assert_int_equal(fake_finish(fake_read(&file, 0, 10), NULL), -ENOENT);
	assert_int_equal(fake_write(&file, "x"), -ENOENT);
	fake_close(&file);
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, world_teardown)
	const struct CMUnitTest tests[] = {
		TEST(test_new),
		TEST(test_verbs),
		TEST(test_cons_opens_the_shell),
		TEST(test_each_character_once),
		TEST(test_short_reads_keep_characters_whole),
		TEST(test_typing),
		TEST(test_the_end),
		TEST(test_nonblock_and_poll),
		TEST(test_transcripts),
		TEST(test_far_movements),
		TEST(test_interrupt_and_loss),
		TEST(test_rmdir),
		TEST(test_rmdir_without_the_guest),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
