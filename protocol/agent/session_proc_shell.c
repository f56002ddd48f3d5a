/* session_proc_shell.c - the operations on shells. */
#include <errno.h>
#include <string.h>

#include "protocol/agent/actions.h"
#include "protocol/agent/session_conn.h"
#include "protocol/agent/session_ops.h"
#include "protocol/agent/session_proc.h"
#include "protocol/agent/session_proc_source.h"
#include "protocol/agent/shell.h"
#include "protocol/cleanup.h"

#define MAX_SIZE 32767

typedef int (*shell_fn)(struct shell *shell, struct sess_call *call, const struct request *request,
			struct error *err);

static int with_shell(struct sess_call *call, const struct request *request, struct reply *reply,
		      struct error *err, shell_fn fn)
{
	autofree char *id = NULL;
	struct shell *shell;
	int rc = request_name(request, "shell_id", &id, err);

	if (rc < 0)
		return rc;
	shell = shells_find(request->agent->shells, id, err);
	if (!shell)
		return -ENOENT;
	rc = fn ? fn(shell, call, request, err) : 0;
	if (rc == -EPIPE || rc == -ESRCH)
		rc = error_set(err, EBUSY, "the shell is not running");
	if (rc == 0)
		proc_describe_shell(shell, reply);
	shell_unref(shell);
	return rc;
}

static int open_shell(struct sess_call *call, struct request *request, struct reply *reply,
		      struct error *err)
{
	int rc = action_open_shell(request, reply, err);

	(void)call;
	if (rc == 0)
		reply_int(reply, "stdout_size", 0);
	return rc;
}

static int shell_status(struct sess_call *call, struct request *request, struct reply *reply,
			struct error *err)
{
	return with_shell(call, request, reply, err, NULL);
}

static int resize(struct shell *shell, struct sess_call *call, const struct request *request,
		  struct error *err)
{
	int64_t cols = 0, rows = 0;
	int rc = request_int(request, "cols", 0, 1, MAX_SIZE, &cols, err);

	(void)call;
	if (rc == 0)
		rc = request_int(request, "rows", 0, 1, MAX_SIZE, &rows, err);
	return rc < 0 ? rc : shell_resize(shell, (int)cols, (int)rows);
}

static int resize_shell(struct sess_call *call, struct request *request, struct reply *reply,
			struct error *err)
{
	return with_shell(call, request, reply, err, resize);
}

static int strike(struct shell *shell, struct sess_call *call, const struct request *request,
		  struct error *err)
{
	int number = sess_signal_number(request, "INT", err);
	int rc = number < 0 ? number : shell_signal(shell, number);

	(void)call;
	if (rc < 0 && rc != -ESRCH && number > 0)
		error_set(err, -rc, "cannot signal the shell: %s", strerror(-rc));
	return rc;
}

static int signal_shell(struct sess_call *call, struct request *request, struct reply *reply,
			struct error *err)
{
	return with_shell(call, request, reply, err, strike);
}

static int end(struct shell *shell, struct sess_call *call, const struct request *request,
	       struct error *err)
{
	(void)request;
	(void)err;
	sess_fence_end_call(call);
	shell_close(shell);
	return 0;
}

static int close_shell(struct sess_call *call, struct request *request, struct reply *reply,
		       struct error *err)
{
	return with_shell(call, request, reply, err, end);
}

int sess_op_shell_open(struct sess_call *call, struct unpack *args, struct buf *result,
		       struct error *err)
{
	return sess_json_run(call, args, result, err, open_shell);
}

int sess_op_shell_status(struct sess_call *call, struct unpack *args, struct buf *result,
			 struct error *err)
{
	return sess_json_run(call, args, result, err, shell_status);
}

int sess_op_shell_resize(struct sess_call *call, struct unpack *args, struct buf *result,
			 struct error *err)
{
	return sess_json_run(call, args, result, err, resize_shell);
}

int sess_op_shell_signal(struct sess_call *call, struct unpack *args, struct buf *result,
			 struct error *err)
{
	return sess_json_run(call, args, result, err, signal_shell);
}

int sess_op_shell_close(struct sess_call *call, struct unpack *args, struct buf *result,
			struct error *err)
{
	return sess_json_run(call, args, result, err, close_shell);
}

int sess_op_shell_write(struct sess_call *call, struct unpack *args, struct buf *result,
			struct error *err)
{
	char id[LIMIT_ENTITY_NAME + 1];
	struct shell *shell;
	const char *bytes;
	ssize_t taken = 0;
	size_t len;
	int rc;

	unpack_text(args, id, sizeof(id));
	bytes = unpack_rest(args, &len);
	rc = unpack_done(args, "input for a shell", err);
	if (rc < 0)
		return rc;
	shell = shells_find(call->sess->agent->shells, id, err);
	if (!shell)
		return -ENOENT;
	if (len)
		taken = shell_type_some(shell, bytes, len);
	shell_unref(shell);
	if (taken == -EPIPE)
		return error_set(err, EBUSY, "the shell is not running");
	if (taken == -EAGAIN)
		return error_set(err, EAGAIN, "the shell does not read its input: try again later");
	if (taken < 0)
		return error_set(err, (int)-taken, "out of memory");
	pack_u32(result, (uint32_t)taken);
	return 0;
}
