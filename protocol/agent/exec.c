/*
 * exec.c - one command, run to its end, with what it wrote.
 *
 * The request ends with the shell: a child that it left in the background keeps its pipes
 * but not the request.  Outputs are bytes and travel as they are.
 */
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <string.h>
#include <unistd.h>

#include "protocol/agent/actions.h"
#include "protocol/agent/child.h"
#include "protocol/agent/clock.h"
#include "protocol/agent/environment.h"
#include "protocol/buf.h"
#include "protocol/cleanup.h"

#define DEFAULT_TIMEOUT_SECONDS 30
#define MAX_TIMEOUT_SECONDS INT64_C(2592000) /* 30 days */

/* After the shell's end: silence that ends the reading, and how long it goes on at most. */
#define DRAIN_SILENCE_MS 50
#define DRAIN_MS 1000

/* Leaves room for the keys; escapes are paid for when the reply is made. */
#define MAX_OUTPUT (LIMIT_REPLY_OBJECT - 4096)

struct run {
	struct child *child;
	int fds[2];         /* stdout and stderr, -1 after their end */
	struct buf text[2]; /* what came */
	int64_t deadline;
	bool timed_out;
};

static void run_free(struct run *run)
{
	for (int i = 0; i < 2; i++) {
		if (run->fds[i] >= 0)
			close(run->fds[i]);
		buf_free(&run->text[i]);
	}
	child_unref(run->child);
}

static int start(struct request *request, const char *command, struct run *run, struct error *err)
{
	const char *argv[] = { "/bin/sh", "-lc", command, NULL };
	struct child_spec spec = { .argv = argv, .cwd = "/", .fds = { -1, -1, -1 } };
	int out[2] = { -1, -1 }, errors[2] = { -1, -1 };
	char **env = NULL;
	int rc = environment_make(request, NULL, &env, err);

	if (rc < 0)
		return rc;
	if (pipe2(out, O_CLOEXEC) < 0 || pipe2(errors, O_CLOEXEC) < 0) {
		rc = error_set(err, errno, "cannot make a pipe: %s", strerror(errno));
	} else {
		spec.env = env;
		spec.fds[1] = out[1];
		spec.fds[2] = errors[1];
		rc = child_start(request->agent->children, &spec, &run->child, err);
	}
	if (out[1] >= 0)
		close(out[1]);
	if (errors[1] >= 0)
		close(errors[1]);
	run->fds[0] = out[0];
	run->fds[1] = errors[0];
	for (int i = 0; i < 2 && rc == 0; i++)
		fcntl(run->fds[i], F_SETFL, O_NONBLOCK);
	environment_free(env);
	return rc;
}

/* Takes what is there.  -EFBIG when it is more than a reply can carry. */
static int take(struct run *run, int which, struct error *err)
{
	struct buf *text = &run->text[which];

	for (;;) {
		char piece[16384];
		ssize_t n = read(run->fds[which], piece, sizeof(piece));

		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0 && errno == EAGAIN)
			return 0;
		if (n <= 0) {
			close(move_fd(run->fds[which]));
			return 0;
		}
		buf_add(text, piece, (size_t)n);
		if (text->overflow || run->text[0].len + run->text[1].len > MAX_OUTPUT)
			return error_set(err, EFBIG,
					 "the command was killed: it wrote more than a reply may "
					 "carry (%u bytes); send its output to a file",
					 LIMIT_REPLY_OBJECT);
	}
}

/* Reads until the shell has ended and its pipes are empty, or time is up. */
static int collect(struct run *run, struct error *err)
{
	int64_t drain_until = 0; /* set when the shell has ended */

	for (;;) {
		struct pollfd wait[3] = {
			{ .fd = run->fds[0], .events = POLLIN },
			{ .fd = run->fds[1], .events = POLLIN },
			{ .fd = drain_until ? -1 : child_event(run->child), .events = POLLIN },
		};
		int ms = clock_until(drain_until ? drain_until : run->deadline);

		if (drain_until && run->fds[0] < 0 && run->fds[1] < 0)
			return 0;
		if (drain_until && ms > DRAIN_SILENCE_MS)
			ms = DRAIN_SILENCE_MS;

		int ready = poll(wait, 3, ms);

		if (ready < 0)
			continue;
		if (drain_until && (ready == 0 || ms == 0))
			return 0;
		/* Not only when nothing came: a command that never stops writing ends as well. */
		if (!drain_until && clock_until(run->deadline) == 0) {
			run->timed_out = true;
			child_signal(run->child, SIGKILL);
			child_wait(run->child, clock_ms() + DRAIN_MS);
		}
		for (int i = 0; i < 2; i++) {
			int rc = wait[i].revents ? take(run, i, err) : 0;

			if (rc < 0)
				return rc;
		}
		if (!drain_until && (wait[2].revents || run->timed_out))
			drain_until = clock_ms() + DRAIN_MS;
	}
}

static void say_timeout(struct run *run, int64_t seconds)
{
	struct buf *text = &run->text[1];

	if (text->len && text->data[text->len - 1] != '\n')
		buf_adds(text, "\n");
	buf_addf(text, "command timed out after %llds", (long long)seconds);
}

static void fill_reply(struct reply *reply, const struct run *run, int exit_code,
		       int64_t duration_ms)
{
	reply_bytes(reply, "stdout", buf_str(&run->text[0]), run->text[0].len);
	reply_bytes(reply, "stderr", buf_str(&run->text[1]), run->text[1].len);
	reply_int(reply, "exit_code", exit_code);
	reply_int(reply, "duration_ms", duration_ms);
}

int action_exec(struct request *request, struct reply *reply, struct error *err)
{
	__attribute__((cleanup(run_free))) struct run run = {
		.fds = { -1, -1 },
		.text = { BUF_INIT(LIMIT_REPLY_OBJECT), BUF_INIT(LIMIT_REPLY_OBJECT) },
	};
	struct child_end end = { .exit_code = 124 };
	autofree char *command = NULL;
	int64_t seconds = 0, began = clock_ms();
	int rc;

	rc = request_text(request, "command", "", LIMIT_EXEC_COMMAND, &command, err);
	if (rc == 0)
		rc = request_int(request, "timeout_seconds", DEFAULT_TIMEOUT_SECONDS, INT64_MIN,
				 INT64_MAX, &seconds, err);
	if (rc < 0)
		return rc;
	if (!command[0]) { /* also what an unknown action comes to */
		fill_reply(reply, &run, 0, 0);
		return 0;
	}
	seconds = seconds < 0 ? 0 : seconds;
	seconds = seconds > MAX_TIMEOUT_SECONDS ? MAX_TIMEOUT_SECONDS : seconds;

	run.deadline = began + seconds * 1000;
	rc = start(request, command, &run, err);
	if (rc < 0)
		return rc;
	rc = collect(&run, err);
	if (rc < 0) {
		child_signal(run.child, SIGKILL);
		return rc;
	}
	if (run.timed_out)
		say_timeout(&run, seconds);
	else
		child_ended(run.child, &end);
	fill_reply(reply, &run, end.exit_code, clock_ms() - began);
	return 0;
}
