/*
 * shell_bytes.c - input, in whole or in parts; and a shell as the session dialect has it: output as
 * bytes, resizing.
 */
#include <errno.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include "protocol/agent/shell_internal.h"

size_t shell_read(struct shell *shell, struct shell_status *status, int64_t *offset, char *bytes,
		  size_t len)
{
	size_t got;

	pthread_mutex_lock(&shell->lock);
	shell_describe(shell, status);
	got = transcript_read_bytes(&shell->transcript, offset, bytes, len);
	pthread_mutex_unlock(&shell->lock);
	shell_describe_end(shell, status);
	return got;
}

int shell_give(struct shell *shell, const char *bytes, size_t len)
{
	struct budget *held = &shell->shells->agent->held;
	ssize_t n = 0;

	if (!budget_take(held, len))
		return -EAGAIN;
	/* Mostly the terminal takes it at once: then the thread need not be woken for it. */
	if (!shell->input.len)
		n = write(shell->terminal, bytes, len);
	if (n < 0)
		n = 0;
	budget_give(held, (size_t)n);
	if ((size_t)n == len)
		return 0;
	buf_add(&shell->input, bytes + n, len - (size_t)n);
	if (shell->input.overflow) {
		shell->input.overflow = false;
		budget_give(held, len - (size_t)n);
		return -ENOMEM;
	}
	shell_notify(shell);
	return 0;
}

int shell_type(struct shell *shell, const char *bytes, size_t len)
{
	int rc = 0;

	pthread_mutex_lock(&shell->lock);
	if (shell->drained) {
		rc = -EPIPE;
	} else if (len > LIMIT_AGENT_SHELL_INPUT - shell->input.len) {
		rc = -EAGAIN;
	} else {
		rc = shell_give(shell, bytes, len);
	}
	pthread_mutex_unlock(&shell->lock);
	return rc;
}

ssize_t shell_type_some(struct shell *shell, const char *bytes, size_t len)
{
	size_t room;
	ssize_t rc;

	pthread_mutex_lock(&shell->lock);
	room = shell->input.max - shell->input.len;
	if (len > room)
		len = room;
	if (shell->drained) {
		rc = -EPIPE;
	} else if (!room) {
		rc = -EAGAIN;
	} else {
		rc = shell_give(shell, bytes, len);
		if (rc == 0)
			rc = (ssize_t)len;
	}
	pthread_mutex_unlock(&shell->lock);
	return rc;
}

int shell_resize(struct shell *shell, int cols, int rows)
{
	struct winsize size = { .ws_row = (unsigned short)rows, .ws_col = (unsigned short)cols };
	int rc = 0;

	pthread_mutex_lock(&shell->lock);
	if (shell->drained)
		rc = -EPIPE;
	else if (ioctl(shell->terminal, TIOCSWINSZ, &size) < 0)
		rc = -errno;
	if (rc == 0) {
		shell->cols = cols;
		shell->rows = rows;
	}
	pthread_mutex_unlock(&shell->lock);
	return rc;
}
