/*
 * fuzz_session_answers.c - an agent whose answers are arbitrary: what the calls on files and
 * processes make of them. Each is either refused with a sentence or gives values that may all be
 * used.
 *
 * The link is replaced. Its session is a mux whose agent runs inside the mux's own beat, after each
 * call that is sent: it reads what came and answers with the next records of the input, so there is
 * one thread and no waiting. A record is u8 kind, u16 length and bytes: a piece of the stream or
 * the answer. Behind the last one the agent is gone. The input's first byte says with which call to
 * begin.
 */
#include <errno.h>
#include <fcntl.h>
#include <math.h>
#include <stdint.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "protocol/session/frame.h"
#include "protocol/session/link.h"
#include "protocol/session/mux.h"
#include "protocol/session/sproc.h"
#include "protocol/session/sws.h"
#include "tests/fuzz/answers.h"
#include "tests/fuzz/require.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

#define RECORD_HEADER 3

static const struct call soon = { .deadline = INT64_MAX };

/* The agent: what it is still to say. */
static struct {
	const uint8_t *at, *end;
	int fd;
	struct mux *mux;
} agent;

static void reply(uint8_t kind, uint8_t flags, uint16_t code, uint32_t id, const uint8_t *bytes,
		  size_t len)
{
	struct frame frame = { (uint32_t)len, id, kind, flags, code };
	unsigned char header[FRAME_HEADER];

	frame_encode(&frame, header);
	/* A client that has broken off does not take it. */
	send(agent.fd, header, sizeof(header), MSG_NOSIGNAL | MSG_DONTWAIT);
	send(agent.fd, bytes, len, MSG_NOSIGNAL | MSG_DONTWAIT);
}

/* The records up to an answer, or the end of everything. */
static void answer(uint32_t id)
{
	while (agent.end - agent.at >= RECORD_HEADER) {
		uint8_t kind = agent.at[0];
		size_t len = agent.at[1] | (size_t)agent.at[2] << 8;
		const uint8_t *bytes = agent.at + RECORD_HEADER;

		if (len > (size_t)(agent.end - bytes))
			len = (size_t)(agent.end - bytes);
		agent.at = bytes + len;
		if (kind & 1) {
			reply(FRAME_DATA, 0, 0, id, bytes, len);
			continue;
		}
		/* The highest are errnos that no kernel has. */
		reply(FRAME_DONE, 0, kind >> 1 > 120 ? (kind >> 1) * 100 : kind >> 1, id, bytes,
		      len);
		return;
	}
	shutdown(agent.fd, SHUT_RDWR);
}

/* Without the mux's locks, after a call was sent. */
static void serve(void *arg, bool heard)
{
	unsigned char bytes[FRAME_HEADER], body[4096];
	struct frame frame;

	(void)arg;
	if (heard)
		return;
	while (recv(agent.fd, bytes, sizeof(bytes), MSG_DONTWAIT) == (ssize_t)sizeof(bytes)) {
		REQUIRE(frame_decode(bytes, &frame, NULL) == 0 && frame.size <= sizeof(body));
		REQUIRE(recv(agent.fd, body, frame.size, MSG_DONTWAIT) == (ssize_t)frame.size);
		if (frame.kind == FRAME_CALL)
			answer(frame.id);
	}
}

int link_mux(struct link *link, const struct call *call, struct mux **out, struct error *err)
{
	(void)link;
	(void)call;
	if (mux_dead(agent.mux))
		return error_set(err, ENOTCONN, "the agent is gone");
	*out = mux_ref(agent.mux);
	return 0;
}

int link_call(struct link *link, const struct call *call, enum session_op op,
	      const struct buf *args, struct buf *result, uint64_t *generation, struct error *err)
{
	struct mux *mux = NULL;
	int rc = link_mux(link, call, &mux, err);

	(void)generation;
	if (rc < 0)
		return rc;
	rc = mux_call(mux, call, op, args, result, NULL, err);
	mux_unref(mux);
	return rc == -ECONNRESET ? error_set(err, EIO, "the session broke") : rc;
}

uint64_t link_epoch(struct link *link)
{
	(void)link;
	return 1;
}

void link_retried(struct link *link, enum session_op op)
{
	(void)link;
	(void)op;
}

void link_unanswered(struct link *link, struct mux *mux, int64_t since, const struct error *why)
{
	(void)link;
	(void)mux;
	(void)since;
	(void)why;
}

static void attr_is_sane(const struct ws_attr *attr)
{
	sizes_are_sane(attr);
}

static int each(void *arg, const char *name, const struct ws_attr *attr)
{
	size_t *count = arg;

	name_is_sane(name);
	attr_is_sane(attr);
	++*count;
	return 0;
}

