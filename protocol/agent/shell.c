/* shell.c - see shell.h. */
#include "protocol/agent/shell_internal.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <termios.h>
#include <unistd.h>
#include <utlist.h>

#include "protocol/agent/child.h"
#include "protocol/agent/clock.h"
#include "protocol/agent/kin.h"
#include "protocol/agent/redact.h"
#include "protocol/agent/session_proc_hub.h"
#include "protocol/agent/terminal.h"
#include "protocol/cleanup.h"

#define CLOSE_MS 5000
#define KILL_MS 2000

/* After the shell's end: silence of the terminal that means that all was read. */
#define DRAIN_SILENCE_MS 50

void shell_notify(struct shell *shell)
{
	uint64_t one = 1;

	while (write(shell->wake, &one, sizeof(one)) < 0 && errno == EINTR)
		;
}

static void tell(struct shell *shell)
{
	proc_hub_tell(shell->shells->agent->procs, PROC_SHELL, shell->id);
}

static void emit(void *arg, const char *bytes, size_t len)
{
	struct shell *shell = arg;

	transcript_add(&shell->transcript, bytes, len);
}

/* Reads what the terminal has.  False at its end. */
static bool take_output(struct shell *shell)
{
	char piece[16384];
	ssize_t n = read(shell->terminal, piece, sizeof(piece));

	if (n < 0)
		return errno == EINTR || errno == EAGAIN;
	if (n == 0)
		return false;
	pthread_mutex_lock(&shell->lock);
	redact_add(&shell->redact, piece, (size_t)n, emit, shell);
	pthread_mutex_unlock(&shell->lock);
	tell(shell);
	return true;
}

static void give_input(struct shell *shell)
{
	pthread_mutex_lock(&shell->lock);
	if (shell->input.len) {
		ssize_t n = write(shell->terminal, shell->input.data, shell->input.len);

		if (n > 0) {
			buf_consume(&shell->input, (size_t)n);
			budget_give(&shell->shells->agent->held, (size_t)n);
		}
	}
	pthread_mutex_unlock(&shell->lock);
}

/* The shell has ended and its terminal is silent: what it showed is complete. */
static void set_drained(struct shell *shell)
{
	bool news;

	pthread_mutex_lock(&shell->lock);
	news = !shell->drained;
	if (news) {
		redact_finish(&shell->redact, emit, shell);
		transcript_finish(&shell->transcript);
		shell->drained = true;
	}
	pthread_mutex_unlock(&shell->lock);
	if (news)
		tell(shell);
}

static short wanted_events(struct shell *shell, bool *closing)
{
	short events;

	pthread_mutex_lock(&shell->lock);
	*closing = shell->closing;
	events = shell->input.len ? POLLIN | POLLOUT : POLLIN;
	pthread_mutex_unlock(&shell->lock);
	return events;
}

static void *run(void *arg)
{
	struct shell *shell = arg;
	bool open = true, ended = false, closing, silent = false;
	uint64_t count;

	for (;;) {
		struct pollfd wait[3] = {
			{ .fd = open ? shell->terminal : -1 },
			{ .fd = shell->wake, .events = POLLIN },
			{ .fd = ended ? -1 : child_event(shell->child), .events = POLLIN },
		};
		int ready;

		wait[0].events = wanted_events(shell, &closing);
		if (ended && (silent || !open))
			set_drained(shell);
		if (closing)
			break;
		ready = poll(wait, 3, ended && !silent && open ? DRAIN_SILENCE_MS : -1);
		if (ready < 0)
			continue;
		silent = ended && ready == 0;
		if (wait[1].revents && read(shell->wake, &count, sizeof(count)) < 0)
			continue;
		if (wait[2].revents)
			ended = true;
		if (wait[0].revents & POLLOUT)
			give_input(shell);
		if (wait[0].revents & (POLLIN | POLLHUP | POLLERR))
			open = take_output(shell);
	}
	return NULL;
}

/* What a shell holds besides its process and its thread. */
static void shell_release(struct shell *shell)
{
	if (shell->terminal >= 0)
		close(shell->terminal);
	if (shell->wake >= 0)
		close(shell->wake);
	child_unref(shell->child);
	transcript_free(&shell->transcript);
	redact_free(&shell->redact);
	budget_give(&shell->shells->agent->held, shell->input.len);
	buf_free(&shell->input);
	pthread_mutex_destroy(&shell->lock);
	free(shell->cwd);
	free(shell);
}

