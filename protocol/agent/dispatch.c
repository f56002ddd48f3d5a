/* dispatch.c - see dispatch.h. */
#include "protocol/agent/dispatch.h"

#include <errno.h>
#include <string.h>
#include <unistd.h>

#include "protocol/agent/actions.h"
#include "protocol/agent/session_hello.h"
#include "protocol/cleanup.h"
#include "protocol/wire.h"

/* For the whole request line. */
#define REQUEST_MS 30000

static const struct {
	const char *name;
	action_fn run;
} actions[] = {
	{ "extract_archive", action_extract_archive },
	{ "export_archive", action_export_archive },
	{ "install_secrets", action_install_secrets },
	{ "list_workspace", action_list_workspace },
	{ "read_workspace_file", action_read_workspace_file },
	{ "write_workspace_file", action_write_workspace_file },
	{ "delete_workspace_path", action_delete_workspace_path },
	{ "open_shell", action_open_shell },
	{ "read_shell", action_read_shell },
	{ "write_shell", action_write_shell },
	{ "signal_shell", action_signal_shell },
	{ "close_shell", action_close_shell },
	{ "start_service", action_start_service },
	{ "status_service", action_status_service },
	{ "logs_service", action_logs_service },
	{ "stop_service", action_stop_service },
};

/* An unknown action is an exec, as everywhere in the field: mostly of the empty command. */
static action_fn find(const json_t *object)
{
	const char *name = json_string_value(json_object_get(object, "action"));

	for (size_t i = 0; name && i < sizeof(actions) / sizeof(actions[0]); i++) {
		if (!strcmp(actions[i].name, name))
			return actions[i].run;
	}
	return action_exec;
}

/* Newline included; the terminating NUL that wire_dump leaves makes room for it. */
static int send_object(struct peer *peer, const json_t *object, struct error *err)
{
	autofree char *line = NULL;
	size_t len;

	line = wire_dump(object, &len);
	if (!line)
		return error_set(err, ENOMEM, "out of memory");
	if (len + 1 > LIMIT_REPLY_OBJECT)
		return error_set(err, EFBIG, "the reply is longer than %u bytes",
				 LIMIT_REPLY_OBJECT);
	line[len] = '\n';
	/* Whoever does not listen any more is not told. */
	peer_send(peer, line, len + 1);
	return 0;
}

static void send_error(struct peer *peer, const struct error *err)
{
	static const char fallback[] = "{\"error\": \"out of memory\"}\n";
	json_t *object = json_object();
	struct error ignored;

	if (!object ||
	    json_object_set_new(object, "error", wire_string(err->text, strlen(err->text))) < 0 ||
	    send_object(peer, object, &ignored) < 0)
		peer_send(peer, fallback, sizeof(fallback) - 1);
	json_decref(object);
}

/*
 * The rest of an archive is read before anything is answered: a client that sends first and
 * reads then would not hear of an error otherwise.
 */
static void skip_payload(struct request *request)
{
	char piece[16384];

	while (request_payload(request, piece, sizeof(piece)) > 0)
		;
}

static int run(struct request *request, struct error *err)
{
	struct reply reply = { .object = json_object() };
	int rc;

	if (!reply.object)
		return error_set(err, ENOMEM, "out of memory");
	rc = find(request->object)(request, &reply, err);
	skip_payload(request);
	if (rc == 0 && reply.failed)
		rc = error_set(err, ENOMEM, "out of memory");
	if (rc == 0)
		rc = send_object(request->peer, reply.object, err);
	if (rc == 0 && request->tail >= 0)
		peer_send_file(request->peer, request->tail, request->tail_size);
	json_decref(reply.object);
	return rc;
}

static int receive(struct peer *peer, json_t **out, struct error *err)
{
	autobuf struct buf line = BUF_INIT(LIMIT_REQUEST_LINE);
	int rc = peer_read_line(peer, LIMIT_REQUEST_LINE, REQUEST_MS, &line);

	if (rc == -E2BIG)
		return error_set(err, E2BIG, "the request is longer than %u bytes",
				 LIMIT_REQUEST_LINE);
	if (rc < 0)
		return error_set(err, -rc, "cannot read the request: %s", strerror(-rc));
	*out = wire_parse_request(buf_str(&line), line.len, err);
	return *out ? 0 : -err->code;
}

void dispatch_serve(struct agent *agent, int fd)
{
	autofree struct peer *peer = malloc(sizeof(*peer));
	struct request request = { .agent = agent, .peer = peer, .tail = -1 };
	struct error err = { 0 };
	json_t *object = NULL;
	int rc;

	if (!peer)
		return;
	peer_init(peer, fd);
	rc = receive(peer, &object, &err);
	if (rc == -ENODATA || rc == -ETIMEDOUT || rc == -ECONNRESET)
		return; /* nobody is there to be told */
	if (rc == 0) {
		request.object = object;
		rc = sess_hello_is(agent, object) ? sess_hello_serve(agent, peer, object, &err) :
						    run(&request, &err);
	}
	if (rc < 0) {
		send_error(peer, &err);
		peer_linger(peer);
	}
	if (request.tail >= 0)
		close(request.tail);
	json_decref(object);
}
