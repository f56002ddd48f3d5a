/* terminal.c - see terminal.h. */
#include "protocol/agent/terminal.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include "protocol/cleanup.h"

/* By the master where the kernel can, so that it does not matter where devpts is mounted. */
static int open_slave(int master)
{
	char path[64];
	int fd = ioctl(master, TIOCGPTPEER, O_RDWR | O_NOCTTY | O_CLOEXEC);

	if (fd >= 0)
		return fd;
	if (ptsname_r(master, path, sizeof(path)))
		return -1;
	return open(path, O_RDWR | O_NOCTTY | O_CLOEXEC);
}

int terminal_open(int cols, int rows, int *master, int *slave, struct error *err)
{
	struct winsize size = { .ws_row = (unsigned short)rows, .ws_col = (unsigned short)cols };
	autoclose int ours = posix_openpt(O_RDWR | O_NOCTTY | O_CLOEXEC | O_NONBLOCK);
	autoclose int theirs = -1;

	if (ours < 0 || unlockpt(ours) < 0 || (theirs = open_slave(ours)) < 0)
		return error_set(err, errno, "cannot make a terminal: %s (is devpts mounted?)",
				 strerror(errno));
	if (ioctl(theirs, TIOCSWINSZ, &size) < 0)
		return error_set(err, errno, "cannot set the terminal's size: %s", strerror(errno));
	*master = move_fd(ours);
	*slave = move_fd(theirs);
	return 0;
}

int terminal_signal_foreground(int master, int signal)
{
	pid_t group = tcgetpgrp(master);

	if (group <= 1)
		return -ESRCH;
	return kill(-group, signal) < 0 ? -errno : 0;
}
