/*
 * daemon.c - fork, ready pipe, standard descriptors.
 */
#include "fs/daemon.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "protocol/cleanup.h"

#define READY 'R'
#define FAILED 'E'

/* A verdict: READY, or FAILED with a line.  Its length, 0 where there is none. */
static size_t read_verdict(int fd, char *bytes, size_t size)
{
	size_t len = 0;

	while (len < size) {
		ssize_t got = read(fd, bytes + len, size - len);

		if (got > 0)
			len += (size_t)got;
		else if (!got || errno != EINTR)
			break;
		if (len && (bytes[0] == READY || memchr(bytes, '\n', len)))
			break;
	}
	return len;
}

static _Noreturn void wait_for_verdict(int fd)
{
	char verdict[sizeof(char) + LIMIT_ERROR_TEXT + sizeof("\n")];
	size_t len = read_verdict(fd, verdict, sizeof(verdict));

	if (len && verdict[0] == READY)
		_exit(0);
	if (len && verdict[0] == FAILED)
		fprintf(stderr, "vsockfs: %.*s", (int)len - 1, verdict + 1);
	else
		fprintf(stderr, "vsockfs: the daemon ended before the mount was ready; "
				"run it with -f to see why\n");
	fflush(stderr);
	/*
	 * The daemon lets its guests finish their answers, for at most the timeout: no reason to
	 * wait here.
	 */
	_exit(1);
}

static int to_null(int fd)
{
	autoclose int null = open("/dev/null", O_RDWR | O_CLOEXEC);

	if (null < 0 || dup2(null, fd) < 0)
		return -errno;
	if (null == fd)
		move_fd(null);
	return 0;
}

int daemon_start(struct daemon *daemon, bool foreground, struct error *err)
{
	int ends[2];
	pid_t child;

	*daemon = (struct daemon){ .verdict = -1 };
	if (foreground)
		return 0;
	if (pipe2(ends, O_CLOEXEC))
		return error_set(err, errno, "cannot make a pipe: %s", strerror(errno));
	child = fork();
	if (child < 0) {
		int code = errno;

		close(ends[0]);
		close(ends[1]);
		return error_set(err, code, "cannot start the daemon: %s", strerror(code));
	}
	if (child) {
		close(ends[1]);
		wait_for_verdict(ends[0]);
	}
	close(ends[0]);
	daemon->verdict = ends[1];
	setsid();
	if (chdir("/") || to_null(STDIN_FILENO) || to_null(STDOUT_FILENO) || to_null(STDERR_FILENO))
		return error_set(err, errno, "cannot detach from the terminal: %s",
				 strerror(errno));
	return 0;
}

void daemon_catch_errors(struct daemon_catch *caught)
{
	caught->saved = fcntl(STDERR_FILENO, F_DUPFD_CLOEXEC, 3);
	caught->file = memfd_create("vsockfs-errors", MFD_CLOEXEC);
	if (caught->saved >= 0 && caught->file >= 0)
		dup2(caught->file, STDERR_FILENO);
}

void daemon_caught_errors(struct daemon_catch *caught, char *text, size_t size)
{
	ssize_t len = 0;

	if (caught->saved >= 0 && caught->file >= 0) {
		dup2(caught->saved, STDERR_FILENO);
		len = pread(caught->file, text, size - 1, 0);
	}
	text[len > 0 ? len : 0] = '\0';
	text[strcspn(text, "\n")] = '\0';
	if (caught->saved >= 0)
		close(caught->saved);
	if (caught->file >= 0)
		close(caught->file);
}

/* The caller ignores SIGPIPE. */
static int tell(struct daemon *daemon, const char *verdict)
{
	return write(daemon->verdict, verdict, strlen(verdict)) < 0 ? -errno : 0;
}

int daemon_ready(struct daemon *daemon)
{
	const char verdict[] = { READY, '\0' };
	int rc;

	if (daemon->verdict < 0)
		return 0;
	rc = tell(daemon, verdict);
	close(move_fd(daemon->verdict));
	return rc;
}

void daemon_failed(struct daemon *daemon, const struct error *err)
{
	char verdict[sizeof(char) + LIMIT_ERROR_TEXT + sizeof("\n")];

	if (daemon->verdict < 0) {
		fprintf(stderr, "vsockfs: %s\n", err->text);
		return;
	}
	snprintf(verdict, sizeof(verdict), "%c%s\n", FAILED, err->text);
	tell(daemon, verdict);
}
