/*
 * sproc_service.c - services over the session dialect.  The agent probes for readiness: a start
 * answers at once, and OP_WAIT tells what came of it.
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "protocol/cleanup.h"
#include "protocol/session/sproc_internal.h"

#define STOP_SECONDS 20.0 /* TERM, ten seconds, KILL, and what it left behind */
/* What the agent takes on top of a readiness that does not come. */
#define GIVE_UP_SECONDS 15.0
#define MAX_TIMEOUT 86400.0

/* Text of REPLY that is NUL-terminated and the caller's. */
static char *take_text(struct line_reply *reply, const char *key)
{
	struct line_text text = { 0 };

	line_reply_text(reply, key, NULL, &text);
	return text.data;
}

static int fill(const json_t *object, struct proc_service *out, struct error *err)
{
	struct line_reply reply = { .object = object, .err = err };
	int64_t exit_code = 0;

	*out = (struct proc_service){ 0 };
	line_reply_word(&reply, "state", "stopped", out->state, sizeof(out->state));
	line_reply_word(&reply, "stop_reason", "", out->stop_reason, sizeof(out->stop_reason));
	out->command = take_text(&reply, "command");
	out->cwd = take_text(&reply, "cwd");
	out->started_at = line_reply_time(&reply, "started_at");
	out->ready_at = line_reply_time(&reply, "ready_at");
	out->ended_at = line_reply_time(&reply, "ended_at");
	out->has_exit_code = line_reply_exit_code(&reply, &exit_code);
	out->exit_code = exit_code < INT32_MIN || exit_code > INT32_MAX ? -1 : (int)exit_code;
	out->pid = line_reply_int(&reply, "pid", 0, 0, INT32_MAX);
	out->out_size = line_reply_count(&reply, "stdout_size");
	out->err_size = line_reply_count(&reply, "stderr_size");
	if (reply.rc < 0)
		proc_service_free(out);
	return reply.rc;
}

/* Takes OBJECT. */
static int fill_from(json_t *object, int rc, struct proc_service *out, struct error *err)
{
	if (rc == 0)
		rc = fill(object, out, err);
	json_decref(object);
	return rc;
}

int sproc_service_status(struct sproc_room *room, const struct call *call, const char *name,
			 struct proc_service *out, struct error *err)
{
	json_t *reply = NULL;
	int rc = sproc_ask_name(room, call, OP_SERVICE_STATUS, "service_name", name, &reply, err);

	return fill_from(reply, rc, out, err);
}

int sproc_service_stop(struct sproc_room *room, const struct call *call, const char *name,
		       struct proc_service *out, struct error *err)
{
	struct call longer = sproc_longer(call, STOP_SECONDS + room->timeout);
	json_t *reply = NULL;
	int rc = sproc_ask_name(room, &longer, OP_SERVICE_STOP, "service_name", name, &reply, err);

	/* It broke, perhaps.  Stopping what has ended is no error. */
	if (rc == -EIO)
		rc = sproc_ask_name(room, &longer, OP_SERVICE_STOP, "service_name", name, &reply,
				    err);
	return fill_from(reply, rc, out, err);
}

ssize_t sproc_service_read(struct sproc_room *room, const struct call *call, const char *name,
			   int stream, int64_t offset, void *bytes, size_t len, struct error *err)
{
	return sproc_read(room, call, "service", name, stream, offset, bytes, len, NULL, err);
}

static void add_readiness(struct line_request *request, const struct proc_readiness *readiness)
{
	static const char *const kinds[][2] = {
		[PROC_READY_FILE] = { "file", "path" },
		[PROC_READY_TCP] = { "tcp", "address" },
		[PROC_READY_HTTP] = { "http", "url" },
		[PROC_READY_COMMAND] = { "command", "command" },
	};
	double timeout = readiness->timeout < MAX_TIMEOUT ? readiness->timeout : MAX_TIMEOUT;
	struct line_request inner;

	if (readiness->kind == PROC_READY_NONE)
		return;
	line_request_init(&inner, NULL, request->err);
	line_request_text(&inner, "type", kinds[readiness->kind][0]);
	line_request_text(&inner, kinds[readiness->kind][1], readiness->value);
	if (inner.rc < 0) {
		line_request_drop(&inner);
		line_request_fail(request, ENOMEM, "out of memory");
		return;
	}
	line_request_add(request, "readiness", inner.exchange.object);
	line_request_add(request, "ready_timeout_seconds", json_real(timeout > 0 ? timeout : 0));
	line_request_int(request, "ready_interval_ms", readiness->interval_ms);
}

static int launch(struct sproc_room *room, const struct call *call, const char *name,
		  const char *command, const struct proc_settings *settings,
		  const struct proc_readiness *readiness, struct proc_service *out,
		  struct error *err)
{
	struct line_request request;
	json_t *reply = NULL;
	int rc;

