/*
 * test_ctl_service.c - services/NAME.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "protocol/cleanup.h"
#include "tests/unit/cmocka_all.h"
#include "tests/unit/ctl_world.h"
#include "tests/unit/fake_host.h"

#define APP "dev/services/app/"

static int setup(void **state)
{
	world_setup(state);
	assert_int_equal(fake_mkdir(world_root(state), "dev/services/app"), 0);
	fake_log_take();
	return 0;
}

static void test_new(void **state)
{
	struct vnode *top = world_root(state);

	/* Nothing runs until a verb. */
	assert_false(world_service_known("app"));
	world_key_is(top, APP "status", "state", "new");
	world_key_is(top, APP "status", "exit_code", "null");
	world_holds(top, APP "ctl", "ready none\nready-timeout 30\nready-interval 500\n");
	world_holds(top, APP "stdout", "");
	assert_int_equal(fake_size(top, APP "stdout"), 0);
	assert_int_equal(fake_echo(top, APP "ctl", "stop\n"), -ENOENT);
}

static void test_start_and_stop(void **state)
{
	struct vnode *top = world_root(state);

	assert_int_equal(fake_echo(top, APP "ctl",
				   "cwd /workspace/srv\nenv A=1\nready tcp 127.0.0.1:80\n"
				   "ready-timeout 2.5\nready-interval 50\nstart serve --all\n"),
			 0);
	/* What was written before goes first; what it changed is forgotten before write returns. */
	assert_string_equal(fake_log_take(), "sync, start app 2:127.0.0.1:80 2.5/50, invalidate");
	assert_string_equal(world_command_settings(), "/workspace/srv|A=1|0");
	world_key_is(top, APP "status", "state", "running");
	world_key_is(top, APP "status", "service_name", "app");
	world_key_is(top, APP "status", "command", "serve --all");
	world_key_is(top, APP "status", "pid", "42");
	world_key_is(top, APP "status", "started_at", "1000.000");
	world_key_is(top, APP "status", "readiness", "tcp 127.0.0.1:80");
	world_key_is(top, APP "status", "stop_reason", "null");
	assert_int_equal(fake_echo(top, APP "ctl", "start again\n"), -EBUSY);
	fake_log_take();
	assert_int_equal(fake_echo(top, APP "ctl", "stop\n"), 0);
	assert_string_equal(fake_log_take(), "sync, stop app, invalidate, invalidate");
	world_key_is(top, APP "status", "state", "stopped");
	world_key_is(top, APP "status", "exit_code", "-15");
	world_key_is(top, APP "status", "stop_reason", "sigterm");
	/* Stopping what has ended is no error, and it can be started again. */
	assert_int_equal(fake_echo(top, APP "ctl", "stop\nstart once more\n"), 0);
	world_key_is(top, APP "status", "state", "running");
}

/* VALUE is refused as a readiness of KIND, and the error says WHY. */
static void never_ready(struct vnode *top, const char *kind, const char *value, const char *why)
{
	char line[64];

	snprintf(line, sizeof(line), "ready %s %s\n", kind, value);
	assert_int_equal(fake_echo(top, APP "ctl", line), -EINVAL);
	world_has(top, APP "error", why);
}

