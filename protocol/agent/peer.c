/* peer.c - see peer.h. */
#include "protocol/agent/peer.h"

#include <errno.h>
#include <poll.h>
#include <string.h>
#include <sys/sendfile.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <unistd.h>

#include "protocol/agent/clock.h"

/* A client that reads slowly is common (it is busy), one that sends slowly is not. */
#define RECEIVE_SILENCE_SECONDS 30
#define SEND_SILENCE_SECONDS 120

#define LINGER_MS 2000
#define SENDFILE_PIECE (1 << 20)

void peer_init(struct peer *peer, int fd)
{
	struct timeval receive = { .tv_sec = RECEIVE_SILENCE_SECONDS };
	struct timeval send = { .tv_sec = SEND_SILENCE_SECONDS };

	peer->fd = fd;
	peer->start = peer->end = 0;
	setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &receive, sizeof(receive));
	setsockopt(fd, SOL_SOCKET, SO_SNDTIMEO, &send, sizeof(send));
}

static ssize_t receive(struct peer *peer, void *bytes, size_t len)
{
	for (;;) {
		ssize_t n = recv(peer->fd, bytes, len, 0);

		if (n >= 0)
			return n;
		if (errno == EAGAIN || errno == EWOULDBLOCK)
			return -ETIMEDOUT;
		if (errno != EINTR)
			return -errno;
	}
}

ssize_t peer_read(struct peer *peer, void *bytes, size_t len)
{
	size_t ready = peer->end - peer->start;

	if (!ready)
		return receive(peer, bytes, len);
	if (len > ready)
		len = ready;
	memcpy(bytes, peer->bytes + peer->start, len);
	peer->start += len;
	return (ssize_t)len;
}

/* Fills the empty buffer; 0 at the end of the stream. */
static ssize_t fill(struct peer *peer, int64_t deadline)
{
	struct pollfd wait = { .fd = peer->fd, .events = POLLIN };
	ssize_t n;
	int rc;

	do
		rc = poll(&wait, 1, clock_until(deadline));
	while (rc < 0 && errno == EINTR);
	if (rc == 0)
		return -ETIMEDOUT;
	n = receive(peer, peer->bytes, sizeof(peer->bytes));
	peer->start = 0;
	peer->end = n > 0 ? (size_t)n : 0;
	return n;
}

int peer_read_line(struct peer *peer, size_t max, int64_t milliseconds, struct buf *line)
{
	int64_t deadline = clock_ms() + milliseconds;

	for (;;) {
		char *from = peer->bytes + peer->start, *newline;
		size_t len = peer->end - peer->start;

		newline = len ? memchr(from, '\n', len) : NULL;
		if (newline)
			len = (size_t)(newline - from);
		if (line->len + len + 1 > max)
			return -E2BIG;
		buf_add(line, from, len);
		if (line->overflow)
			return -ENOMEM;
		peer->start += len + (newline ? 1 : 0);
		if (newline)
			return 0;

		ssize_t n = fill(peer, deadline);

		if (n < 0)
			return (int)n;
		if (n == 0)
			return line->len ? 0 : -ENODATA;
	}
}

int peer_send(struct peer *peer, const void *bytes, size_t len)
{
	const char *from = bytes;

	while (len) {
		ssize_t n = send(peer->fd, from, len, MSG_NOSIGNAL);

		if (n < 0) {
			if (errno == EINTR)
				continue;
			return errno == EAGAIN || errno == EWOULDBLOCK ? -ETIMEDOUT : -errno;
		}
		from += n;
		len -= (size_t)n;
	}
	return 0;
}

/* For a socket that sendfile(2) cannot feed, or a file it cannot read. */
static int send_by_copy(struct peer *peer, int fd, off_t offset, int64_t size)
{
	while (offset < size) {
		int64_t want = size - offset;
		ssize_t n;

		if (want > (int64_t)sizeof(peer->bytes))
			want = (int64_t)sizeof(peer->bytes);
		n = pread(fd, peer->bytes, (size_t)want, offset);
		if (n <= 0)
			return n < 0 ? -errno : -EIO;
		offset += n;

		int rc = peer_send(peer, peer->bytes, (size_t)n);

		if (rc < 0)
			return rc;
	}
	return 0;
}

int peer_send_file(struct peer *peer, int fd, int64_t size)
{
	off_t offset = 0;

	while (offset < size) {
		int64_t want = size - offset;
		ssize_t n = sendfile(peer->fd, fd, &offset,
				     want > SENDFILE_PIECE ? SENDFILE_PIECE : (size_t)want);

		if (n > 0)
			continue;
		if (n == 0)
			return -EIO;
		if (errno == EINVAL || errno == ENOSYS) {
			peer->start = peer->end = 0;
			return send_by_copy(peer, fd, offset, size);
		}
		if (errno != EINTR)
			return errno == EAGAIN ? -ETIMEDOUT : -errno;
	}
	return 0;
}

void peer_linger(struct peer *peer)
{
	int64_t deadline = clock_ms() + LINGER_MS;

	shutdown(peer->fd, SHUT_WR);
	while (clock_until(deadline) > 0 && fill(peer, deadline) > 0)
		;
}
