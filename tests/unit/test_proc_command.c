/*
 * test_proc_command.c - detached commands against a shell that behaves like a guest's.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>
#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "command_kit.h"

static void test_bytes_and_exit_code(void **state)
{
	struct guest *guest = *state;
	struct lproc_command *command = start(
		guest, "printf 'a\\r\\nb\\r\\377\\000z'; printf 'no\\n' >&2; exit 7");
	struct proc_command_status status;
	char byte[4];

	assert_int_equal(wait_for_end(command), 7);
	status = status_of(command);
	assert_int_equal(status.out_size, 8);
	assert_int_equal(status.err_size, 3);
	assert_true(status.pid > 1);
	assert_output(command, 1, "a\r\nb\r\377\0z");
	assert_output(command, 2, "no\n");
	assert_int_equal(read_at(command, 1, 6, byte, 4), 2);
	assert_memory_equal(byte, "\0z", 2);
	assert_int_equal(read_at(command, 1, 8, byte, 4), 0);
	assert_int_equal(read_at(command, 1, 800, byte, 4), 0);
	assert_true(fake_execs(guest) > 4);
	end(command);
	assert_false(fake_leftovers(guest));
}

static void test_grows_while_it_runs(void **state)
{
	struct guest *guest = *state;
	struct lproc_command *command = start(guest, "echo one; sleep 100; echo two");
	struct call call = fake_call();

	wait_for_output(command, 4);
	assert_output(command, 1, "one\n");
	assert_false(status_of(command).ended);
	assert_int_equal(lproc_command_kill(command, &call, "TERM", NULL), 0);
	assert_int_equal(wait_for_end(command), 128 + SIGTERM);
	assert_output(command, 1, "one\n");
	assert_int_equal(lproc_command_kill(command, &call, "TERM", NULL), -EBUSY);
	assert_true(fake_longest(guest) < 5);
	end(command);
}

/* A shell starts background jobs with SIGINT and SIGQUIT ignored: not this one. */
static void test_interrupt_reaches_the_group(void **state)
{
	struct guest *guest = *state;
	struct lproc_command *command = start(
		guest,
		"sleep 100 & p=$!; trap 'echo got; kill $p; exit 3' INT; echo up; wait; sleep 100");
	struct lproc_command *plain = start(guest, "echo up; exec sleep 100");
	struct call call = fake_call();

	wait_for_output(command, 3);
	assert_int_equal(lproc_command_kill(command, &call, "INT", NULL), 0);
	assert_int_equal(wait_for_end(command), 3);
	assert_output(command, 1, "up\ngot\n");
	wait_for_output(plain, 3);
	assert_int_equal(lproc_command_kill(plain, &call, "QUIT", NULL), 0);
	assert_int_equal(wait_for_end(plain), 128 + SIGQUIT);
	end(command);
	end(plain);
}

static void test_signal_names(void **state)
{
	struct guest *guest = *state;
	struct lproc_command *command = start(guest, "sleep 100");
	struct call call = fake_call();
	struct error err = { 0 };

	assert_int_equal(lproc_command_kill(command, &call, "TERM; rm -rf /", &err), -EINVAL);
	assert_non_null(strstr(err.text, "is no signal"));
	assert_int_equal(lproc_command_kill(command, &call, "SIGTERM", NULL), -EINVAL);
	assert_int_equal(lproc_command_kill(command, &call, "STOP", NULL), 0);
	assert_false(status_of(command).ended);
	end(command); /* kills what is stopped as well */
	assert_false(fake_leftovers(guest));
}

static void test_time_limit(void **state)
{
	struct guest *guest = *state;
	struct lproc_command *meek = start_with(guest, "sleep 100", &in_root, -1, 0, 0.2);
	struct lproc_command *stubborn = start_with(
		guest, "trap '' TERM; while :; do sleep 1; done", &in_root, -1, 0, 0.2);
	struct lproc_command *quick = start_with(guest, "exit 5", &in_root, -1, 0, 100);

	assert_int_equal(wait_for_end(quick), 5);
	assert_int_equal(wait_for_end(meek), 124);
	assert_int_equal(wait_for_end(stubborn), 124);
	end(quick);
	end(meek);
	end(stubborn);
}

static void test_settings(void **state)
{
	const char odd[] = "it's \"$HOME\" `x` \\ \n\t\377\303\251 *";
	struct proc_env env[] = {
		{ "ODD", odd }, { "c", "x" }, { "PATH", "/nowhere" }, { "E", "" }
	};
	struct proc_settings settings = { .cwd = "/tmp", .env = env, .env_count = 4 };
	struct guest *guest = *state;
	struct lproc_command *command = start_with(
		guest,
		"printf '%s|%s|%s|%s|' \"$ODD\" \"$c\" \"$PATH\" "
		"\"${E-unset}\"; pwd; set | /bin/grep '^VSOCKFS_.[0-9]*='",
		&settings, -1, 0, 0);
	char want[128];

	snprintf(want, sizeof(want), "%s|x|/nowhere||/tmp\n", odd);
	wait_for_end(command);
	assert_stream(command, 1, want, strlen(want));
	end(command);
}

