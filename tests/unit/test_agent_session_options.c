/*
 * test_agent_session_options.c - the program of the agent: sessions over its socket, and its end
 * when nobody has been there for a while.
 *
 * The program is $VSOCKFS_AGENT.
 */
#include "tests/unit/cmocka_all.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

#define HELLO "{\"action\": \"hello\", \"dialects\": [\"session/1\"], \"command\": \"echo line\"}\n"

/* Of --idle-exit, and longer than it. */
#define IDLE "1"
#define LONGER_MS 1600
#define PATIENCE_MS 30000

struct running {
	char top[64];
	char socket[96];
	pid_t pid;
	int ended; /* pidfd */
};

static void start(struct running *running, const char *option, const char *value)
{
	char workspace[96], listen[128], ready[16];
	const char *agent = getenv("VSOCKFS_AGENT");
	const char *argv[] = { agent, "--listen",   listen, "--workspace", workspace, "--run-dir",
			       NULL,  "--ready-fd", ready,  option,        value,     NULL };
	int ends[2];
	char byte;

	*running = (struct running){ .top = "/tmp/agent-options-XXXXXX" };
	assert_non_null(agent);
	assert_non_null(mkdtemp(running->top));
	argv[6] = running->top;
	snprintf(running->socket, sizeof(running->socket), "%s/socket", running->top);
	snprintf(workspace, sizeof(workspace), "%s/workspace", running->top);
	snprintf(listen, sizeof(listen), "unix:%s", running->socket);
	assert_int_equal(pipe(ends), 0);
	snprintf(ready, sizeof(ready), "%d", ends[1]);
	running->pid = fork();
	assert_true(running->pid >= 0);
	if (running->pid == 0) {
		if (agent)
			execv(agent, (char *const *)argv);
		_exit(127);
	}
	close(ends[1]);
	assert_int_equal(read(ends[0], &byte, 1), 1);
	close(ends[0]);
	running->ended = (int)syscall(SYS_pidfd_open, running->pid, 0);
	assert_true(running->ended >= 0);
}

/* Whether it ends within so long. */
static bool ends(const struct running *running, int ms)
{
	struct pollfd wait = { .fd = running->ended, .events = POLLIN };

	return poll(&wait, 1, ms) == 1;
}

static void stop(struct running *running)
{
	char path[128];
	int status;

	kill(running->pid, SIGTERM);
	assert_int_equal(waitpid(running->pid, &status, 0), running->pid);
	assert_int_equal(status, 0);
	close(running->ended);
	snprintf(path, sizeof(path), "rm -rf %s", running->top);
	assert_int_equal(system(path), 0); /* NOLINT(cert-env33-c): a directory of this test */
}

/* Sends LINE, returns what answered, up to a newline. */
static int ask(const struct running *running, const char *line, char answer[static 4096])
{
	struct sockaddr_un address = { .sun_family = AF_UNIX };
	int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
	size_t len = 0;

	memcpy(address.sun_path, running->socket, strlen(running->socket) + 1);
	assert_int_equal(connect(fd, (struct sockaddr *)&address, sizeof(address)), 0);
	assert_int_equal(send(fd, line, strlen(line), MSG_NOSIGNAL), (ssize_t)strlen(line));
	while (len < 4095 && recv(fd, answer + len, 1, 0) == 1 && answer[len] != '\n')
		len++;
	answer[len] = '\0';
	return fd;
}

static void test_no_session(void **state)
{
	struct running running;
	char answer[4096];

	(void)state;
	start(&running, "--no-session", NULL);
	close(ask(&running, HELLO, answer));
	assert_null(strstr(answer, "dialect"));
	assert_non_null(strstr(answer, "line"));
	stop(&running);
}

static void test_idle_exit(void **state)
{
	struct running running;
	char answer[4096];
	int session;

	(void)state;
	start(&running, "--idle-exit", IDLE);
	session = ask(&running, HELLO, answer);
	assert_non_null(strstr(answer, "session/1"));
	assert_false(ends(&running, LONGER_MS));
	close(session);
	assert_true(ends(&running, PATIENCE_MS));
	stop(&running);
}

static void test_service_keeps_it(void **state)
{
	struct running running;
	char answer[4096];

	(void)state;
	start(&running, "--idle-exit", IDLE);
	close(ask(&running,
		  "{\"action\": \"start_service\", \"service_name\": \"s\", \"command\": \"sleep "
		  "1000\"}\n",
		  answer));
	assert_non_null(strstr(answer, "running"));
	assert_false(ends(&running, LONGER_MS));
	close(ask(&running, "{\"action\": \"stop_service\", \"service_name\": \"s\"}\n", answer));
	assert_true(ends(&running, PATIENCE_MS));
	stop(&running);
}

/* A client that takes nothing does not keep the agent from its end. */
static void test_end_with_a_stuck_client(void **state)
{
	/* OP_STAT of the workspace, call 1: again and again, for its answers are quick. */
	static const unsigned char call[] = { 8, 0, 0, 0, 1, 0, 0, 0, 1, 0,
					      1, 0, 0, 0, 0, 0, 0, 0, 0, 0 };
	struct running running;
	char answer[4096];
	int session;

	(void)state;
	start(&running, "--idle-exit", IDLE);
	session = ask(&running, HELLO, answer);
	assert_int_equal(fcntl(session, F_SETFL, O_NONBLOCK), 0);
	/* Until nothing more goes in: then the agent is stuck in an answer. */
	for (struct pollfd wait = { .fd = session, .events = POLLOUT }; poll(&wait, 1, 500) == 1;) {
		if (send(session, call, sizeof(call), MSG_NOSIGNAL) < 0)
			assert_int_equal(errno, EAGAIN);
	}
	stop(&running);
	close(session);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_no_session),
		cmocka_unit_test(test_idle_exit),
		cmocka_unit_test(test_service_keeps_it),
		cmocka_unit_test(test_end_with_a_stuck_client),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
