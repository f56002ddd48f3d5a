/*
 * spawn.c - see spawn.h.
 *
 * Other threads run while we fork, so between fork and execve only what is safe in a
 * signal handler is called: everything that allocates was done before.
 */
#include "protocol/agent/spawn.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "protocol/cleanup.h"

enum stage { STAGE_SETUP, STAGE_CHDIR, STAGE_EXEC };

struct report {
	enum stage stage;
	int code;
};

__attribute__((noreturn)) static void give_up(int fd, enum stage stage)
{
	struct report report = { .stage = stage, .code = errno };

	if (write(fd, &report, sizeof(report)) < 0)
		_exit(126);
	_exit(127);
}

/* Signals as a fresh process has them; the agent's own settings are its own affair. */
static void reset_signals(void)
{
	struct sigaction action = { .sa_handler = SIG_DFL };
	sigset_t none;

	for (int number = 1; number < NSIG; number++)
		sigaction(number, &action, NULL);
	sigemptyset(&none);
	sigprocmask(SIG_SETMASK, &none, NULL);
}

/* Moves FD above the three standard numbers, where no dup2 of ours can hit it. */
static int lift(int fd)
{
	return fcntl(fd, F_DUPFD_CLOEXEC, 3);
}

__attribute__((noreturn)) static void run(const struct child_spec *spec, const struct rlimit *files,
					  const int fds[3], int report)
{
	int lifted[3];

	report = lift(report);
	reset_signals();
	setsid();
	umask(022);
	setrlimit(RLIMIT_NOFILE, files);
	for (int i = 0; i < 3; i++) {
		lifted[i] = lift(fds[i]);
		if (lifted[i] < 0)
			give_up(report, STAGE_SETUP);
	}
	for (int i = 0; i < 3; i++) {
		if (dup2(lifted[i], i) < 0)
			give_up(report, STAGE_SETUP);
	}
	if (spec->terminal && ioctl(0, TIOCSCTTY, 0) < 0)
		give_up(report, STAGE_SETUP);
	if (chdir(spec->cwd) < 0)
		give_up(report, STAGE_CHDIR);
	execve(spec->argv[0], (char *const *)spec->argv, spec->env);
	give_up(report, STAGE_EXEC);
}

/* An input that is at its end: /dev/null, or a pipe where a bare guest has none. */
static int open_nothing(void)
{
	int ends[2], fd = open("/dev/null", O_RDONLY | O_CLOEXEC);

	if (fd >= 0)
		return fd;
	if (pipe2(ends, O_CLOEXEC) < 0)
		return -errno;
	close(ends[1]);
	return ends[0];
}

int spawn_fork(const struct child_spec *spec, const struct rlimit *files, pid_t *pid, int *report)
{
	autoclose int nothing = -1;
	autoclose int ours = -1, theirs = -1;
	int fds[3] = { spec->fds[0], spec->fds[1], spec->fds[2] };
	int ends[2];

	if (fds[0] < 0) {
		nothing = open_nothing();
		if (nothing < 0)
			return nothing;
		fds[0] = nothing;
	}
	if (pipe2(ends, O_CLOEXEC) < 0)
		return -errno;
	ours = ends[0];
	theirs = ends[1];

	*pid = fork();
	if (*pid < 0)
		return -errno;
	if (*pid == 0)
		run(spec, files, fds, theirs);
	*report = move_fd(ours);
	return 0;
}

int spawn_report(int report, const struct child_spec *spec, struct error *err)
{
	struct report got;
	ssize_t n;

	do
		n = read(report, &got, sizeof(got));
	while (n < 0 && errno == EINTR);
	if (n != (ssize_t)sizeof(got))
		return 0; /* closed by a successful execve */
	switch (got.stage) {
	case STAGE_CHDIR:
		return error_set(err, got.code, "cannot enter %s: %s", spec->cwd,
				 strerror(got.code));
	case STAGE_EXEC:
		return error_set(err, got.code, "cannot run %s: %s", spec->argv[0],
				 strerror(got.code));
	default:
		return error_set(err, got.code, "cannot start a process: %s", strerror(got.code));
	}
}