static void test_ready(void **state)
{
	static const char *const no_urls[] = {
		"x",         "https://x",    "http://",      "http:///x",
		"http://x:", "http://x:0/y", "http://x:y/z", "http://localhost:99999/",
	};
	static const char *const no_ports[] = {
		"x", "x:", ":80", "foo:bar", "x:0", "x:65536", "x:80 ", "x:8o", "x:-1", "x:000080",
	};
	struct vnode *top = world_root(state);

	assert_int_equal(fake_echo(top, APP "ctl", "ready file /workspace/.ready file\n"), 0);
	world_has(top, APP "ctl", "ready file /workspace/.ready file\n");
	assert_int_equal(fake_echo(top, APP "ctl", "ready command test -e 'x  y'\n"), 0);
	world_has(top, APP "ctl", "ready command test -e 'x  y'\n");
	assert_int_equal(fake_echo(top, APP "ctl", "ready http http://localhost/x\n"), 0);
	assert_int_equal(fake_echo(top, APP "ctl", "ready none\n"), 0);
	world_has(top, APP "ctl", "ready none\n");
	assert_int_equal(fake_echo(top, APP "ctl", "ready none x\n"), -EINVAL);
	assert_int_equal(fake_echo(top, APP "ctl", "ready file\n"), -EINVAL);
	assert_int_equal(fake_echo(top, APP "ctl", "ready udp x:1\n"), -EINVAL);
	for (size_t i = 0; i < sizeof(no_ports) / sizeof(no_ports[0]); i++)
		never_ready(top, "tcp", no_ports[i],
			    "is not HOST:PORT, with a port from 1 to 65535");
	assert_int_equal(fake_echo(top, APP "ctl", "ready tcp [::1]:65535\n"), 0);
	for (size_t i = 0; i < sizeof(no_urls) / sizeof(no_urls[0]); i++)
		never_ready(top, "http", no_urls[i], "is not http://HOST[:PORT][/PATH]");
	assert_int_equal(fake_echo(top, APP "ctl", "ready http http://[::1]/a:b\n"), 0);
	assert_int_equal(fake_echo(top, APP "ctl", "ready http http://localhost:80?x\n"), 0);
	assert_int_equal(fake_echo(top, APP "ctl", "ready http ftp://x\n"), -EINVAL);
	assert_int_equal(fake_echo(top, APP "ctl", "ready-timeout 0\n"), -EINVAL);
	assert_int_equal(fake_echo(top, APP "ctl", "ready-interval 1.5\n"), -EINVAL);
	world_has(top, APP "error", "1.5");
}

static void test_ctl_gives_itself_again(void **state)
{
	struct vnode *top = world_root(state);
	autofree char *first = NULL;
	autofree char *second = NULL;

	assert_int_equal(fake_echo(top, APP "ctl",
				   "cwd \"/a\\nb\"\nenv \"X=1\\n'2'\"\nready command a \"b\"\n"
				   "ready-timeout 0.125\n"),
			 0);
	first = fake_cat(top, APP "ctl");
	assert_int_equal(fake_mkdir(top, "dev/services/other"), 0);
	assert_int_equal(fake_echo(top, "dev/services/other/ctl", first), 0);
	second = fake_cat(top, "dev/services/other/ctl");
	assert_string_equal(first, second);
}

static void test_failures_say_why(void **state)
{
	struct vnode *top = world_root(state);

	world_service_stderr("warming up\ncannot bind: \033[1maddress in use\n");
	assert_int_equal(fake_echo(top, APP "ctl", "start fail\n"), -EIO);
	world_holds(top, APP "error",
		    "line 1: start: it ended before it was ready (exit code 3)\n"
		    "its stderr ends:\nwarming up\ncannot bind: ?[1maddress in use\n");
	world_key_is(top, APP "status", "exit_code", "3");
	assert_int_equal(fake_echo(top, APP "ctl", "start never\n"), -ETIMEDOUT);
	world_has(top, APP "error", "not ready in time");
	world_key_is(top, APP "status", "stop_reason", "readiness_timeout");
	world_sync_fails(EDQUOT);
	fake_log_take();
	assert_int_equal(fake_echo(top, APP "ctl", "start x\n"), -EDQUOT);
	assert_null(strstr(fake_log_take(), "start"));
	world_has(top, APP "error", "could not be put into the guest");
}

