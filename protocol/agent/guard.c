/* guard.c - see guard.h. */
#include "protocol/agent/guard.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/pidfd.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include "protocol/agent/kin.h"
#include "protocol/cleanup.h"

/* The child's side of the fork: should the guard itself be killed, the command goes with it. */
static void become(int lifeline, char **argv, pid_t guard)
{
	if (prctl(PR_SET_PDEATHSIG, SIGKILL) == 0 && getppid() == guard &&
	    fcntl(lifeline, F_SETFD, 0) == 0)
		execv(argv[0], argv);
	fprintf(stderr, "vsockfs-agent: %s: %s\n", argv[0], strerror(errno));
	_exit(127);
}

/* What the command got is its own: whoever waits for its end must not have to wait for ours. */
static void close_others(int lifeline)
{
	if (lifeline > STDERR_FILENO + 1)
		close_range(STDERR_FILENO + 1, (unsigned int)lifeline - 1, 0);
	close_range((unsigned int)lifeline + 1, UINT_MAX, 0);
}

static int poll_again(struct pollfd *pollers, nfds_t count, int timeout)
{
	int rc;

	do
		rc = poll(pollers, count, timeout);
	while (rc < 0 && errno == EINTR);
	return rc;
}

/* Until the command has ended, or its time is up. */
static void await_end(int lifeline, int command)
{
	struct pollfd pollers[] = { { .fd = command, .events = POLLIN }, { .fd = lifeline } };

	if (poll_again(pollers, 2, -1) > 0 && !pollers[0].revents)
		poll_again(pollers, 1, GUARD_SECONDS * 1000);
}

/*
 * Kills all children; theirs become ours when they end, until there are none.  Nobody but us reaps
 * a child, so its number cannot be another process's meanwhile.  Returns how COMMAND ended.
 */
static int end_all(pid_t command)
{
	int result = 0;

	for (;;) {
		int status = 0;
		pid_t pid;

		kin_signal_children(SIGKILL);
		pid = waitpid(-1, &status, 0);
		if (pid == command)
			result = status;
		if (pid < 0 && errno != EINTR)
			return WIFEXITED(result) ? WEXITSTATUS(result) : 128 + WTERMSIG(result);
	}
}

int guard_run(int lifeline, char **argv)
{
	pid_t guard = getpid(), command;
	autoclose int handle = -1;

	if (prctl(PR_SET_CHILD_SUBREAPER, 1) < 0) {
		fprintf(stderr, "vsockfs-agent: prctl: %s\n", strerror(errno));
		return 1;
	}
	command = fork();
	if (command == 0)
		become(lifeline, argv, guard);
	if (command < 0) {
		fprintf(stderr, "vsockfs-agent: fork: %s\n", strerror(errno));
		return 1;
	}
	close_others(lifeline);
	handle = pidfd_open(command, 0);
	if (handle >= 0)
		await_end(lifeline, handle);
	return end_all(command);
}
