/*
 * deliver_steps.c - the upload, and the script that makes a running agent of it.
 */
#include "protocol/session/deliver_steps.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "protocol/archive.h"
#include "protocol/cleanup.h"
#include "protocol/guest.h"
#include "protocol/line/line.h"

#define MARK "vsockfs-deliver"
#define IDLE_SECONDS 300 /* without a host, before the agent ends */
#define SWEEP_TIMEOUTS 3 /* how often the guest's `timeout` a sweep may take */
#define SWEEP_PAUSES 8   /* what part of it passes between two attempts */

/* How long a step may take, or, where bytes move, be silent. */
static struct call step(const struct delivery *delivery)
{
	struct call call = call_within(guest_options(delivery->guest)->timeout, delivery->cancel);

	return call_as(&call, TRAFFIC_DELIVER);
}

/*
 * The upload
 */

/* An archive with one member, made while it is sent. */
struct upload {
	char *header;
	size_t header_len;
	int fd;
	int64_t size; /* of the file */
	int64_t sent; /* of the archive */
	void (*moved)(void *arg);
	void *arg;
};

static void upload_free(void *arg)
{
	struct upload *upload = arg;

	cleanup_close(&upload->fd);
	free(upload->header);
	free(upload);
}

static ssize_t upload_read(void *arg, void *bytes, size_t len)
{
	struct upload *upload = arg;
	int64_t header = (int64_t)upload->header_len, end = header + upload->size;
	int64_t left = upload->sent < header ? header - upload->sent : end - upload->sent;
	ssize_t got;

	upload->moved(upload->arg);
	if (left > 0 && (int64_t)len > left)
		len = (size_t)left;
	got = (ssize_t)len;
	if (upload->sent < header)
		memcpy(bytes, upload->header + upload->sent, len);
	else if (upload->sent < end)
		got = pread(upload->fd, bytes, len, upload->sent - header);
	else /* padding and the end of the archive */
		memset(bytes, 0, len);
	if (got <= 0)
		return got < 0 ? -errno : -EIO;
	upload->sent += got;
	return got;
}

static int make_payload(const struct delivery *delivery, const struct agent_file *file,
			struct line_payload *out, struct error *err)
{
	struct upload *upload = calloc(1, sizeof(*upload));
	void *header = NULL;
	int rc;

	if (!upload)
		return error_set(err, ENOMEM, "out of memory for an upload");
	upload->fd = fcntl(file->fd, F_DUPFD_CLOEXEC, 0);
	rc = upload->fd < 0 ?
		     error_set(err, errno, "%s: %s", file->path, strerror(errno)) :
		     archive_file_header("agent", file->size, &header, &upload->header_len, err);
	if (rc < 0) {
		upload_free(upload);
		return rc;
	}
	upload->header = header;
	upload->size = file->size;
	upload->moved = delivery->moved;
	upload->arg = delivery->arg;
	*out = (struct line_payload){
		.size = (int64_t)upload->header_len + (file->size + 511) / 512 * 512 + 1024,
		.arg = upload,
		.read = upload_read,
		.destroy = upload_free,
	};
	return 0;
}

int deliver_upload(const struct delivery *delivery, const struct agent_file *file,
		   struct error *err)
{
	struct line_archive_reply reply = { 0 };
	struct call call = step(delivery);
	struct line_payload payload = { 0 };
	char stage[64];
	int rc = make_payload(delivery, file, &payload, err);

	if (rc < 0)
		return rc;
	snprintf(stage, sizeof(stage), "/workspace/.vsockfs-%.32s-agent",
		 guest_token(delivery->guest));
	rc = line_extract_archive(delivery->guest, &call, stage, payload, &reply, err);
	line_archive_reply_free(&reply);
	return rc < 0 ? error_wrap(err, rc, "the guest did not take vsockfs's agent") : 0;
}

/*
 * The start
 */

/*
 * The names, and what removes them.  Who but us may write to /run and so on may not guess what is
 * made there; mkdir(1) refuses what is there already.
 */
static void write_names(const struct delivery *delivery, char *text, size_t size)
{
	snprintf(text, size,
		 "n=.vsockfs-%.32s-agent\n"
		 "s=/workspace/$n\n"
		 "clean() {\n"
		 "\trm -rf \"$s\" \"/run/$n\" \"/dev/shm/$n\" \"/tmp/$n\" \"/var/tmp/$n\"\n"
		 "} 2>/dev/null\n",
		 guest_token(delivery->guest));
}

/*
 * A place may be read-only, full, or mounted noexec: the agent itself, asked for its version,
 * tells.  Who may write to the workspace can put another file in its place, but not one that is
 * ours.
 *
 * What is started keeps none of the request's descriptors, or the guest's agent would wait for it
 * to end.  It says that it listens by a newline into the pipe, whose other end `read` has; when it
 * ends instead, `read` fails. Its run directory is chosen as the guest's own agent does it: /run,
 * if that can be written.
 */
