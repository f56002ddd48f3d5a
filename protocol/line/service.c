/*
 * service.c - the line dialect's services.
 */
#include <errno.h>
#include <string.h>

#include "protocol/line/reply.h"
#include "protocol/line/request.h"

/* How each kind of readiness is written: its type, and the key of its one value. */
static const struct {
	const char *type, *key, *what;
} kinds[] = {
	[LINE_READY_NONE] = { NULL, NULL, NULL },
	[LINE_READY_FILE] = { "file", "path", "a path" },
	[LINE_READY_TCP] = { "tcp", "address", "HOST:PORT" },
	[LINE_READY_HTTP] = { "http", "url", "a URL" },
	[LINE_READY_COMMAND] = { "command", "command", "a command" },
};
#define KIND_COUNT (sizeof(kinds) / sizeof(kinds[0]))

void line_service_free(struct line_service *service)
{
	line_text_free(&service->command);
	line_text_free(&service->cwd);
	line_text_free(&service->readiness_value);
	line_text_free(&service->out);
	line_text_free(&service->err);
}

/*
 * Somebody else may have given a service a readiness of a type unknown here; that
 * must not hide the service, so it counts as none.
 */
static void parse_readiness(struct line_reply *reply, struct line_service *out)
{
	struct line_reply inner = { .object = line_reply_object(reply, "readiness"),
				    .err = reply->err };
	enum line_readiness_kind kind = LINE_READY_NONE;
	char type[16] = "";

	inner.rc = reply->rc;
	line_reply_word(&inner, "type", "", type, sizeof(type));
	for (size_t i = LINE_READY_NONE + 1; i < KIND_COUNT; i++) {
		if (strcmp(type, kinds[i].type) == 0)
			kind = (enum line_readiness_kind)i;
	}
	out->readiness = kind;
	line_reply_text(&inner, kind == LINE_READY_NONE ? "" : kinds[kind].key, NULL,
			&out->readiness_value);
	reply->rc = inner.rc;
}

/* Every service action answers SERVICE; logs_service adds the two outputs. */
static int parse_service(const json_t *object, struct line_service *out, struct error *err)
{
	struct line_reply reply = { .object = object, .err = err };

	line_reply_word(&reply, "service_name", "", out->name, sizeof(out->name));
	line_reply_text(&reply, "command", NULL, &out->command);
	line_reply_text(&reply, "cwd", NULL, &out->cwd);
	line_reply_word(&reply, "state", "stopped", out->state, sizeof(out->state));
	out->started_at = line_reply_time(&reply, "started_at");
	out->ready_at = line_reply_time(&reply, "ready_at");
	out->ended_at = line_reply_time(&reply, "ended_at");
	out->has_exit_code = line_reply_exit_code(&reply, &out->exit_code);
	out->pid = line_reply_int(&reply, "pid", 0, 0, INT32_MAX);
	parse_readiness(&reply, out);
	line_reply_word(&reply, "stop_reason", "", out->stop_reason, sizeof(out->stop_reason));
	line_reply_text(&reply, "stdout", NULL, &out->out);
	line_reply_text(&reply, "stderr", NULL, &out->err);
	out->tail_lines = line_reply_int(&reply, "tail_lines", -1, -1, INT64_MAX);
	out->truncated = line_reply_bool(&reply, "truncated", false);
	return reply.rc;
}

static int run(struct line_request *request, struct guest *guest, const struct call *call,
	       struct line_service *out)
{
	json_t *reply;
	int rc;

	*out = (struct line_service){ 0 };
	rc = line_request_run(request, guest, call, &reply);
	if (rc < 0)
		return rc;
	rc = parse_service(reply, out, request->err);
	json_decref(reply);
	return rc;
}

static void add_readiness(struct line_request *request, const struct line_readiness *readiness)
{
	struct line_request inner;

	if (readiness->kind == LINE_READY_NONE) {
		line_request_text(request, "readiness", NULL);
		return;
	}
	if ((size_t)readiness->kind >= KIND_COUNT || !readiness->value || !*readiness->value) {
		line_request_fail(request, EINVAL, "readiness needs %s",
				  (size_t)readiness->kind < KIND_COUNT ?
					  kinds[readiness->kind].what :
					  "a kind");
		return;
	}
	line_request_init(&inner, NULL, request->err);
	line_request_text(&inner, "type", kinds[readiness->kind].type);
	line_request_text(&inner, kinds[readiness->kind].key, readiness->value);
	if (inner.rc < 0) {
		line_request_drop(&inner);
		line_request_fail(request, ENOMEM, "out of memory");
		return;
	}
	line_request_add(request, "readiness", inner.exchange.object);
}

int line_start_service(struct guest *guest, const struct call *call,
		       const struct line_service_start *in, struct line_service *out,
		       struct error *err)
{
	struct line_request request;

	line_request_init(&request, "start_service", err);
	line_request_name(&request, "service_name", in->name);
	line_request_text(&request, "command", in->command);
	line_request_text(&request, "cwd", in->cwd);
	add_readiness(&request, &in->readiness);
	line_request_range(&request, "ready_timeout_seconds", in->ready_timeout_seconds, 0,
			   INT32_MAX);
	line_request_range(&request, "ready_interval_ms", in->ready_interval_ms, 1, INT32_MAX);
	line_request_env(&request, in->env, in->env_count);
	return run(&request, guest, call, out);
}

int line_status_service(struct guest *guest, const struct call *call, const char *name,
			struct line_service *out, struct error *err)
{
	struct line_request request;

	line_request_init(&request, "status_service", err);
	line_request_name(&request, "service_name", name);
	request.exchange.repeatable = true;
	return run(&request, guest, call, out);
}

int line_logs_service(struct guest *guest, const struct call *call, const char *name,
		      int64_t tail_lines, struct line_service *out, struct error *err)
{
	struct line_request request;

	line_request_init(&request, "logs_service", err);
	line_request_name(&request, "service_name", name);
	if (tail_lines < 0)
		line_request_text(&request, "tail_lines", NULL);
	else
		line_request_int(&request, "tail_lines", tail_lines);
	request.exchange.repeatable = true;
	return run(&request, guest, call, out);
}

int line_stop_service(struct guest *guest, const struct call *call, const char *name,
		      struct line_service *out, struct error *err)
{
	struct line_request request;

	line_request_init(&request, "stop_service", err);
	line_request_name(&request, "service_name", name);
	return run(&request, guest, call, out);
}
