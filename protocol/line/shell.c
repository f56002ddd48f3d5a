/*
 * shell.c - the line dialect's shells.
 */
#include <errno.h>
#include <string.h>

#include "protocol/line/reply.h"
#include "protocol/line/request.h"
#include "protocol/utf8.h"
#include "protocol/wire.h"

#define TERMINAL_MAX 65535 /* what struct winsize holds */

void line_shell_free(struct line_shell *shell)
{
	line_text_free(&shell->cwd);
	line_text_free(&shell->output);
}

/* Every shell action answers SHELL; what only some of them send has its default elsewhere. */
static int parse_shell(const json_t *object, int64_t cursor, struct line_shell *out,
		       struct error *err)
{
	struct line_reply reply = { .object = object, .err = err };

	line_reply_word(&reply, "shell_id", "", out->shell_id, sizeof(out->shell_id));
	line_reply_text(&reply, "cwd", NULL, &out->cwd);
	out->cols = line_reply_int(&reply, "cols", 0, 0, TERMINAL_MAX);
	out->rows = line_reply_int(&reply, "rows", 0, 0, TERMINAL_MAX);
	line_reply_word(&reply, "state", "stopped", out->state, sizeof(out->state));
	out->started_at = line_reply_time(&reply, "started_at");
	out->ended_at = line_reply_time(&reply, "ended_at");
	out->has_exit_code = line_reply_exit_code(&reply, &out->exit_code);
	out->cursor = line_reply_int(&reply, "cursor", cursor, 0, INT64_MAX);
	out->next_cursor = line_reply_int(&reply, "next_cursor", out->cursor, 0, INT64_MAX);
	line_reply_text(&reply, "output", NULL, &out->output);
	out->truncated = line_reply_bool(&reply, "truncated", false);
	out->input_length = line_reply_count(&reply, "input_length");
	out->closed = line_reply_bool(&reply, "closed", false);
	return reply.rc;
}

static int run(struct line_request *request, struct guest *guest, const struct call *call,
	       int64_t cursor, struct line_shell *out)
{
	json_t *reply;
	int rc;

	*out = (struct line_shell){ 0 };
	rc = line_request_run(request, guest, call, &reply);
	if (rc < 0)
		return rc;
	rc = parse_shell(reply, cursor, out, request->err);
	json_decref(reply);
	return rc;
}

static json_t *redact_values(const struct line_shell_open *in)
{
	json_t *values = json_array();

	for (size_t i = 0; values && i < in->redact_count; i++) {
		json_t *value = wire_string(in->redact_values[i], strlen(in->redact_values[i]));

		if (json_array_append_new(values, value) < 0) {
			json_decref(values);
			return NULL;
		}
	}
	return values;
}

int line_open_shell(struct guest *guest, const struct call *call, const struct line_shell_open *in,
		    struct line_shell *out, struct error *err)
{
	struct line_request request;

	line_request_init(&request, "open_shell", err);
	line_request_name(&request, "shell_id", in->shell_id);
	line_request_text(&request, "cwd", in->cwd);
	line_request_range(&request, "cols", in->cols, 1, TERMINAL_MAX);
	line_request_range(&request, "rows", in->rows, 1, TERMINAL_MAX);
	line_request_env(&request, in->env, in->env_count);
	line_request_add(&request, "redact_values", redact_values(in));
	return run(&request, guest, call, 0, out);
}

int line_read_shell(struct guest *guest, const struct call *call, const char *shell_id,
		    int64_t cursor, int64_t max_chars, struct line_shell *out, struct error *err)
{
	struct line_request request;

	line_request_init(&request, "read_shell", err);
	line_request_name(&request, "shell_id", shell_id);
	line_request_range(&request, "cursor", cursor, 0, INT64_MAX);
	line_request_range(&request, "max_chars", max_chars, 1, LIMIT_SHELL_READ);
	request.exchange.repeatable = true;
	return run(&request, guest, call, cursor, out);
}

int line_write_shell(struct guest *guest, const struct call *call, const char *shell_id,
		     const char *input, size_t len, bool append_newline, struct line_shell *out,
		     struct error *err)
{
	struct line_request request;

	line_request_init(&request, "write_shell", err);
	line_request_name(&request, "shell_id", shell_id);
	if (len > LIMIT_SHELL_WRITE)
		line_request_fail(&request, EINVAL, "input is longer than %d bytes",
				  LIMIT_SHELL_WRITE);
	else if (utf8_split(input, len) > 0)
		line_request_fail(&request, EINVAL, "input ends in the middle of a character");
	line_request_bytes(&request, "input", input, len);
	line_request_bool(&request, "append_newline", append_newline);
	return run(&request, guest, call, 0, out);
}

int line_signal_shell(struct guest *guest, const struct call *call, const char *shell_id,
		      const char *signal, struct line_shell *out, struct error *err)
{
	struct line_request request;

	line_request_init(&request, "signal_shell", err);
	line_request_name(&request, "shell_id", shell_id);
	if (strcmp(signal, "HUP") != 0 && strcmp(signal, "INT") != 0 &&
	    strcmp(signal, "TERM") != 0 && strcmp(signal, "KILL") != 0)
		line_request_fail(&request, EINVAL, "signal '%s' must be HUP, INT, TERM or KILL",
				  signal);
	line_request_text(&request, "signal", signal);
	return run(&request, guest, call, 0, out);
}

int line_close_shell(struct guest *guest, const struct call *call, const char *shell_id,
		     struct line_shell *out, struct error *err)
{
	struct line_request request;

	line_request_init(&request, "close_shell", err);
	line_request_name(&request, "shell_id", shell_id);
	return run(&request, guest, call, 0, out);
}
