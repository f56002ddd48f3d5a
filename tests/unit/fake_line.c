/*
 * fake_line.c - a guest for unit tests.  See fake_line.h.
 */
#include "fake_line.h"

#include <archive.h>
#include <archive_entry.h>
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "protocol/buf.h"
#include "protocol/cleanup.h"
#include "protocol/line/line.h"
#include "protocol/utf8.h"

/* A directory of links to busybox, so that a PATH has nothing else. */
static bool busybox_tools(struct guest *guest)
{
	char command[512];

	snprintf(guest->path, sizeof(guest->path), "%s.tools", guest->dir);
	snprintf(guest->shell, sizeof(guest->shell), "%s/sh", guest->path);
	snprintf(command, sizeof(command),
		 "b=$(command -v busybox) || exit 1\n"
		 "mkdir '%s' && for t in $($b --list); do ln -s \"$b\" '%s'/$t; done",
		 guest->path, guest->path);
	return system(command) == 0; /* NOLINT(cert-env33-c): a loop in sh */
}

struct guest *fake_guest_new(enum fake_tools tools)
{
	struct guest *guest = calloc(1, sizeof(*guest));

	if (!guest)
		return NULL;
	snprintf(guest->dir, sizeof(guest->dir), "/tmp/fake-guest-XXXXXX");
	if (!mkdtemp(guest->dir)) {
		free(guest);
		return NULL;
	}
	snprintf(guest->path, sizeof(guest->path), "/usr/local/bin:/usr/bin:/bin");
	snprintf(guest->shell, sizeof(guest->shell), "/bin/sh");
	if (tools == FAKE_BUSYBOX && !busybox_tools(guest)) {
		fprintf(stderr, "skipped: no busybox in PATH (install busybox-static)\n");
		fake_guest_free(guest);
		return NULL;
	}
	return guest;
}

void fake_guest_free(struct guest *guest)
{
	char command[512];

	snprintf(command, sizeof(command), "chmod -R u+rwX '%s'; rm -rf '%s' '%s.tools'",
		 guest->dir, guest->dir, guest->dir);
	if (system(command) != 0) /* NOLINT(cert-env33-c): rm -rf */
		fprintf(stderr, "%s is left over\n", guest->dir);
	free(guest);
}

const char *guest_token(struct guest *guest)
{
	(void)guest;
	return "0123456789abcdef";
}

struct call guest_call(struct guest *guest, struct cancel *cancel)
{
	(void)guest;
	return call_within(60, cancel);
}

static const struct guest_options options = { .timeout = 60, .max_connections = 1 };

const struct guest_options *guest_options(struct guest *guest)
{
	(void)guest;
	return &options;
}

static enum fake_fault take_fault(struct guest *guest)
{
	if (guest->faults <= 0)
		return FAKE_NONE;
	guest->faults--;
	return guest->fault;
}

/* Reads both pipes to their ends. */
static void collect(int out_fd, int err_fd, struct buf *out, struct buf *err)
{
	struct pollfd fds[2] = { { .fd = out_fd, .events = POLLIN },
				 { .fd = err_fd, .events = POLLIN } };
	struct buf *bufs[2] = { out, err };

	while ((fds[0].fd >= 0 || fds[1].fd >= 0) && poll(fds, 2, -1) >= 0) {
		for (int i = 0; i < 2; i++) {
			char *room;
			ssize_t got;

			if (fds[i].fd < 0 || !fds[i].revents)
				continue;
			room = buf_reserve(bufs[i], 65536);
			got = room ? read(fds[i].fd, room, 65536) : 0;
			if (got > 0) {
				buf_commit(bufs[i], (size_t)got);
			} else {
				close(fds[i].fd);
				fds[i].fd = -1;
			}
		}
	}
}

static int run(struct guest *guest, const char *command, struct buf *out, struct buf *err)
{
	autobuf struct buf text = BUF_INIT(1 << 20);
	int out_pipe[2], err_pipe[2], status;
	pid_t pid;

	buf_addf(&text, "PATH='%s'\n%s\n%s", guest->path, guest->profile ? guest->profile : "",
		 command);
	if (strlen(command) > LIMIT_EXEC_COMMAND || pipe2(out_pipe, O_CLOEXEC) ||
	    pipe2(err_pipe, O_CLOEXEC))
		return -1;
	pid = fork();
	if (pid == 0) {
		dup2(out_pipe[1], 1);
		dup2(err_pipe[1], 2);
		if (chdir("/") == 0)
			execl(guest->shell, "sh", "-lc", text.data, NULL);
		_exit(127);
	}
	close(out_pipe[1]);
	close(err_pipe[1]);
	collect(out_pipe[0], err_pipe[0], out, err);
	if (pid < 0 || waitpid(pid, &status, 0) < 0)
		return -1;
	return WIFEXITED(status) ? WEXITSTATUS(status) : -WTERMSIG(status);
}

