/* session_hello.c - see session_hello.h; and OP_INFO, which tells the same again later. */
#include "protocol/agent/session_hello.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/utsname.h>
#include <unistd.h>

#include "protocol/agent/session_conn.h"
#include "protocol/agent/session_ops.h"
#include "protocol/agent/session_verifier.h"
#include "protocol/build_id.h"
#include "protocol/cleanup.h"
#include "protocol/wire.h"

#define DIALECT "session/1"

_Static_assert(BUILD_ID_SIZE == 65, "agent_build_id's array");

/* What an agent of this dialect may lack. */
static const char *const features[] = { "files", "batch", "list", "archive", "watch", "processes" };

const char *agent_build_id(char id[static 65])
{
	build_id_of_self(id);
	if (!id[0])
		snprintf(id, BUILD_ID_SIZE, "unknown");
	return id;
}

bool sess_hello_is(const struct agent *agent, const json_t *object)
{
	const char *action = json_string_value(json_object_get(object, "action"));

	return !agent->options.no_session && action && !strcmp(action, "hello");
}

static bool names_ours(const json_t *dialects)
{
	for (size_t i = 0; i < json_array_size(dialects); i++) {
		const char *name = json_string_value(json_array_get(dialects, i));

		if (name && !strcmp(name, DIALECT))
			return true;
	}
	return false;
}

static bool add(json_t *object, const char *key, json_t *value)
{
	return json_object_set_new(object, key, value) == 0;
}

static json_t *make_features(void)
{
	json_t *array = json_array();

	for (size_t i = 0; i < sizeof(features) / sizeof(features[0]); i++)
		json_array_append_new(array, json_string(features[i]));
	return array;
}

static json_t *make_limits(void)
{
	json_t *limits = json_object();

	add(limits, "frame", json_integer(FRAME_BODY_MAX));
	add(limits, "io", json_integer(OPS_IO_MAX));
	add(limits, "window", json_integer(OPS_WINDOW));
	add(limits, "calls", json_integer(SESS_MAX_CALLS));
	add(limits, "handles", json_integer(SESS_MAX_HANDLES));
	add(limits, "sessions", json_integer(SESS_MAX_SESSIONS));
	return limits;
}

/* NULL when out of memory. */
static json_t *describe(const struct sess_verifier *verifier)
{
	char build[BUILD_ID_SIZE], text[SESS_VERIFIER_SIZE];
	json_t *object = json_object();
	struct utsname here;

	if (uname(&here) < 0)
		here.machine[0] = '\0';
	sess_verifier_get(verifier, text);
	if (add(object, "dialect", json_string(DIALECT)) &&
	    add(object, "agent", json_string("vsockfs-agent")) &&
	    add(object, "version", json_string(VSOCKFS_VERSION)) &&
	    add(object, "build", json_string(agent_build_id(build))) &&
	    add(object, "machine", json_string(here.machine)) &&
	    add(object, "boot_id", json_string(verifier->boot_id)) &&
	    add(object, "instance", json_string(verifier->instance)) &&
	    add(object, "verifier", json_string(text)) &&
	    add(object, "features", make_features()) && add(object, "limits", make_limits()))
		return object;
	json_decref(object);
	return NULL;
}

static int send_object(struct peer *peer, const json_t *object, struct error *err)
{
	size_t len;
	autofree char *line = wire_dump(object, &len);
	int rc;

	if (!line)
		return error_set(err, ENOMEM, "out of memory");
	line[len] = '\n';
	rc = peer_send(peer, line, len + 1);
	return rc < 0 ? error_set(err, -rc, "cannot answer the hello: %s", strerror(-rc)) : 0;
}

/* Who says so, if it does. */
static int read_client(const json_t *object, struct sess_client *out, struct error *err)
{
	const json_t *token = json_object_get(object, "client");
	const json_t *attempt = json_object_get(object, "attempt");

	*out = (struct sess_client){ .attempt = json_integer_value(attempt) };
	if (attempt && !json_is_null(attempt) && !json_is_integer(attempt))
		return error_set(err, EINVAL, "an attempt is an integer");
	if (!token || json_is_null(token))
		return 0;
	if (!json_is_string(token) || json_string_length(token) > SESS_CLIENT_MAX ||
	    strlen(json_string_value(token)) != json_string_length(token))
		return error_set(err, EINVAL, "a client is a text of at most %d bytes",
				 SESS_CLIENT_MAX);
	snprintf(out->token, sizeof(out->token), "%s", json_string_value(token));
	return 0;
}

/* Unlike other errors, one that passes: the client is to come again. */
static int say_busy(struct peer *peer, const struct error *why)
{
	json_t *reply = json_object();

	if (add(reply, "error", json_string(why->text)) && add(reply, "busy", json_true()) &&
	    send_object(peer, reply, NULL) == 0)
		peer_linger(peer);
	json_decref(reply);
	return 0;
}

/*
 * The session has begun, and the earlier ones of its client have ended: so what is told now is true
 * of them.
 */
static int serve(struct sess *sess, struct peer *peer, struct error *err)
{
	json_t *reply = describe(sess_room_verifier(sess->room));

	if (!reply)
		return error_set(err, ENOMEM, "out of memory");
	/* Once the answer has begun there is no way back to the line dialect. */
	if (send_object(peer, reply, NULL) == 0)
		sess_serve(sess, peer->bytes + peer->start, peer->end - peer->start);
	json_decref(reply);
	return 0;
}

int sess_hello_serve(struct agent *agent, struct peer *peer, const json_t *object,
		     struct error *err)
{
	struct sess_client client;
	struct sess sess;
	int rc = read_client(object, &client, err);

	if (rc < 0)
		return rc;
	if (!names_ours(json_object_get(object, "dialects")))
		return error_set(err, EPROTONOSUPPORT,
				 "this agent speaks " DIALECT " and the line dialect only");
	rc = sess_open(agent, peer->fd, &client, &sess, err);
	if (rc == 0) {
		rc = serve(&sess, peer, err);
		sess_close(&sess);
	}
	return rc == -EBUSY ? say_busy(peer, err) : rc;
}

/* Pages of it that are in memory; 0 where /proc does not say. */
static json_int_t resident_bytes(void)
{
	FILE *file = fopen("/proc/self/statm", "re");
	long long pages = 0;

	if (file) {
		if (fscanf(file, "%*s %lld", &pages) != 1)
			pages = 0;
		fclose(file);
	}
	return pages * sysconf(_SC_PAGESIZE);
}

int sess_op_info(struct sess_call *call, struct unpack *args, struct buf *result, struct error *err)
{
	struct sess_room_info info;
	autofree char *line = NULL;
	json_t *object = describe(sess_room_verifier(call->sess->room));
	size_t len;

	unpack_rest(args, &len); /* an empty object, for now */
	sess_room_get_info(call->sess->room, &info);
	if (object && add(object, "uptime_ms", json_integer(info.uptime_ms)) &&
	    add(object, "sessions", json_integer(info.sessions)) &&
	    add(object, "workers", json_integer(info.workers)) &&
	    add(object, "memory_bytes", json_integer(resident_bytes())))
		line = wire_dump(object, &len);
	json_decref(object);
	if (!line)
		return error_set(err, ENOMEM, "out of memory");
	buf_add(result, line, len);
	return 0;
}