/* The last reference: the thread ends, and the terminal with it. */
static void shell_destroy(struct shell *shell)
{
	pthread_mutex_lock(&shell->lock);
	shell->closing = true;
	pthread_mutex_unlock(&shell->lock);
	shell_notify(shell);
	pthread_join(shell->thread, NULL);
	shell_release(shell);
}

/* Hold shells->lock.  What all transcripts may take, evenly. */
static void share_out(struct shells *shells)
{
	struct shell *shell;

	DL_FOREACH (shells->all, shell) {
		pthread_mutex_lock(&shell->lock);
		transcript_limit(&shell->transcript, LIMIT_AGENT_TRANSCRIPT / shells->count);
		pthread_mutex_unlock(&shell->lock);
	}
}

void shell_unref(struct shell *shell)
{
	struct shells *shells = shell->shells;
	bool last;

	pthread_mutex_lock(&shells->lock);
	last = --shell->refs == 0;
	if (last) {
		/* NOLINTNEXTLINE(clang-analyzer-core.NullDereference): it is in the list */
		DL_DELETE(shells->all, shell);
		shells->count--;
		share_out(shells);
	}
	pthread_mutex_unlock(&shells->lock);
	if (last)
		shell_destroy(shell);
}

/* Takes the shell off the table, with the table's reference. */
static void unlist(struct shell *shell)
{
	struct shells *shells = shell->shells;
	bool listed;

	pthread_mutex_lock(&shells->lock);
	listed = shell->listed;
	shell->listed = false;
	if (listed)
		HASH_DEL(shells->by_id, shell);
	pthread_mutex_unlock(&shells->lock);
	if (listed)
		shell_unref(shell);
}

static int start_shell(struct shells *shells, struct shell *shell, const struct shell_spec *spec,
		       struct error *err)
{
	static const char *const bash[] = { "/bin/bash", "/usr/bin/bash", "/usr/local/bin/bash" };
	const char *with_bash[] = { NULL, "--noprofile", "--norc", "-i", NULL };
	const char *with_sh[] = { "/bin/sh", "-i", NULL };
	struct child_spec child = { .argv = with_sh, .terminal = true };
	autoclose int slave = -1;
	int rc = terminal_open(spec->cols, spec->rows, &shell->terminal, &slave, err);

	if (rc < 0)
		return rc;
	for (size_t i = 0; i < sizeof(bash) / sizeof(bash[0]) && !with_bash[0]; i++) {
		if (access(bash[i], X_OK) == 0)
			with_bash[0] = bash[i];
	}
	if (with_bash[0])
		child.argv = with_bash;
	child.env = spec->env;
	child.cwd = spec->host_cwd;
	child.fds[0] = child.fds[1] = child.fds[2] = slave;
	return child_start(shells->agent->children, &child, &shell->child, err);
}

/* All but the table's part. */
static int make(struct shells *shells, const struct shell_spec *spec, struct shell **out,
		struct error *err)
{
	struct shell *shell = calloc(1, sizeof(*shell));
	int rc;

	if (!shell)
		return error_set(err, ENOMEM, "out of memory");
	pthread_mutex_init(&shell->lock, NULL);
	transcript_init(&shell->transcript, LIMIT_AGENT_TRANSCRIPT);
	buf_init(&shell->input, LIMIT_AGENT_SHELL_INPUT);
	shell->shells = shells;
	shell->terminal = -1;
	shell->cols = spec->cols;
	shell->rows = spec->rows;
	shell->started_at = clock_epoch();
	strncpy(shell->id, spec->id, sizeof(shell->id) - 1);
	shell->cwd = strdup(spec->cwd);
	shell->wake = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	if (!shell->cwd || shell->wake < 0)
		rc = error_set(err, ENOMEM, "out of memory");
	else
		rc = redact_init(&shell->redact, spec->redact_values, err);
	if (rc == 0)
		rc = start_shell(shells, shell, spec, err);
	if (rc == 0) {
		rc = -pthread_create(&shell->thread, NULL, run, shell);
		if (rc < 0) {
			child_signal(shell->child, SIGKILL);
			error_set(err, -rc, "cannot start a thread: %s", strerror(-rc));
		}
	}
	if (rc < 0) {
		shell_release(shell);
		return rc;
	}
	*out = shell;
	return 0;
}

int shells_open(struct shells *shells, const struct shell_spec *spec, struct shell **out,
		struct error *err)
{
	struct shell *shell = NULL, *there;
	int rc = 0;

