/* test_sproc.c - process.h over a session, on the bundled agent, also when the session breaks. */
#include "cmocka_all.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "bundled_agent.h"
#include "cut_relay.h"
#include "protocol/guest.h"
#include "protocol/session/sproc.h"

#define TIMEOUT 10.0

struct world {
	struct bundled_agent agent;
	struct cut_relay relay;
	struct guest *guest;
	struct sproc_room *room;
	struct call call;
	struct error err;
};

static const struct proc_settings plain = { 0 };
static const struct proc_readiness no_readiness = { .kind = PROC_READY_NONE };

static int setup(void **state)
{
	struct guest_options options = { .timeout = TIMEOUT,
					 .max_connections = 1,
					 .agent = GUEST_AGENT_NEVER };
	struct world *w = calloc(1, sizeof(*w));
	struct address address = { 0 };
	char path[100], source[120];

	bundled_agent_open(&w->agent);
	bundled_agent_start(&w->agent, NULL);
	snprintf(path, sizeof(path), "%s/relay", w->agent.top);
	cut_relay_open(&w->relay, path, w->agent.socket);
	snprintf(source, sizeof(source), "unix:%s", path);
	assert_int_equal(address_parse(source, &address, &w->err), 0);
	assert_int_equal(guest_new(&address, &options, &w->guest, &w->err), 0);
	assert_int_equal(sproc_room_new(guest_link(w->guest), TIMEOUT, &w->room), 0);
	w->call = call_within(60, NULL);
	*state = w;
	return 0;
}

static int teardown(void **state)
{
	struct world *w = *state;

	sproc_room_free(w->room);
	guest_unref(w->guest);
	cut_relay_close(&w->relay);
	bundled_agent_close(&w->agent);
	free(w);
	return 0;
}

#define ok(w, rc) check((w), (rc), __LINE__)

static void check(struct world *w, ssize_t rc, int line)
{
	if (rc < 0)
		fail_msg("line %d: %zd: %s", line, rc, w->err.text);
}

static char *in_workspace(struct world *w, const char *name)
{
	static char path[200];

	snprintf(path, sizeof(path), "%s/%s", w->agent.workspace, name);
	return path;
}

/* Bytes of a file, 0 where there is none. */
static long size_of(struct world *w, const char *name)
{
	struct stat st;

	return stat(in_workspace(w, name), &st) == 0 ? (long)st.st_size : 0;
}

static int make_input(const char *bytes, size_t len)
{
	FILE *file = tmpfile();
	int fd;

	assert_non_null(file);
	assert_int_equal(fwrite(bytes, 1, len, file), len);
	fflush(file);
	fd = dup(fileno(file));
	fclose(file);
	return fd;
}

static struct proc_command_status finish(struct world *w, struct sproc_command *command)
{
	struct proc_command_status status = { 0 };

	while (!status.ended) {
		ok(w, sproc_command_status(command, &w->call, &status, &w->err));
		usleep(1000);
	}
	return status;
}

static void expect_output(struct world *w, struct sproc_command *command, int stream,
			  const char *text)
{
	char bytes[1000];
	ssize_t got = sproc_command_read(command, &w->call, stream, 0, bytes, sizeof(bytes) - 1,
					 &w->err);

	ok(w, got);
	bytes[got] = '\0';
	assert_string_equal(bytes, text);
}

