/*
 * exec.c - the line dialect's exec: the request without an action.
 */
#include <errno.h>
#include <string.h>

#include "protocol/line/reply.h"
#include "protocol/line/request.h"

void line_exec_reply_free(struct line_exec_reply *reply)
{
	line_text_free(&reply->out);
	line_text_free(&reply->err);
}

static int parse_exec(const json_t *object, struct line_exec_reply *out, struct error *err)
{
	struct line_reply reply = { .object = object, .err = err };

	line_reply_text(&reply, "stdout", NULL, &out->out);
	line_reply_text(&reply, "stderr", NULL, &out->err);
	out->exit_code = line_reply_int(&reply, "exit_code", -1, INT32_MIN, INT32_MAX);
	out->duration_ms = line_reply_count(&reply, "duration_ms");
	return reply.rc;
}

int line_exec(struct guest *guest, const struct call *call, const struct line_exec *in,
	      struct line_exec_reply *out, struct error *err)
{
	struct line_request request;
	json_t *reply;
	int rc;

	*out = (struct line_exec_reply){ 0 };
	line_request_init(&request, NULL, err);
	if (strlen(in->command) > LIMIT_EXEC_COMMAND)
		line_request_fail(&request, E2BIG, "the command is longer than %d bytes",
				  LIMIT_EXEC_COMMAND);
	line_request_text(&request, "command", in->command);
	line_request_range(&request, "timeout_seconds", in->timeout_seconds, 0, INT32_MAX);
	line_request_env(&request, in->env, in->env_count);
	rc = line_request_run(&request, guest, call, &reply);
	if (rc < 0)
		return rc;
	rc = parse_exec(reply, out, err);
	json_decref(reply);
	return rc;
}
