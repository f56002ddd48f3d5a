/* session_proc_command.c - the operations on commands. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>

#include "protocol/agent/command.h"
#include "protocol/agent/environment.h"
#include "protocol/agent/session_conn.h"
#include "protocol/agent/session_ops.h"
#include "protocol/agent/session_proc.h"
#include "protocol/agent/session_proc_source.h"
#include "protocol/agent/workspace_path.h"
#include "protocol/cleanup.h"
#include "protocol/token.h"
#include "protocol/wire.h"

#define MAX_TIMEOUT_SECONDS (10LL * 365 * 86400)

/* Of input that is on its way from the client to a pipe. */
#define CHUNK (16u << 10)

static void unref(struct command **command)
{
	if (*command)
		command_unref(*command);
}

#define autocommand __attribute__((cleanup(unref)))

static struct command *find(struct sess_call *call, const struct request *request, int *rc,
			    struct error *err)
{
	autofree char *id = NULL;
	struct command *command = NULL;

	*rc = request_name(request, "command_id", &id, err);
	if (*rc == 0)
		command = commands_find(request->agent->commands, id, call->sess, err);
	if (*rc == 0 && !command)
		*rc = -ENOENT;
	return command;
}

/* An array of strings of ours, with a NULL behind the last. */
static int read_argv(const json_t *array, char ***out, struct error *err)
{
	size_t count = json_array_size(array);
	char **argv = calloc(count + 1, sizeof(*argv));
	int rc = 0;

	if (!argv)
		return error_set(err, ENOMEM, "out of memory");
	if (!count)
		rc = error_set(err, EINVAL, "argv must be an array that is not empty");
	for (size_t i = 0; rc == 0 && i < count; i++) {
		const json_t *item = json_array_get(array, i);
		size_t len = 0;

		if (json_is_string(item))
			argv[i] = wire_bytes(item, &len);
		if (!json_is_string(item))
			rc = error_set(err, EINVAL, "argv must consist of strings");
		else if (!argv[i])
			rc = error_set(err, ENOMEM, "out of memory");
		else if (strlen(argv[i]) != len || (i == 0 && !len))
			rc = error_set(err, EINVAL,
				       "argv must not contain a NUL, argv[0] not be empty");
	}
	if (rc < 0)
		environment_free(argv);
	else
		*out = argv;
	return rc;
}

/* sh -c COMMAND, or the arguments as they are. */
static int read_program(const struct request *request, char ***out, struct error *err)
{
	const json_t *array = json_object_get(request->object, "argv");
	autofree char *command = NULL;
	char **argv;
	int rc;

	if (array && !json_is_null(array))
		return read_argv(array, out, err);
	rc = request_text(request, "command", NULL, LIMIT_EXEC_COMMAND, &command, err);
	if (rc < 0)
		return rc;
	argv = calloc(4, sizeof(*argv));
	if (argv) {
		argv[0] = strdup("/bin/sh");
		argv[1] = strdup("-c");
		argv[2] = move_ptr(command);
	}
	if (!argv || !argv[0] || !argv[1]) {
		environment_free(argv);
		return error_set(err, ENOMEM, "out of memory");
	}
	*out = argv;
	return 0;
}

static int read_input(const struct request *request, enum command_input *out, struct error *err)
{
	const char *word = json_string_value(json_object_get(request->object, "input"));
	bool stream = false;
	int rc;

	if (word && strcmp(word, "first") == 0) {
		*out = COMMAND_SPOOL;
		return 0;
	}
	rc = request_bool(request, "input", false, &stream, NULL);
	if (rc < 0)
		return error_set(err, -rc, "input must be true, false or \"first\"");
	*out = stream ? COMMAND_STREAM : COMMAND_NO_INPUT;
	return 0;
}

/* Where it runs, and with what around it. */
static int read_surroundings(const struct request *request, struct command_spec *spec,
			     struct error *err)
{
	const char *extra[] = { spec->mark, NULL };
	autofree char *cwd = NULL;
	char token[TOKEN_DIGITS + 1];
	int rc = request_text(request, "cwd", WORKSPACE, LIMIT_PATH, &cwd, err);