static void commands_run(void **state)
{
	struct world *w = *state;
	const struct proc_env env = { "WHAT", "w\xff" };
	const struct proc_settings settings = { .cwd = "/", .env = &env, .env_count = 1 };
	const struct proc_settings nowhere = { .cwd = "/none" };
	struct proc_command_status status;
	struct sproc_command *command;
	char bytes[10];
	int fd = make_input("input", 5);

	ok(w, sproc_command_start(w->room, &w->call, "cat; pwd; echo $WHAT >&2; exit 7", &settings,
				  fd, 5, 0, &command, &w->err));
	status = finish(w, command);
	assert_int_equal(status.exit_code, 7);
	assert_int_equal(status.out_size, 7);
	assert_true(status.pid > 1);
	expect_output(w, command, 1, "input/\n");
	expect_output(w, command, 2, "w\xff\n");
	assert_int_equal(sproc_command_read(command, &w->call, 1, 5, bytes, 1, &w->err), 1);
	assert_int_equal(bytes[0], '/');
	assert_int_equal(sproc_command_read(command, &w->call, 1, 7, bytes, 1, &w->err), 0);
	assert_int_equal(sproc_command_kill(command, &w->call, "TERM", &w->err), -EBUSY);
	sproc_command_free(command, &w->call);
	close(fd);
	assert_int_equal(sproc_command_start(w->room, &w->call, "true", &nowhere, -1, 0, 0,
					     &command, &w->err),
			 -ENOENT);
	ok(w, sproc_command_start(w->room, &w->call, "exec sleep 100", &plain, -1, 0, 0.05,
				  &command, &w->err));
	assert_int_equal(finish(w, command).exit_code, 124);
	sproc_command_free(command, &w->call);
	ok(w, sproc_command_start(w->room, &w->call, "exec sleep 100", &plain, -1, 0, 0, &command,
				  &w->err));
	ok(w, sproc_command_kill(command, &w->call, "KILL", &w->err));
	assert_int_equal(finish(w, command).exit_code, 128 + SIGKILL);
	assert_int_equal(sproc_command_kill(command, &w->call, "NONSENSE", &w->err), -EINVAL);
	sproc_command_free(command, &w->call);
}

static void large_input_and_output_are_whole(void **state)
{
	struct world *w = *state;
	size_t len = 3000000, got = 0;
	char *bytes = malloc(len), *back = malloc(len + 1);
	struct sproc_command *command;
	int fd;

	for (size_t i = 0; i < len; i++)
		bytes[i] = (char)(i * 7 + i / 251);
	fd = make_input(bytes, len);
	ok(w, sproc_command_start(w->room, &w->call, "cat", &plain, fd, (int64_t)len, 0, &command,
				  &w->err));
	assert_int_equal(finish(w, command).exit_code, 0);
	for (ssize_t n = 1; n > 0; got += (size_t)n) {
		n = sproc_command_read(command, &w->call, 1, (int64_t)got, back + got,
				       len + 1 - got, &w->err);
		ok(w, n);
	}
	assert_int_equal(got, len);
	assert_memory_equal(bytes, back, len);
	sproc_command_free(command, &w->call);
	close(fd);
	free(bytes);
	free(back);
}

/* Whatever is cut, the command runs once: the agent knows whether it has seen it. */
static void broken_starts_run_once(void **state)
{
	static const enum session_op ops[] = { OP_COMMAND_START, OP_COMMAND_INPUT };
	struct world *w = *state;
	int fd = make_input("x", 1);

	/* It is known again by its age, when it has one. */
	assert_int_equal(call_sleep(&w->call, 0.1), 0);
	for (int i = 0; i < 2; i++) {
		for (int cut = RELAY_CUT_BEFORE; cut < RELAY_CUTS; cut++) {
			struct sproc_command *command = NULL;
			int rc;

			if (i == 0 && cut == RELAY_CUT_DATA)
				continue;
			unlink(in_workspace(w, "log"));
			cut_relay_order(&w->relay, ops[i], (enum relay_cut)cut);
			rc = sproc_command_start(w->room, &w->call, "cat >>log", &plain, fd, 1, 0,
						 &command, &w->err);
			assert_true(cut_relay_done(&w->relay));
			ok(w, rc);
			assert_int_equal(finish(w, command).exit_code, 0);
			assert_int_equal(size_of(w, "log"), 1);
			sproc_command_free(command, &w->call);
		}
	}
	close(fd);
}

