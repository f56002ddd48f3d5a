/*
 * fuzz_session_agent.c - a client of the agent's sessions that sends arbitrary bytes: frames, in pieces of any
 * size, to file operations below a workspace of its own.
 *
 * The first byte says how large the pieces are. Whatever is sent, nothing outside the workspace changes, every
 * frame that comes back is one, and the session ends when the client does. Calls that would run programs are
 * not let through.
 */
#include <errno.h>
#include <fcntl.h>
#include <fts.h>
#include <pthread.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include "protocol/agent/agent.h"
#include "protocol/agent/session_conn.h"
#include "protocol/agent/session_room.h"
#include "protocol/session/frame.h"
#include "protocol/session/ops.h"

int LLVMFuzzerInitialize(int *argc, char ***argv);
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

#define FILE_SIZE_MAX (1u << 20)

#define REQUIRE(condition)                                                                         \
	do {                                                                                       \
		if (!(condition))                                                                  \
			abort();                                                                   \
	} while (0)

static struct agent *agent;
static char base[] = "/tmp/fuzz-session-XXXXXX";
static char workspace[64];

/* How many of the bytes are frames that a test may send. */
static size_t harmless(const uint8_t *data, size_t size)
{
	size_t at = 0;

	while (size - at >= FRAME_HEADER) {
		struct frame frame;

		if (frame_decode(data + at, &frame, NULL) < 0)
			return size; /* the agent stops reading here */
		if (frame.kind == FRAME_CALL && frame.code >= OP_SERVICE_START &&
		    frame.code != OP_INFO)
			return at;
		if (frame.size > size - at - FRAME_HEADER)
			return size;
		at += FRAME_HEADER + frame.size;
	}
	return size;
}

static void make_file(int dir, const char *name, const char *text)
{
	int fd = openat(dir, name, O_WRONLY | O_CREAT | O_TRUNC | O_NOFOLLOW | O_CLOEXEC, 0600);

	REQUIRE(fd >= 0 && write(fd, text, strlen(text)) == (ssize_t)strlen(text));
	close(fd);
}

static void make_workspace(void)
{
	int dir;

	REQUIRE(mkdir(workspace, 0700) == 0);
	dir = open(workspace, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	REQUIRE(dir >= 0);
	make_file(dir, "file", "here");
	REQUIRE(mkdirat(dir, "dir", 0700) == 0);
	REQUIRE(symlinkat("..", dir, "up") == 0 && symlinkat("../outside", dir, "out") == 0);
	REQUIRE(mkfifoat(dir, "fifo", 0600) == 0);
	close(dir);
}

static void remove_tree(char *path)
{
	char *const paths[] = { path, NULL };
	FTS *fts = fts_open(paths, FTS_PHYSICAL | FTS_NOCHDIR, NULL);
	FTSENT *entry;

	REQUIRE(fts);
	while ((entry = fts_read(fts))) {
		if (entry->fts_info == FTS_D)
			chmod(entry->fts_accpath, 0700);
		else if (entry->fts_info == FTS_DP || entry->fts_info == FTS_DNR)
			rmdir(entry->fts_accpath);
		else
			unlink(entry->fts_accpath);
	}
	fts_close(fts);
}

static void check_outside(void)
{
	char path[64], text[16];
	struct stat st;
	int fd;

	snprintf(path, sizeof(path), "%s/outside", base);
	fd = open(path, O_RDONLY | O_NOFOLLOW | O_CLOEXEC);
	REQUIRE(fd >= 0 && fstat(fd, &st) == 0);
	REQUIRE(S_ISREG(st.st_mode) && (st.st_mode & 07777) == 0600 && st.st_nlink == 1);
	REQUIRE(read(fd, text, sizeof(text)) == 6 && memcmp(text, "secret", 6) == 0);
	close(fd);
}

/* Reads what the agent says to its end; frames, every one of them whole. */
static void *listen_to(void *arg)
{
	const int *fd = arg;
	static unsigned char body[FRAME_BODY_MAX];
	unsigned char header[FRAME_HEADER];

	while (recv(*fd, header, sizeof(header), MSG_WAITALL) == (ssize_t)sizeof(header)) {
		struct frame frame;

		REQUIRE(frame_decode(header, &frame, NULL) == 0);
		REQUIRE(frame.kind == FRAME_DONE || frame.kind == FRAME_DATA ||
			frame.kind == FRAME_CREDIT);
		if (frame.size && recv(*fd, body, frame.size, MSG_WAITALL) != (ssize_t)frame.size)
			break;
	}
	return NULL;
}

struct input {
	int fd;
	const uint8_t *data;
	size_t size, piece;
};

static void *speak(void *arg)
{
	struct input *input = arg;

	for (size_t at = 0; at < input->size; at += input->piece) {
		size_t len = input->size - at < input->piece ? input->size - at : input->piece;

		if (send(input->fd, input->data + at, len, MSG_NOSIGNAL) < 0)
			break;
	}
	shutdown(input->fd, SHUT_WR);
	return NULL;
}

int LLVMFuzzerInitialize(int *argc, char ***argv)
{
	const struct rlimit limit = { FILE_SIZE_MAX, FILE_SIZE_MAX };
	struct agent_options options = { .workspace = workspace };
	struct error err;
	int dir;

	(void)argc;
	(void)argv;
	signal(SIGXFSZ, SIG_IGN);
	setrlimit(RLIMIT_FSIZE, &limit);
	REQUIRE(mkdtemp(base));
	dir = open(base, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	make_file(dir, "outside", "secret");
	close(dir);
	snprintf(workspace, sizeof(workspace), "%s/workspace", base);
	options.run_dir = base;
	REQUIRE(agent_new(&options, &agent, &err) == 0);
	return 0;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct input input;
	pthread_t speaker, listener;
	struct error err = { 0 };
	struct sess sess;
	int ends[2];

	if (size < 1)
		return 0;
	make_workspace();
	REQUIRE(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, ends) == 0);
	input = (struct input){
		.fd = ends[0],
		.data = data + 1,
		.size = harmless(data + 1, size - 1),
		.piece = data[0] + 1u,
	};
	REQUIRE(sess_open(agent, ends[1], &sess, &err) == 0);
	REQUIRE(pthread_create(&speaker, NULL, speak, &input) == 0);
	REQUIRE(pthread_create(&listener, NULL, listen_to, &ends[0]) == 0);
	sess_serve(&sess, "", 0);
	sess_close(&sess);
	close(ends[1]);
	REQUIRE(pthread_join(speaker, NULL) == 0 && pthread_join(listener, NULL) == 0);
	close(ends[0]);
	/* Waits for every thread that is left. */
	sess_room_free(agent->sessions);
	REQUIRE(sess_room_new(agent, &agent->sessions, &err) == 0);
	check_outside();
	remove_tree(workspace);
	return 0;
}
