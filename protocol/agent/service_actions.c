/* service_actions.c - the actions on services: arguments in, replies out. */
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "protocol/agent/actions.h"
#include "protocol/agent/environment.h"
#include "protocol/agent/service.h"
#include "protocol/agent/service_log.h"
#include "protocol/agent/service_wish.h"
#include "protocol/agent/workspace_path.h"
#include "protocol/cleanup.h"

#define DEFAULT_TIMEOUT_SECONDS 30
#define MAX_TIMEOUT_SECONDS 86400
#define DEFAULT_INTERVAL_MS 500
#define MIN_INTERVAL_MS 10
#define MAX_INTERVAL_MS 60000

#define autorecord __attribute__((cleanup(service_record_free)))

void service_wish_free(struct service_wish *wish)
{
	free(wish->name);
	free(wish->command);
	free(wish->cwd);
	free(wish->host_cwd);
	environment_free(wish->env);
	json_decref(wish->readiness);
	probe_free(&wish->probe);
}

int service_wish_read(const struct request *request, struct service_wish *wish, struct error *err)
{
	const json_t *readiness = json_object_get(request->object, "readiness");
	const char *extra[] = { wish->mark, NULL };
	int rc = request_name(request, "service_name", &wish->name, err);

	if (rc == 0)
		rc = request_text(request, "command", NULL, LIMIT_EXEC_COMMAND, &wish->command,
				  err);
	if (rc == 0)
		rc = request_text(request, "cwd", WORKSPACE, LIMIT_PATH, &wish->cwd, err);
	if (rc == 0)
		rc = request_ms(request, "ready_timeout_seconds", DEFAULT_TIMEOUT_SECONDS,
				MAX_TIMEOUT_SECONDS, &wish->timeout_ms, err);
	if (rc == 0)
		rc = request_int(request, "ready_interval_ms", DEFAULT_INTERVAL_MS, 0, INT64_MAX,
				 &wish->interval_ms, err);
	if (rc < 0)
		return rc;
	if (!wish->command[0])
		return error_set(err, EINVAL, "command must not be empty");
	if (wish->cwd[0] != '/')
		return error_set(err, EINVAL, "cwd must be an absolute path");
	wish->host_cwd = workspace_host_path(request->agent, wish->cwd);
	if (!wish->host_cwd)
		return error_set(err, ENOMEM, "out of memory");
	if (service_make_mark(wish->mark, sizeof(wish->mark)) < 0)
		return error_set(err, EIO, "there are no random numbers");
	if (wish->interval_ms < MIN_INTERVAL_MS)
		wish->interval_ms = MIN_INTERVAL_MS;
	if (wish->interval_ms > MAX_INTERVAL_MS)
		wish->interval_ms = MAX_INTERVAL_MS;
	wish->readiness = json_deep_copy(readiness);
	if (readiness && !wish->readiness)
		return error_set(err, ENOMEM, "out of memory");
	rc = environment_make(request, extra, &wish->env, err);
	if (rc == 0)
		rc = probe_parse(request->agent, wish->readiness, wish->host_cwd, &wish->probe,
				 err);
	return rc;
}

struct service_spec service_wish_spec(const struct service_wish *wish)
{
	return (struct service_spec){
		.name = wish->name,
		.command = wish->command,
		.cwd = wish->cwd,
		.host_cwd = wish->host_cwd,
		.env = wish->env,
		.mark = wish->mark,
		.readiness = wish->readiness,
		.probe = &wish->probe,
		.ready_timeout_ms = wish->timeout_ms,
		.ready_interval_ms = wish->interval_ms,
	};
}

int action_start_service(struct request *request, struct reply *reply, struct error *err)
{
	__attribute__((cleanup(service_wish_free))) struct service_wish wish = { 0 };
	autorecord struct service_record record = { 0 };
	struct service_spec spec;
	int rc = service_wish_read(request, &wish, err);

	if (rc < 0)
		return rc;
	spec = service_wish_spec(&wish);
	rc = services_start(request->agent->services, &spec, &record, err);
	if (rc == 0)
		service_record_reply(&record, reply);
	return rc;
}

typedef int (*service_fn)(struct services *services, const char *name, struct service_record *out,
			  struct error *err);

/* Asks ABOUT the service of the request. */
static int describe(struct request *request, struct reply *reply, service_fn about,
		    struct error *err)
{
	autorecord struct service_record record = { 0 };
	autofree char *name = NULL;
	int rc = request_name(request, "service_name", &name, err);

	if (rc == 0)
		rc = about(request->agent->services, name, &record, err);
	if (rc == 0)
		service_record_reply(&record, reply);
	return rc;
}

int action_status_service(struct request *request, struct reply *reply, struct error *err)
{
	return describe(request, reply, services_status, err);
}

int action_stop_service(struct request *request, struct reply *reply, struct error *err)
{
	return describe(request, reply, services_stop, err);
}

static int reply_log(struct reply *reply, int dir, const char *name, const char *stream,
		     int64_t tail_lines, bool *truncated, struct error *err)
{
	autobuf struct buf text = BUF_INIT(LIMIT_REPLY_OBJECT);
	char file[LIMIT_ENTITY_NAME + 16];
	int rc;

	snprintf(file, sizeof(file), "%s.%s", name, stream);
	rc = service_log_read(dir, file, tail_lines, &text, truncated);
	if (rc < 0)
		return error_set(err, -rc, "cannot read the log %s: %s", file, strerror(-rc));
	reply_bytes(reply, stream, buf_str(&text), text.len);
	return 0;
}

int action_logs_service(struct request *request, struct reply *reply, struct error *err)
{
	int dir = services_dir(request->agent->services);
	autofree char *name = NULL;
	bool truncated = false;
	int64_t tail_lines = 0;
	int rc = request_name(request, "service_name", &name, err);

	if (rc == 0)
		rc = request_int(request, "tail_lines", 0, 0, INT64_MAX, &tail_lines, err);
	if (rc == 0)
		rc = describe(request, reply, services_status, err);
	if (rc == 0)
		rc = reply_log(reply, dir, name, "stdout", tail_lines, &truncated, err);
	if (rc == 0)
		rc = reply_log(reply, dir, name, "stderr", tail_lines, &truncated, err);
	if (rc < 0)
		return rc;
	if (json_is_integer(json_object_get(request->object, "tail_lines")))
		reply_int(reply, "tail_lines", tail_lines);
	else
		reply_null(reply, "tail_lines");
	reply_bool(reply, "truncated", truncated);
	return 0;
}