	if (rc < 0)
		return rc;
	if (cwd[0] != '/')
		return error_set(err, EINVAL, "cwd must be an absolute path");
	if (token_make(token, TOKEN_DIGITS) < 0)
		return error_set(err, EIO, "there are no random numbers");
	snprintf(spec->mark, sizeof(spec->mark), "VSOCKFS_COMMAND=%s", token);
	spec->host_cwd = workspace_host_path(request->agent, cwd);
	if (!spec->host_cwd)
		return error_set(err, ENOMEM, "out of memory");
	return environment_make(request, extra, &spec->env, err);
}

static void spec_free(struct command_spec *spec)
{
	environment_free(spec->argv);
	environment_free(spec->env);
	free(spec->host_cwd);
}

static int start(struct sess_call *call, struct request *request, struct reply *reply,
		 struct error *err)
{
	const json_t *wanted = json_object_get(request->object, "command_id");
	struct command_spec spec = { .owner = call->sess };
	autocommand struct command *command = NULL;
	autofree char *id = NULL;
	int rc = 0;

	if (wanted && !json_is_null(wanted))
		rc = request_name(request, "command_id", &id, err);
	spec.id = id;
	if (rc == 0)
		rc = request_ms(request, "timeout_seconds", 0, MAX_TIMEOUT_SECONDS,
				&spec.timeout_ms, err);
	if (rc == 0)
		rc = read_input(request, &spec.input, err);
	if (rc == 0)
		rc = read_program(request, &spec.argv, err);
	if (rc == 0)
		rc = read_surroundings(request, &spec, err);
	if (rc < 0) {
		spec_free(&spec);
		return rc;
	}
	rc = commands_start(request->agent->commands, &spec, &command, err);
	if (rc == 0)
		proc_describe_command(command, reply);
	return rc;
}

static int status(struct sess_call *call, struct request *request, struct reply *reply,
		  struct error *err)
{
	int rc;
	autocommand struct command *command = find(call, request, &rc, err);

	if (rc == 0)
		proc_describe_command(command, reply);
	return rc;
}

static int strike(struct sess_call *call, struct request *request, struct reply *reply,
		  struct error *err)
{
	int rc, number;
	autocommand struct command *command = find(call, request, &rc, err);

	if (rc < 0)
		return rc;
	number = sess_signal_number(request, "TERM", err);
	rc = number < 0 ? number : command_signal(command, number, err);
	if (rc == 0)
		proc_describe_command(command, reply);
	return rc;
}

static int forget(struct sess_call *call, struct request *request, struct reply *reply,
		  struct error *err)
{
	int rc;
	autocommand struct command *command = find(call, request, &rc, err);

	(void)reply;
	sess_fence_end_call(call);
	if (rc == 0)
		command_forget(command);
	return rc;
}

int sess_op_command_start(struct sess_call *call, struct unpack *args, struct buf *result,
			  struct error *err)
{
	return sess_json_run(call, args, result, err, start);
}

int sess_op_command_status(struct sess_call *call, struct unpack *args, struct buf *result,
			   struct error *err)
{
	return sess_json_run(call, args, result, err, status);
}

int sess_op_command_signal(struct sess_call *call, struct unpack *args, struct buf *result,
			   struct error *err)
{
	return sess_json_run(call, args, result, err, strike);
}

int sess_op_command_forget(struct sess_call *call, struct unpack *args, struct buf *result,
			   struct error *err)
{
	return sess_json_run(call, args, result, err, forget);
}

/* An OP_COMMAND_INPUT into a pipe, which may be full for long. */
struct feed {
	struct proc_item item; /* first */
	struct command *command;
	int pipe;
	bool closed;     /* command_end_input was called */
	size_t from, to; /* of what is in the chunk */
	char chunk[CHUNK];
};

static void feed_free(struct proc_item *item)
{
	struct feed *feed = (struct feed *)item;

	if (!feed->closed)
		command_end_input(feed->command, false, NULL);
	command_unref(feed->command);
	free(feed);
}

static int tell(struct command *command, struct buf *result, struct error *err)
{
	struct reply reply = { .object = json_object() };

	if (!reply.object)
		return error_set(err, ENOMEM, "out of memory");
	proc_describe_command(command, &reply);
	return sess_json_dump(&reply, result, err);
}

