/*
 * test_proc_service.c - services in a whole guest, on either agent.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>
#include <errno.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "live_guest.h"
#include "protocol/line/lproc.h"

static const struct proc_settings in_workspace = { 0 };

/* The error that is expected of a start, 0 for none; OUT is to be freed. */
static void start(struct live_guest *live, const char *name, const char *command,
		  enum proc_ready_kind kind, const char *value, double timeout, int want,
		  struct proc_service *out, struct error *err)
{
	struct proc_readiness readiness = { kind, value, timeout, 50 };
	struct call call = live_call(60);
	int rc;

	memset(err, 0, sizeof(*err));
	rc = lproc_service_start(live->guest, &call, name, command, &in_workspace, &readiness, out,
				 err);
	if (rc != want)
		fail_msg("start %s: %d (%s), not %d", name, rc, err->text, want);
}

static struct proc_service status(struct live_guest *live, const char *name)
{
	struct proc_service out = { 0 };
	struct call call = live_call(20);
	struct error err = { 0 };

	if (lproc_service_status(live->guest, &call, name, &out, &err))
		fail_msg("status %s: %s", name, err.text);
	return out;
}

static void stop(struct live_guest *live, const char *name, struct proc_service *out)
{
	struct call call = live_call(20);
	struct error err = { 0 };

	if (lproc_service_stop(live->guest, &call, name, out, &err))
		fail_msg("stop %s: %s", name, err.text);
}

static void assert_log(struct live_guest *live, const char *name, int stream, const char *want,
		       size_t len)
{
	struct call call = live_call(20);
	struct error err = { 0 };
	char bytes[4096];
	ssize_t got = lproc_service_read(live->guest, &call, name, stream, 0, bytes, sizeof(bytes),
					 &err);

	if (got < 0)
		fail_msg("read %s: %s", name, err.text);
	assert_int_equal(got, len);
	assert_memory_equal(bytes, want, len);
}

static void test_life(void **state)
{
	struct live_guest *live = live_guest_need(state);
	struct proc_service service = { 0 };
	struct error err;
	struct call call = live_call(20);
	char bytes[8];

	start(live, "life", "printf 'a\\r\\n\\377'; echo no >&2; exec sleep 1000", PROC_READY_NONE,
	      NULL, 0, 0, &service, &err);
	assert_string_equal(service.state, "running");
	assert_true(service.ready_at >= service.started_at && service.started_at > 1e9);
	assert_string_equal(service.cwd, "/workspace");
	assert_true(service.pid > 1);
	proc_service_free(&service);
	do {
		service = status(live, "life");
		bytes[0] = (char)(service.out_size == 4 && service.err_size == 3);
		proc_service_free(&service);
	} while (!bytes[0] && call_sleep(&call, 0.02) == 0);
	assert_log(live, "life", 1, "a\r\n\377", 4);
	assert_log(live, "life", 2, "no\n", 3);
	assert_int_equal(lproc_service_read(live->guest, &call, "life", 1, 3, bytes, 8, NULL), 1);
	assert_int_equal(lproc_service_read(live->guest, &call, "life", 1, 4, bytes, 8, NULL), 0);
	start(live, "life", "true", PROC_READY_NONE, NULL, 0, -EBUSY, &service, &err);
	assert_non_null(strstr(err.text, "already running"));
	stop(live, "life", &service);
	assert_string_equal(service.state, "stopped");
	assert_string_equal(service.stop_reason, "sigterm");
	assert_true(service.ended_at >= service.started_at && service.started_at > 1e9);
	assert_true(service.ready_at >= service.started_at);
	proc_service_free(&service);
	stop(live, "life", &service); /* no error, no change */
	assert_string_equal(service.stop_reason, "sigterm");
	proc_service_free(&service);
	assert_true(live_guest_longest(live) < 3);
	assert_true(live_guest_longest(live) > 0 || !live_guest_is_reference());
}

/* The agent of the field does not notice by itself. */
static void test_end_is_noticed(void **state)
{
	struct live_guest *live = live_guest_need(state);
	struct proc_service service = { 0 };
	struct call call = live_call(20);
	bool running = true;
	struct error err;

	start(live, "short", "echo x; exit 3", PROC_READY_NONE, NULL, 0, 0, &service, &err);
	proc_service_free(&service);
	while (running && call_sleep(&call, 0.02) == 0) {
		service = status(live, "short");
		running = strcmp(service.state, "running") == 0;
		if (!running && service.has_exit_code) {
			assert_string_equal(service.state, "exited");
			assert_int_equal(service.exit_code, 3);
			assert_int_equal(service.out_size, 2);
		} else {
			running = true;
		}
		proc_service_free(&service);
	}
	assert_false(running);
	start(live, "short", "sleep 1000", PROC_READY_NONE, NULL, 0, 0, &service, &err);
	assert_string_equal(service.state, "running");
	proc_service_free(&service);
	stop(live, "short", &service);
	proc_service_free(&service);
}

