/*
 * test_local_end.c - a local: sandbox ends, with every process that came of it, whatever it was
 * doing and whatever became of the process that started it.
 */
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "tests/unit/cmocka_all.h"
#include "tests/unit/local_fixture.h"

/* Processes that are watched hold the write end of a FIFO: its end is theirs. */
static int open_fifo(struct place *place)
{
	char path[256];
	int fd;

	snprintf(path, sizeof(path), "%s/fifo", place->dir);
	assert_int_equal(mkfifo(path, 0600), 0);
	fd = open(path, O_RDONLY | O_NONBLOCK | O_CLOEXEC);
	assert_true(fd >= 0);
	return fd;
}

/* They are there once one has written a byte. */
static void await_life(int fifo)
{
	struct pollfd poller = { .fd = fifo, .events = POLLIN };
	char byte;

	assert_int_equal(poll(&poller, 1, 10000), 1);
	assert_int_equal(read(fifo, &byte, 1), 1);
}

/* None is left, and there was one. */
static void await_death(int fifo)
{
	struct pollfd poller = { .fd = fifo, .events = POLLIN };
	char bytes[64];
	ssize_t got;

	do {
		if (poll(&poller, 1, 20000) != 1)
			fail_msg("a process of the sandbox is left");
		got = read(fifo, bytes, sizeof(bytes));
	} while (got > 0);
	assert_int_equal(got, 0);
	close(fifo);
}

#define SLEEPER "(setsid sleep 100 >/workspace/fifo 2>&1 </dev/null &) ; echo >/workspace/fifo"

static void test_free_ends_everything(void **state)
{
	struct place *place = *state;
	struct local *local = local_begin(place, false);
	int fifo = open_fifo(place);
	char reply[REPLY_SIZE];

	local_ask(local, SLEEPER, reply);
	await_life(fifo);
	local_free(local);
	await_death(fifo);
}

static void kill_and_reap(pid_t pid)
{
	int status;

	assert_int_equal(kill(pid, SIGKILL), 0);
	assert_int_equal(waitpid(pid, &status, 0), pid);
	assert_true(WIFSIGNALED(status));
}

/* In a child that starts a sandbox of its own, runs COMMAND in it, and is killed. */
static void die_after(struct place *place, const char *command)
{
	char reply[REPLY_SIZE];
	int fifo;
	pid_t pid;

	local_free(local_begin(place, false)); /* skips where it cannot */
	fifo = open_fifo(place);
	pid = fork();
	if (pid == 0) {
		local_ask(local_begin(place, false), command, reply);
		pause();
	}
	await_life(fifo);
	kill_and_reap(pid);
	await_death(fifo);
}

static void test_death_ends_everything(void **state)
{
	die_after(*state, SLEEPER);
}

/* What runs in the sandbox can keep the agent from looking at anything. */
static void test_death_ends_a_sandbox_whose_agent_is_stopped(void **state)
{
	/* 1 is the shell that waits for the agent. */
	die_after(*state, "exec >/workspace/fifo; kill -STOP 2 && echo; exec sleep 100");
}

/* Starts that never come to an end, in two ways, with everything in it holding the FIFO. */
static void use_slow_agent(struct place *place)
{
	local_agent(place, "exec >/workspace/fifo\necho\nsleep 100 &\nexec sleep 100\n");
}

static void use_slow_bwrap(struct place *place)
{
	char path[256];

	snprintf(path, sizeof(path), "%s/fifo", place->dir);
	setenv("FIFO", path, 1);
	local_program(place, "bwrap",
		      "exec >\"$FIFO\"\necho\nsleep 100 &\nsetsid sleep 100 &\nsleep 100\n");
}

/* Both what a start that is given up leaves, and what a death during the start does. */
static void end_during_start(struct place *place, void (*use)(struct place *place))
{
	struct call call;
	struct local *local = NULL;
	struct error err = { 0 };
	char path[256];
	int fifo;
	pid_t pid;

	local_free(local_begin(place, false)); /* skips where it cannot */
	fifo = open_fifo(place);
	use(place);
	call = call_within(1, NULL);
	assert_int_equal(local_start(place->dir, false, &call, &local, &err), -ETIMEDOUT);
	await_life(fifo);
	await_death(fifo);
	snprintf(path, sizeof(path), "%s/fifo", place->dir);
	assert_int_equal(unlink(path), 0);
	fifo = open_fifo(place);
	pid = fork();
	if (pid == 0) {
		call = call_within(100, NULL);
		local_start(place->dir, false, &call, &local, &err);
		_exit(1);
	}
	await_life(fifo);
	kill_and_reap(pid);
	await_death(fifo);
	local_assert_gone(place);
}

static void test_end_while_the_agent_starts(void **state)
{
	end_during_start(*state, use_slow_agent);
}

static void test_end_while_bubblewrap_starts(void **state)
{
	end_during_start(*state, use_slow_bwrap);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
#define TEST(name) cmocka_unit_test_setup_teardown(test_##name, local_setup, local_teardown)
		TEST(free_ends_everything),
		TEST(death_ends_everything),
		TEST(death_ends_a_sandbox_whose_agent_is_stopped),
		TEST(end_while_the_agent_starts),
		TEST(end_while_bubblewrap_starts),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