/* clang-format off */
static const char start_script[] =
	"trap clean EXIT\n"
	"say() { printf '\\n" MARK " %%s %%s %%s\\n' %.32s \"$1\" \"$2\"; }\n"
	"p=$s/agent ok=\n"
	"for d in /run /dev/shm /tmp /var/tmp; do\n"
	"\tt=$d/$n\n"
	"\tmkdir -m 700 \"$t\" || continue\n"
	"\tmv -f \"$p\" \"$t/agent\" || { rm -rf \"$t\"; continue; }\n"
	"\tp=$t/agent\n"
	"\t[ -O \"$p\" ] || break\n"
	"\tchmod 700 \"$p\"\n"
	"\t\"$p\" --version >/dev/null </dev/null && { ok=1; break; }\n"
	"done 2>/dev/null\n"
	"if [ ! \"$ok\" ]; then say nowhere; exit; fi\n"
	"b=\n"
	"command -v setsid >/dev/null 2>&1 && b=setsid\n"
	"cd /\n"
	"if {\n"
	"\ttrap '' HUP\n"
	"\t$b \"$p\" --idle-exit %d --listen %s --ready-fd 3 3>&1 >/dev/null 2>\"$t/log\" </dev/null"
	" 4>&- 5>&- 6>&- 7>&- 8>&- 9>&- &\n"
	"} | read -r x; then\n"
	"\tsay listens\n"
	"else\n"
	"\tread -r x <\"$t/log\"\n"
	"\tsay ended \"$x\"\n"
	"fi\n";
/* clang-format on */

/* Runs SCRIPT; SAID is what it said behind our mark, up to the end of the line, cut at SIZE. */
static int run(const struct delivery *delivery, const struct call *call, const char *script,
	       char *said, size_t size, struct error *err)
{
	struct line_exec exec = { .command = script };
	struct line_exec_reply reply = { 0 };
	char mark[64];
	const char *at;
	int rc;

	/* The guest's agent gives up before we do. */
	exec.timeout_seconds = call_remaining_ms(call) / 1000 - 1;
	if (exec.timeout_seconds < 1)
		exec.timeout_seconds = 1;
	rc = line_exec(delivery->guest, call, &exec, &reply, err);
	snprintf(mark, sizeof(mark), "\n" MARK " %.32s ", guest_token(delivery->guest));
	at = rc == 0 ? strstr(reply.out.data, mark) : NULL;
	if (at) {
		at += strlen(mark);
		snprintf(said, size, "%.*s", (int)strcspn(at, "\n"), at);
	} else if (rc == 0) {
		rc = error_set(err, EIO, "the guest did not start vsockfs's agent: %.200s",
			       reply.err.data[0] ? reply.err.data : "no message");
	}
	line_exec_reply_free(&reply);
	return rc;
}

int deliver_start(const struct delivery *delivery, const char *listen, enum delivered *out,
		  struct error *err)
{
	char script[sizeof(start_script) + 1024];
	struct call call = step(delivery);
	char said[256] = "";
	size_t len;
	int rc;

	write_names(delivery, script, sizeof(script));
	len = strlen(script);
	snprintf(script + len, sizeof(script) - len, start_script, guest_token(delivery->guest),
		 IDLE_SECONDS, listen);
	rc = run(delivery, &call, script, said, sizeof(said), err);
	if (rc < 0)
		return rc;
	if (strncmp(said, "listens", 7) == 0) {
		*out = DELIVERED;
	} else if (strncmp(said, "ended", 5) == 0) {
		*out = DELIVERED_ENDED;
		error_set(err, EOPNOTSUPP, "vsockfs's agent ended in the guest: %.200s",
			  said[5] && said[6] ? said + 6 : "it said nothing");
	} else {
		*out = DELIVERED_NOT;
		error_set(
			err, EOPNOTSUPP,
			"the guest has no place to run vsockfs's agent from: /run, /dev/shm, /tmp "
			"and /var/tmp are full, read-only or noexec");
	}
	return 0;
}

/*
 * What was given up may still be under way in the guest, which then seems to be gone: so it is
 * tried again for a while.
 */
void deliver_sweep(const struct delivery *delivery)
{
	double timeout = guest_options(delivery->guest)->timeout;
	struct call within = call_within(SWEEP_TIMEOUTS * timeout, NULL);
	struct call whole = call_as(&within, TRAFFIC_DELIVER);
	struct line_exec exec = { .timeout_seconds = (int)timeout + 1 };
	char script[512];
	size_t len;
	int rc;

	write_names(delivery, script, sizeof(script));
	len = strlen(script);
	snprintf(script + len, sizeof(script) - len, "clean\n");
	exec.command = script;
	do {
		struct line_exec_reply reply = { 0 };

		rc = line_exec(delivery->guest, &whole, &exec, &reply, NULL);
		line_exec_reply_free(&reply);
	} while (rc == -ENOTCONN && call_sleep(&whole, timeout / SWEEP_PAUSES) == 0);
}