/* As the agent's text mode does: strict, and with universal newlines. */
static int to_text(struct buf *raw, struct line_text *text, struct error *err)
{
	size_t kept = 0;

	if (raw->len && !utf8_valid(raw->data, raw->len))
		return error_set(err, EREMOTEIO, "'utf-8' codec can't decode byte");
	for (size_t i = 0; i < raw->len; i++) {
		if (raw->data[i] == '\r' && i + 1 < raw->len && raw->data[i + 1] == '\n')
			continue;
		raw->data[kept++] = raw->data[i] == '\r' ? '\n' : raw->data[i];
	}
	text->len = kept;
	text->data = kept ? strndup(raw->data, kept) : strdup("");
	return 0;
}

int line_exec(struct guest *guest, const struct call *call, const struct line_exec *in,
	      struct line_exec_reply *out, struct error *err)
{
	autobuf struct buf out_bytes = BUF_INIT(64 << 20);
	autobuf struct buf err_bytes = BUF_INIT(64 << 20);
	enum fake_fault fault = take_fault(guest);
	int rc;

	if (in->timeout_seconds < 1 || call_remaining_ms(call) <= 0)
		return error_set(err, ETIMEDOUT, "no time left");
	if (fault == FAKE_REFUSE)
		return error_set(err, ENOTCONN, "the fake guest is gone");
	guest->execs++;
	guest->kinds[call->kind]++;
	out->exit_code = run(guest, in->command, &out_bytes, &err_bytes);
	if (fault == FAKE_INTERRUPT)
		return error_set(err, EINTR, "interrupted");
	rc = to_text(&out_bytes, &out->out, err);
	return rc ? rc : to_text(&err_bytes, &out->err, err);
}

void line_exec_reply_free(struct line_exec_reply *reply)
{
	free(reply->out.data);
	free(reply->err.data);
}

static ssize_t payload_read(struct archive *tar, void *arg, const void **bytes)
{
	static char chunk[65536];
	struct line_payload *payload = arg;
	size_t want = payload->size < (int64_t)sizeof(chunk) ? (size_t)payload->size :
							       sizeof(chunk);
	ssize_t got = want ? payload->read(payload->arg, chunk, want) : 0;

	if (got < 0 || (want && !got)) {
		archive_set_error(tar, EIO, "the payload ended early");
		return -1;
	}
	payload->size -= got;
	*bytes = chunk;
	return got;
}

/* One member into DIR, in place, with mode 0644. */
static int take_member(struct archive *tar, struct archive_entry *entry, const char *dir)
{
	char path[4096];
	autoclose int fd = -1;
	char chunk[65536];
	ssize_t got;

	snprintf(path, sizeof(path), "%s/%s", dir, archive_entry_pathname(entry));
	fd = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_NOFOLLOW, 0644);
	while ((got = archive_read_data(tar, chunk, sizeof(chunk))) > 0)
		if (write(fd, chunk, (size_t)got) != got)
			return -1;
	return fd < 0 || got < 0 ? -1 : 0;
}

int line_extract_archive(struct guest *guest, const struct call *call, const char *destination,
			 struct line_payload payload, struct line_archive_reply *out,
			 struct error *err)
{
	struct archive *tar = archive_read_new();
	enum fake_fault fault = take_fault(guest);
	struct archive_entry *entry;
	struct line_payload rest = payload;
	int rc = 0;

	if (fault == FAKE_REFUSE) {
		rc = error_set(err, ENOTCONN, "the fake guest is gone");
		goto done;
	}
	guest->uploads++;
	guest->kinds[call->kind]++;
	guest->uploaded += payload.size;
	mkdir(destination, 0755);
	archive_read_support_format_tar(tar);
	if (strncmp(destination, guest->dir, strlen(guest->dir)) != 0 ||
	    archive_read_open2(tar, &rest, NULL, payload_read, NULL, NULL) != ARCHIVE_OK)
		rc = error_set(err, EREMOTEIO, "bad upload");
	while (!rc && (rc = archive_read_next_header(tar, &entry)) == ARCHIVE_OK) {
		out->entry_count++;
		rc = take_member(tar, entry, destination);
	}
	if (fault == FAKE_FULL)
		rc = error_set(err, EREMOTEIO, "[Errno 28] No space left on device: 'data'");
	else
		rc = rc == ARCHIVE_EOF ?
			     0 :
			     error_set(err, EREMOTEIO, "the archive cannot be extracted");
	if (!rc && rest.size)
		rc = error_set(err, EREMOTEIO, "the archive goes on after its end");
	if (!rc && fault == FAKE_INTERRUPT)
		rc = error_set(err, EINTR, "interrupted");
done:
	archive_read_free(tar);
	payload.destroy(payload.arg);
	return rc;
}

void line_archive_reply_free(struct line_archive_reply *reply)
{
	free(reply->path.data);
}