static void test_unknown(void **state)
{
	struct live_guest *live = live_guest_need(state);
	struct proc_service service = { 0 };
	struct call call = live_call(20);
	char byte;

	assert_int_equal(lproc_service_status(live->guest, &call, "nobody", &service, NULL),
			 -ENOENT);
	assert_int_equal(lproc_service_stop(live->guest, &call, "nobody", &service, NULL), -ENOENT);
	assert_int_equal(lproc_service_read(live->guest, &call, "nobody", 1, 0, &byte, 1, NULL),
			 -ENOENT);
	assert_int_equal(lproc_service_status(live->guest, &call, "../x", &service, NULL), -EINVAL);
	assert_int_equal(lproc_service_status(live->guest, &call, "", &service, NULL), -EINVAL);
}

static void ready_with(struct live_guest *live, const char *name, const char *command,
		       enum proc_ready_kind kind, const char *value)
{
	struct proc_service service = { 0 };
	struct error err;

	start(live, name, command, kind, value, 20, 0, &service, &err);
	assert_string_equal(service.state, "running");
	assert_true(service.ready_at >= service.started_at);
	proc_service_free(&service);
	service = status(live, name);
	assert_true(service.ready_at >= service.started_at);
	proc_service_free(&service);
	stop(live, name, &service);
	proc_service_free(&service);
}

static void test_ready_file(void **state)
{
	struct live_guest *live = live_guest_need(state);

	ready_with(live, "file", "sleep 0.3; touch .ready; exec sleep 1000", PROC_READY_FILE,
		   ".ready");
	ready_with(live, "file", "sleep 0.3; touch /tmp/it\\'s; exec sleep 1000", PROC_READY_FILE,
		   "/tmp/it's");
}

/* Listens on what argv says after 0.3 s, and answers with a redirect to nowhere. */
#define SERVER                                                                                     \
	"exec python3 -c '\n"                                                                      \
	"import socket, sys, time\n"                                                               \
	"time.sleep(0.3)\n"                                                                        \
	"s = socket.create_server((sys.argv[1], int(sys.argv[2])))\n"                              \
	"while True:\n"                                                                            \
	"    c = s.accept()[0]\n"                                                                  \
	"    c.recv(4096)\n"                                                                       \
	"    c.sendall(b\"HTTP/1.0 302 Found\\r\\nLocation: http://127.0.0.1:9/\\r\\n\\r\\n\")\n"  \
	"    c.close()' "

static void test_ready_tcp(void **state)
{
	struct live_guest *live = live_guest_need(state);

	ready_with(live, "tcp", SERVER "127.0.0.1 18231", PROC_READY_TCP, "localhost:18231");
	ready_with(live, "tcp", SERVER "0.0.0.0 18232", PROC_READY_TCP, "127.0.0.1:18232");
}

static void test_ready_http(void **state)
{
	struct live_guest *live = live_guest_need(state);

	ready_with(live, "http", SERVER "127.0.0.1 18233", PROC_READY_HTTP,
		   "http://127.0.0.1:18233/x?y='$z'");
}

static void test_ready_command(void **state)
{
	struct proc_env env[] = { { "WORD", "it's" } };
	struct proc_settings settings = { .cwd = "/tmp", .env = env, .env_count = 1 };
	struct proc_readiness readiness = { PROC_READY_COMMAND,
					    "test \"$WORD:$PWD\" = \"it's:/tmp\" && test -e flag",
					    20, 50 };
	struct live_guest *live = live_guest_need(state);
	struct proc_service service = { 0 };
	struct call call = live_call(60);
	struct error err = { 0 };

	if (lproc_service_start(live->guest, &call, "command", "sleep 0.3; >flag; exec sleep 1000",
				&settings, &readiness, &service, &err))
		fail_msg("%s", err.text);
	proc_service_free(&service);
	stop(live, "command", &service);
	proc_service_free(&service);
	assert_string_equal(
		live_guest_ask(live, "ls -d /run/vsockfs-* /tmp/vsockfs-[0-9a-f]* 2>/dev/null"),
		"");
}

static void test_not_ready_in_time(void **state)
{
	struct live_guest *live = live_guest_need(state);
	struct proc_service service = { 0 };
	struct error err;

	start(live, "late", "sleep 1000", PROC_READY_FILE, "/nonexistent", 0.4, -ETIMEDOUT,
	      &service, &err);
	assert_non_null(strstr(err.text, "not ready after 0.4 s"));
	assert_string_equal(service.state, "failed");
	assert_string_equal(service.stop_reason, "readiness_timeout");
	assert_true(service.ready_at == 0);
	proc_service_free(&service);
	service = status(live, "late");
	assert_string_equal(service.stop_reason, "readiness_timeout");
	proc_service_free(&service);
	assert_string_equal(live_guest_ask(live, "ls /run/vsockfs-* 2>/dev/null"), "");
}

