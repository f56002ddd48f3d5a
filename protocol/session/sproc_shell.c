/*
 * sproc_shell.c - shells over the session dialect.
 */
#include <errno.h>
#include <string.h>

#include "protocol/cleanup.h"
#include "protocol/session/sproc_internal.h"
#include "protocol/utf8.h"

#define CLOSE_SECONDS 10.0 /* the agent gives a shell five to hang up */

/* Of one OP_SHELL_WRITE: what a small answer may wait for behind it. */
#define WRITE_MAX (64u << 10)

static int fill(const json_t *object, struct proc_shell *out, struct error *err)
{
	struct line_reply reply = { .object = object, .err = err };
	int64_t exit_code = 0;

	*out = (struct proc_shell){ 0 };
	line_reply_word(&reply, "state", "stopped", out->state, sizeof(out->state));
	out->started_at = line_reply_time(&reply, "started_at");
	out->ended_at = line_reply_time(&reply, "ended_at");
	out->has_exit_code = line_reply_exit_code(&reply, &exit_code);
	out->exit_code = exit_code < INT32_MIN || exit_code > INT32_MAX ? -1 : (int)exit_code;
	out->cols = (int)line_reply_int(&reply, "cols", 0, 0, INT32_MAX);
	out->rows = (int)line_reply_int(&reply, "rows", 0, 0, INT32_MAX);
	return reply.rc;
}

static int ask_open(struct sproc_room *room, const struct call *call, const char *id,
		    const struct proc_settings *settings, int cols, int rows, json_t **reply,
		    struct error *err)
{
	struct line_request request;

	line_request_init(&request, NULL, err);
	line_request_name(&request, "shell_id", id);
	line_request_int(&request, "cols", cols);
	line_request_int(&request, "rows", rows);
	sproc_add_settings(&request, settings);
	return sproc_ask(room, call, OP_SHELL_OPEN, &request, reply, err);
}

/*
 * As ask_open.  1, with its error: the session broke, and there is no such shell, nor will there be
 * (docs/protocol.md, 2.1).
 */
static int open_once(struct sproc_room *room, const struct call *call, const char *id,
		     const struct proc_settings *settings, int cols, int rows, json_t **reply,
		     struct error *err)
{
	int rc = ask_open(room, call, id, settings, cols, rows, reply, err), there;

	if (rc != -EIO)
		return rc;
	/* The id was new, so if there is one now, it is ours. */
	there = sproc_ask_name(room, call, OP_SHELL_STATUS, "shell_id", id, reply, NULL);
	if (there == 0)
		return 0;
	return there == -ENOENT ? 1 : -EIO;
}

int sproc_shell_open(struct sproc_room *room, const struct call *call, const char *id,
		     const struct proc_settings *settings, int cols, int rows,
		     struct proc_shell *out, struct error *err)
{
	struct call own = call_within(room->timeout, NULL);
	json_t *reply = NULL;
	int rc = open_once(room, call, id, settings, cols, rows, &reply, err);

	if (rc > 0)
		rc = open_once(room, call, id, settings, cols, rows, &reply, err);
	if (rc > 0)
		rc = -EIO;
	if (rc == -EINTR || rc == -ETIMEDOUT)
		sproc_ask_name(room, &own, OP_SHELL_CLOSE, "shell_id", id, NULL, NULL);
	if (rc == 0)
		rc = fill(reply, out, err);
	json_decref(reply);
	return rc;
}

/* The beginning of a character at the end, which the next reading gives in full. */
static ssize_t whole(const char *bytes, ssize_t got, const struct proc_shell *shell)
{
	size_t cut = got > 0 ? utf8_split(bytes, (size_t)got) : 0;

	/* What is all that there is may be all that there will be. */
	if (strcmp(shell->state, "running") != 0 && (ssize_t)cut == got)
		return got;
	return got - (ssize_t)cut;
}