static void broken_questions_are_asked_again(void **state)
{
	static const enum session_op ops[] = { OP_COMMAND_STATUS, OP_STREAM, OP_COMMAND_FORGET };
	struct world *w = *state;

	for (int i = 0; i < 3; i++) {
		for (int cut = RELAY_CUT_BEFORE; cut < RELAY_CUTS; cut++) {
			struct sproc_command *command;

			if (cut == RELAY_CUT_DATA)
				continue;
			ok(w, sproc_command_start(w->room, &w->call, "echo out", &plain, -1, 0, 0,
						  &command, &w->err));
			cut_relay_order(&w->relay, ops[i], (enum relay_cut)cut);
			assert_int_equal(finish(w, command).exit_code, 0);
			expect_output(w, command, 1, "out\n");
			sproc_command_free(command, &w->call);
			assert_true(cut_relay_done(&w->relay));
		}
	}
}

/* A signal is not sent twice: whoever sent it hears that nobody knows, and looks. */
static void broken_signals_are_not_repeated(void **state)
{
	struct world *w = *state;
	struct sproc_command *command;

	ok(w, sproc_command_start(w->room, &w->call, "exec sleep 100", &plain, -1, 0, 0, &command,
				  &w->err));
	cut_relay_order(&w->relay, OP_COMMAND_SIGNAL, RELAY_CUT_ANSWER);
	assert_int_equal(sproc_command_kill(command, &w->call, "TERM", &w->err), -EIO);
	assert_non_null(strstr(w->err.text, "not known"));
	assert_true(cut_relay_done(&w->relay));
	assert_int_equal(finish(w, command).exit_code, 128 + SIGTERM);
	sproc_command_free(command, &w->call);
}

/* An agent that is new knows nothing of what the old one did. */
static void agents_that_forget_are_told_from_those_that_know(void **state)
{
	struct world *w = *state;
	struct proc_command_status status;
	struct sproc_command *command;
	char bytes[10];

	ok(w, sproc_command_start(w->room, &w->call, "echo out; exec sleep 100", &plain, -1, 0, 0,
				  &command, &w->err));
	ok(w, sproc_command_status(command, &w->call, &status, &w->err));
	bundled_agent_kill(&w->agent);
	kill((pid_t)-status.pid, SIGKILL);
	bundled_agent_start(&w->agent, NULL);
	assert_int_equal(sproc_command_status(command, &w->call, &status, &w->err), -ENOENT);
	assert_int_equal(sproc_command_read(command, &w->call, 1, 0, bytes, 10, &w->err), -ENOENT);
	sproc_command_free(command, &w->call);
}

static struct proc_readiness file_readiness(const char *path, double timeout)
{
	return (struct proc_readiness){
		.kind = PROC_READY_FILE, .value = path, .timeout = timeout, .interval_ms = 10
	};
}

static void services_start_and_stop(void **state)
{
	struct world *w = *state;
	struct proc_readiness ready = file_readiness("/workspace/ready", 30);
	struct proc_service service;
	char bytes[100];

	assert_int_equal(sproc_service_status(w->room, &w->call, "app", &service, &w->err),
			 -ENOENT);
	ok(w, sproc_service_start(w->room, &w->call, "app", "echo up; touch ready; exec sleep 100",
				  &plain, &ready, &service, &w->err));
	assert_string_equal(service.state, "running");
	assert_string_equal(service.cwd, "/workspace");
	assert_true(service.ready_at >= service.started_at);
	assert_int_equal(service.out_size, 3);
	proc_service_free(&service);
	assert_int_equal(sproc_service_start(w->room, &w->call, "app", "true", &plain,
					     &no_readiness, &service, &w->err),
			 -EBUSY);
	assert_int_equal(sproc_service_read(w->room, &w->call, "app", 1, 1, bytes, 100, &w->err),
			 2);
	assert_memory_equal(bytes, "p\n", 2);
	assert_int_equal(sproc_service_read(w->room, &w->call, "app", 2, 0, bytes, 100, &w->err),
			 0);
	ok(w, sproc_service_stop(w->room, &w->call, "app", &service, &w->err));
	assert_string_equal(service.state, "stopped");
	assert_string_equal(service.stop_reason, "sigterm");
	proc_service_free(&service);
	ok(w, sproc_service_stop(w->room, &w->call, "app", &service, &w->err));
	proc_service_free(&service);
}

