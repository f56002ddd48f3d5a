/* agent_client.c - see agent_client.h. */
#include "tests/unit/agent_client.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include "protocol/agent/dispatch.h"
#include "protocol/cleanup.h"
#include "protocol/session/pack.h"

/* Longer than anything here takes, shorter than a test may hang. */
#define PATIENCE_MS 60000

#define ARGS_MAX ((size_t)2 * FRAME_BODY_MAX)

void agent_world_open(struct agent_world *world)
{
	struct agent_options options = { .workspace = world->workspace };
	struct error err = { 0 };
	char run_dir[96];

	*world = (struct agent_world){ .top = "/tmp/agent-session-XXXXXX" };
	assert_non_null(mkdtemp(world->top));
	snprintf(world->workspace, sizeof(world->workspace), "%s/workspace", world->top);
	snprintf(world->outside, sizeof(world->outside), "%s/outside", world->top);
	snprintf(run_dir, sizeof(run_dir), "%s/run", world->top);
	assert_int_equal(mkdir(world->workspace, 0755), 0);
	assert_int_equal(mkdir(world->outside, 0755), 0);
	assert_int_equal(mkdir(run_dir, 0755), 0);
	world->dir = open(world->workspace, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	assert_true(world->dir >= 0);
	options.run_dir = run_dir;
	if (agent_new(&options, &world->agent, &err) < 0)
		fail_msg("%s", err.text);
}

void agent_world_close(struct agent_world *world)
{
	char command[256];

	agent_free(world->agent);
	snprintf(command, sizeof(command), "cd /tmp; chmod -R u+rwx %s; rm -rf %s", world->top,
		 world->top);
	agent_world_run(world, command);
	close(world->dir);
}

void agent_world_write(struct agent_world *world, const char *path, const char *text)
{
	autoclose int fd = openat(world->dir, path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0644);

	assert_true(fd >= 0);
	assert_int_equal(write(fd, text, strlen(text)), (ssize_t)strlen(text));
}

/* Its end is told through a pipe: the agent's reaper takes all children. */
int agent_world_setup(void **state)
{
	static struct agent_world world;

	agent_world_open(&world);
	agent_world_write(&world, "file", "contents");
	*state = &world;
	return 0;
}

int agent_world_teardown(void **state)
{
	agent_world_close(*state);
	return 0;
}

void agent_world_run(struct agent_world *world, const char *command)
{
	char line[5000], told[16] = "";
	int ends[2];
	pid_t pid;

	snprintf(line, sizeof(line), "cd %s && {\n%s\n}\necho $? >&%d", world->workspace, command,
		 9);
	assert_int_equal(pipe2(ends, O_CLOEXEC), 0);
	pid = fork();
	assert_true(pid >= 0);
	if (pid == 0) {
		dup2(ends[1], 9);
		execl("/bin/sh", "sh", "-c", line, (char *)NULL);
		_exit(127);
	}
	close(ends[1]);
	for (size_t len = 0; len < sizeof(told) - 1;) {
		ssize_t n = read(ends[0], told + len, sizeof(told) - 1 - len);

		if (n <= 0)
			break;
		len += (size_t)n;
	}
	close(ends[0]);
	if (strcmp(told, "0\n") != 0)
		fail_msg("'%s' ended with %s", command, told);
}

static void *serve(void *arg)
{
	struct agent_client *client = arg;

	dispatch_serve(client->agent, client->served);
	close(client->served);
	return NULL;
}

void client_connect(struct agent_client *client, struct agent_world *world)
{
	int ends[2];

	*client = (struct agent_client){
		.agent = world->agent,
		.data = BUF_INIT(SIZE_MAX / 2),
	};
	assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, ends), 0);
	client->fd = ends[0];
	client->served = ends[1];
	assert_int_equal(pthread_create(&client->thread, NULL, serve, client), 0);
}

void client_open(struct agent_client *client, struct agent_world *world)
{
	static const char hello[] = "{\"action\": \"hello\", \"dialects\": [\"session/1\"], "
				    "\"command\": \"echo line\", \"timeout_seconds\": 10}\n";

	client_connect(client, world);
	client_raw(client, hello, sizeof(hello) - 1);
	client->hello = client_line(client);
	assert_non_null(strstr(client->hello, "\"dialect\": \"session/1\""));
}

void client_close(struct agent_client *client)
{
	close(client->fd);
	assert_int_equal(pthread_join(client->thread, NULL), 0);
	buf_free(&client->data);
	free(client->hello);
}

void client_raw(struct agent_client *client, const void *bytes, size_t len)
{
	const char *from = bytes;

	while (len) {
		ssize_t n = send(client->fd, from, len, MSG_NOSIGNAL);

		assert_true(n > 0);
		from += n;
		len -= (size_t)n;
	}
}