ssize_t sproc_shell_read(struct sproc_room *room, const struct call *call, const char *id,
			 int64_t cursor, void *bytes, size_t size, struct proc_shell *out,
			 struct error *err)
{
	struct line_reply end = { .err = err };
	json_t *object = NULL;
	int64_t next;
	ssize_t got, kept;

	if (size < 4 || cursor < 0)
		return error_set(err, EINVAL, "a shell is read from a cursor, 4 bytes or more");
	got = sproc_read(room, call, "shell", id, 1, cursor, bytes, size, &object, err);
	if (got < 0)
		return got;
	end.object = object;
	next = line_reply_int(&end, "next", 0, 0, INT64_MAX / 2);
	if (got > 0 && next - got < cursor)
		line_reply_fail(&end,
				"the guest sent output of shell %s that was asked for no more", id);
	if (end.rc == 0)
		end.rc = fill(line_reply_object(&end, "status"), out, err);
	json_decref(object);
	if (end.rc < 0)
		return end.rc;
	kept = whole(bytes, got, out);
	/* An answer without bytes is no step. */
	out->cursor = kept ? next - (got - kept) : cursor;
	return kept;
}

ssize_t sproc_shell_write(struct sproc_room *room, const struct call *call, const char *id,
			  const void *bytes, size_t len, struct error *err)
{
	autobuf struct buf args = BUF_INIT(FRAME_BODY_MAX), reply = BUF_INIT(16);
	struct unpack in;
	uint32_t taken;
	int rc = proc_check_name("shell", id, err);

	if (rc || len == 0)
		return rc;
	if (len > WRITE_MAX)
		len = WRITE_MAX;
	pack_text(&args, id);
	buf_add(&args, bytes, len);
	rc = link_call(room->link, call, OP_SHELL_WRITE, &args, &reply, NULL, err);
	if (rc)
		return rc;
	in = unpack_from(reply.data, reply.len);
	taken = unpack_u32(&in);
	rc = unpack_done(&in, "the guest's answer to 'shell write'", err);
	if (rc == 0 && (!taken || taken > len))
		rc = error_set(err, EPROTO, "the guest took %u of %zu bytes", taken, len);
	return rc ? rc : (ssize_t)taken;
}

int sproc_shell_resize(struct sproc_room *room, const struct call *call, const char *id, int cols,
		       int rows, struct error *err)
{
	struct line_request request;

	line_request_init(&request, NULL, err);
	line_request_name(&request, "shell_id", id);
	line_request_int(&request, "cols", cols);
	line_request_int(&request, "rows", rows);
	return sproc_ask(room, call, OP_SHELL_RESIZE, &request, NULL, err);
}

int sproc_shell_signal(struct sproc_room *room, const struct call *call, const char *id,
		       const char *signal, struct error *err)
{
	struct line_request request;

	line_request_init(&request, NULL, err);
	line_request_name(&request, "shell_id", id);
	line_request_text(&request, "signal", signal);
	return sproc_ask(room, call, OP_SHELL_SIGNAL, &request, NULL, err);
}

int sproc_shell_close(struct sproc_room *room, const struct call *call, const char *id,
		      struct proc_shell *out, struct error *err)
{
	struct call longer = sproc_longer(call, CLOSE_SECONDS + room->timeout);
	json_t *reply = NULL;
	int rc = sproc_ask_name(room, &longer, OP_SHELL_CLOSE, "shell_id", id, &reply, err);

	*out = (struct proc_shell){ .state = "stopped" };
	if (rc == -EIO) {
		/* The session broke, perhaps: if it is unknown now, it was closed. */
		rc = sproc_ask_name(room, &longer, OP_SHELL_CLOSE, "shell_id", id, &reply, err);
		if (rc == -ENOENT)
			return 0;
	}
	if (rc == 0)
		rc = fill(reply, out, err);
	json_decref(reply);
	return rc;
}
