/*
 * hello.c - what is said first, and what its answers mean.
 */
#include "protocol/session/hello.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "protocol/cleanup.h"
#include "protocol/guest_internal.h"
#include "protocol/line/exchange.h"
#include "protocol/line/line.h"
#include "protocol/session/link_internal.h"
#include "protocol/wire.h"

#define DIALECT "session/1"
#define MARK "vsockfs-hello"
#define TIMEOUT_SECONDS 10
#define BUSY_PAUSE 0.1 /* seconds; the agent has waited, too */

/* The tools are those that deliver.c needs. */
static void write_command(struct guest *guest, char *text, size_t size)
{
	snprintf(text, size,
		 "if [ -d /workspace ]; then w=yes; else w=no; fi; "
		 "m=`uname -m 2>/dev/null </dev/null` || m=unknown; x=; "
		 "for t in chmod mkdir mv rm; do command -v $t >/dev/null 2>&1 || x=$x,$t; done; "
		 "printf '\\n%%s %%s %%s %%s %%s\\n' " MARK " %s \"$w\" \"$m\" \"lacks:$x\"",
		 guest_token(guest));
}

/* Copies what of TEXT, up to one of END, is made of LETTERS; returns what follows. */
static const char *take_word(const char *text, const char *letters, char *out, size_t size)
{
	size_t len = strspn(text, letters);
	size_t kept = len < size ? len : size - 1;

	memcpy(out, text, kept);
	out[kept] = '\0';
	return text + len;
}

#define WORD "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_.-"

/* A member of a session's answer: what a stranger says is shown only if it is a plain word. */
static void take_member(const json_t *object, const char *key, char *out, size_t size)
{
	const char *text = json_string_value(json_object_get(object, key));

	take_word(text ? text : "", WORD, out, size);
}

static int read_session(const json_t *object, struct hello *out, struct error *err)
{
	const char *dialect = json_string_value(json_object_get(object, "dialect"));
	char name[32], version[31];

	if (strcmp(dialect, DIALECT) != 0)
		return error_set(
			err, EPROTONOSUPPORT,
			"the agent answered with the dialect '%.40s', which this vsockfs does not "
			"speak",
			dialect);
	out->dialect = DIALECT_SESSION;
	take_member(object, "agent", name, sizeof(name));
	take_member(object, "version", version, sizeof(version));
	snprintf(out->agent, sizeof(out->agent), "%s%s%s", name, version[0] ? " " : "", version);
	take_member(object, "build", out->build, sizeof(out->build));
	take_member(object, "machine", out->machine, sizeof(out->machine));
	take_member(object, "verifier", out->verifier, sizeof(out->verifier));
	return 0;
}

/* Finds our line in the output: a login shell may print what it likes around it. */
static int read_line(struct guest *guest, const char *output, long long exit_code,
		     const char *complaint, struct hello *out, struct error *err)
{
	char mark[sizeof(MARK) + GUEST_TOKEN_DIGITS + 4];
	const char *at;

	snprintf(mark, sizeof(mark), "\n" MARK " %s ", guest->token);
	at = strstr(output, mark);
	if (at)
		at += strlen(mark);
	if (at && strncmp(at, "no ", 3) == 0)
		return error_set(err, ENOENT, "the guest has no directory /workspace: make one");
	if (!at || strncmp(at, "yes ", 4) != 0)
		return error_set(err, EPROTO,
				 "the guest's /bin/sh did not run what it was asked to (exit code "
				 "%lld): %.200s",
				 exit_code, complaint[0] ? complaint : "no message");
	out->dialect = DIALECT_LINE;
	at = take_word(at + 4, WORD, out->machine, sizeof(out->machine));
	if (strncmp(at, " lacks:,", 8) == 0)
		take_word(at + 8, WORD ",", out->lacks, sizeof(out->lacks));
	return 0;
}

/* What a line-dialect agent made of the hello: the reply of a command. */
static int read_reply(struct guest *guest, const json_t *object, struct hello *out,
		      struct error *err)
{
	const json_t *exit_code = json_object_get(object, "exit_code");
	const json_t *text = json_object_get(object, "stdout");
	const json_t *complaint = json_object_get(object, "stderr");
	size_t len;

	if (text && !json_is_null(text) && !json_is_string(text))
		return error_set(err, EPROTO,
				 "the guest's reply is not valid: stdout must be a string");

