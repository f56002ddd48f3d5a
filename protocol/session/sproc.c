/*
 * sproc.c - processes over the session dialect: the room, calls, reading output.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "protocol/cleanup.h"
#include "protocol/session/sproc_internal.h"
#include "protocol/token.h"
#include "protocol/wire.h"

/* A reading goes over so many sessions, one after the other. */
#define SESSIONS 3

int sproc_room_new(struct link *link, double timeout, struct sproc_room **out)
{
	struct sproc_room *room = calloc(1, sizeof(*room));

	if (!room)
		return -ENOMEM;
	if (token_make(room->token, SPROC_TOKEN) < 0) {
		free(room);
		return -EIO;
	}
	room->link = link;
	room->timeout = timeout;
	pthread_mutex_init(&room->lock, NULL);
	*out = room;
	return 0;
}

void sproc_room_free(struct sproc_room *room)
{
	if (!room)
		return;
	sproc_pay_debts(room);
	pthread_mutex_destroy(&room->lock);
	free(room);
}

struct call sproc_longer(const struct call *call, double seconds)
{
	struct call longer = call_extend(call, seconds);

	if (longer.deadline < call->deadline)
		longer.deadline = call->deadline;
	return longer;
}

struct call sproc_last_call(const struct sproc_room *room, const struct call *call)
{
	if (call_remaining_ms(call) == 0 || (call->cancel && cancel_fired(call->cancel)))
		return call_within(room->timeout, NULL);
	return *call;
}

int sproc_pack(struct line_request *request, struct buf *args)
{
	autofree char *line = NULL;
	size_t len = 0;

	if (request->rc == 0) {
		line = wire_dump(request->exchange.object, &len);
		if (!line)
			line_request_fail(request, ENOMEM, "out of memory");
	}
	if (line)
		buf_add(args, line, len);
	return line_request_drop(request);
}

/* Where it is wanted; nothing at all is an empty object. */
static int parse(const struct buf *bytes, json_t **reply, struct error *err)
{
	if (!reply)
		return 0;
	*reply = wire_parse(buf_str(bytes), bytes->len, err);
	return *reply ? 0 : error_wrap(err, -EPROTO, "the guest's reply is not valid");
}

int sproc_ask(struct sproc_room *room, const struct call *call, enum session_op op,
	      struct line_request *request, json_t **reply, struct error *err)
{
	autobuf struct buf args = BUF_INIT(SIZE_MAX / 2), bytes = BUF_INIT(FRAME_BODY_MAX);
	int rc = sproc_pack(request, &args);

	if (rc == 0)
		rc = link_call(room->link, call, op, &args, &bytes, NULL, err);
	return rc ? rc : parse(&bytes, reply, err);
}

int sproc_ask_name(struct sproc_room *room, const struct call *call, enum session_op op,
		   const char *key, const char *name, json_t **reply, struct error *err)
{
	struct line_request request;

	line_request_init(&request, NULL, err);
	line_request_name(&request, key, name);
	return sproc_ask(room, call, op, &request, reply, err);
}

void sproc_add_settings(struct line_request *request, const struct proc_settings *settings)
{
	autofree struct line_env *env = calloc(settings->env_count + 1, sizeof(*env));

	if (settings->cwd && settings->cwd[0] != '/')
		line_request_fail(request, EINVAL,
				  "the working directory '%s' is not an absolute path",
				  settings->cwd);
	if (!env) {
		line_request_fail(request, ENOMEM, "out of memory");
		return;
	}
	for (size_t i = 0; i < settings->env_count; i++)
		env[i] = (struct line_env){ settings->env[i].name, settings->env[i].value };
	line_request_text(request, "cwd", proc_cwd(settings));
	line_request_env(request, env, settings->env_count);
}

/* What comes of one reading. */
struct reading {
	char *bytes;
	size_t len, got;
	bool over; /* there was more than len */
};

static int sink(void *arg, const void *bytes, size_t len)
{
	struct reading *reading = arg;

	reading->over = len > reading->len - reading->got;
	if (reading->over)
		return -EPROTO;
	memcpy(reading->bytes + reading->got, bytes, len);
	reading->got += len;
	return 0;
}

static int read_once(struct sproc_room *room, const struct call *call, const struct buf *args,
		     struct reading *reading, struct buf *reply, struct error *err)
{
	int64_t since = call_now();
	struct mux *mux;
	int rc = link_mux(room->link, call, &mux, err);

	if (rc)
		return rc;
	reading->got = 0;
	rc = mux_download(mux, call, OP_STREAM, args, false, sink, reading, reply, err);
	if (rc == -ETIMEDOUT)
		link_unanswered(room->link, mux, since, err);
	mux_unref(mux);
	if (reading->over)
		return error_set(err, EPROTO, "the guest sent more output than was asked for");
	return rc;
}

ssize_t sproc_read(struct sproc_room *room, const struct call *call, const char *kind,
		   const char *name, int stream, int64_t offset, void *bytes, size_t len,
		   json_t **end, struct error *err)
{
	struct reading reading = { .bytes = bytes,
				   .len = len < SPROC_READ_MAX ? len : SPROC_READ_MAX };
	autobuf struct buf args = BUF_INIT(FRAME_BODY_MAX), reply = BUF_INIT(FRAME_BODY_MAX);
	struct line_request request;
	struct error why = { 0 };
	int rc;

	line_request_init(&request, NULL, err);
	line_request_text(&request, "kind", kind);
	line_request_name(&request, "name", name);
	line_request_int(&request, "stream", stream);
	line_request_range(&request, "offset", offset, 0, INT64_MAX / 2);
	line_request_int(&request, "max", (int64_t)reading.len);
	rc = sproc_pack(&request, &args);
	if (rc || !len)
		return rc;
	for (int sessions = 0; sessions < SESSIONS; sessions++) {
		rc = read_once(room, call, &args, &reading, &reply, &why);
		if (rc != -ECONNRESET)
			break;
		rc = error_set(&why, EIO, "the session broke again and again");
		if (sessions + 1 < SESSIONS)
			link_retried(room->link, OP_STREAM);
	}
	if (rc)
		return error_copy(err, &why);
	rc = parse(&reply, end, err);
	return rc ? rc : (ssize_t)reading.got;
}