static void test_stderr_tail_is_bounded(void **state)
{
	struct vnode *top = world_root(state);
	char text[4000];
	autofree char *error = NULL;

	for (size_t i = 0; i < sizeof(text) - 1; i++)
		text[i] = i % 50 == 49 ? '\n' : 'x';
	text[sizeof(text) - 1] = '\0';
	world_service_stderr(text);
	assert_int_equal(fake_echo(top, APP "ctl", "start fail\n"), -EIO);
	error = fake_cat(top, APP "error");
	assert_in_range(strlen(error), 1500, 2048 + 200);
	/* It begins with a whole line. */
	assert_non_null(
		strstr(error, "ends:\nxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx\n"));
}

static void test_logs_grow(void **state)
{
	struct vnode *top = world_root(state);
	struct fake_file file;
	char *text = NULL;

	assert_int_equal(fake_echo(top, APP "ctl", "start x\n"), 0);
	world_service_stdout("app", "one\n");
	world_holds(top, APP "stdout", "one\n");
	assert_int_equal(fake_size(top, APP "stdout"), 4);
	/* tail -f: the same open file goes on. */
	assert_int_equal(fake_open(top, APP "stdout", O_RDONLY, &file), 0);
	assert_int_equal(fake_finish(fake_read(&file, 4, 100), NULL), 0);
	world_service_stdout("app", "two\n");
	assert_int_equal(fake_finish(fake_read(&file, 4, 100), &text), 4);
	assert_string_equal(text, "two\n");
	free(text);
	assert_int_equal(fake_size(top, APP "stdout"), 8);
	fake_close(&file);
	assert_int_equal(fake_open(top, APP "stdout", O_WRONLY, &file), -EACCES);
}

static void test_wait(void **state)
{
	struct vnode *top = world_root(state);
	struct fake_file file;
	struct vn_req *early, *late;
	char *text = NULL;

	/* Opened before the start: blocks until it has run and ended. */
	assert_int_equal(fake_open(top, APP "wait", O_RDONLY, &file), 0);
	early = fake_read(&file, 0, 10);
	assert_true(fake_parked(early));
	assert_int_equal(fake_echo(top, APP "ctl", "start x\n"), 0);
	late = fake_read(&file, 0, 10);
	assert_true(fake_parked(early) && fake_parked(late));
	world_service_end("app", 7);
	assert_int_equal(fake_finish(early, &text), 2);
	assert_string_equal(text, "7\n");
	free(text);
	assert_int_equal(fake_finish(late, NULL), 2);
	fake_close(&file);
	world_holds(top, APP "wait", "7\n");
	/* With the next start it blocks again. */
	assert_int_equal(fake_echo(top, APP "ctl", "start y\n"), 0);
	assert_int_equal(fake_open(top, APP "wait", O_RDONLY | O_NONBLOCK, &file), 0);
	assert_int_equal(fake_finish(fake_read(&file, 0, 10), NULL), -EAGAIN);
	world_service_end("app", -9);
	assert_int_equal(fake_finish(fake_read(&file, 0, 10), &text), 3);
	assert_string_equal(text, "-9\n");
	free(text);
	fake_close(&file);
}

static void test_wait_is_interruptible_and_ends_with_the_guest(void **state)
{
	struct vnode *top = world_root(state);
	struct fake_file file;
	struct vn_req *req;

	assert_int_equal(fake_echo(top, APP "ctl", "start x\n"), 0);
	assert_int_equal(fake_open(top, APP "wait", O_RDONLY, &file), 0);
	req = fake_read(&file, 0, 10);
	fake_interrupt(req);
	assert_int_equal(fake_finish(req, NULL), -EINTR);
	req = fake_read(&file, 0, 10);
	world_gone(true);
	assert_int_equal(fake_finish(req, NULL), -ENOTCONN);
	world_gone(false);
	fake_close(&file);
}

static void test_idle_costs_nothing(void **state)
{
	struct vnode *top = world_root(state);
	struct fake_file file;
	struct vn_req *req;
	int before;

	assert_int_equal(fake_echo(top, APP "ctl", "start x\n"), 0);
	assert_int_equal(fake_open(top, APP "wait", O_RDONLY, &file), 0);
	req = fake_read(&file, 0, 10);
	before = world_requests();
	assert_true(fake_eventually(world_requests() > before + 1));
	fake_interrupt(req);
	fake_finish(req, NULL);
	/* The one that may be under way, and then no more. */
	usleep(100000);
	before = world_requests();
	usleep(600000);
	assert_int_equal(world_requests(), before);
	fake_close(&file);
}

