/*
 * sws_world.c - see sws_world.h.
 */
#include "sws_relay.h"

#include <sys/socket.h>
#include <sys/un.h>
#include <sys/wait.h>

struct link {
	struct world *world;
	pthread_mutex_t lock;
	struct mux *mux; /* lock */
};

static int connect_agent(struct world *w)
{
	char hello[200];
	struct sockaddr_un address = { .sun_family = AF_UNIX };
	int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
	char byte = 0;

	strcpy(address.sun_path, w->socket);
	assert_int_equal(connect(fd, (struct sockaddr *)&address, sizeof(address)), 0);
	snprintf(hello, sizeof(hello),
		 "{\"action\": \"hello\", \"dialects\": [\"session/1\"], \"command\": \"true\", "
		 "\"timeout_seconds\": 10, \"client\": \"world\", \"attempt\": %u}\n",
		 w->sessions);
	assert_true(relay_send(fd, hello, strlen(hello)));
	while (byte != '\n')
		assert_int_equal(read(fd, &byte, 1), 1);
	return fd;
}

static struct mux *new_session(struct world *w)
{
	struct mux *mux;
	int pair[2];

	if (relay_is_late(w->relay))
		w->late = w->relay;
	else
		relay_free(w->relay);
	assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair), 0);
	w->relay = relay_new(w, pair[1], connect_agent(w));
	assert_int_equal(mux_new(pair[0], &w->traffic, NULL, NULL, &mux, NULL), 0);
	pthread_mutex_lock(&w->lock);
	w->epoch += w->booted;
	w->booted = false;
	mux_set_epoch(mux, w->epoch);
	pthread_mutex_unlock(&w->lock);
	return mux;
}

/* In place of link.c's. */
int link_mux(struct link *link, const struct call *call, struct mux **out, struct error *err)
{
	struct world *w = link->world;
	bool down;

	(void)call;
	pthread_mutex_lock(&link->lock);
	pthread_mutex_lock(&w->lock);
	down = w->down;
	pthread_mutex_unlock(&w->lock);
	if (!link->mux || mux_dead(link->mux)) {
		mux_unref(link->mux);
		link->mux = down ? NULL : new_session(w);
		pthread_mutex_lock(&w->lock);
		w->sessions += !down;
		pthread_mutex_unlock(&w->lock);
	}
	if (!down)
		*out = mux_ref(link->mux);
	pthread_mutex_unlock(&link->lock);
	return down ? error_set(err, ENOTCONN, "the guest is gone") : 0;
}

uint64_t link_epoch(struct link *link)
{
	uint64_t epoch;

	pthread_mutex_lock(&link->world->lock);
	epoch = link->world->epoch;
	pthread_mutex_unlock(&link->world->lock);
	return epoch;
}

void world_reboot(struct world *w)
{
	struct error why = { .code = ECONNRESET, .text = "the guest was started anew" };

	pthread_mutex_lock(&w->link->lock);
	if (w->link->mux)
		mux_kill(w->link->mux, &why);
	w->booted = true;
	pthread_mutex_unlock(&w->link->lock);
}

void link_retried(struct link *link, enum session_op op)
{
	traffic_add(&link->world->traffic, ops_kind(op), &(struct traffic_count){ .retries = 1 });
}

void link_unanswered(struct link *link, struct mux *mux, int64_t since, const struct error *why)
{
	(void)link;
	(void)mux;
	(void)since;
	(void)why;
}

static void start_agent(struct world *w)
{
	char listen[100], run[100], byte;
	int ready[2], lifeline[2];

	snprintf(listen, sizeof(listen), "unix:%s", w->socket);
	snprintf(run, sizeof(run), "%s/run", w->top);
	assert_int_equal(pipe2(ready, O_CLOEXEC), 0);
	assert_int_equal(pipe2(lifeline, O_CLOEXEC), 0);
	w->agent = fork();
	if (w->agent == 0) {
		const char *program = getenv("VSOCKFS_AGENT");
		char number[16], life[16];

		snprintf(number, sizeof(number), "%d", dup(ready[1]));
		snprintf(life, sizeof(life), "%d", dup(lifeline[0]));
		execl(program, program, "--listen", listen, "--workspace", w->dir, "--run-dir", run,
		      "--ready-fd", number, "--lifeline", life, (char *)NULL);
		_exit(127);
	}
	close(ready[1]);
	close(lifeline[0]);
	w->lifeline = lifeline[1];
	assert_int_equal(read(ready[0], &byte, 1), 1);
	close(ready[0]);
}

int world_setup(void **state)
{
	struct world *w = calloc(1, sizeof(*w));

	umask(0);
	strcpy(w->top, "/tmp/test-sws-XXXXXX");
	assert_non_null(mkdtemp(w->top));
	snprintf(w->dir, sizeof(w->dir), "%s/w", w->top);
	snprintf(w->socket, sizeof(w->socket), "%s/agent", w->top);
	assert_int_equal(mkdir(w->dir, 0755), 0);
	pthread_mutex_init(&w->lock, NULL);
	start_agent(w);
	w->link = calloc(1, sizeof(*w->link));
	w->link->world = w;
	pthread_mutex_init(&w->link->lock, NULL);
	w->epoch = 1;
	w->call = call_within(60, NULL);
	assert_int_equal(sws_new(w->link, &w->ws), 0);
	*state = w;
	return 0;
}

