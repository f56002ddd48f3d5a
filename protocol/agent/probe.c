/* probe.c - see probe.h: what a probe is, files and commands. */
#include "protocol/agent/probe.h"

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "protocol/agent/child.h"
#include "protocol/agent/clock.h"
#include "protocol/agent/probe_net.h"
#include "protocol/agent/workspace_path.h"
#include "protocol/cleanup.h"
#include "protocol/wire.h"

#define COMMAND_MS 10000

/* The string KEY, owned. */
static int get(const json_t *readiness, const char *key, char **out, struct error *err)
{
	const json_t *value = json_object_get(readiness, key);
	autofree char *text = NULL;
	size_t len;

	if (!json_is_string(value))
		return error_set(err, EINVAL, "readiness: %s must be a string", key);
	text = wire_bytes(value, &len);
	if (!text)
		return error_set(err, ENOMEM, "out of memory");
	if (!len || strlen(text) != len)
		return error_set(err, EINVAL, "readiness: %s must not be empty or contain a NUL",
				 key);
	*out = move_ptr(text);
	return 0;
}

static int parse_file(const struct agent *agent, const json_t *readiness, const char *host_cwd,
		      struct probe *out, struct error *err)
{
	autofree char *path = NULL;
	int rc = get(readiness, "path", &path, err);

	if (rc < 0)
		return rc;
	if (path[0] == '/')
		out->value = workspace_host_path(agent, path);
	else if (asprintf(&out->value, "%s/%s", host_cwd, path) < 0)
		out->value = NULL;
	return out->value ? 0 : error_set(err, ENOMEM, "out of memory");
}

static int parse_tcp(const json_t *readiness, struct probe *out, struct error *err)
{
	autofree char *text = NULL;
	int rc = get(readiness, "address", &text, err);

	if (rc == 0 && probe_net_address(text, strlen(text), 0, &out->address) < 0)
		rc = error_set(err, EINVAL,
			       "readiness: '%.255s' is no HOST:PORT with an IPv4 address or "
			       "localhost",
			       text);
	return rc;
}

static int parse_http(const json_t *readiness, struct probe *out, struct error *err)
{
	static const char scheme[] = "http://";
	autofree char *url = NULL;
	const char *host, *target;
	size_t len;
	int rc = get(readiness, "url", &url, err);

	if (rc < 0)
		return rc;
	/* What a request line cannot carry would end it early. */
	if (strncmp(url, scheme, sizeof(scheme) - 1) != 0 || url[strcspn(url, " \t\r\n")])
		return error_set(err, EINVAL,
				 "readiness: '%.255s' is no http://HOST[:PORT][/PATH] URL", url);
	host = url + sizeof(scheme) - 1;
	len = strcspn(host, "/?#");
	target = host + len;
	if (probe_net_address(host, len, 80, &out->address) < 0)
		return error_set(err, EINVAL,
				 "readiness: '%.255s' must name an IPv4 address or localhost", url);
	out->host = strndup(host, len);
	if (asprintf(&out->target, "%s%.*s", target[0] == '/' ? "" : "/", (int)strcspn(target, "#"),
		     target) < 0)
		out->target = NULL;
	return out->host && out->target ? 0 : error_set(err, ENOMEM, "out of memory");
}

static int parse(const struct agent *agent, const json_t *readiness, const char *host_cwd,
		 struct probe *out, struct error *err)
{
	const char *type = json_string_value(json_object_get(readiness, "type"));

	if (type && !strcmp(type, "file")) {
		out->kind = PROBE_FILE;
		return parse_file(agent, readiness, host_cwd, out, err);
	}
	if (type && !strcmp(type, "tcp")) {
		out->kind = PROBE_TCP;
		return parse_tcp(readiness, out, err);
	}
	if (type && !strcmp(type, "http")) {
		out->kind = PROBE_HTTP;
		return parse_http(readiness, out, err);
	}
	if (type && !strcmp(type, "command")) {
		out->kind = PROBE_COMMAND;
		return get(readiness, "command", &out->value, err);
	}
	return error_set(err, EINVAL, "readiness: type must be file, tcp, http or command");
}

int probe_parse(const struct agent *agent, const json_t *readiness, const char *host_cwd,
		struct probe *out, struct error *err)
{
	int rc;

	*out = (struct probe){ .kind = PROBE_NONE };
	if (!readiness || json_is_null(readiness))
		return 0;
	if (!json_is_object(readiness))
		return error_set(err, EINVAL, "readiness must be an object or null");
	rc = parse(agent, readiness, host_cwd, out, err);
	if (rc < 0)
		probe_free(out);
	return rc;
}

void probe_free(struct probe *probe)
{
	free(probe->value);
	free(probe->host);
	free(probe->target);
	*probe = (struct probe){ .kind = PROBE_NONE };
}

/* Where a probe's output goes; a bare guest may have no /dev/null. */
static int open_sink(void)
{
	int fd = open("/dev/null", O_WRONLY | O_CLOEXEC);

	return fd >= 0 ? fd : memfd_create("vsockfs-probe", MFD_CLOEXEC);
}

static bool try_command(const struct probe *probe, const struct probe_context *context)
{
	const char *argv[] = { "/bin/sh", "-lc", probe->value, NULL };
	autoclose int sink = open_sink();
	struct child_spec spec = {
		.argv = argv,
		.env = context->env,
		.cwd = context->host_cwd,
		.fds = { -1, sink, sink },
	};
	int64_t deadline = clock_ms() + COMMAND_MS;
	struct child_end end = { .exit_code = -1 };
	struct child *child;

	if (sink < 0 || child_start(context->agent->children, &spec, &child, NULL) < 0)
		return false;
	if (deadline > context->deadline)
		deadline = context->deadline;

	struct pollfd wait[3] = {
		{ .fd = child_event(child), .events = POLLIN },
		{ .fd = context->wake[0], .events = POLLIN },
		{ .fd = context->wake[1], .events = POLLIN },
	};

	while (poll(wait, 3, clock_until(deadline)) < 0 && errno == EINTR)
		;
	if (!child_ended(child, &end))
		child_signal(child, SIGKILL);
	child_unref(child);
	return end.exit_code == 0;
}

bool probe_try(const struct probe *probe, const struct probe_context *context)
{
	switch (probe->kind) {
	case PROBE_NONE:
		return true;
	case PROBE_FILE:
		/* A file that was there before counts at once: the wire says so. */
		return faccessat(AT_FDCWD, probe->value, F_OK, 0) == 0;
	case PROBE_TCP:
		return probe_net_tcp(&probe->address, context->deadline);
	case PROBE_HTTP:
		return probe_net_http(&probe->address, probe->host, probe->target,
				      context->deadline);
	case PROBE_COMMAND:
		return try_command(probe, context);
	}
	return false;
}