static void test_poll(void **state)
{
	struct vnode *top = world_root(state);
	struct fake_file file;
	bool woken = false;
	struct vn_poll *poll = calloc(1, sizeof(*poll));

	poll->woken = &woken;
	assert_int_equal(fake_echo(top, APP "ctl", "start x\n"), 0);
	assert_int_equal(fake_open(top, APP "wait", O_RDONLY, &file), 0);
	assert_int_equal(file.node->ops->poll(file.node, &file.file, poll), 0);
	assert_false(woken);
	world_service_end("app", 0);
	assert_true(fake_eventually(__atomic_load_n(&woken, __ATOMIC_SEQ_CST)));
	assert_true(file.node->ops->poll(file.node, &file.file, NULL) != 0);
	fake_close(&file);
}

/* A start that takes its time, in a thread of its own. */
static void *slow_start(void *arg)
{
	return (void *)(intptr_t)fake_echo(arg, APP "ctl", "start slow\n");
}

static void test_a_slow_start_blocks_only_verbs(void **state)
{
	struct vnode *top = world_root(state);
	pthread_t thread;
	void *result;

	assert_int_equal(pthread_create(&thread, NULL, slow_start, top), 0);
	assert_true(fake_eventually(world_starting()));
	world_key_is(top, APP "status", "state", "starting");
	world_service_stdout("app", "coming\n");
	world_holds(top, APP "stdout", "coming\n");
	world_holds(top, APP "ctl", "ready none\nready-timeout 30\nready-interval 500\n");
	assert_int_equal(fake_mkdir(top, "dev/services/other"), 0);
	assert_int_equal(fake_echo(top, "dev/services/other/ctl", "start x\n"), 0);
	/* Its own verbs are told, and do not wait. */
	assert_int_equal(fake_echo(top, APP "ctl", "start again\n"), -EBUSY);
	assert_int_equal(fake_echo(top, APP "ctl", "cwd /tmp\n"), -EBUSY);
	world_go();
	pthread_join(thread, &result);
	assert_int_equal((intptr_t)result, 0);
	world_key_is(top, APP "status", "state", "running");
}

static void test_stop_ends_a_start(void **state)
{
	struct vnode *top = world_root(state);
	pthread_t thread;
	void *result;

	assert_int_equal(pthread_create(&thread, NULL, slow_start, top), 0);
	assert_true(fake_eventually(world_starting()));
	assert_int_equal(fake_echo(top, APP "ctl", "stop\n"), 0);
	pthread_join(thread, &result);
	assert_int_equal((intptr_t)result, -ECANCELED);
	world_key_is(top, APP "status", "state", "stopped");
	/* rmdir does the same. */
	assert_int_equal(pthread_create(&thread, NULL, slow_start, top), 0);
	assert_true(fake_eventually(world_starting()));
	assert_int_equal(fake_rmdir(top, "dev/services/app"), 0);
	pthread_join(thread, &result);
	assert_int_equal((intptr_t)result, -ECANCELED);
}

