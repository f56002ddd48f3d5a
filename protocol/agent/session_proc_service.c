/* session_proc_service.c - the operations on services. */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "protocol/agent/environment.h"
#include "protocol/agent/name.h"
#include "protocol/agent/service_wish.h"
#include "protocol/agent/session_conn.h"
#include "protocol/agent/session_ops.h"
#include "protocol/agent/session_proc.h"
#include "protocol/agent/session_proc_source.h"
#include "protocol/cleanup.h"

/* Of one answer to OP_SERVICE_LIST; what one service takes comes on top. */
#define LIST_BYTES (FRAME_BODY_MAX / 2)
#define MAX_NAMES 65536

/*
 * A start: a thread of its own sees it through, and answers the call as soon as there is a process.
 */
struct start {
	struct agent *agent;
	struct sess_call *call; /* NULL when it has been answered */
	struct service_wish wish;
	size_t held; /* of it, in the agent's budget */
};

static void start_free(struct start *start)
{
	budget_give(&start->agent->held, start->held);
	service_wish_free(&start->wish);
	free(start);
}

static void answer(struct start *start, int rc, const struct error *why)
{
	struct reply reply = { .object = json_object(), .failed = false };
	autobuf struct buf result = BUF_INIT(FRAME_BODY_MAX);
	struct error err = { 0 };

	if (rc < 0)
		error_copy(&err, why);
	else if (!reply.object)
		rc = error_set(&err, ENOMEM, "out of memory");
	else
		rc = proc_describe_service(start->agent, start->wish.name, &reply, &err);
	if (rc == 0)
		rc = sess_json_dump(&reply, &result, &err);
	json_decref(reply.object);
	sess_call_finish(move_ptr(start->call), rc, &result, &err);
}

static void on_launch(void *arg)
{
	answer(arg, 0, NULL);
}

static void *run_start(void *arg)
{
	struct start *start = arg;
	struct agent *agent = start->agent;
	struct service_spec spec = service_wish_spec(&start->wish);
	struct service_record record = { 0 };
	struct error err = { 0 };
	int rc;

	sess_thread_prepare();
	spec.launched = on_launch;
	spec.arg = start;
	rc = services_start(agent->services, &spec, &record, &err);
	if (start->call)
		answer(start, rc, &err);
	service_record_free(&record);
	start_free(start);
	proc_hub_helped(agent->procs);
	return NULL;
}

/* It may be seen through for long: what it takes is counted. */
static int hold(struct start *start, struct error *err)
{
	size_t size = environment_size(start->wish.env) + strlen(start->wish.command);

	if (!budget_take(&start->agent->held, size))
		return error_set(err, EAGAIN, "too much is being started: try again later");
	start->held = size;
	return 0;
}

int sess_op_service_start(struct sess_call *call, struct unpack *args, struct buf *result,
			  struct error *err)
{
	struct start *start = calloc(1, sizeof(*start));
	struct request request;
	int rc;

	(void)result;
	if (!start)
		return error_set(err, ENOMEM, "out of memory");
	start->agent = call->sess->agent;
	start->call = call;
	rc = sess_json_parse(call, args, &request, err);
	if (rc == 0) {
		rc = service_wish_read(&request, &start->wish, err);
		sess_json_done(&request);
	}
	if (rc == 0)
		rc = hold(start, err);
	if (rc == 0) {
		rc = proc_hub_help(start->agent->procs, run_start, start);
		if (rc == 0)
			return SESS_PARKED;
		error_set(err, -rc, "too many services are being started: try again later");
	}
	start_free(start);
	return rc;
}

static int service_status(struct sess_call *call, struct request *request, struct reply *reply,
			  struct error *err)
{
	autofree char *name = NULL;
	int rc = request_name(request, "service_name", &name, err);

	(void)call;
	return rc < 0 ? rc : proc_describe_service(request->agent, name, reply, err);
}

static int stop_service(struct sess_call *call, struct request *request, struct reply *reply,
			struct error *err)
{
	struct services *services = request->agent->services;
	struct service_record record = { 0 };
	struct service_run run;
	autofree char *name = NULL;
	int rc = request_name(request, "service_name", &name, err);

	if (rc == 0)
		rc = services_get_run(services, name, &run, err);
	sess_fence_end_call(call);
	if (rc == 0)
		rc = services_stop_run(services, name, &run, &record, err);
	service_record_free(&record);
	return rc < 0 ? rc : proc_describe_service(request->agent, name, reply, err);
}

