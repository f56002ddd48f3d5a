/*
 * fake_guest.c - a guest for the tests of proc_*.c: this machine.  See fake_guest.h.
 */
#include "fake_guest.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>
#include <sys/wait.h>
#include <unistd.h>

#include "protocol/buf.h"
#include "protocol/cleanup.h"
#include "protocol/line/line.h"
#include "protocol/line/lproc.h"
#include "protocol/utf8.h"

struct guest {
	char token[17];
	struct guest_options options;
	struct lproc_room *room;
	pthread_mutex_t serial; /* held by the exec that is under way */
	atomic_uint execs;
	double longest;
	const char *refusal;
	bool lose;
	atomic_bool held;
};

struct guest *fake_guest_new(void)
{
	struct guest *guest = calloc(1, sizeof(*guest));
	unsigned long long number = 0;

	if (!guest || getrandom(&number, sizeof(number), 0) != sizeof(number))
		abort();
	snprintf(guest->token, sizeof(guest->token), "%016llx", number);
	pthread_mutex_init(&guest->serial, NULL);
	guest->options.timeout = 10;
	if (lproc_room_new(guest, &guest->room, NULL))
		abort();
	return guest;
}

void fake_guest_free(struct guest *guest)
{
	lproc_room_free(guest->room);
	pthread_mutex_destroy(&guest->serial);
	free(guest);
}

struct call fake_call(void)
{
	return call_within(10, NULL);
}

struct call guest_call(struct guest *guest, struct cancel *cancel)
{
	return call_within(guest->options.timeout, cancel);
}

struct lproc_room *lproc_of(struct guest *guest)
{
	return guest->room;
}

const char *guest_token(struct guest *guest)
{
	return guest->token;
}

const struct guest_options *guest_options(struct guest *guest)
{
	return &guest->options;
}

unsigned fake_execs(const struct guest *guest)
{
	return guest->execs;
}

double fake_longest(const struct guest *guest)
{
	return guest->longest;
}

void fake_refuse(struct guest *guest, const char *text)
{
	guest->refusal = text;
}

void fake_lose_answer(struct guest *guest)
{
	guest->lose = true;
}

void fake_hold(struct guest *guest, bool held)
{
	atomic_store(&guest->held, held);
}

const char *fake_root(void)
{
	const char *root = getenv("FAKE_ROOT");

	return root ? root : "";
}

unsigned fake_processes(const struct guest *guest)
{
	DIR *proc = opendir("/proc");
	char mark[64], path[300], environ_text[65536];
	struct dirent *entry;
	unsigned count = 0;
	size_t mark_len;

	mark_len = (size_t)snprintf(mark, sizeof(mark), "VSOCKFS_K=%s", guest->token);
	while (proc && (entry = readdir(proc))) {
		ssize_t len = -1;

		snprintf(path, sizeof(path), "/proc/%s/environ", entry->d_name);
		autoclose int fd = open(path, O_RDONLY | O_CLOEXEC);

		if (fd >= 0)
			len = read(fd, environ_text, sizeof(environ_text));
		if (len > 0 && memmem(environ_text, (size_t)len, mark, mark_len))
			count++;
	}
	if (proc)
		closedir(proc);
	return count;
}

bool fake_leftovers(const struct guest *guest)
{
	static const char *const places[] = { "/run/vsockfs-", "/tmp/vsockfs-",
					      "/workspace/.vsockfs-" };
	char path[4096];

	for (size_t i = 0; i < 3; i++) {
		snprintf(path, sizeof(path), "%s%s%s", fake_root(), places[i], guest->token);
		if (access(path, F_OK) == 0)
			return true;
	}
	return false;
}

static void run_child(const struct line_exec *in, int out, int err)
{
	if (*fake_root() && chroot(fake_root()) < 0)
		_exit(126);
	if (chdir("/") < 0)
		_exit(126);
	dup2(out, 1);
	dup2(err, 2);
	for (size_t i = 0; i < in->env_count; i++)
		setenv(in->env[i].name, in->env[i].value, 1);
	execl("/bin/sh", "sh", "-lc", in->command, (char *)NULL);
	_exit(127);
}

