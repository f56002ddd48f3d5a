/*
 * shell_text.c - quoting, base64, and the frame around a script.  See shell_text.h.
 */
#include "protocol/line/shell_text.h"

#include <ctype.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "protocol/base64.h"
#include "protocol/cleanup.h"
#include "protocol/guest.h"
#include "protocol/limits.h"
#include "protocol/line/line.h"

void shtext_quote(struct buf *out, const char *bytes, size_t len)
{
	buf_add(out, "'", 1);
	while (len) {
		const char *quote = memchr(bytes, '\'', len);
		size_t run = quote ? (size_t)(quote - bytes) : len;

		buf_add(out, bytes, run);
		if (quote) {
			buf_adds(out, "'\\''");
			run++;
		}
		bytes += run;
		len -= run;
	}
	buf_add(out, "'", 1);
}

void shtext_assign(struct buf *out, const char *name, const char *bytes, size_t len)
{
	buf_addf(out, "%s=", name);
	shtext_quote(out, bytes, len);
	buf_add(out, "\n", 1);
}

void shtext_base64_encode(struct buf *out, const void *bytes, size_t len)
{
	size_t room = base64_encoded_len(len);
	char *to = buf_reserve(out, room + 1); /* with its NUL */

	if (!to)
		return;
	base64_encode(bytes, len, to);
	buf_commit(out, room);
}

int shtext_base64_decode(struct buf *out, const char *text, size_t len)
{
	autofree char *solid = malloc(len + 1);
	autofree char *bytes = NULL;
	size_t kept = 0, size;
	int rc;

	if (!solid)
		return -ENOMEM;
	for (size_t i = 0; i < len; i++)
		if (!isspace((unsigned char)text[i]))
			solid[kept++] = text[i];
	solid[kept] = '\0';
	rc = base64_decode(solid, kept, &bytes, &size);
	if (rc)
		return rc == -ENOMEM ? rc : -EPROTO;
	buf_add(out, bytes, size);
	return out->overflow ? -EOVERFLOW : 0;
}

/*
 * The frame.  An alias of a login profile (rm -i) would change what the script says,
 * and aliases are looked up when a line is read: hence a line of its own for unalias.
 * fd 3 is the pipe into base64; the script's stdout goes there, its stderr into $e,
 * and the trailer NUL stderr NUL status NUL behind the output.
 */
static const char frame_head[] = "\\unalias -a 2>/dev/null\n"
				 "set +e +u; umask 0; exec </dev/null\n"
				 "export LC_ALL=C TZ=UTC0\n"
				 "printf '\\n%%s\\n' '-----vsockfs %s-----'\n"
				 "{ { e=$( { ( :\n"; /* ":", for a script without a command */
static const char frame_tail[] = "\n) 2>&1 >&3 3>&-; } ); s=$?\n"
				 "printf '\\000%s\\000%d\\000' \"$e\" \"$s\"; } 3>&1; } | base64\n";

static int frame(struct buf *command, const char *token, const struct buf *script,
		 struct error *err)
{
	buf_addf(command, frame_head, token);
	buf_add(command, script->data, script->len);
	buf_adds(command, frame_tail);
	if (script->overflow || command->overflow)
		return error_set(err, E2BIG, "a script for the guest is over %d bytes",
				 LIMIT_EXEC_COMMAND);
	return 0;
}

/* Seconds for the guest's own limit: before the caller's deadline, so that the answer is heard. */
static int guest_seconds(const struct call *call)
{
	int seconds = call_remaining_ms(call) / 1000 - 1;

	return seconds < 1 ? 1 : seconds;
}

/* Takes "...NUL err NUL status NUL" off the end of RAW. */
static int take_trailer(struct buf *raw, struct shtext_reply *reply)
{
	const char *status, *text;
	char *end;

	if (raw->len < 3 || raw->data[raw->len - 1] != '\0')
		return -EPROTO;
	status = memrchr(raw->data, '\0', raw->len - 1);
	if (!status || status == raw->data)
		return -EPROTO;
	text = memrchr(raw->data, '\0', (size_t)(status - raw->data));
	if (!text)
		return -EPROTO;
	reply->status = (int)strtol(status + 1, &end, 10);
	if (end == status + 1 || *end || reply->status < 0 || reply->status > 255)
		return -EPROTO;
	reply->err = strdup(text + 1);
	if (!reply->err)
		return -ENOMEM;
	reply->out_len = (size_t)(text - raw->data);
	reply->out = buf_steal(raw);
	return 0;
}

static int no_frame(const struct line_exec_reply *reply, struct error *err)
{
	if (reply->exit_code == 124 && strstr(reply->err.data, "timed out"))
		return error_set(err, ETIMEDOUT, "the guest: %s", reply->err.data);
	if (reply->exit_code == 127)
		return error_set(err, EOPNOTSUPP,
				 "the guest has no base64 (install coreutils or busybox there): %s",
				 reply->err.data);
	return error_set(err, EPROTO, "the guest's shell gave no answer (exit code %lld): %s",
			 (long long)reply->exit_code, reply->err.data);
}

static int unframe(const struct line_exec_reply *in, const char *token, struct shtext_reply *reply,
		   struct error *err)
{
	autobuf struct buf raw = BUF_INIT(LIMIT_REPLY_OBJECT);
	char marker[64];
	const char *start;
	int rc, length;

	length = snprintf(marker, sizeof(marker), "\n-----vsockfs %.32s-----\n", token);
	start = memmem(in->out.data, in->out.len, marker, (size_t)length);
	if (!start)
		return no_frame(in, err);
	start += length;
	rc = shtext_base64_decode(&raw, start, in->out.len - (size_t)(start - in->out.data));
	if (!rc && !raw.len)
		return no_frame(in, err); /* base64 itself was not there */
	if (!rc)
		rc = take_trailer(&raw, reply);
	return rc ? error_set(err, -rc, "the guest's shell gave an answer that makes no sense") : 0;
}

int shtext_run(struct guest *guest, const struct call *call, enum traffic_kind kind,
	       const struct buf *script, struct shtext_reply *reply, struct error *err)
{
	struct call counted = call_as(call, call->kind ? call->kind : kind);
	autobuf struct buf command = BUF_INIT(LIMIT_EXEC_COMMAND);
	struct line_exec_reply answer = { 0 };
	struct line_exec exec = { .timeout_seconds = guest_seconds(call) };
	struct error why = { 0 };
	int rc;

	memset(reply, 0, sizeof(*reply));
	rc = frame(&command, guest_token(guest), script, err);
	if (rc)
		return rc;
	exec.command = command.data;
	rc = line_exec(guest, &counted, &exec, &answer, &why);
	if (rc == -EREMOTEIO) { /* in the agent's words */
		why.code = error_from_text(why.text, EIO);
		error_wrap(&why, rc, "the guest's agent cannot run a script");
	}
	if (rc)
		rc = error_copy(err, &why);
	else
		rc = unframe(&answer, guest_token(guest), reply, err);
	line_exec_reply_free(&answer);
	return rc;
}

void shtext_reply_free(struct shtext_reply *reply)
{
	free(reply->out);
	free(reply->err);
	memset(reply, 0, sizeof(*reply));
}

int shtext_failure(const struct shtext_reply *reply, int fallback, struct error *err)
{
	const char *last = strrchr(reply->err, '\n');

	last = last ? last + 1 : reply->err;
	return error_set(err, error_from_text(reply->err, fallback), "%s",
			 *last ? last : "a command in the guest failed without saying why");
}