/* How many files below the workspace the agent has open; closes are not waited for, but come. */
static int open_in_agent(struct world *w)
{
	char command[200];
	FILE *out;
	int count = -1;

	snprintf(command, sizeof(command), "ls -l /proc/%d/fd | grep -c -- '-> %s/'", w->agent,
		 w->dir);
	out = popen(command, "r");
	assert_int_equal(fscanf(out, "%d", &count), 1);
	pclose(out);
	return count;
}

int world_teardown(void **state)
{
	struct world *w = *state;
	struct ws_statfs fs;
	char command[100];

	assert_null(w->ws->inodes); /* every file was closed */
	assert_int_equal(w->ws->count, 0);
	assert_int_equal(w->ws->bytes, 0);
	w->call = call_within(60, NULL);
	/* carried out behind all that was sent */
	ok(w, sws_statfs(w->ws, &w->call, &fs, &w->err));
	/* a session that was cut has its files closed when it has ended */
	while (open_in_agent(w))
		assert_int_equal(call_sleep(&w->call, 0.01), 0);
	sws_free(w->ws);
	mux_unref(w->link->mux);
	relay_free(w->relay);
	close(w->lifeline);
	waitpid(w->agent, NULL, 0);
	pthread_mutex_destroy(&w->link->lock);
	pthread_mutex_destroy(&w->lock);
	free(w->link);
	snprintf(command, sizeof(command), "rm -rf '%s'", w->top);
	assert_int_equal(system(command), 0);
	free(w);
	return 0;
}

void world_set_down(struct world *w, bool down)
{
	pthread_mutex_lock(&w->lock);
	w->down = down;
	pthread_mutex_unlock(&w->lock);
}

void world_count(struct world *w)
{
	pthread_mutex_lock(&w->lock);
	memset(w->calls, 0, sizeof(w->calls));
	pthread_mutex_unlock(&w->lock);
}

void world_counted(struct world *w, enum session_op op, unsigned count)
{
	pthread_mutex_lock(&w->lock);
	if (w->calls[op] != count)
		print_error("calls of '%s': ", ops_name(op));
	assert_int_equal(w->calls[op], count);
	pthread_mutex_unlock(&w->lock);
}

void world_counted_all(struct world *w, unsigned count)
{
	unsigned all = 0;

	pthread_mutex_lock(&w->lock);
	for (size_t i = 0; i < sizeof(w->calls) / sizeof(*w->calls); i++)
		all += w->calls[i];
	pthread_mutex_unlock(&w->lock);
	assert_int_equal(all, count);
}

const char *world_real(struct world *w, const char *path)
{
	static char buffers[4][4200];
	static int next;
	char *out = buffers[next++ % 4];

	snprintf(out, sizeof(buffers[0]), "%s/%s", w->dir, path);
	return out;
}

void world_put(struct world *w, const char *path, const char *text)
{
	FILE *file = fopen(world_real(w, path), "w");

	assert_non_null(file);
	fputs(text, file);
	assert_int_equal(fclose(file), 0);
}

void world_has(struct world *w, const char *path, const char *text)
{
	size_t room = strlen(text) + 100, got;
	char *bytes = malloc(room);
	FILE *file = fopen(world_real(w, path), "r");

	assert_non_null(file);
	got = fread(bytes, 1, room - 1, file);
	bytes[got] = '\0';
	assert_string_equal(bytes, text);
	fclose(file);
	free(bytes);
}

struct sws_file *world_open(struct world *w, const char *path, int flags, mode_t mode)
{
	struct sws_file *file = NULL;

	ok(w, sws_open(w->ws, &w->call, path, flags, mode, &file, &w->attr, &w->err));
	return file;
}

void world_write(struct world *w, struct sws_file *file, int64_t offset, const char *text)
{
	ok(w, sws_write(file, &w->call, offset, text, strlen(text), &w->err));
}

void world_reads(struct world *w, struct sws_file *file, int64_t offset, const char *text)
{
	size_t room = strlen(text) + 100;
	char *bytes = malloc(room);
	ssize_t got = sws_read(file, &w->call, offset, bytes, room - 1, &w->err);

	ok(w, got);
	bytes[got] = '\0';
	assert_string_equal(bytes, text);
	free(bytes);
}

void world_close(struct world *w, struct sws_file *file)
{
	ok(w, sws_flush(file, &w->call, &w->err));
	ok(w, sws_close(file, &w->call, &w->err));
}

void world_ok(struct world *w, long long rc, const char *file, int line)
{
	if (rc < 0)
		print_error("%s:%d: %lld %s\n", file, line, rc, w->err.text);
	_assert_true(rc >= 0, "succeeded", file, line);
}
