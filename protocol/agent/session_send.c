/* session_send.c - see session_send.h. */
#include "protocol/agent/session_send.h"

#include <errno.h>
#include <poll.h>
#include <sys/socket.h>
#include <sys/time.h>

/* For a peer to take something. */
#define SILENCE_SECONDS 60

void sess_send_init(struct sess_send *send, int fd)
{
	struct timeval silence = { .tv_sec = SILENCE_SECONDS };

	*send = (struct sess_send){ .fd = fd };
	pthread_mutex_init(&send->lock, NULL);
	pthread_cond_init(&send->free, NULL);
	setsockopt(fd, SOL_SOCKET, SO_SNDTIMEO, &silence, sizeof(silence));
}

void sess_send_destroy(struct sess_send *send)
{
	pthread_cond_destroy(&send->free);
	pthread_mutex_destroy(&send->lock);
}

/* False when the connection is dead. */
static bool acquire(struct sess_send *send, bool bulk)
{
	bool alive;

	pthread_mutex_lock(&send->lock);
	if (!bulk)
		send->urgent++;
	while (!send->dead && (send->busy || (bulk && send->urgent)))
		pthread_cond_wait(&send->free, &send->lock);
	if (!bulk)
		send->urgent--;
	alive = !send->dead;
	send->busy = send->busy || alive;
	pthread_mutex_unlock(&send->lock);
	return alive;
}

static void release(struct sess_send *send)
{
	pthread_mutex_lock(&send->lock);
	send->busy = false;
	pthread_cond_broadcast(&send->free);
	pthread_mutex_unlock(&send->lock);
}

/* Drops the first LEN bytes of what is to be sent. */
static void advance(struct msghdr *message, size_t len)
{
	while (message->msg_iovlen && len >= message->msg_iov->iov_len) {
		len -= message->msg_iov->iov_len;
		message->msg_iov++;
		message->msg_iovlen--;
	}
	if (message->msg_iovlen) {
		message->msg_iov->iov_base = (char *)message->msg_iov->iov_base + len;
		message->msg_iov->iov_len -= len;
	}
}

int sess_send_frames(struct sess_send *send, struct iovec *pieces, int count, bool bulk)
{
	struct msghdr message = { .msg_iov = pieces, .msg_iovlen = (size_t)count };

	if (!acquire(send, bulk))
		return -EPIPE;
	advance(&message, 0);
	while (message.msg_iovlen) {
		ssize_t n = sendmsg(send->fd, &message, MSG_NOSIGNAL);

		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0) {
			/* Also EAGAIN, which is silence: half a frame cannot be taken back. */
			sess_send_kill(send);
			break;
		}
		advance(&message, (size_t)n);
	}
	release(send);
	return message.msg_iovlen ? -EPIPE : 0;
}

bool sess_send_ready(struct sess_send *send)
{
	struct pollfd wait = { .fd = send->fd, .events = POLLOUT };
	bool ready;

	pthread_mutex_lock(&send->lock);
	ready = send->dead || (!send->busy && !send->urgent && poll(&wait, 1, 0) == 1);
	pthread_mutex_unlock(&send->lock);
	return ready;
}

void sess_send_kill(struct sess_send *send)
{
	pthread_mutex_lock(&send->lock);
	send->dead = true;
	shutdown(send->fd, SHUT_RDWR);
	pthread_cond_broadcast(&send->free);
	pthread_mutex_unlock(&send->lock);
}
