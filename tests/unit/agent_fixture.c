/* agent_fixture.c - see agent_fixture.h. */
#include "agent_fixture.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

#include "protocol/agent/agent.h"
#include "protocol/agent/clock.h"
#include "protocol/agent/listen.h"
#include "protocol/agent/server.h"
#include "protocol/agent/tree.h"
#include "protocol/buf.h"
#include "protocol/wire.h"

void agent_make(struct agent_fixture *fixture)
{
	*fixture = (struct agent_fixture){ .pid = -1, .lifeline = -1, .services_end = true };
	strcpy(fixture->dir, "/tmp/agent-test-XXXXXX");
	assert_non_null(mkdtemp(fixture->dir));
	snprintf(fixture->socket, sizeof(fixture->socket), "%s/socket", fixture->dir);
	snprintf(fixture->bridge, sizeof(fixture->bridge), "%s/bridge", fixture->dir);
	snprintf(fixture->workspace, sizeof(fixture->workspace), "%s/workspace", fixture->dir);
	snprintf(fixture->run, sizeof(fixture->run), "%s/run", fixture->dir);
	assert_int_equal(mkdir(fixture->workspace, 0755), 0);
	assert_int_equal(mkdir(fixture->run, 0755), 0);
}

/* In the child: what main.c does, without its command line. */
static int serve(const struct agent_fixture *fixture, int lifeline, int ready)
{
	struct agent_options options = {
		.workspace = fixture->workspace,
		.run_dir = fixture->run,
		.lifeline = fixture->services_end,
	};
	int stop[2] = { lifeline, -1 };
	struct listener listeners[2];
	char text[2][128];
	struct server *server;
	struct agent *agent;
	struct error err;
	bool finished;

	snprintf(text[0], sizeof(text[0]), "unix:%s", fixture->socket);
	snprintf(text[1], sizeof(text[1]), "firecracker:%s:5005", fixture->bridge);
	if (agent_new(&options, &agent, &err) < 0 ||
	    listener_open(text[0], &listeners[0], &err) < 0 ||
	    listener_open(text[1], &listeners[1], &err) < 0 ||
	    server_new(agent, listeners, 2, &server, &err) < 0) {
		fprintf(stderr, "agent: %s\n", err.text);
		return 1;
	}
	if (write(ready, "", 1) != 1)
		return 1;
	close(ready);
	server_run(server, stop);
	finished = server_free(server);
	listener_close(&listeners[0]);
	listener_close(&listeners[1]);
	if (finished)
		agent_free(agent);
	return finished ? 0 : 2;
}

void agent_start(struct agent_fixture *fixture)
{
	int lifeline[2], ready[2];
	char byte;

	assert_int_equal(pipe2(lifeline, O_CLOEXEC), 0);
	assert_int_equal(pipe2(ready, O_CLOEXEC), 0);
	fixture->pid = fork();
	assert_true(fixture->pid >= 0);
	if (fixture->pid == 0) {
		/* Nothing of the test: another agent's lifeline would keep that one alive. */
		assert_int_equal(dup2(lifeline[0], 3), 3);
		assert_int_equal(dup2(ready[1], 4), 4);
		close_range(5, ~0U, 0);
		exit(serve(fixture, 3, 4));
	}
	close(lifeline[0]);
	close(ready[1]);
	fixture->lifeline = lifeline[1];
	assert_int_equal(read(ready[0], &byte, 1), 1);
	close(ready[0]);
}

void agent_stop(struct agent_fixture *fixture)
{
	int status;

	close(fixture->lifeline);
	assert_int_equal(waitpid(fixture->pid, &status, 0), fixture->pid);
	assert_true(WIFEXITED(status));
	assert_int_equal(WEXITSTATUS(status), 0);
	fixture->pid = -1;
}

void agent_remove(struct agent_fixture *fixture)
{
	assert_int_equal(tree_remove(AT_FDCWD, fixture->dir), 0);
}

int agent_setup(void **state)
{
	struct agent_fixture *fixture = malloc(sizeof(*fixture));

	assert_non_null(fixture);
	agent_make(fixture);
	agent_start(fixture);
	*state = fixture;
	return 0;
}

int agent_teardown(void **state)
{
	struct agent_fixture *fixture = *state;

	agent_stop(fixture);
	agent_remove(fixture);
	free(fixture);
	return 0;
}

static int connect_to(const char *path)
{
	struct sockaddr_un address = { .sun_family = AF_UNIX };
	int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);

	assert_true(fd >= 0);
	snprintf(address.sun_path, sizeof(address.sun_path), "%s", path);
	assert_int_equal(connect(fd, (struct sockaddr *)&address, sizeof(address)), 0);
	return fd;
}

