/*
 * proc_shell.c - interactive shells over the line dialect.
 *
 * The agent keeps the transcript and counts it in characters; a write is one write(2) to the
 * terminal, which blocks the agent when it does not fit, hence little at a time.  A line of more
 * than 4,095 bytes is cut by the guest's terminal while it is in canonical mode.
 */
#include <errno.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "protocol/cleanup.h"
#include "protocol/line/line.h"
#include "protocol/line/proc_room.h"
#include "protocol/line/proc_undo.h"
#include "protocol/utf8.h"

#define UTF8_MAX 4         /* bytes of a character */
#define HANGUP_GRACE 5.0   /* seconds between HUP and KILL */
#define KILL_GRACE 2.0     /* seconds for KILL to take its effect */
#define CLOSE_SECONDS 10.0 /* for the agent's own wait, should there be one after all */
#define LATE_SECONDS 0.1   /* for an agent to read the terminal of a shell that has ended */
#define LATE_ANSWERS 5     /* or the time of so many answers: a guest that is busy takes longer */
#define LATE_AT_MOST 1.0

static void fill(const struct line_shell *from, struct proc_shell *out)
{
	*out = (struct proc_shell){ .started_at = from->started_at,
				    .ended_at = from->ended_at,
				    .has_exit_code = from->has_exit_code,
				    .cols = (int)from->cols,
				    .rows = (int)from->rows,
				    .cursor = from->next_cursor };
	if (from->has_exit_code)
		out->exit_code = from->exit_code < INT_MIN || from->exit_code > INT_MAX ?
					 -1 :
					 (int)from->exit_code;
	snprintf(out->state, sizeof(out->state), "%s", from->state);
}

/* Of an open that was not answered: if there is such a shell, nobody else has its id. */
static int close_unheard(struct guest *guest, const struct call *call, const char *id)
{
	struct proc_shell shell = { 0 };

	return lproc_shell_close(guest, call, id, &shell, NULL);
}

int lproc_shell_open(struct guest *guest, const struct call *call, const char *id,
		     const struct proc_settings *settings, int cols, int rows,
		     struct proc_shell *out, struct error *err)
{
	struct error own;
	autofree struct line_env *env = NULL;
	struct line_shell_open open = { .shell_id = id,
					.cwd = proc_cwd(settings),
					.cols = cols,
					.rows = rows,
					.env_count = settings->env_count };
	struct line_shell shell = { 0 };
	int rc = proc_check_name("shell", id, err);

	err = error_place(err, &own);
	rc = rc ? rc : proc_check_env(settings, err);
	if (rc)
		return rc;
	open.env = env = proc_line_env(settings);
	if (!env)
		return error_set(err, ENOMEM, "out of memory");
	rc = proc_error(line_open_shell(guest, call, &open, &shell, err), err);
	if (!rc)
		fill(&shell, out);
	if (rc == -EINTR || rc == -ETIMEDOUT)
		proc_undo_by(lproc_of(guest), close_unheard, id);
	line_shell_free(&shell);
	return rc;
}

/* One request, for at most CHARS. */
static ssize_t read_once(struct guest *guest, const struct call *call, const char *id,
			 int64_t cursor, int64_t chars, void *bytes, size_t size,
			 struct proc_shell *out, struct error *err)
{
	struct line_shell shell = { 0 };
	ssize_t rc = proc_error(line_read_shell(guest, call, id, cursor, chars, &shell, err), err);

	if (!rc && shell.output.len > size)
		rc = error_set(err, EPROTO, "the guest sent more of shell %s than was asked for",
			       id);
	if (!rc) {
		fill(&shell, out);
		/*
		 * Whatever it says, nothing is given twice and an answer without text is no step.
		 */
		if (out->cursor < cursor || shell.output.len == 0)
			out->cursor = cursor;
		if (shell.output.len)
			memcpy(bytes, shell.output.data, shell.output.len);
		rc = (ssize_t)shell.output.len;
	}
	line_shell_free(&shell);
	return rc;
}

static double late_seconds(int64_t took)
{
	double seconds = LATE_ANSWERS * (double)took / 1e9;

	if (seconds < LATE_SECONDS)
		return LATE_SECONDS;
	return seconds < LATE_AT_MOST ? seconds : LATE_AT_MOST;
}

/*
 * The agent of the field knows that a shell has ended before it has read its terminal to the end:
 * what ended without another word is asked once more, a moment later.
 */
ssize_t lproc_shell_read(struct guest *guest, const struct call *call, const char *id,
			 int64_t cursor, void *bytes, size_t size, struct proc_shell *out,
			 struct error *err)
{
	struct error own;
	int64_t chars = size / UTF8_MAX < LIMIT_SHELL_READ ? (int64_t)(size / UTF8_MAX) :
							     LIMIT_SHELL_READ;
	int64_t asked_at = call_now();
	ssize_t rc = proc_check_name("shell", id, err);

	err = error_place(err, &own);
	if (rc)
		return rc;
	if (chars == 0 || cursor < 0)
		return error_set(err, EINVAL, "a shell is read from a cursor, %d bytes or more",
				 UTF8_MAX);
	rc = read_once(guest, call, id, cursor, chars, bytes, size, out, err);
	if (rc || strcmp(out->state, "stopped") != 0)
		return rc;
	rc = call_sleep(call, late_seconds(call_now() - asked_at));
	if (rc)
		return error_set(err, (int)-rc, "shell %s has ended, and may have more to say", id);
	return read_once(guest, call, id, cursor, chars, bytes, size, out, err);
}