struct names {
	char **items; /* owned */
	size_t count, room;
};

static void names_free(struct names *names)
{
	for (size_t i = 0; i < names->count; i++)
		free(names->items[i]);
	free(names->items);
}

static int names_add(struct names *names, char *name)
{
	if (name && names->count == names->room) {
		size_t room = names->room ? 2 * names->room : 64;
		char **items = realloc(names->items, room * sizeof(*items));

		if (items) {
			names->items = items;
			names->room = room;
		}
	}
	if (!name || names->count == names->room) {
		free(name);
		return -ENOMEM;
	}
	names->items[names->count++] = name;
	return 0;
}

static int compare(const void *left, const void *right)
{
	return strcmp(*(char *const *)left, *(char *const *)right);
}

/* Those behind AFTER that have a record, sorted. */
static int find_names(struct agent *agent, const char *after, struct names *names,
		      struct error *err)
{
	int fd = openat(services_dir(agent->services), ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	DIR *dir = fd >= 0 ? fdopendir(fd) : NULL;
	const struct dirent *entry;
	int rc = 0;

	if (!dir) {
		rc = errno;
		if (fd >= 0)
			close(fd);
		return error_set(err, rc, "cannot list the services: %s", strerror(rc));
	}
	while (rc == 0 && names->count < MAX_NAMES && (entry = readdir(dir)) != NULL) {
		char *name = strdup(entry->d_name);
		char *dot = name ? strrchr(name, '.') : NULL;
		bool record = dot && strcmp(dot, ".json") == 0;

		if (record)
			*dot = '\0';
		if (name && (!record || !name_is_valid(name) || strcmp(name, after) <= 0))
			free(name);
		else
			rc = names_add(names, name);
	}
	closedir(dir);
	if (rc < 0)
		return error_set(err, ENOMEM, "out of memory");
	if (names->count)
		qsort(names->items, names->count, sizeof(*names->items), compare);
	return 0;
}

/* Adds SERVICE to ARRAY; how long it is, 0 where there is none. */
static ssize_t add_service(struct agent *agent, const char *name, json_t *array)
{
	struct reply one = { .object = json_object() };
	autobuf struct buf text = BUF_INIT(FRAME_BODY_MAX);
	int rc;

	if (!one.object)
		return -ENOMEM;
	rc = proc_describe_service(agent, name, &one, NULL);
	if (rc < 0) {
		json_decref(one.object);
		return rc == -ENOENT ? 0 : rc;
	}
	rc = json_array_append(array, one.object) < 0 ? -ENOMEM : 0;
	/* Also makes it short enough. */
	if (rc == 0)
		rc = sess_json_dump(&one, &text, NULL);
	json_decref(one.object);
	return rc < 0 ? rc : (ssize_t)text.len;
}

static int list_services(struct sess_call *call, struct request *request, struct reply *reply,
			 struct error *err)
{
	__attribute__((cleanup(names_free))) struct names names = { 0 };
	autofree char *after = NULL;
	json_t *array = json_array();
	size_t bytes = 0, i = 0;
	int rc = request_text(request, "after", "", LIMIT_ENTITY_NAME, &after, err);

	(void)call;
	reply_value(reply, "services", array);
	if (rc == 0)
		rc = find_names(request->agent, after, &names, err);
	for (; rc == 0 && i < names.count && bytes < LIST_BYTES; i++) {
		ssize_t n = add_service(request->agent, names.items[i], array);

		if (n < 0)
			rc = error_set(err, (int)-n, "cannot list the services: %s",
				       strerror((int)-n));
		else
			bytes += (size_t)n;
	}
	reply_bool(reply, "more", i < names.count);
	return rc;
}

int sess_op_service_status(struct sess_call *call, struct unpack *args, struct buf *result,
			   struct error *err)
{
	return sess_json_run(call, args, result, err, service_status);
}

int sess_op_service_stop(struct sess_call *call, struct unpack *args, struct buf *result,
			 struct error *err)
{
	return sess_json_run(call, args, result, err, stop_service);
}

int sess_op_service_list(struct sess_call *call, struct unpack *args, struct buf *result,
			 struct error *err)
{
	return sess_json_run(call, args, result, err, list_services);
}
