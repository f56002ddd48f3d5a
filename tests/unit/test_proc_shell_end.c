/*
 * test_proc_shell_end.c - the last output of a shell whose agent is late with it, by scripted
 * answers.
 */
#include <errno.h>
#include <pthread.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

#include "tests/unit/cmocka_all.h"

#include "guest_fixture.h"
#include "protocol/line/lproc.h"

#define SHELL(state, output, next)                                                                 \
	"{\"shell_id\": \"s\", \"state\": \"" state "\", \"cursor\": 0, \"next_cursor\": " next    \
	", \"output\": \"" output "\", \"truncated\": false}"

static const struct peer_step running[] = { P_LINE, P_SAY(SHELL("running", "", "0")), P_CLOSE };
static const struct peer_step quiet[] = { P_LINE, P_SAY(SHELL("stopped", "", "0")), P_CLOSE };
static const struct peer_step late[] = { P_LINE, P_SAY(SHELL("stopped", "late\\r\\n", "6")),
					 P_CLOSE };

/* One read of a guest that answers with SCRIPTS. */
static void reads(const struct peer_step *const *scripts, int requests, const char *text,
		  const char *state)
{
	struct peer *peer = peer_start(scripts, (size_t)requests, false);
	struct guest *guest = make_guest("unix:", peer_path(peer), LONG);
	struct call call = call_within(LONG, NULL);
	struct proc_shell shell = { .cursor = -1 };
	struct error err = { 0 };
	char bytes[4096];
	ssize_t got = lproc_shell_read(guest, &call, "s", 0, bytes, sizeof(bytes), &shell, &err);

	if (got < 0)
		fail_msg("%s", err.text);
	assert_int_equal(got, strlen(text));
	assert_memory_equal(bytes, text, strlen(text));
	assert_string_equal(shell.state, state);
	assert_int_equal(shell.cursor, strlen(text));
	peer_wait_served(peer, requests);
	guest_unref(guest);
	peer_stop(peer);
}

/* That it has ended is known before its terminal is read to the end. */
static void test_what_comes_late_is_heard(void **state)
{
	const struct peer_step *both[] = { quiet, late }, *nothing[] = { quiet, quiet };

	(void)state;
	reads(both, 2, "late\r\n", "stopped");
	reads(nothing, 2, "", "stopped");
}

static void test_the_others_cost_one_request(void **state)
{
	const struct peer_step *alive[] = { running }, *said[] = { late };

	(void)state;
	reads(alive, 1, "", "running");
	reads(said, 1, "late\r\n", "stopped");
}

static void test_interrupted_it_has_not_ended_yet(void **state)
{
	const struct peer_step *scripts[] = { quiet };
	struct peer *peer = peer_start(scripts, 1, true);
	struct guest *guest = make_guest("unix:", peer_path(peer), LONG);
	struct call call = call_within(0.03, NULL);
	struct proc_shell shell;
	struct error err = { 0 };
	char bytes[4096];

	(void)state;
	assert_int_equal(lproc_shell_read(guest, &call, "s", 0, bytes, sizeof(bytes), &shell, &err),
			 -ETIMEDOUT);
	guest_unref(guest);
	peer_stop(peer);
}

struct job {
	pthread_t thread;
	struct guest *guest;
	ssize_t got;
	int64_t ended_at;
};

static void *read_in_thread(void *arg)
{
	struct job *job = arg;
	struct call call = call_within(LONG, NULL);
	struct proc_shell shell;
	char bytes[4096];

	job->got = lproc_shell_read(job->guest, &call, "s", 0, bytes, sizeof(bytes), &shell, NULL);
	job->ended_at = call_now();
	return NULL;
}

/* An agent that takes its time for an answer gets more of it for the terminal, too. */
static void test_a_slow_guest_is_asked_later(void **state)
{
	static const struct peer_step slow[] = { P_LINE, P_PAUSE, P_SAY(SHELL("stopped", "", "0")),
						 P_CLOSE };
	const struct peer_step *scripts[] = { slow, late };
	struct peer *peer = peer_start(scripts, 2, false);
	struct job job = { .guest = make_guest("unix:", peer_path(peer), LONG) };
	struct timespec slowness = { .tv_nsec = 150000000 };
	int64_t answered_at;

	(void)state;
	assert_int_equal(pthread_create(&job.thread, NULL, read_in_thread, &job), 0);
	peer_wait_paused(peer);
	nanosleep(&slowness, NULL);
	answered_at = call_now();
	peer_go(peer);
	pthread_join(job.thread, NULL);
	assert_int_equal(job.got, strlen("late\r\n"));
	assert_true(job.ended_at - answered_at > 5 * (int64_t)slowness.tv_nsec);
	guest_unref(job.guest);
	peer_stop(peer);
}

int main(void)
{
	static const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_what_comes_late_is_heard),
		cmocka_unit_test(test_the_others_cost_one_request),
		cmocka_unit_test(test_a_slow_guest_is_asked_later),
		cmocka_unit_test(test_interrupted_it_has_not_ended_yet),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