/* There is no more input, or it is not wanted. */
static int end_feed(struct feed *feed, struct buf *result, struct error *err)
{
	proc_hub_disarm(&feed->item);
	feed->item.fd = -1;
	feed->closed = true;
	command_end_input(feed->command, true, NULL);
	return tell(feed->command, result, err);
}

static int serve_feed(struct proc_item *item, struct buf *result, struct error *err)
{
	struct feed *feed = (struct feed *)item;
	struct command_status seen;
	ssize_t n;

	item->fd = -1;
	command_look(feed->command, &seen);
	if (seen.state == COMMAND_ENDED)
		return end_feed(feed, result, err);
	if (feed->from == feed->to) {
		n = sess_call_try_receive(item->call, feed->chunk, sizeof(feed->chunk));
		if (n == 0)
			return end_feed(feed, result, err);
		if (n < 0)
			return n == -EAGAIN ? PROC_WAITS : (int)n;
		feed->from = 0;
		feed->to = (size_t)n;
	}
	n = command_give(feed->command, feed->chunk + feed->from, feed->to - feed->from);
	if (n == -EPIPE)
		return end_feed(feed, result, err);
	if (n == -EAGAIN) {
		item->fd = feed->pipe;
		item->events = EPOLLOUT;
		return PROC_WAITS;
	}
	if (n < 0)
		return error_set(err, (int)-n, "cannot give the command its input: %s",
				 strerror((int)-n));
	feed->from += (size_t)n;
	return PROC_AGAIN;
}

/* Takes the reference over where it is parked. */
static int park(struct sess_call *call, struct command *command, int pipe, struct error *err)
{
	struct feed *feed = calloc(1, sizeof(*feed));
	struct command_status seen;
	int rc;

	if (!feed)
		return error_set(err, ENOMEM, "out of memory");
	command_look(command, &seen);
	feed->command = command;
	feed->pipe = pipe;
	feed->item = (struct proc_item){
		.call = call,
		.kind = PROC_COMMAND,
		.serve = serve_feed,
		.free = feed_free,
		.fd = -1,
	};
	snprintf(feed->item.name, sizeof(feed->item.name), "%s", seen.id);
	rc = proc_hub_park(call->sess->agent->procs, &feed->item, err);
	if (rc < 0)
		free(feed);
	return rc;
}

/* Into a file, after which the command starts. */
static int spool(struct sess_call *call, struct command *command, struct error *err)
{
	autofree char *piece = malloc(SESS_PIECE);
	ssize_t n, done;

	if (!piece)
		return error_set(err, ENOMEM, "out of memory");
	while ((n = sess_call_receive(call, piece, SESS_PIECE)) > 0) {
		for (ssize_t at = 0; at < n; at += done) {
			done = command_give(command, piece + at, (size_t)(n - at));
			if (done < 0)
				return error_set(err, (int)-done,
						 "cannot keep the command's input: %s",
						 strerror((int)-done));
		}
	}
	return (int)n;
}

static int spool_and_start(struct sess_call *call, struct command *command, struct buf *result,
			   struct error *err)
{
	int rc = spool(call, command, err), started;

	started = command_end_input(command, rc == 0, err);
	if (rc == 0)
		rc = started;
	/* What cannot be started is not kept. */
	if (started < 0)
		command_forget(command);
	return rc < 0 ? rc : tell(command, result, err);
}

int sess_op_command_input(struct sess_call *call, struct unpack *args, struct buf *result,
			  struct error *err)
{
	struct command *command = NULL;
	struct request request;
	int pipe = -1, rc = sess_json_parse(call, args, &request, err);

	if (rc == 0) {
		command = find(call, &request, &rc, err);
		sess_json_done(&request);
	}
	if (rc == 0)
		rc = command_begin_input(command, &pipe, err);
	if (rc == COMMAND_UNREAD) {
		rc = tell(command, result, err);
	} else if (rc == 0 && pipe < 0) {
		rc = spool_and_start(call, command, result, err);
	} else if (rc == 0) {
		rc = park(call, command, pipe, err);
		if (rc == SESS_PARKED)
			return rc;
		command_end_input(command, false, NULL);
	}
	unref(&command);
	return rc;
}
