/*
 * fuzz_session_agent.c - a client of the agent's sessions that sends arbitrary bytes: frames, in
 * pieces of any size, to operations on files below a workspace of its own, and on a service that
 * has ended.
 *
 * The first byte says how large the pieces are. Whatever is sent, nothing outside the workspace
 * changes, every frame that comes back is one, and the session ends when the client does. Calls
 * that would run programs are not let through.
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
#include "protocol/agent/rundir.h"
#include "protocol/agent/session_conn.h"
#include "protocol/agent/session_room.h"
#include "protocol/session/frame.h"
#include "protocol/session/ops.h"
#include "tests/fuzz/require.h"

int LLVMFuzzerInitialize(int *argc, char ***argv);
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

#define FILE_SIZE_MAX (1u << 20)
#define PATIENCE_NS 5000000

static struct agent *agent;
static char base[] = "/tmp/fuzz-session-XXXXXX";
static char workspace[64];

static bool runs_programs(unsigned op)
{
	return op == OP_SERVICE_START || op == OP_SHELL_OPEN || op == OP_COMMAND_START;
}

/* How many of the bytes are frames that a test may send, and how many CALLs are among them. */
static size_t harmless(const uint8_t *data, size_t size, unsigned *calls)
{
	size_t at = 0;

	*calls = 0;
	while (size - at >= FRAME_HEADER) {
		struct frame frame;

		if (frame_decode(data + at, &frame, NULL) < 0)
			return size; /* the agent stops reading here */
		if (frame.kind == FRAME_CALL && runs_programs(frame.code))
			return at;
		if (frame.size > size - at - FRAME_HEADER)
			return size;
		*calls += frame.kind == FRAME_CALL;
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

/* The client: one thread speaks and one listens. */
struct client {
	int fd;
	const uint8_t *data;
	size_t size, piece;

	pthread_mutex_t lock;
	pthread_cond_t news;
	unsigned calls; /* lock; not answered yet */
	bool over;      /* lock; the agent has closed */
};

/* Reads what the agent says to its end; frames, every one of them whole. */
static void *listen_to(void *arg)
{
	struct client *client = arg;
	static unsigned char body[FRAME_BODY_MAX];
	unsigned char header[FRAME_HEADER];

	while (recv(client->fd, header, sizeof(header), MSG_WAITALL) == (ssize_t)sizeof(header)) {
		struct frame frame;

		REQUIRE(frame_decode(header, &frame, NULL) == 0);
		REQUIRE(frame.kind == FRAME_DONE || frame.kind == FRAME_DATA ||
			frame.kind == FRAME_CREDIT);
		if (frame.size &&
		    recv(client->fd, body, frame.size, MSG_WAITALL) != (ssize_t)frame.size)
			break;
		pthread_mutex_lock(&client->lock);
		client->calls -= frame.kind == FRAME_DONE && client->calls;
		pthread_cond_signal(&client->news);
		pthread_mutex_unlock(&client->lock);
	}
	pthread_mutex_lock(&client->lock);
	client->over = true;
	pthread_cond_signal(&client->news);
	pthread_mutex_unlock(&client->lock);
	return NULL;
}

/*
 * A session that ends takes what is slow with it: so until all is answered, or only what waits for
 * ever is not.
 */
static void await_answers(struct client *client)
{
	struct timespec until;
	int rc = 0;

	pthread_mutex_lock(&client->lock);
	clock_gettime(CLOCK_REALTIME, &until);
	until.tv_nsec += PATIENCE_NS;
	until.tv_sec += until.tv_nsec / 1000000000;
	until.tv_nsec %= 1000000000;
	while (client->calls && !client->over && rc == 0)
		rc = pthread_cond_timedwait(&client->news, &client->lock, &until);
	pthread_mutex_unlock(&client->lock);
}

static void *speak(void *arg)
{
	struct client *client = arg;

	for (size_t at = 0; at < client->size; at += client->piece) {
		size_t len = client->size - at < client->piece ? client->size - at : client->piece;

		if (send(client->fd, client->data + at, len, MSG_NOSIGNAL) < 0)
			break;
	}
	await_answers(client);
	shutdown(client->fd, SHUT_WR);
	return NULL;
}

int LLVMFuzzerInitialize(int *argc, char ***argv)
{
	const struct rlimit limit = { FILE_SIZE_MAX, FILE_SIZE_MAX };
	struct agent_options options = { .workspace = workspace };
	struct error err;
	int dir, services;

	(void)argc;
	(void)argv;
	signal(SIGXFSZ, SIG_IGN);
	setrlimit(RLIMIT_FSIZE, &limit);
	REQUIRE(mkdtemp(base));
	dir = open(base, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	make_file(dir, "outside", "secret");
	REQUIRE(mkdirat(dir, RUNDIR_SERVICES, 0700) == 0);
	services = openat(dir, RUNDIR_SERVICES, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	make_file(services, "s.json", "{\"command\": \"true\", \"state\": \"exited\"}");
	make_file(services, "s.stdout", "what it wrote");
	close(services);
	close(dir);
	snprintf(workspace, sizeof(workspace), "%s/workspace", base);
	options.run_dir = base;
	REQUIRE(agent_new(&options, &agent, &err) == 0);
	return 0;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct client client = {
		.lock = PTHREAD_MUTEX_INITIALIZER,
		.news = PTHREAD_COND_INITIALIZER,
	};
	pthread_t speaker, listener;
	const struct sess_client nobody = { 0 };
	struct error err = { 0 };
	struct sess sess;
	int ends[2];

	if (size < 1)
		return 0;
	make_workspace();
	REQUIRE(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, ends) == 0);
	client.fd = ends[0];
	client.data = data + 1;
	client.size = harmless(data + 1, size - 1, &client.calls);
	client.piece = data[0] + 1u;
	REQUIRE(sess_open(agent, ends[1], &nobody, &sess, &err) == 0);
	REQUIRE(pthread_create(&speaker, NULL, speak, &client) == 0);
	REQUIRE(pthread_create(&listener, NULL, listen_to, &client) == 0);
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