static void try_names(struct sws *ws)
{
	char target[LIMIT_SYMLINK_TARGET + 1];
	struct ws_statfs statfs;
	struct error err = { 0 };
	struct ws_attr attr, set = { .mode = 0644 };
	size_t count = 0;

	if (taken(sws_stat(ws, &soon, "a/b", &attr, &err), &err))
		attr_is_sane(&attr);
	taken(sws_list(ws, &soon, "a", each, &count, &err), &err);
	if (taken(sws_readlink(ws, &soon, "l", target, sizeof(target), &err), &err))
		REQUIRE(strnlen(target, sizeof(target)) < sizeof(target));
	taken(sws_statfs(ws, &soon, &statfs, &err), &err);
	if (taken(sws_mkdir(ws, &soon, "d", 0755, &attr, &err), &err))
		attr_is_sane(&attr);
	if (taken(sws_setattr(ws, &soon, "a", NULL, WS_SET_MODE, &set, &attr, &err), &err))
		attr_is_sane(&attr);
	taken(sws_rename(ws, &soon, "d", "e", 0, &err), &err);
	taken(sws_unlink(ws, &soon, "e", &err), &err);
}

static void try_file(struct sws *ws)
{
	static char bytes[300000];
	struct sws_file *file;
	struct error err = { 0 };
	struct ws_attr attr;
	ssize_t n;

	if (!taken(sws_open(ws, &soon, "f", O_RDWR, 0, &file, &attr, &err), &err))
		return;
	attr_is_sane(&attr);
	n = sws_read(file, &soon, 5, bytes, sizeof(bytes), &err);
	REQUIRE(!taken(n, &err) || (size_t)n <= sizeof(bytes));
	taken(sws_write(file, &soon, 0, "x", 1, &err), &err);
	taken(sws_write(file, &soon, 1, "y", 1, &err), &err);
	taken(sws_flush(file, &soon, &err), &err);
	if (taken(sws_fstat(file, &soon, &attr, &err), &err))
		attr_is_sane(&attr);
	taken(sws_rename(ws, &soon, "f", "g", 0, &err), &err);
	taken(sws_fsync(file, &soon, true, &err), &err);
	taken(sws_close(file, &soon, &err), &err);
}

static void try_service(struct sproc_room *room)
{
	struct proc_service service = { 0 };
	struct error err = { 0 };
	char bytes[100];
	ssize_t n;

	if (taken(sproc_service_status(room, &soon, "s", &service, &err), &err)) {
		REQUIRE(strnlen(service.state, sizeof(service.state)) < sizeof(service.state));
		service_is_sane(&service);
	}
	proc_service_free(&service);
	n = sproc_service_read(room, &soon, "s", 2, 7, bytes, sizeof(bytes), &err);
	REQUIRE(!taken(n, &err) || (size_t)n <= sizeof(bytes));
}

static void try_shell(struct sproc_room *room)
{
	struct proc_shell shell = { 0 };
	struct error err = { 0 };
	char bytes[4096];
	ssize_t n = sproc_shell_read(room, &soon, "1", 9, bytes, sizeof(bytes), &shell, &err);

	if (taken(n, &err)) {
		REQUIRE((size_t)n <= sizeof(bytes) && shell.cursor >= 9);
		time_is_sane(shell.started_at);
		time_is_sane(shell.ended_at);
	}
	n = sproc_shell_write(room, &soon, "1", "abc", 3, &err);
	REQUIRE(!taken(n, &err) || (n > 0 && n <= 3));
	taken(sproc_shell_close(room, &soon, "1", &shell, &err), &err);
}

static void try_command(struct sproc_room *room)
{
	const struct proc_settings settings = { 0 };
	struct proc_command_status status = { 0 };
	struct sproc_command *command;
	struct error err = { 0 };
	char bytes[100];
	ssize_t n;

	if (!taken(sproc_command_start(room, &soon, "true", &settings, -1, 0, 0, &command, &err),
		   &err))
		return;
	if (taken(sproc_command_status(command, &soon, &status, &err), &err))
		REQUIRE(status.pid >= 0 && status.out_size >= 0 && status.err_size >= 0 &&
			status.exit_code >= 0 && status.exit_code <= 255);
	n = sproc_command_read(command, &soon, 1, 0, bytes, sizeof(bytes), &err);
	REQUIRE(!taken(n, &err) || (size_t)n <= sizeof(bytes));
	sproc_command_free(command, &soon);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct sproc_room *room;
	struct error err = { 0 };
	struct sws *ws;
	int pair[2];

	if (!size)
		return 0;
	REQUIRE(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair) == 0);
	REQUIRE(mux_new(pair[0], NULL, serve, NULL, &agent.mux, &err) == 0);
	agent.at = data + 1;
	agent.end = data + size;
	agent.fd = pair[1];
	REQUIRE(sws_new(NULL, &ws) == 0);
	REQUIRE(sproc_room_new(NULL, 0.1, &room) == 0);
	for (int i = 0; i < 5; i++) {
		switch ((data[0] + i) % 5) {
		case 0:
			try_names(ws);
			break;
		case 1:
			try_file(ws);
			break;
		case 2:
			try_service(room);
			break;
		case 3:
			try_shell(room);
			break;
		default:
			try_command(room);
		}
	}
	sproc_room_free(room);
	sws_free(ws);
	mux_unref(agent.mux);
	close(agent.fd);
	return 0;
}