/*
 * How much of the input goes into one request: whole characters, or, where it begins with bytes
 * that are none, those alone.  An agent that refuses them has lost nothing else then.
 */
static size_t portion(const char *bytes, size_t len)
{
	size_t room = len < LIMIT_SHELL_WRITE ? len : LIMIT_SHELL_WRITE, at = 0;
	uint32_t code;

	while (at < room) {
		size_t step = utf8_char(bytes + at, len - at, &code);

		if (step == 0 || at + step > room)
			break;
		at += step;
	}
	if (at)
		return at;
	while (at < room && utf8_char(bytes + at, len - at, &code) == 0)
		at++;
	return at;
}

static ssize_t type(struct guest *guest, const struct call *call, const char *id, const char *bytes,
		    size_t len, struct error *err)
{
	struct line_shell shell = { 0 };
	ssize_t rc = line_write_shell(guest, call, id, bytes, len, false, &shell, err);
	bool refused = rc == -EREMOTEIO && !utf8_valid(bytes, len);

	line_shell_free(&shell);
	rc = proc_error((int)rc, err);
	if (rc == -EIO && refused)
		return error_set(err, EILSEQ,
				 "the guest's agent takes only UTF-8 as input for a shell");
	return rc ? rc : (ssize_t)len;
}

ssize_t lproc_shell_write(struct guest *guest, const struct call *call, const char *id,
			  const void *bytes, size_t len, struct error *err)
{
	struct error own;
	ssize_t rc = proc_check_name("shell", id, err);

	err = error_place(err, &own);
	if (rc || len == 0)
		return rc;
	return type(guest, call, id, bytes, portion(bytes, len), err);
}

int lproc_shell_resize(struct guest *guest, const struct call *call, const char *id, int cols,
		       int rows, struct error *err)
{
	(void)guest, (void)call, (void)id, (void)cols, (void)rows;
	return error_set(err, EOPNOTSUPP,
			 "the guest's agent sets a shell's size only when it opens it: close it, "
			 "or type `stty cols N rows M` into it");
}

int lproc_shell_signal(struct guest *guest, const struct call *call, const char *id,
		       const char *signal, struct error *err)
{
	struct error own;
	static const char *const signals[] = { "HUP", "TERM", "KILL" };
	struct line_shell shell = { 0 };
	int rc = proc_check_name("shell", id, err);

	err = error_place(err, &own);
	if (rc)
		return rc;
	/*
	 * The agent's signal stops at the shell: a job in the foreground hears the terminal only.
	 */
	if (strcmp(signal, "INT") == 0) {
		ssize_t typed = type(guest, call, id, "\003", 1, err);

		return typed < 0 ? (int)typed : 0;
	}
	for (size_t i = 0; i < sizeof(signals) / sizeof(*signals); i++) {
		if (strcmp(signal, signals[i]) != 0)
			continue;
		rc = proc_error(line_signal_shell(guest, call, id, signal, &shell, err), err);
		line_shell_free(&shell);
		return rc;
	}
	return error_set(err, EINVAL, "a shell takes HUP, INT, TERM and KILL, not '%s'", signal);
}

/* Waits until the shell has ended, for SECONDS at most.  1: it has; 0: it has not. */
static int await_end(struct guest *guest, const struct call *call, const char *id, double seconds,
		     struct error *err)
{
	struct call limit = call_extend(call, seconds);
	double pause = 0.02;

	for (;;) {
		struct line_shell shell = { 0 };
		int rc = proc_error(line_read_shell(guest, call, id, 0, 1, &shell, err), err);
		bool ended = strcmp(shell.state, "running") != 0;

		line_shell_free(&shell);
		if (rc)
			return rc;
		if (ended)
			return 1;
		rc = call_sleep(&limit, pause);
		if (rc)
			return rc == -ETIMEDOUT ? 0 : error_set(err, -rc, "interrupted");
		pause = pause < 0.3 ? pause * 1.5 : pause;
	}
}

/* Sends SIGNAL; a shell that has ended meanwhile is as good. */
static int end_by(struct guest *guest, const struct call *call, const char *id, const char *signal,
		  double seconds, struct error *err)
{
	struct line_shell shell = { 0 };
	int rc = proc_error(line_signal_shell(guest, call, id, signal, &shell, err), err);

	line_shell_free(&shell);
	if (rc == -EBUSY)
		return 1;
	return rc ? rc : await_end(guest, call, id, seconds, err);
}

/* The agent would hang up and wait as well, but answer nobody else meanwhile. */
int lproc_shell_close(struct guest *guest, const struct call *call, const char *id,
		      struct proc_shell *out, struct error *err)
{
	double seconds = HANGUP_GRACE + KILL_GRACE + CLOSE_SECONDS + guest_options(guest)->timeout;
	struct call longer = call_extend(call, seconds);
	struct line_shell shell = { 0 };
	struct error own;
	int rc = proc_check_name("shell", id, err);

	err = error_place(err, &own);
	if (rc)
		return rc;
	if (longer.deadline < call->deadline)
		longer.deadline = call->deadline;
	rc = end_by(guest, &longer, id, "HUP", HANGUP_GRACE, err);
	if (rc == 0)
		rc = end_by(guest, &longer, id, "KILL", KILL_GRACE, err);
	if (rc >= 0)
		rc = proc_error(line_close_shell(guest, &longer, id, &shell, err), err);
	if (!rc)
		fill(&shell, out);
	line_shell_free(&shell);
	return rc;
}