static void starts_that_fail_say_why(void **state)
{
	struct world *w = *state;
	struct proc_readiness never = file_readiness("never", 0.05);
	struct proc_service service;

	assert_int_equal(sproc_service_start(w->room, &w->call, "app", "exec sleep 100", &plain,
					     &never, &service, &w->err),
			 -ETIMEDOUT);
	assert_string_equal(service.state, "failed");
	assert_string_equal(service.stop_reason, "readiness_timeout");
	proc_service_free(&service);
	never.timeout = 30;
	assert_int_equal(sproc_service_start(w->room, &w->call, "app", "exit 3", &plain, &never,
					     &service, &w->err),
			 -EIO);
	assert_non_null(strstr(w->err.text, "exit code 3"));
	assert_string_equal(service.state, "failed");
	assert_int_equal(service.exit_code, 3);
	proc_service_free(&service);
}

static void *fire(void *arg)
{
	struct world *w = ((void **)arg)[0];

	while (!cut_relay_count(&w->relay, OP_WAIT))
		usleep(1000);
	cancel_fire(((void **)arg)[1]);
	return NULL;
}

static void who_gives_up_leaves_nothing_running(void **state)
{
	struct world *w = *state;
	struct proc_readiness never = file_readiness("never", 1000);
	struct proc_service service;
	struct cancel cancel;
	struct call call;
	void *args[2] = { w, &cancel };
	pthread_t thread;

	cancel_init(&cancel);
	call = call_within(60, &cancel);
	pthread_create(&thread, NULL, fire, args);
	assert_int_equal(sproc_service_start(w->room, &call, "app", "exec sleep 100", &plain,
					     &never, &service, &w->err),
			 -EINTR);
	pthread_join(thread, NULL);
	cancel_destroy(&cancel);
	proc_service_free(&service);
	ok(w, sproc_service_status(w->room, &w->call, "app", &service, &w->err));
	assert_string_equal(service.state, "stopped");
	proc_service_free(&service);
}

static void broken_services_come_through(void **state)
{
	static const enum session_op ops[] = { OP_SERVICE_START, OP_WAIT, OP_SERVICE_STATUS,
					       OP_SERVICE_STOP };
	struct world *w = *state;

	for (int i = 0; i < 4; i++) {
		for (int cut = RELAY_CUT_BEFORE; cut < RELAY_CUTS; cut++) {
			struct proc_readiness ready = file_readiness("ready", 30);
			struct proc_service service;
			int rc;

			if (cut == RELAY_CUT_DATA)
				continue;
			unlink(in_workspace(w, "ready"));
			unlink(in_workspace(w, "log"));
			cut_relay_order(&w->relay, ops[i], (enum relay_cut)cut);
			rc = sproc_service_start(w->room, &w->call, "app",
						 "echo x >>log; touch ready; exec sleep 100",
						 &plain, &ready, &service, &w->err);
			proc_service_free(&service);
			/* Before the agent saw it is not known from behind that it did not. */
			if (i == 0 && cut == RELAY_CUT_BEFORE && rc == -EIO)
				continue;
			ok(w, rc);
			assert_int_equal(size_of(w, "log"), 2);
			ok(w, sproc_service_stop(w->room, &w->call, "app", &service, &w->err));
			assert_string_equal(service.state, "stopped");
			proc_service_free(&service);
			assert_true(cut_relay_done(&w->relay));
		}
	}
}

#define test(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		test(commands_run),
		test(large_input_and_output_are_whole),
		test(broken_starts_run_once),
		test(broken_signals_are_not_repeated),
		test(broken_questions_are_asked_again),
		test(agents_that_forget_are_told_from_those_that_know),
		test(services_start_and_stop),
		test(starts_that_fail_say_why),
		test(who_gives_up_leaves_nothing_running),
		test(broken_services_come_through),
	};

	signal(SIGPIPE, SIG_IGN);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
