/*
 * test_proc_shell_late.c - the last words of a shell whose agent says too early that it has ended.
 */
#include <errno.h>
#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

#include <cmocka.h>

#include "guest_fixture.h"
#include "protocol/line/lproc.h"

#define ENDED                                                                                      \
	"{\"shell_id\": \"s\", \"state\": \"stopped\", \"ended_at\": 2.0, \"exit_code\": 7, "      \
	"\"cursor\": 3, "
#define SILENT ENDED "\"next_cursor\": 3, \"output\": \"\"}\n"
#define LAST_WORDS ENDED "\"next_cursor\": 6, \"output\": \"bye\"}\n"

struct job {
	pthread_t thread;
	struct guest *guest;
	char bytes[64];
	ssize_t got;
	struct proc_shell shell;
	int64_t ended_at;
};

static void *work(void *arg)
{
	struct job *job = arg;
	struct call call = call_within(LONG, NULL);

	job->got = lproc_shell_read(job->guest, &call, "s", 3, job->bytes, sizeof(job->bytes),
				    &job->shell, NULL);
	job->ended_at = call_now();
	return NULL;
}

/* An agent that takes its time for an answer gets more of it for the shell's terminal. */
static void test_a_slow_guest_is_asked_later(void **state)
{
	static const struct peer_step slow[] = { P_LINE, P_PAUSE, P_SAY(SILENT), P_CLOSE };
	static const struct peer_step late[] = { P_LINE, P_SAY(LAST_WORDS), P_CLOSE };
	const struct peer_step *scripts[] = { slow, late };
	struct peer *peer = peer_start(scripts, 2, false);
	struct job job = { .guest = make_guest("unix:", peer_path(peer), LONG) };
	struct timespec slowness = { .tv_nsec = 150000000 };
	int64_t answered_at;

	(void)state;
	assert_int_equal(pthread_create(&job.thread, NULL, work, &job), 0);
	peer_wait_paused(peer);
	nanosleep(&slowness, NULL);
	answered_at = call_now();
	peer_go(peer);
	pthread_join(job.thread, NULL);
	assert_int_equal(job.got, 3);
	assert_memory_equal(job.bytes, "bye", 3);
	assert_int_equal(job.shell.cursor, 6);
	assert_string_equal(job.shell.state, "stopped");
	assert_true(job.ended_at - answered_at > 5 * INT64_C(150000000));
	guest_unref(job.guest);
	peer_stop(peer);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_a_slow_guest_is_asked_later),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
