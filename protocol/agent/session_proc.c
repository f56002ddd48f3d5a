/* session_proc.c - see session_proc.h. */
#include "protocol/agent/session_proc.h"

#include <errno.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>

#include "protocol/agent/session_conn.h"
#include "protocol/cleanup.h"
#include "protocol/wire.h"

int sess_json_parse(struct sess_call *call, struct unpack *args, struct request *out,
		    struct error *err)
{
	size_t len;
	const char *text = unpack_rest(args, &len);
	json_t *object = len ? wire_parse_request(text, len, err) : json_object();

	*out = (struct request){ .agent = call->sess->agent, .object = object, .tail = -1 };
	if (object)
		return 0;
	return len ? -EPROTO : error_set(err, ENOMEM, "out of memory");
}

void sess_json_done(struct request *request)
{
	json_decref((json_t *)request->object);
	request->object = NULL;
}

/* What a SERVICE can do without. */
static void shorten(json_t *object)
{
	static const char *const keys[] = { "command", "readiness" };

	for (size_t i = 0; i < sizeof(keys) / sizeof(keys[0]); i++) {
		if (json_object_get(object, keys[i]))
			json_object_set_new(object, keys[i], json_null());
	}
}

int sess_json_dump(struct reply *reply, struct buf *result, struct error *err)
{
	autofree char *line = NULL;
	size_t len = 0;

	if (!reply->failed)
		line = wire_dump(reply->object, &len);
	if (line && len > FRAME_BODY_MAX) {
		free(line);
		shorten(reply->object);
		shorten(json_object_get(reply->object, "status"));
		line = wire_dump(reply->object, &len);
	}
	json_decref(reply->object);
	reply->object = NULL;
	if (!line)
		return error_set(err, ENOMEM, "out of memory");
	buf_add(result, line, len);
	return 0;
}

int sess_json_run(struct sess_call *call, struct unpack *args, struct buf *result,
		  struct error *err, sess_json_fn fn)
{
	struct reply reply = { 0 };
	struct request request;
	int rc = sess_json_parse(call, args, &request, err);

	if (rc < 0)
		return rc;
	reply.object = json_object();
	if (!reply.object)
		rc = error_set(err, ENOMEM, "out of memory");
	if (rc == 0)
		rc = fn(call, &request, &reply, err);
	if (rc == 0)
		rc = sess_json_dump(&reply, result, err);
	json_decref(reply.object);
	sess_json_done(&request);
	return rc;
}

int sess_signal_number(const struct request *request, const char *fallback, struct error *err)
{
	autofree char *name = NULL;
	int rc = request_text(request, "signal", fallback, 16, &name, err);

	if (rc < 0)
		return rc;
	for (int number = 1; number < SIGRTMIN; number++) {
		const char *known = sigabbrev_np(number);

		if (known && strcmp(known, name) == 0)
			return number;
	}
	return error_set(err, EINVAL, "'%s' is no signal (TERM, KILL, INT, ...)", name);
}
