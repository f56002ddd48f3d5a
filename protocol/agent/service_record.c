/* service_record.c - see service_record.h. */
#include "protocol/agent/service_record.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "protocol/agent/kin.h"
#include "protocol/cleanup.h"
#include "protocol/wire.h"

#define MAX_RECORD (1u << 20)

static const char *const states[] = { "stopped", "running", "exited", "failed" };
static const char *const reasons[] = { "sigterm", "sigkill", "readiness_timeout",
				       "process_exited_before_ready" };

void service_record_free(struct service_record *record)
{
	free(record->command);
	free(record->cwd);
	json_decref(record->readiness);
	*record = (struct service_record){ 0 };
}

int service_record_copy(const struct service_record *from, struct service_record *to)
{
	*to = *from;
	to->command = strdup(from->command ? from->command : "");
	to->cwd = strdup(from->cwd ? from->cwd : "");
	/* A copy: reference counts are not for several threads. */
	to->readiness = from->readiness ? json_deep_copy(from->readiness) : NULL;
	if (to->command && to->cwd && !from->readiness == !to->readiness)
		return 0;
	service_record_free(to);
	return -ENOMEM;
}

void service_record_reply(const struct service_record *record, struct reply *reply)
{
	reply_text(reply, "service_name", record->name);
	reply_text(reply, "command", record->command);
	reply_text(reply, "cwd", record->cwd);
	reply_text(reply, "state", states[record->state]);
	reply_time(reply, "started_at", record->started_at);
	reply_time(reply, "ready_at", record->ready_at);
	reply_time(reply, "ended_at", record->ended_at);
	if (record->has_exit_code)
		reply_int(reply, "exit_code", record->exit_code);
	else
		reply_null(reply, "exit_code");
	if (record->pid > 0)
		reply_int(reply, "pid", record->pid);
	else
		reply_null(reply, "pid");
	reply_value(reply, "readiness",
		    record->readiness ? json_deep_copy(record->readiness) : json_null());
	reply_text(reply, "stop_reason", record->stop_reason);
}

static int write_file(int dir, const char *name, const char *bytes, size_t len)
{
	autoclose int fd = openat(dir, name, O_WRONLY | O_CREAT | O_TRUNC | O_NOFOLLOW | O_CLOEXEC,
				  0644);

	if (fd < 0)
		return -errno;
	while (len) {
		ssize_t n = write(fd, bytes, len);

		if (n < 0 && errno != EINTR)
			return -errno;
		if (n > 0) {
			bytes += n;
			len -= (size_t)n;
		}
	}
	return 0;
}

int service_record_save(const struct service_record *record, int dir)
{
	struct reply reply = { .object = json_object() };
	char name[LIMIT_ENTITY_NAME + 16], temporary[LIMIT_ENTITY_NAME + 16];
	autofree char *line = NULL;
	size_t len;
	int rc = -ENOMEM;

	if (reply.object) {
		service_record_reply(record, &reply);
		reply_int(&reply, "pid_started", (int64_t)record->pid_started);
		reply_text(&reply, "mark", record->mark);
		line = reply.failed ? NULL : wire_dump(reply.object, &len);
	}
	json_decref(reply.object);
	if (line) {
		snprintf(name, sizeof(name), "%s.json", record->name);
		snprintf(temporary, sizeof(temporary), ".%s.json", record->name);
		rc = write_file(dir, temporary, line, len);
	}
	if (rc == 0 && renameat(dir, temporary, dir, name) < 0)
		rc = -errno;
	return rc;
}

static int read_object(int dir, const char *name, json_t **out)
{
	char file[LIMIT_ENTITY_NAME + 16];
	autoclose int fd = -1;
	autofree char *text = NULL;
	size_t len = 0;

	snprintf(file, sizeof(file), "%s.json", name);
	fd = openat(dir, file, O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC);
	if (fd < 0)
		return -errno;
	text = malloc(MAX_RECORD);
	while (text && len < MAX_RECORD) {
		ssize_t n = read(fd, text + len, MAX_RECORD - len);

		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			return -errno;
		if (n == 0)
			break;
		len += (size_t)n;
	}
	*out = text ? wire_parse(text, len, NULL) : NULL;
	return *out ? 0 : -EBADMSG;
}

static char *get_text(const json_t *object, const char *key)
{
	const json_t *value = json_object_get(object, key);
	size_t len;

	return json_is_string(value) ? wire_bytes(value, &len) : strdup("");
}

static double get_time(const json_t *object, const char *key)
{
	const json_t *value = json_object_get(object, key);

	return json_is_number(value) ? json_number_value(value) : 0;
}

/* What TEXT is the name of; COUNT for nothing. */
static size_t find(const char *const *names, size_t count, const char *text)
{
	size_t i = 0;

	while (i < count && (!text || strcmp(names[i], text) != 0))
		i++;
	return i;
}

/* Another agent may have written it: what is missing has the dialect's defaults. */
static int parse(const json_t *object, const char *name, struct service_record *out)
{
	const json_t *exit_code = json_object_get(object, "exit_code");
	const json_t *readiness = json_object_get(object, "readiness");
	autofree char *mark = get_text(object, "mark");
	size_t state = find(states, 4, json_string_value(json_object_get(object, "state")));
	size_t reason = find(reasons, 4, json_string_value(json_object_get(object, "stop_reason")));

	*out = (struct service_record){
		.command = get_text(object, "command"),
		.cwd = get_text(object, "cwd"),
		.state = state < 4 ? (enum service_state)state : SERVICE_STOPPED,
		.started_at = get_time(object, "started_at"),
		.ready_at = get_time(object, "ready_at"),
		.ended_at = get_time(object, "ended_at"),
		.has_exit_code = json_is_integer(exit_code),
		.exit_code = (int)json_integer_value(exit_code),
		.pid = (pid_t)json_integer_value(json_object_get(object, "pid")),
		.readiness = json_is_object(readiness) ? json_deep_copy(readiness) : NULL,
		.stop_reason = reason < 4 ? reasons[reason] : NULL,
		.pid_started = (unsigned long long)json_integer_value(
			json_object_get(object, "pid_started")),
	};
	/* An agent that does not write it down: its word about the number is all there is. */
	if (!out->pid_started && out->pid > 0)
		out->pid_started = kin_start_time(out->pid);
	snprintf(out->name, sizeof(out->name), "%s", name);
	snprintf(out->mark, sizeof(out->mark), "%s", mark ? mark : "");
	if (out->command && out->cwd && mark)
		return 0;
	service_record_free(out);
	return -ENOMEM;
}

int service_record_load(int dir, const char *name, struct service_record *out)
{
	json_t *object = NULL;
	int rc = read_object(dir, name, &object);

	if (rc == 0)
		rc = parse(object, name, out);
	json_decref(object);
	return rc;
}
