/*
 * sproc_command.c - commands over the session dialect.
 *
 * The id is ours, so that after a break it can be asked whether there is one.  Input is complete in
 * the guest before the command starts.
 */
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include <utlist.h>

#include "protocol/cleanup.h"
#include "protocol/session/sproc_internal.h"

#define MAX_TIMEOUT (10 * 365 * 86400.0)

/* Between two machines' clocks, and what a millisecond's worth of them hides. */
#define CLOCK_SLACK_MS 20

/* Seconds until an agent that had no room for input is asked again. */
#define ROOM_PAUSE 0.05

struct sproc_command {
	struct sproc_room *room;
	char id[LIMIT_ENTITY_NAME + 1];
	int64_t pid;
};

/* A command that the guest was not told to forget. */
struct sproc_debt {
	struct sproc_debt *next;
	char id[LIMIT_ENTITY_NAME + 1];
};

static int forget(struct sproc_room *room, const struct call *call, const char *id)
{
	int rc = sproc_ask_name(room, call, OP_COMMAND_FORGET, "command_id", id, NULL, NULL);

	/* It broke, perhaps; and whoever asks twice may be told that it is gone. */
	if (rc == -EIO)
		rc = sproc_ask_name(room, call, OP_COMMAND_FORGET, "command_id", id, NULL, NULL);
	return rc == -ENOENT ? 0 : rc;
}

static void owe(struct sproc_room *room, const char *id)
{
	struct sproc_debt *debt = calloc(1, sizeof(*debt));

	if (!debt) /* the agent forgets by itself what has no owner */
		return;
	snprintf(debt->id, sizeof(debt->id), "%s", id);
	pthread_mutex_lock(&room->lock);
	LL_PREPEND(room->debts, debt);
	pthread_mutex_unlock(&room->lock);
}

void sproc_pay_debts(struct sproc_room *room)
{
	struct call call = call_within(room->timeout, NULL);
	struct sproc_debt *debt;

	while ((debt = room->debts) != NULL) {
		room->debts = debt->next;
		if (call_remaining_ms(&call))
			forget(room, &call, debt->id);
		free(debt);
	}
}

static void forget_or_owe(struct sproc_command *command, const struct call *call)
{
	struct call own = sproc_last_call(command->room, call);

	if (forget(command->room, &own, command->id) < 0)
		owe(command->room, command->id);
}

/* What COMMAND has become. */
struct seen {
	char state[16];
	struct proc_command_status status;
};

static int read_status(const json_t *object, struct seen *out, struct error *err)
{
	struct line_reply reply = { .object = object, .err = err };
	struct proc_command_status *status = &out->status;
	int64_t exit_code = 0;

	*out = (struct seen){ 0 };
	line_reply_word(&reply, "state", "", out->state, sizeof(out->state));
	status->ended = strcmp(out->state, "ended") == 0;
	line_reply_exit_code(&reply, &exit_code);
	status->exit_code = (int)(exit_code & 255);
	status->pid = line_reply_int(&reply, "pid", 0, 0, INT32_MAX);
	status->out_size = line_reply_count(&reply, "stdout_size");
	status->err_size = line_reply_count(&reply, "stderr_size");
	return reply.rc;
}

static int ask_status(struct sproc_command *command, const struct call *call, struct seen *out,
		      struct error *err)
{
	json_t *reply = NULL;
	int rc = sproc_ask_name(command->room, call, OP_COMMAND_STATUS, "command_id", command->id,
				&reply, err);

	if (rc == 0)
		rc = read_status(reply, out, err);
	json_decref(reply);
	return rc;
}

static int ask_start(struct sproc_command *command, const struct call *call, const char *text,
		     const struct proc_settings *settings, bool input, double timeout,
		     struct seen *out, struct error *err)
{
	struct line_request request;
	json_t *reply = NULL;
	int rc;

	line_request_init(&request, NULL, err);
	line_request_name(&request, "command_id", command->id);
	line_request_text(&request, "command", text);
	sproc_add_settings(&request, settings);
	if (timeout > 0)
		line_request_add(&request, "timeout_seconds",
				 json_real(timeout < MAX_TIMEOUT ? timeout : MAX_TIMEOUT));
	if (input)
		line_request_text(&request, "input", "first");
	rc = sproc_ask(command->room, call, OP_COMMAND_START, &request, &reply, err);
	if (rc == 0)
		rc = read_status(reply, out, err);
	json_decref(reply);
	return rc;
}

/* Input on its way. */
struct input {
	int fd;
	int64_t at, len;
};

static ssize_t source(void *arg, void *bytes, size_t len)
{
	struct input *input = arg;
	int64_t left = input->len - input->at;
	ssize_t n;

	if ((int64_t)len > left)
		len = (size_t)left;
	do
		n = pread(input->fd, bytes, len, input->at);
	while (n < 0 && errno == EINTR);
	if (n < 0)
		return -errno;
	input->at += n;
	return n;
}

/* -ECONNRESET where the session broke. */
static int send_input(struct sproc_command *command, const struct call *call, int fd, int64_t len,
		      struct error *err)
{
	autobuf struct buf args = BUF_INIT(FRAME_BODY_MAX), reply = BUF_INIT(FRAME_BODY_MAX);
	struct input input = { .fd = fd, .len = len };
	struct line_request request;
	struct mux *mux;
	int rc;

	line_request_init(&request, NULL, err);
	line_request_name(&request, "command_id", command->id);
	rc = sproc_pack(&request, &args);
	rc = rc ? rc : link_mux(command->room->link, call, &mux, err);
	if (rc)
		return rc;
	rc = mux_upload(mux, call, OP_COMMAND_INPUT, &args, source, &input, &reply, err);
	mux_unref(mux);
	return rc;
}