	autofree char *said = json_is_string(text) ? wire_bytes(text, &len) : NULL;
	autofree char *moaned = json_is_string(complaint) ? wire_bytes(complaint, &len) : NULL;

	return read_line(guest, said ? said : "",
			 json_is_integer(exit_code) ? json_integer_value(exit_code) : -1,
			 moaned ? moaned : "", out, err);
}

/* For an agent that would not even take the hello for a command. */
static int ask_plainly(struct guest *guest, const struct call *call, const char *command,
		       struct hello *out, struct error *err)
{
	struct line_exec exec = { .command = command, .timeout_seconds = TIMEOUT_SECONDS };
	struct call hello = call_as(call, TRAFFIC_HELLO);
	struct line_exec_reply reply = { 0 };
	int rc = line_exec(guest, &hello, &exec, &reply, err);

	if (rc == 0)
		rc = read_line(guest, reply.out.data, reply.exit_code, reply.err.data, out, err);
	line_exec_reply_free(&reply);
	return rc;
}

/*
 * With whose and which one it is: the agent ends what it has of us, but not for an older hello that
 * comes late.
 */
static int ask_once(struct guest *guest, const struct call *call, const char *command,
		    const struct address *aside, bool probe, struct hello *out, struct error *err)
{
	struct link *link = guest->link;
	struct exchange_request request = {
		.object = json_pack("{s:s, s:[s], s:s, s:i, s:s, s:I}", "action", "hello",
				    "dialects", DIALECT, "command", command, "timeout_seconds",
				    TIMEOUT_SECONDS, "client", link->client, "attempt",
				    (json_int_t)atomic_fetch_add(&link->hellos, 1)),
		.kind = TRAFFIC_HELLO,
	};
	json_t *reply = NULL;
	int rc;

	*out = (struct hello){ .fd = -1 };
	rc = exchange_run_hello(guest, call, &request, aside, probe, &out->fd, &reply, err);
	if (rc == 0 && out->fd >= 0)
		rc = read_session(reply, out, err);
	else if (rc == 0)
		rc = read_reply(guest, reply, out, err);
	json_decref(reply);
	if (rc < 0)
		hello_drop(out);
	return rc;
}

static int ask(struct guest *guest, const struct call *call, const char *command,
	       const struct address *aside, bool probe, struct hello *out, struct error *err)
{
	struct error why = { 0 };
	int rc, slept = 0;

	while ((rc = ask_once(guest, call, command, aside, probe, out, &why)) == -EBUSY &&
	       (slept = call_sleep(call, BUSY_PAUSE)) == 0)
		traffic_add(&guest->traffic, TRAFFIC_HELLO,
			    &(struct traffic_count){ .retries = 1 });
	if (slept == -EINTR)
		return error_set(err, EINTR, "interrupted before the guest had answered");
	if (rc == -EBUSY)
		return error_set(err, EBUSY, "the guest's agent begins no new session yet: %.200s",
				 why.text);
	return rc < 0 ? error_copy(err, &why) : 0;
}

int hello_ask(struct guest *guest, const struct call *call, bool probe, struct hello *out,
	      struct error *err)
{
	struct error why = { 0 };
	char command[512];
	int rc;

	write_command(guest, command, sizeof(command));
	rc = ask(guest, call, command, NULL, probe, out, &why);
	if (rc == -EREMOTEIO || rc == -EPROTONOSUPPORT) {
		snprintf(out->why, sizeof(out->why), "the guest's agent refused a session: %.200s",
			 why.text);
		rc = ask_plainly(guest, call, command, out, &why);
	}
	return rc < 0 ? error_copy(err, &why) : 0;
}

int hello_ask_at(struct guest *guest, const struct call *call, uint32_t port, struct hello *out,
		 struct error *err)
{
	struct address address = guest->dial;
	int rc;

	address.port = port;
	rc = ask(guest, call, ":", &address, false, out, err);
	if (rc == -EREMOTEIO || rc == -EPROTO || (rc == 0 && out->fd < 0))
		return error_set(err, EPROTONOSUPPORT,
				 "what listens on port %u of the guest speaks no session", port);
	return rc;
}

void hello_drop(struct hello *hello)
{
	cleanup_close(&hello->fd);
	hello->fd = -1;
}