void client_frame(struct agent_client *client, uint8_t kind, uint32_t id, uint8_t flags,
		  uint16_t code, const void *body, size_t len)
{
	struct frame frame = {
		.size = (uint32_t)len,
		.id = id,
		.kind = kind,
		.flags = flags,
		.code = code,
	};
	struct buf bytes = BUF_INIT(ARGS_MAX);
	unsigned char header[FRAME_HEADER];

	frame_encode(&frame, header);
	buf_add(&bytes, header, sizeof(header));
	buf_add(&bytes, body, len);
	assert_false(bytes.overflow);
	client_raw(client, bytes.data, bytes.len);
	buf_free(&bytes);
}

uint32_t client_begin(struct agent_client *client, unsigned op, const struct buf *args,
		      uint32_t deadline_ms)
{
	struct buf body = BUF_INIT(ARGS_MAX);

	pack_u32(&body, deadline_ms);
	if (args)
		buf_add(&body, args->data, args->len);
	assert_false(body.overflow);
	client_frame(client, FRAME_CALL, ++client->id, 0, (uint16_t)op, body.data, body.len);
	buf_free(&body);
	return client->id;
}

void client_credit(struct agent_client *client, uint32_t id, uint32_t bytes)
{
	struct buf body = BUF_INIT(4);

	pack_u32(&body, bytes);
	client_frame(client, FRAME_CREDIT, id, 0, 0, body.data, body.len);
	buf_free(&body);
}

/* At most LEN bytes; 0 at the end. */
static size_t receive(struct agent_client *client, void *bytes, size_t len)
{
	struct pollfd wait = { .fd = client->fd, .events = POLLIN };
	ssize_t n;

	if (poll(&wait, 1, PATIENCE_MS) != 1)
		fail_msg("the agent says nothing");
	n = recv(client->fd, bytes, len, 0);
	return n > 0 ? (size_t)n : 0;
}

static void receive_all(struct agent_client *client, void *bytes, size_t len)
{
	for (size_t done = 0; done < len;) {
		size_t n = receive(client, (char *)bytes + done, len - done);

		if (!n)
			fail_msg("the agent has closed");
		done += n;
	}
}

void client_get(struct agent_client *client, struct got *got)
{
	unsigned char header[FRAME_HEADER];
	struct error err;

	receive_all(client, header, sizeof(header));
	if (frame_decode(header, &got->frame, &err) < 0)
		fail_msg("%s", err.text);
	receive_all(client, got->body, got->frame.size);
	got->body[got->frame.size] = '\0';
}

void client_finish(struct agent_client *client, uint32_t id, struct got *got)
{
	for (;;) {
		client_get(client, got);
		assert_int_equal(got->frame.id, id);
		if (got->frame.kind == FRAME_DONE)
			return;
		assert_int_equal(got->frame.kind, FRAME_DATA);
		buf_add(&client->data, got->body, got->frame.size);
		client_credit(client, id, got->frame.size);
	}
}

void client_expect_end(struct agent_client *client)
{
	char bytes[4096];

	while (receive(client, bytes, sizeof(bytes)))
		;
}

char *client_line(struct agent_client *client)
{
	struct buf line = BUF_INIT(1 << 20);
	char byte;

	for (;;) {
		receive_all(client, &byte, 1);
		if (byte == '\n')
			return buf_steal(&line);
		buf_add(&line, &byte, 1);
	}
}

int client_call(struct agent_client *client, unsigned op, struct buf *args, struct buf *result)
{
	struct got *got = malloc(sizeof(*got));
	int code;

	assert_non_null(got);
	buf_free(&client->data);
	client_finish(client, client_begin(client, op, args, 0), got);
	buf_free(args);
	code = got->frame.code;
	if (result) {
		buf_free(result);
		buf_add(result, got->body, got->frame.size);
	}
	free(got);
	return code;
}

/* NOLINTBEGIN(clang-analyzer-valist.Uninitialized): it loses sight of va_start in here */
struct buf args_of(const char *fields, ...)
{
	struct buf args = BUF_INIT(ARGS_MAX);
	const void *bytes;
	va_list list;

	va_start(list, fields);
	for (; *fields; fields++) {
		switch (*fields) {
		case 's':
			pack_text(&args, va_arg(list, const char *));
			break;
		case 'b':
			pack_u8(&args, (uint8_t)va_arg(list, int));
			break;
		case 'h':
			pack_u16(&args, (uint16_t)va_arg(list, int));
			break;
		case 'w':
			pack_u32(&args, va_arg(list, uint32_t));
			break;
		case 'q':
			pack_u64(&args, va_arg(list, uint64_t));
			break;
		case 'r':
			bytes = va_arg(list, const void *);
			buf_add(&args, bytes, va_arg(list, size_t));
			break;
		default:
			fail_msg("no such field: %c", *fields);
		}
	}
	va_end(list);
	assert_false(args.overflow);
	return args;
}
/* NOLINTEND(clang-analyzer-valist.Uninitialized) */

struct ws_attr attr_of(const struct buf *result)
{
	struct unpack in = unpack_from(result->data, result->len);
	struct ws_attr attr;

	ops_unpack_attr(&in, &attr);
	assert_false(in.failed);
	return attr;
}
