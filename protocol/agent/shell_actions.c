/* shell_actions.c - the actions on shells: arguments in, replies out. */
#include <errno.h>
#include <signal.h>
#include <string.h>

#include "protocol/agent/actions.h"
#include "protocol/agent/environment.h"
#include "protocol/agent/shell.h"
#include "protocol/agent/workspace_path.h"
#include "protocol/cleanup.h"

#define DEFAULT_COLS 120
#define DEFAULT_ROWS 30
#define MAX_SIZE 32767

/* A reply carries at most as much as this of a transcript. */
#define MAX_CHARS (1 << 20)

static void unref(struct shell **shell)
{
	if (*shell)
		shell_unref(*shell);
}

#define autoshell __attribute__((cleanup(unref)))

static struct shell *find(const struct request *request, struct error *err)
{
	autofree char *id = NULL;

	if (request_name(request, "shell_id", &id, err) < 0)
		return NULL;
	return shells_find(request->agent->shells, id, err);
}

void shell_status_reply(const struct shell_status *status, struct reply *reply)
{
	reply_text(reply, "shell_id", status->id);
	reply_text(reply, "cwd", status->cwd);
	reply_int(reply, "cols", status->cols);
	reply_int(reply, "rows", status->rows);
	reply_text(reply, "state", status->stopped ? "stopped" : "running");
	reply_time(reply, "started_at", status->started_at);
	reply_time(reply, "ended_at", status->ended_at);
	if (status->stopped)
		reply_int(reply, "exit_code", status->exit_code);
	else
		reply_null(reply, "exit_code");
}

static void describe_now(struct reply *reply, struct shell *shell)
{
	struct shell_status status;

	shell_look(shell, &status, NULL, 0);
	shell_status_reply(&status, reply);
}

int action_open_shell(struct request *request, struct reply *reply, struct error *err)
{
	static const char *const extra[] = { "PS1=pyro$ ", "TERM=xterm-256color", NULL };
	autofree char *id = NULL, *cwd = NULL, *host_cwd = NULL;
	autoshell struct shell *shell = NULL;
	struct shell_spec spec = { 0 };
	int64_t cols = 0, rows = 0;
	char **env = NULL;
	int rc;

	rc = request_name(request, "shell_id", &id, err);
	if (rc == 0)
		rc = request_text(request, "cwd", WORKSPACE, LIMIT_PATH, &cwd, err);
	if (rc == 0)
		rc = request_int(request, "cols", DEFAULT_COLS, 1, MAX_SIZE, &cols, err);
	if (rc == 0)
		rc = request_int(request, "rows", DEFAULT_ROWS, 1, MAX_SIZE, &rows, err);
	if (rc < 0)
		return rc;
	if (!cwd || cwd[0] != '/')
		return error_set(err, EINVAL, "cwd must be an absolute path");
	host_cwd = workspace_host_path(request->agent, cwd);
	if (!host_cwd)
		return error_set(err, ENOMEM, "out of memory");
	rc = environment_make(request, extra, &env, err);
	if (rc < 0)
		return rc;
	spec = (struct shell_spec){
		.id = id,
		.cwd = cwd,
		.host_cwd = host_cwd,
		.cols = (int)cols,
		.rows = (int)rows,
		.env = env,
		.redact_values = json_object_get(request->object, "redact_values"),
	};
	rc = shells_open(request->agent->shells, &spec, &shell, err);
	environment_free(env);
	if (rc == 0)
		describe_now(reply, shell);
	return rc;
}

int action_read_shell(struct request *request, struct reply *reply, struct error *err)
{
	autoshell struct shell *shell = find(request, err);
	autobuf struct buf text = BUF_INIT(LIMIT_REPLY_OBJECT);
	struct shell_output output = { .text = &text };
	struct shell_status status;
	int64_t cursor = 0, max_chars = 0;
	int rc;

	if (!shell)
		return -ENOENT;
	rc = request_int(request, "cursor", 0, INT64_MIN, INT64_MAX, &cursor, err);
	if (rc == 0)
		rc = request_int(request, "max_chars", LIMIT_SHELL_READ, 1, INT64_MAX, &max_chars,
				 err);
	if (rc < 0)
		return rc;
	output.cursor = cursor;
	shell_look(shell, &status, &output, max_chars < MAX_CHARS ? max_chars : MAX_CHARS);
	if (text.overflow)
		return error_set(err, ENOMEM, "out of memory");
	shell_status_reply(&status, reply);
	reply_int(reply, "cursor", output.cursor);
	reply_int(reply, "next_cursor", output.next);
	reply_bytes(reply, "output", buf_str(&text), text.len);
	/* Some of what was asked for is not here: dropped before, or still to be read. */
	reply_bool(reply, "truncated",
		   (cursor >= 0 && cursor < output.cursor) || output.next < output.end);
	return 0;
}

static int64_t count_characters(const char *text, size_t len)
{
	int64_t count = 0;

	for (size_t i = 0; i < len; i++)
		count += ((unsigned char)text[i] & 0xc0) != 0x80;
	return count;
}

int action_write_shell(struct request *request, struct reply *reply, struct error *err)
{
	autoshell struct shell *shell = find(request, err);
	autofree char *input = NULL;
	bool newline = false;
	size_t len = 0;
	int64_t length;
	int rc;

	if (!shell)
		return -ENOENT;
	/* One byte less than the line may have: the newline takes the place of the NUL. */
	rc = request_bytes(request, "input", LIMIT_REQUEST_LINE, &input, &len, err);
	if (rc == 0)
		rc = request_bool(request, "append_newline", true, &newline, err);
	if (rc < 0)
		return rc;
	length = count_characters(input, len);
	if (newline)
		input[len++] = '\n';
	rc = shell_type(shell, input, len);
	if (rc == -EPIPE)
		return error_set(err, EPIPE, "the shell is not running");
	if (rc == -EAGAIN)
		return error_set(err, EAGAIN, "the shell does not read its input: try again later");
	if (rc < 0)
		return error_set(err, -rc, "out of memory");
	describe_now(reply, shell);
	reply_int(reply, "input_length", length);
	reply_bool(reply, "append_newline", newline);
	return 0;
}

int action_signal_shell(struct request *request, struct reply *reply, struct error *err)
{
	static const struct {
		const char *name;
		int number;
	} signals[] = {
		{ "HUP", SIGHUP }, { "INT", SIGINT }, { "TERM", SIGTERM }, { "KILL", SIGKILL }
	};
	autoshell struct shell *shell = find(request, err);
	autofree char *name = NULL;
	int number = 0, rc;

	if (!shell)
		return -ENOENT;
	rc = request_text(request, "signal", "INT", 16, &name, err);
	if (rc < 0)
		return rc;
	for (size_t i = 0; i < sizeof(signals) / sizeof(signals[0]); i++) {
		if (!strcmp(signals[i].name, name))
			number = signals[i].number;
	}
	if (!number)
		return error_set(err, EINVAL, "signal must be HUP, INT, TERM or KILL");
	rc = shell_signal(shell, number);
	if (rc == -ESRCH)
		return error_set(err, ESRCH, "the shell is not running");
	if (rc < 0)
		return error_set(err, -rc, "cannot signal the shell: %s", strerror(-rc));
	describe_now(reply, shell);
	reply_text(reply, "signal", name);
	return 0;
}

int action_close_shell(struct request *request, struct reply *reply, struct error *err)
{
	autoshell struct shell *shell = find(request, err);

	if (!shell)
		return -ENOENT;
	shell_close(shell);
	describe_now(reply, shell);
	reply_bool(reply, "closed", true);
	return 0;
}