int agent_connect(const struct agent_fixture *fixture)
{
	return connect_to(fixture->socket);
}

void agent_send(int fd, const void *bytes, size_t len)
{
	const char *from = bytes;

	while (len) {
		ssize_t n = send(fd, from, len, MSG_NOSIGNAL);

		assert_true(n > 0);
		from += n;
		len -= (size_t)n;
	}
}

static void grow(char **bytes, size_t room)
{
	char *grown = realloc(*bytes, room);

	assert_non_null(grown);
	*bytes = grown;
}

char *agent_receive(int fd, size_t *len)
{
	size_t room = 4096;
	char *bytes = malloc(room);

	*len = 0;
	for (;;) {
		ssize_t n;

		assert_non_null(bytes);
		n = recv(fd, bytes + *len, room - *len - 1, 0);
		assert_true(n >= 0);
		*len += (size_t)n;
		bytes[*len] = '\0';
		if (n == 0)
			return bytes;
		if (room - *len < 2)
			grow(&bytes, room *= 2);
	}
}

json_t *agent_upload(const struct agent_fixture *fixture, const char *line, const void *payload,
		     size_t len)
{
	int fd = agent_connect(fixture);
	struct error err = { 0 };
	size_t received;
	json_t *reply;
	char *text;

	agent_send(fd, line, strlen(line));
	agent_send(fd, "\n", 1);
	agent_send(fd, payload, len);
	text = agent_receive(fd, &received);
	close(fd);
	assert_true(received > 0 && text[received - 1] == '\n');
	reply = wire_parse(text, received, &err);
	if (!reply)
		fail_msg("not an object: %s (%s)", text, err.text);
	free(text);
	return reply;
}

json_t *agent_call(const struct agent_fixture *fixture, const char *format, ...)
{
	char *line = NULL;
	json_t *reply;
	va_list args;

	va_start(args, format);
	assert_true(vasprintf(&line, format, args) >= 0);
	va_end(args);
	reply = agent_upload(fixture, line, "", 0);
	free(line);
	return reply;
}

void agent_expect_text(const json_t *reply, const char *key, const char *text)
{
	const char *value = json_string_value(json_object_get(reply, key));

	if (!value)
		fail_msg("%s is no string; error: %s", key,
			 json_string_value(json_object_get(reply, "error")));
	assert_string_equal(value, text);
}

void agent_expect_int(const json_t *reply, const char *key, int64_t value)
{
	const json_t *number = json_object_get(reply, key);

	if (!json_is_integer(number))
		fail_msg("%s is no integer; error: %s", key,
			 json_string_value(json_object_get(reply, "error")));
	assert_int_equal(json_integer_value(number), value);
}

void agent_expect_error(json_t *reply, const char *part)
{
	const char *text = json_string_value(json_object_get(reply, "error"));

	if (!text)
		fail_msg("no error; it should contain '%s'", part);
	assert_int_equal(json_object_size(reply), 1);
	if (!strstr(text, part))
		fail_msg("the error '%s' does not contain '%s'", text, part);
	json_decref(reply);
}

void agent_expect_keys(const json_t *reply, const char *keys)
{
	struct buf text = BUF_INIT(4096);
	const char *key;
	json_t *value;

	json_object_foreach ((json_t *)reply, key, value) {
		if (text.len)
			buf_adds(&text, " ");
		buf_adds(&text, key);
	}
	assert_string_equal(buf_str(&text), keys);
	buf_free(&text);
}

void agent_expect_gone(pid_t pid)
{
	int64_t deadline = clock_ms() + 20000;

	while (kill(pid, 0) == 0) {
		assert_true(clock_until(deadline) > 0);
		poll(NULL, 0, 5);
	}
}

long agent_peak_kib(const struct agent_fixture *fixture)
{
	char path[64], line[256];
	long kib = -1;
	FILE *file;

	snprintf(path, sizeof(path), "/proc/%d/status", fixture->pid);
	file = fopen(path, "re");
	assert_non_null(file);
	while (fgets(line, sizeof(line), file))
		sscanf(line, "VmHWM: %ld", &kib);
	fclose(file);
	return kib;
}

void agent_put_file(const struct agent_fixture *fixture, const char *path, const char *text)
{
	char full[512];
	FILE *file;

	snprintf(full, sizeof(full), "%s/%s", fixture->workspace, path);
	unlink(full);
	file = fopen(full, "we");
	assert_non_null(file);
	assert_int_equal(fwrite(text, 1, strlen(text), file), strlen(text));
	fclose(file);
}

bool agent_has(const struct agent_fixture *fixture, const char *path)
{
	char full[512];
	struct stat st;

	snprintf(full, sizeof(full), "%s/%s", fixture->workspace, path);
	return lstat(full, &st) == 0;
}