/* Reads both pipes to their ends, or for SECONDS. */
static bool collect(struct pollfd pipes[static 2], struct buf texts[static 2], double seconds)
{
	struct call call = call_within(seconds, NULL);

	while (pipes[0].fd >= 0 || pipes[1].fd >= 0) {
		if (poll(pipes, 2, call_remaining_ms(&call)) == 0)
			return false;
		for (int i = 0; i < 2; i++) {
			char bytes[8192];
			ssize_t got;

			if (pipes[i].fd < 0 || !pipes[i].revents)
				continue;
			got = read(pipes[i].fd, bytes, sizeof(bytes));
			if (got > 0)
				buf_add(&texts[i], bytes, (size_t)got);
			else
				pipes[i].fd = -1;
		}
	}
	return true;
}

/* Python's universal newlines. */
static void take_text(struct line_text *out, struct buf *in)
{
	out->data = malloc(in->len + 1);
	out->len = 0;
	for (size_t i = 0; i < in->len; i++) {
		if (in->data[i] == '\r' && i + 1 < in->len && in->data[i + 1] == '\n')
			continue;
		out->data[out->len++] = in->data[i] == '\r' ? '\n' : in->data[i];
	}
	out->data[out->len] = '\0';
}

static int answer(struct line_exec_reply *out, struct buf texts[static 2], int status,
		  struct error *err)
{
	if ((texts[0].len && !utf8_valid(texts[0].data, texts[0].len)) ||
	    (texts[1].len && !utf8_valid(texts[1].data, texts[1].len)))
		return error_set(err, EREMOTEIO, "'utf-8' codec can't decode byte 0xff");
	take_text(&out->out, &texts[0]);
	take_text(&out->err, &texts[1]);
	out->exit_code = WIFEXITED(status) ? WEXITSTATUS(status) : -WTERMSIG(status);
	return 0;
}

static int one_exec(struct guest *guest, const struct call *call, const struct line_exec *in,
		    struct line_exec_reply *out, struct error *err)
{
	int outs[2], errs[2], status = 0, rc = 0;
	struct buf texts[2] = { BUF_INIT(16 << 20), BUF_INIT(16 << 20) };
	int64_t began = call_now();
	double took;
	pid_t pid;

	guest->execs++;
	if (guest->refusal) {
		const char *text = guest->refusal;

		guest->refusal = NULL;
		return error_set(err, EREMOTEIO, "%s", text);
	}
	if (call_remaining_ms(call) == 0)
		return error_set(err, ETIMEDOUT, "the deadline has passed");
	if (pipe2(outs, O_CLOEXEC) < 0 || pipe2(errs, O_CLOEXEC) < 0)
		abort();
	pid = fork();
	if (pid == 0)
		run_child(in, outs[1], errs[1]);
	close(outs[1]);
	close(errs[1]);
	if (!collect((struct pollfd[]){ { .fd = outs[0], .events = POLLIN },
					{ .fd = errs[0], .events = POLLIN } },
		     texts, in->timeout_seconds)) {
		kill(pid, SIGKILL);
		rc = error_set(err, ETIMEDOUT, "command timed out after %ds", in->timeout_seconds);
	}
	close(outs[0]);
	close(errs[0]);
	waitpid(pid, &status, 0);
	if (guest->lose)
		rc = error_set(err, EINTR, "interrupted");
	guest->lose = false;
	rc = rc ? rc : answer(out, texts, status, err);
	buf_free(&texts[0]);
	buf_free(&texts[1]);
	took = (double)(call_now() - began) / 1e9;
	if (took > guest->longest)
		guest->longest = took;
	return rc;
}

int line_exec(struct guest *guest, const struct call *call, const struct line_exec *in,
	      struct line_exec_reply *out, struct error *err)
{
	int rc = 0;

	while (!rc && atomic_load(&guest->held) && !guest->lose)
		rc = call_sleep(call, 0.01);
	if (rc)
		return error_set(err, -rc, "the guest is held");
	pthread_mutex_lock(&guest->serial);
	rc = one_exec(guest, call, in, out, err);
	pthread_mutex_unlock(&guest->serial);
	return rc;
}

void line_exec_reply_free(struct line_exec_reply *reply)
{
	free(reply->out.data);
	free(reply->err.data);
}