static void test_rmdir_stops_and_forgets(void **state)
{
	struct vnode *top = world_root(state);
	struct fake_file wait, ctl;
	struct vn_req *req;
	char *text = NULL;
	int rc;

	assert_int_equal(fake_echo(top, APP "ctl", "start x\n"), 0);
	assert_int_equal(fake_open(top, APP "wait", O_RDONLY, &wait), 0);
	assert_int_equal(fake_open(top, APP "ctl", O_WRONLY, &ctl), 0);
	req = fake_read(&wait, 0, 10);
	fake_log_take();
	assert_int_equal(fake_rmdir(top, "dev/services/app"), 0);
	assert_non_null(strstr(fake_log_take(), "stop app"));
	assert_int_equal(fake_finish(req, &text), 4);
	assert_string_equal(text, "-15\n");
	free(text);
	/* Open files of it answer ENOENT. */
	assert_int_equal(fake_finish(fake_read(&wait, 0, 10), NULL), -ENOENT);
	assert_int_equal(fake_write(&ctl, "start x\n"), -ENOENT);
	fake_close(&wait);
	fake_close(&ctl);
	/* The guest still knows it, but it does not come back by itself. */
	assert_true(world_service_known("app"));
	assert_null(fake_walk(top, "dev/services/app", &rc));
	assert_int_equal(rc, -ENOENT);
	assert_int_equal(fake_mkdir(top, "dev/services/app"), 0);
	world_key_is(top, APP "status", "state", "new");
	assert_int_equal(fake_rmdir(top, "dev/services/app"), 0);
	assert_null(fake_walk(top, "dev/services/app", &rc));
	assert_int_equal(rc, -ENOENT);
	/* Unless somebody else starts it anew. */
	world_service_foreign("app");
	world_key_is(top, APP "status", "state", "running");
}

static void test_services_of_others_appear_by_name(void **state)
{
	struct vnode *top = world_root(state);
	autofree char *names = NULL;
	int rc;

	world_service_foreign("theirs");
	names = fake_ls(top, "dev/services");
	assert_string_equal(names, "app");
	assert_null(fake_walk(top, "dev/services/nobody", &rc));
	assert_int_equal(rc, -ENOENT);
	world_key_is(top, "dev/services/theirs/status", "command", "somebody's");
	world_has(top, "dev/services/theirs/ctl", "cwd /srv\n");
	assert_int_equal(fake_mkdir(top, "dev/services/theirs"), -EEXIST);
	assert_int_equal(fake_echo(top, "dev/services/theirs/ctl", "stop\n"), 0);
	world_gone(true);
	assert_null(fake_walk(top, "dev/services/other", &rc));
	assert_int_equal(rc, -ENOTCONN);
	world_has(top, "dev/error", "look up services/other: ");
	/* What cannot be a service is not asked for. */
	assert_null(fake_walk(top, "dev/services/.git", &rc));
	assert_int_equal(rc, -ENOENT);
	world_gone(false);
}

static void test_gone(void **state)
{
	struct vnode *top = world_root(state);

	assert_int_equal(fake_echo(top, APP "ctl", "start x\n"), 0);
	world_gone(true);
	assert_int_equal(fake_echo(top, APP "ctl", "stop\n"), -ENOTCONN);
	assert_null(fake_cat(top, APP "status"));
	assert_int_equal(errno, ENOTCONN);
	assert_int_equal(fake_rmdir(top, "dev/services/app"), -ENOTCONN);
	world_has(top, "dev/error", "rmdir services/app");
	world_gone(false);
	assert_int_equal(fake_echo(top, APP "ctl", "stop\n"), 0);
	/* What has ended can go without the guest. */
	world_gone(true);
	assert_int_equal(fake_rmdir(top, "dev/services/app"), 0);
	world_gone(false);
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, world_teardown)
	const struct CMUnitTest tests[] = {
		TEST(test_new),
		TEST(test_start_and_stop),
		TEST(test_ready),
		TEST(test_ctl_gives_itself_again),
		TEST(test_failures_say_why),
		TEST(test_stderr_tail_is_bounded),
		TEST(test_logs_grow),
		TEST(test_wait),
		TEST(test_wait_is_interruptible_and_ends_with_the_guest),
		TEST(test_idle_costs_nothing),
		TEST(test_poll),
		TEST(test_a_slow_start_blocks_only_verbs),
		TEST(test_stop_ends_a_start),
		TEST(test_rmdir_stops_and_forgets),
		TEST(test_services_of_others_appear_by_name),
		TEST(test_gone),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