static void test_ended_before_ready(void **state)
{
	struct live_guest *live = live_guest_need(state);
	struct proc_service service = { 0 };
	struct error err;

	start(live, "early", "exit 4", PROC_READY_FILE, "/nonexistent", 20, -EIO, &service, &err);
	assert_non_null(strstr(err.text, "ended before it was ready, with exit code 4"));
	assert_string_equal(service.state, "failed");
	assert_string_equal(service.stop_reason, "process_exited_before_ready");
	proc_service_free(&service);
}

/* TERM is given its time, then KILL; the agent is not kept busy by either. */
static void test_stubborn(void **state)
{
	struct live_guest *live = live_guest_need(state);
	struct proc_service service = { 0 };
	struct call call = live_call(20);
	bool graceful = false;
	struct error err;

	start(live, "graceful",
	      "trap 'sleep 0.5; echo bye; exit' TERM; echo up; while :; do sleep 0.1; done",
	      PROC_READY_NONE, NULL, 0, 0, &service, &err);
	proc_service_free(&service);
	while (!graceful && call_sleep(&call, 0.02) == 0) {
		service = status(live, "graceful");
		graceful = service.out_size == 3;
		proc_service_free(&service);
	}
	stop(live, "graceful", &service);
	assert_string_equal(service.stop_reason, "sigterm");
	proc_service_free(&service);
	assert_log(live, "graceful", 1, "up\nbye\n", 7);
	start(live, "stubborn", "trap '' TERM; touch ./deaf; while :; do sleep 1; done",
	      PROC_READY_FILE, "deaf", 10, 0, &service, &err);
	proc_service_free(&service);
	stop(live, "stubborn", &service);
	assert_string_equal(service.state, "stopped");
	assert_string_equal(service.stop_reason, "sigkill");
	proc_service_free(&service);
	assert_true(live_guest_longest(live) < 3);
}

static void *fire_soon(void *arg)
{
	nanosleep(&(struct timespec){ .tv_nsec = 300000000 }, NULL);
	cancel_fire(arg);
	return NULL;
}

static void test_interrupted(void **state)
{
	struct proc_readiness readiness = { PROC_READY_COMMAND, "sleep 1000", 100, 50 };
	struct live_guest *live = live_guest_need(state);
	struct proc_service service = { 0 };
	struct cancel cancel;
	struct call call = call_within(60, &cancel);
	struct error err = { 0 };
	pthread_t thread;

	cancel_init(&cancel);
	pthread_create(&thread, NULL, fire_soon, &cancel);
	assert_int_equal(lproc_service_start(live->guest, &call, "cut", "sleep 1000", &in_workspace,
					     &readiness, &service, &err),
			 -EINTR);
	pthread_join(thread, NULL);
	cancel_destroy(&cancel);
	service = status(live, "cut");
	assert_string_equal(service.state, "stopped");
	proc_service_free(&service);
	assert_true(live_guest_longest(live) < 3);
}

static void test_refused(void **state)
{
	struct proc_settings nowhere = { .cwd = "/workspace/none" };
	struct proc_readiness none = { PROC_READY_NONE, NULL, 0, 0 };
	struct live_guest *live = live_guest_need(state);
	struct proc_service service = { 0 };
	struct call call = live_call(20);
	struct error err = { 0 };

	assert_int_equal(lproc_service_start(live->guest, &call, "refused", "true", &nowhere, &none,
					     &service, &err),
			 -ENOENT);
	assert_non_null(strstr(err.text, "/workspace/none"));
	assert_string_equal(live_guest_ask(live, "ls -d /workspace/none 2>/dev/null"), "");
	start(live, "refused", "true", PROC_READY_TCP, "localhost", 1, -EINVAL, &service, &err);
	start(live, "refused", "true", PROC_READY_TCP, "localhost:0", 1, -EINVAL, &service, &err);
	start(live, "refused", "true", PROC_READY_HTTP, "ftp://x/", 1, -EINVAL, &service, &err);
	start(live, "refused", "true", PROC_READY_FILE, "", 1, -EINVAL, &service, &err);
	start(live, "refused", "true", PROC_READY_FILE, "x", 0, -EINVAL, &service, &err);
	assert_int_equal(lproc_service_status(live->guest, &call, "refused", &service, NULL),
			 -ENOENT);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_life),
		cmocka_unit_test(test_end_is_noticed),
		cmocka_unit_test(test_unknown),
		cmocka_unit_test(test_ready_file),
		cmocka_unit_test(test_ready_tcp),
		cmocka_unit_test(test_ready_http),
		cmocka_unit_test(test_ready_command),
		cmocka_unit_test(test_not_ready_in_time),
		cmocka_unit_test(test_ended_before_ready),
		cmocka_unit_test(test_stubborn),
		cmocka_unit_test(test_interrupted),
		cmocka_unit_test(test_refused),
	};

	return cmocka_run_group_tests(tests, live_guest_setup, live_guest_teardown);
}
