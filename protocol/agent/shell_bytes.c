/* shell_bytes.c - a shell as the session dialect has it: output as bytes, input in parts, resizing. */
#include <errno.h>
#include <sys/ioctl.h>

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