static void test_bad_settings(void **state)
{
	struct proc_env env[] = { { "BAD NAME", "x" } };
	struct proc_settings bad = { .cwd = "/", .env = env, .env_count = 1 };
	struct guest *guest = *state;
	struct call call = fake_call();
	struct lproc_command *out = NULL;
	struct error err = { 0 };

	assert_int_equal(lproc_command_start(guest, &call, "true", &bad, -1, 0, 0, &out, &err),
			 -EINVAL);
	bad = (struct proc_settings){ .cwd = "/nonexistent/dir" };
	assert_int_equal(lproc_command_start(guest, &call, "true", &bad, -1, 0, 0, &out, &err),
			 -ENOENT);
	assert_non_null(strstr(err.text, "/nonexistent/dir"));
	bad.cwd = "/bin/sh";
	assert_int_equal(lproc_command_start(guest, &call, "true", &bad, -1, 0, 0, &out, &err),
			 -ENOTDIR);
	bad.cwd = "tmp";
	assert_int_equal(lproc_command_start(guest, &call, "true", &bad, -1, 0, 0, &out, &err),
			 -EINVAL);
	fake_refuse(guest, "[Errno 7] Argument list too long");
	assert_int_equal(lproc_command_start(guest, &call, "true", &in_root, -1, 0, 0, &out, &err),
			 -E2BIG);
	assert_null(out);
	assert_false(fake_leftovers(guest));
}

static void test_supervisor_killed(void **state)
{
	struct guest *guest = *state;
	struct lproc_command *command = start(guest, "kill -9 $PPID; exit 0");

	assert_int_equal(wait_for_end(command), 137);
	end(command);
	assert_false(fake_leftovers(guest));
}

/* Starts what runs long and is interrupted before anybody hears of it. */
static void start_unheard(struct guest *guest)
{
	struct lproc_command *out = NULL;
	struct call call = fake_call();

	fake_lose_answer(guest);
	assert_int_equal(
		lproc_command_start(guest, &call, "sleep 100", &in_root, -1, 0, 0, &out, NULL),
		-EINTR);
	assert_null(out);
}

/* Nobody hears that it runs: it is not left running. */
static void test_start_unheard(void **state)
{
	start_unheard(*state);
	wait_until_clean(*state);
}

/* The guest has no time for anything: the caller is not kept, and it is undone later. */
static void test_start_unheard_of_a_busy_guest(void **state)
{
	struct guest *guest = *state;
	int64_t began = call_now();

	fake_hold(guest, true);
	start_unheard(guest);
	start_unheard(guest);
	assert_true((double)(call_now() - began) < 5e9);
	assert_true(fake_leftovers(guest));
	fake_hold(guest, false);
	wait_until_clean(guest);
}

/* What is still to be undone when the room goes is swept. */
static void test_start_unheard_and_the_end(void **state)
{
	struct guest *guest = fake_guest_new();
	struct call call = fake_call();

	(void)state;
	fake_hold(guest, true);
	start_unheard(guest);
	assert_true(fake_processes(guest) > 0);
	fake_hold(guest, false);
	lproc_room_free(lproc_of(guest));
	while (fake_processes(guest) && call_sleep(&call, 0.02) == 0)
		continue;
	assert_int_equal(fake_processes(guest), 0);
	assert_false(fake_leftovers(guest));
	free(guest);
}

static void test_long_command(void **state)
{
	struct lproc_command *command;
	char text[60000];

	memset(text, ' ', sizeof(text));
	memcpy(text + sizeof(text) - 8, "echo ok", 8);
	command = start(*state, text);
	assert_int_equal(wait_for_end(command), 0);
	assert_output(command, 1, "ok\n");
	end(command);
}

static void test_free_when_out_of_time(void **state)
{
	struct guest *guest = *state;
	struct lproc_command *command = start(guest, "sleep 100");
	struct call over = call_within(0, NULL);

	lproc_command_free(command, &over);
	assert_false(fake_leftovers(guest));
}

static void test_forgotten(void **state)
{
	struct guest *guest = *state;
	struct lproc_command *command = start(guest, "true");
	struct call call = fake_call();
	struct proc_command_status status;
	char shell[256];

	wait_for_end(command);
	snprintf(shell, sizeof(shell), "rm -rf %s/run/vsockfs-%s %s/tmp/vsockfs-%s", fake_root(),
		 guest_token(guest), fake_root(), guest_token(guest));
	assert_int_equal(system(shell), 0);
	assert_int_equal(lproc_command_status(command, &call, &status, NULL), -ENOENT);
	assert_int_equal(lproc_command_read(command, &call, 1, 0, shell, 10, NULL), -ENOENT);
	assert_int_equal(lproc_command_kill(command, &call, "TERM", NULL), -ENOENT);
	end(command);
}

/* A room that goes takes what still runs with it. */
static void test_sweep(void **state)
{
	struct guest *guest = fake_guest_new();
	struct lproc_command *command = start(guest, "sleep 100");
	struct call call = fake_call();
	char token[32];

	(void)state;
	snprintf(token, sizeof(token), "%s", guest_token(guest));
	lproc_room_free(lproc_of(guest));
	while (fake_processes(guest) && call_sleep(&call, 0.02) == 0)
		continue;
	assert_int_equal(fake_processes(guest), 0);
	assert_false(fake_leftovers(guest));
	end(command);
	free(guest);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
#define TEST(name) cmocka_unit_test_setup_teardown(test_##name, command_setup, command_teardown)
		TEST(bytes_and_exit_code),
		TEST(grows_while_it_runs),
		TEST(interrupt_reaches_the_group),
		TEST(signal_names),
		TEST(time_limit),
		TEST(settings),
		TEST(bad_settings),
		TEST(supervisor_killed),
		TEST(start_unheard),
		TEST(start_unheard_of_a_busy_guest),
		cmocka_unit_test(test_start_unheard_and_the_end),
		TEST(long_command),
		TEST(free_when_out_of_time),
		TEST(forgotten),
		cmocka_unit_test(test_sweep),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