	/* Of two that want the same id, the second must not start anything. */
	pthread_mutex_lock(&shells->opening);
	pthread_mutex_lock(&shells->lock);
	HASH_FIND_STR(shells->by_id, spec->id, there);
	if (there)
		rc = error_set(err, EEXIST, "shell '%s' already exists", spec->id);
	else if (shells->count >= LIMIT_AGENT_SHELLS)
		rc = error_set(err, EAGAIN, "there are %d shells already: close some",
			       LIMIT_AGENT_SHELLS);
	pthread_mutex_unlock(&shells->lock);
	if (rc == 0)
		rc = make(shells, spec, &shell, err);
	if (rc == 0) {
		pthread_mutex_lock(&shells->lock);
		shell->refs = 2; /* the table's and the caller's */
		shell->listed = true;
		HASH_ADD_STR(shells->by_id, id, shell);
		DL_APPEND(shells->all, shell);
		shells->count++;
		share_out(shells);
		pthread_mutex_unlock(&shells->lock);
		*out = shell;
	}
	pthread_mutex_unlock(&shells->opening);
	return rc;
}

struct shell *shells_find(struct shells *shells, const char *id, struct error *err)
{
	struct shell *shell;

	pthread_mutex_lock(&shells->lock);
	HASH_FIND_STR(shells->by_id, id, shell);
	if (shell)
		shell->refs++;
	pthread_mutex_unlock(&shells->lock);
	if (!shell)
		error_set(err, ENOENT, "shell '%s' does not exist", id);
	return shell;
}

void shell_describe(struct shell *shell, struct shell_status *status)
{
	*status = (struct shell_status){
		.cwd = shell->cwd,
		.cols = shell->cols,
		.rows = shell->rows,
		.stopped = shell->drained,
		.started_at = shell->started_at,
		.bytes = transcript_size(&shell->transcript),
	};
	memcpy(status->id, shell->id, sizeof(status->id));
}

void shell_describe_end(struct shell *shell, struct shell_status *status)
{
	struct child_end end = { 0 };

	if (status->stopped && child_ended(shell->child, &end)) {
		status->ended_at = end.at;
		status->exit_code = end.exit_code;
	}
}

void shell_look(struct shell *shell, struct shell_status *status, struct shell_output *output,
		int64_t max_chars)
{
	pthread_mutex_lock(&shell->lock);
	shell_describe(shell, status);
	if (output) {
		output->next = transcript_read(&shell->transcript, &output->cursor, max_chars,
					       output->text);
		output->end = shell->transcript.end;
	}
	pthread_mutex_unlock(&shell->lock);
	shell_describe_end(shell, status);
}

int shell_signal(struct shell *shell, int signal)
{
	int rc = child_signal(shell->child, signal);

	if (rc == 0 && tcgetpgrp(shell->terminal) != child_pid(shell->child))
		terminal_signal_foreground(shell->terminal, signal);
	return rc;
}

void shell_close(struct shell *shell)
{
	bool drained = false;

	if (!child_ended(shell->child, NULL)) {
		shell_signal(shell, SIGHUP);
		/* A stopped job hears of it only when it goes on. */
		shell_signal(shell, SIGCONT);
		if (!child_wait(shell->child, clock_ms() + CLOSE_MS)) {
			kin_signal(child_pid(shell->child), NULL, SIGKILL);
			child_wait(shell->child, clock_ms() + KILL_MS);
		}
	}
	/* So that the reply says how it ended. */
	for (int64_t until = clock_ms() + KILL_MS; !drained && clock_until(until);) {
		pthread_mutex_lock(&shell->lock);
		drained = shell->drained;
		pthread_mutex_unlock(&shell->lock);
		if (!drained)
			poll(NULL, 0, 5);
	}
	unlist(shell);
}

int shells_new(struct agent *agent, struct shells **out, struct error *err)
{
	struct shells *shells = calloc(1, sizeof(*shells));

	if (!shells)
		return error_set(err, ENOMEM, "out of memory");
	shells->agent = agent;
	pthread_mutex_init(&shells->opening, NULL);
	pthread_mutex_init(&shells->lock, NULL);
	*out = shells;
	return 0;
}

void shells_kill(struct shells *shells)
{
	pthread_mutex_lock(&shells->lock);
	for (struct shell *shell = shells->by_id; shell; shell = shell->hh.next) {
		if (!child_ended(shell->child, NULL))
			kin_signal(child_pid(shell->child), NULL, SIGKILL);
	}
	pthread_mutex_unlock(&shells->lock);
}

void shells_free(struct shells *shells)
{
	if (!shells)
		return;
	shells_kill(shells);
	while (shells->by_id)
		unlist(shells->by_id);
	pthread_mutex_destroy(&shells->lock);
	pthread_mutex_destroy(&shells->opening);
	free(shells);
}