/* The same, as soon as the agent has room for it. */
static int give_input(struct sproc_command *command, const struct call *call, int fd, int64_t len,
		      struct error *err)
{
	int slept, rc = send_input(command, call, fd, len, err);

	while (rc == -EAGAIN && (slept = call_sleep(call, ROOM_PAUSE)) != -ETIMEDOUT) {
		struct error why = { 0 };

		if (slept == -EINTR)
			return error_set(err, EINTR,
					 "interrupted before the guest had room for the input");
		rc = send_input(command, call, fd, len, &why);
		/*
		 * It had taken all of it: what found no room was the command itself, and is
		 * forgotten.
		 */
		if (rc == -ENOENT)
			return -EAGAIN;
		if (rc < 0)
			error_copy(err, &why);
	}
	return rc;
}

static int unknown(struct error *err)
{
	return error_set(err, EIO,
			 "the session broke, and whether the guest began the command is not known");
}

/*
 * Whether the agent is the one that was there at SINCE (call_now()): then it has forgotten nothing.
 */
static bool is_same_agent(struct sproc_room *room, const struct call *call, int64_t since)
{
	struct line_request request;
	struct line_reply info = { 0 };
	json_t *object = NULL;
	int64_t uptime_ms = 0;

	line_request_init(&request, NULL, NULL);
	if (sproc_ask(room, call, OP_INFO, &request, &object, NULL) == 0) {
		info.object = object;
		uptime_ms = line_reply_count(&info, "uptime_ms");
	}
	json_decref(object);
	return uptime_ms > (call_now() - since) / 1000000 + CLOCK_SLACK_MS;
}

/* After a break: whether it is there.  1: it never was.  SINCE: before it was begun. */
static int look_for(struct sproc_command *command, const struct call *call, int64_t since,
		    struct seen *seen, struct error *err)
{
	struct error why;
	int rc = ask_status(command, call, seen, &why);

	if (rc == -ENOENT && is_same_agent(command->room, call, since))
		return 1;
	if (rc == -ENOENT)
		return unknown(err);
	return rc ? error_copy(err, &why) : 0;
}

/* The same for one that waits for its input: 1 also where it did not begin, and will not. */
static int find_out(struct sproc_command *command, const struct call *call, int64_t since,
		    struct seen *seen, struct error *err)
{
	int rc = look_for(command, call, since, seen, err);

	if (rc || strcmp(seen->state, "waiting") != 0)
		return rc;
	/* Nothing of it has begun, and after this nothing will. */
	rc = forget(command->room, call, command->id);
	return rc < 0 ? unknown(err) : 1;
}

static int start_once(struct sproc_command *command, const struct call *call, const char *text,
		      const struct proc_settings *settings, int fd, int64_t len, double timeout,
		      struct error *err)
{
	struct sproc_room *room = command->room;
	bool input = fd >= 0 && len > 0;
	struct seen seen = { 0 };
	int64_t since = call_now();
	int rc;

	pthread_mutex_lock(&room->lock);
	snprintf(command->id, sizeof(command->id), "v%" PRIu64 "-%s", ++room->commands,
		 room->token);
	pthread_mutex_unlock(&room->lock);
	rc = ask_start(command, call, text, settings, input, timeout, &seen, err);
	/* It broke, perhaps; what was refused has another number, mostly. */
	if (rc == -EIO)
		rc = look_for(command, call, since, &seen, err);
	if (rc == 0 && input) {
		rc = give_input(command, call, fd, len, err);
		if (rc == -ECONNRESET)
			rc = find_out(command, call, since, &seen, err);
	}
	if (rc == 0)
		command->pid = seen.status.pid;
	return rc;
}

int sproc_command_start(struct sproc_room *room, const struct call *call, const char *text,
			const struct proc_settings *settings, int input_fd, int64_t input_len,
			double timeout, struct sproc_command **out, struct error *err)
{
	autofree struct sproc_command *command = calloc(1, sizeof(*command));
	int rc;

	if (!command)
		return error_set(err, ENOMEM, "out of memory");
	command->room = room;
	rc = start_once(command, call, text, settings, input_fd, input_len, timeout, err);
	if (rc > 0)
		rc = start_once(command, call, text, settings, input_fd, input_len, timeout, err);
	if (rc > 0)
		rc = error_wrap(err, -EIO, "twice in vain");
	if (rc == 0)
		*out = move_ptr(command);
	else if (rc == -EIO || rc == -EINTR || rc == -ETIMEDOUT || input_fd >= 0)
		forget_or_owe(command, call); /* there may be one; what was refused is not there */
	return rc;
}

int sproc_command_status(struct sproc_command *command, const struct call *call,
			 struct proc_command_status *out, struct error *err)
{
	struct seen seen;
	int rc = ask_status(command, call, &seen, err);

	if (rc == -ENOENT)
		return error_set(
			err, ENOENT,
			"the guest has nothing of this command any more (was it restarted?)");
	if (rc == 0)
		*out = seen.status;
	return rc;
}

ssize_t sproc_command_read(struct sproc_command *command, const struct call *call, int stream,
			   int64_t offset, void *bytes, size_t len, struct error *err)
{
	return sproc_read(command->room, call, "command", command->id, stream, offset, bytes, len,
			  NULL, err);
}

int sproc_command_kill(struct sproc_command *command, const struct call *call, const char *signal,
		       struct error *err)
{
	struct line_request request;

	line_request_init(&request, NULL, err);
	line_request_name(&request, "command_id", command->id);
	line_request_text(&request, "signal", signal);
	return sproc_ask(command->room, call, OP_COMMAND_SIGNAL, &request, NULL, err);
}

void sproc_command_free(struct sproc_command *command, const struct call *call)
{
	if (!command)
		return;
	forget_or_owe(command, call);
	free(command);
}