	line_request_init(&request, NULL, err);
	line_request_name(&request, "service_name", name);
	line_request_text(&request, "command", command);
	sproc_add_settings(&request, settings);
	add_readiness(&request, readiness);
	rc = sproc_ask(room, call, OP_SERVICE_START, &request, &reply, err);
	rc = fill_from(reply, rc, out, err);
	/* The session broke, perhaps: it did not run, so if this command does now, it is ours. */
	if (rc == -EIO && sproc_service_status(room, call, name, out, NULL) == 0) {
		if (strcmp(out->state, "running") == 0 && strcmp(out->command, command) == 0)
			return 0;
		proc_service_free(out);
	}
	return rc;
}

/* One call over the session that there is: how long it takes says nothing of the guest. */
static int wait_once(struct sproc_room *room, const struct call *call, const struct buf *args,
		     struct buf *reply, struct error *err)
{
	struct mux *mux;
	int rc = link_mux(room->link, call, &mux, err);

	if (rc)
		return rc;
	rc = mux_call(mux, call, OP_WAIT, args, reply, NULL, err);
	mux_unref(mux);
	return rc;
}

static int wait_ready(struct sproc_room *room, const struct call *call, const char *name,
		      struct error *err)
{
	autobuf struct buf args = BUF_INIT(FRAME_BODY_MAX), reply = BUF_INIT(FRAME_BODY_MAX);
	struct line_request request;
	int rc;

	line_request_init(&request, NULL, err);
	line_request_text(&request, "kind", "service");
	line_request_name(&request, "name", name);
	line_request_text(&request, "for", "ready");
	rc = sproc_pack(&request, &args);
	if (rc == 0)
		rc = wait_once(room, call, &args, &reply, err);
	while (rc == -ECONNRESET && call_remaining_ms(call)) {
		link_retried(room->link, OP_WAIT);
		rc = wait_once(room, call, &args, &reply, err);
	}
	return rc;
}

/* Nobody waits for it any more: nothing is left running. */
static int give_up(struct sproc_room *room, const char *name, int rc)
{
	struct call own = call_within(room->timeout, NULL);

	sproc_ask_name(room, &own, OP_SERVICE_STOP, "service_name", name, NULL, NULL);
	return rc;
}

/* What the start has come to, as process.h wants it. */
static int judge(const char *name, const struct proc_readiness *readiness,
		 const struct proc_service *service, struct error *err)
{
	if (strcmp(service->stop_reason, "readiness_timeout") == 0)
		return error_set(err, ETIMEDOUT,
				 "service %s was not ready after %g s and is stopped", name,
				 readiness->timeout);
	if (strcmp(service->state, "running") == 0 && service->ready_at > 0)
		return 0;
	if (strcmp(service->state, "running") == 0)
		return error_set(err, EIO,
				 "the guest's agent was started anew before service %s was ready: "
				 "nobody looks whether it is",
				 name);
	if (service->ready_at > 0) /* and has ended since */
		return 0;
	if (!service->has_exit_code)
		return error_set(err, EIO, "service %s ended before it was ready", name);
	return error_set(err, EIO, "service %s ended before it was ready, with exit code %d", name,
			 service->exit_code);
}

int sproc_service_start(struct sproc_room *room, const struct call *call, const char *name,
			const char *command, const struct proc_settings *settings,
			const struct proc_readiness *readiness, struct proc_service *out,
			struct error *err)
{
	struct call brief = call_extend(call, room->timeout), patient;
	double started_at;
	int rc;

	*out = (struct proc_service){ 0 };
	if (brief.deadline > call->deadline)
		brief.deadline = call->deadline;
	rc = launch(room, &brief, name, command, settings, readiness, out, err);
	if (rc == -EINTR || rc == -ETIMEDOUT)
		return give_up(room, name, rc);
	if (rc || readiness->kind == PROC_READY_NONE)
		return rc;
	started_at = out->started_at;
	proc_service_free(out);
	patient = call_extend(call, readiness->timeout + GIVE_UP_SECONDS + room->timeout);
	if (patient.deadline > call->deadline)
		patient.deadline = call->deadline;
	rc = wait_ready(room, &patient, name, err);
	if (rc == -EINTR || rc == -ETIMEDOUT)
		return give_up(room, name, rc);
	if (rc == 0) {
		brief = sproc_longer(call, room->timeout);
		rc = sproc_service_status(room, &brief, name, out, err);
	}
	if (rc == 0 && out->started_at != started_at)
		return error_set(err, EBUSY, "service %s was started anew by somebody else", name);
	return rc ? rc : judge(name, readiness, out, err);
}
