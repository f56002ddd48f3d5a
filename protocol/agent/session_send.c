/* session_send.c - see session_send.h. */
#include "protocol/agent/session_send.h"

#include <errno.h>
#include <limits.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/time.h>

#include "protocol/agent/session_call.h"

/* For a peer to take something. */
#define SILENCE_SECONDS 60

/*
 * While so much is kept there is no room for more: what a frame that is not posted waits for at
 * most.
 */
#define KEPT_MAX SESS_PIECE

/* How often one looks for what was posted while it sends what was. */
#define POSTED_ROUNDS 2

/* An idle connection keeps no more of what once was much. */
#define KEPT_ROOM 4096

void sess_send_init(struct sess_send *send, int fd, const struct sess_send_hooks *hooks)
{
	struct timeval silence = { .tv_sec = SILENCE_SECONDS };

	*send = (struct sess_send){ .fd = fd, .hooks = *hooks };
	pthread_mutex_init(&send->lock, NULL);
	pthread_cond_init(&send->small, NULL);
	pthread_cond_init(&send->bulk, NULL);
	buf_init(&send->posted, SIZE_MAX / 2);
	buf_init(&send->going, SIZE_MAX / 2);
	setsockopt(fd, SOL_SOCKET, SO_SNDTIMEO, &silence, sizeof(silence));
}

void sess_send_destroy(struct sess_send *send)
{
	buf_free(&send->going);
	buf_free(&send->posted);
	pthread_cond_destroy(&send->bulk);
	pthread_cond_destroy(&send->small);
	pthread_mutex_destroy(&send->lock);
}

/*
 * With the lock held.
 */

static void end(struct sess_send *send)
{
	send->dead = true;
	shutdown(send->fd, SHUT_RDWR);
	pthread_cond_broadcast(&send->small);
	pthread_cond_broadcast(&send->bulk);
	if (send->wants_room)
		send->hooks.on_room(send->hooks.arg);
	send->wants_room = false;
}

/* For who has the turn: all that was posted is to go now. */
static void take_posted(struct sess_send *send)
{
	struct buf empty = send->going;

	if (!send->going.len) {
		send->going = send->posted;
		send->posted = empty;
	} else if (send->posted.len) {
		/* Behind the end of what the socket took in part. */
		buf_add(&send->going, send->posted.data, send->posted.len);
		send->posted.len = 0;
	}
}

/* False when the connection is dead. */
static bool acquire(struct sess_send *send, bool bulk)
{
	unsigned *waiting = bulk ? &send->bulk_waiting : &send->small_waiting;

	++*waiting;
	while (!send->dead && (send->busy || (bulk && send->small_waiting)))
		pthread_cond_wait(bulk ? &send->bulk : &send->small, &send->lock);
	--*waiting;
	if (send->dead)
		return false;
	send->busy = true;
	take_posted(send);
	return true;
}

static int push(struct sess_send *send, const struct iovec *pieces, int count, int flags);

/* Sends, by who has the turn, what was posted.  -EAGAIN where the socket does not take it. */
static int push_posted(struct sess_send *send)
{
	int rc;

	take_posted(send);
	pthread_mutex_unlock(&send->lock);
	rc = push(send, NULL, 0, MSG_DONTWAIT);
	pthread_mutex_lock(&send->lock);
	send->kept = send->going.len + send->posted.len;
	return rc;
}

static bool has_waiting(const struct sess_send *send)
{
	return send->small_waiting || send->bulk_waiting;
}

/*
 * Gives the turn away, after RC, with which the last push ended.  What was posted meanwhile is sent
 * before: who is woken for it would have to be given a processor first.  Not for ever: who has the
 * turn has other things to do than to send for those who post.
 */
static void release(struct sess_send *send, int rc)
{
	send->kept = send->going.len + send->posted.len;
	for (int round = 0; rc == 0 && send->kept && round < POSTED_ROUNDS; round++)
		rc = push_posted(send);
	if (rc < 0 && rc != -EAGAIN)
		end(send);
	send->busy = false;
	if (send->kept && !has_waiting(send) && !send->dead &&
	    !send->hooks.on_stuck(send->hooks.arg))
		end(send);
	if (send->small_waiting)
		pthread_cond_signal(&send->small);
	else if (send->bulk_waiting)
		pthread_cond_signal(&send->bulk);
	if (send->wants_room && send->kept <= KEPT_MAX / 2) {
		send->wants_room = false;
		send->hooks.on_room(send->hooks.arg);
	}
	if (!send->kept && send->posted.room + send->going.room > KEPT_ROOM) {
		buf_free(&send->posted);
		buf_free(&send->going);
	}
}

/* Leaves it to whoever has the turn. */
static int leave(struct sess_send *send, const struct iovec *pieces, int count)
{
	for (int i = 0; i < count; i++) {
		buf_add(&send->posted, pieces[i].iov_base, pieces[i].iov_len);
		send->kept += pieces[i].iov_len;
	}
	if (send->posted.overflow)
		end(send);
	return send->dead ? -EPIPE : 0;
}

/* Sends what the socket takes of it. */
static int post(struct sess_send *send, const struct iovec *pieces, int count)
{
	int rc;

	send->busy = true;
	take_posted(send);
	pthread_mutex_unlock(&send->lock);
	rc = push(send, pieces, count, MSG_DONTWAIT);
	pthread_mutex_lock(&send->lock);
	release(send, rc);
	return send->dead ? -EPIPE : 0;
}

/*
 * Without the lock, by who has the turn.
 */

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

/* Makes going the rest of MESSAGE, which begins with what is there. */
static int keep(struct sess_send *send, const struct msghdr *message, const struct iovec *first)
{
	const struct iovec *piece = message->msg_iov;
	size_t count = message->msg_iovlen;
	struct buf *going = &send->going;

	if (count && piece == first) {
		buf_consume(going, going->len - piece->iov_len);
		piece++;
		count--;
	} else {
		going->len = 0;
	}
	for (size_t i = 0; i < count; i++)
		buf_add(going, piece[i].iov_base, piece[i].iov_len);
	return going->overflow ? -ENOMEM : 0;
}

/* The kernel takes one buffer faster than a message. */
static ssize_t transmit(int fd, const struct msghdr *message, int flags)
{
	const struct iovec *first = message->msg_iov;

	return message->msg_iovlen == 1 ? send(fd, first->iov_base, first->iov_len, flags) :
					  sendmsg(fd, message, flags);
}

/*
 * Sends going and the pieces.  0: all of it; -EAGAIN, where MSG_DONTWAIT is among FLAGS: the rest
 * is in going; or a negative errno, also where the peer took nothing for long: half a frame cannot
 * be taken back.
 */
static int push(struct sess_send *send, const struct iovec *pieces, int count, int flags)
{
	struct iovec all[1 + SESS_SEND_PIECES] = { { send->going.data, send->going.len } };
	struct msghdr message = { .msg_iov = all, .msg_iovlen = 1 + (size_t)count };
	int rc = 0;

	for (int i = 0; i < count; i++)
		all[1 + i] = pieces[i];
	advance(&message, 0);
	while (rc == 0 && message.msg_iovlen) {
		ssize_t n = transmit(send->fd, &message, MSG_NOSIGNAL | flags);

		if (n >= 0)
			advance(&message, (size_t)n);
		else if (errno != EINTR)
			rc = -errno;
	}
	if (rc == -EAGAIN && !(flags & MSG_DONTWAIT))
		rc = -ETIMEDOUT;
	if (keep(send, &message, all) < 0)
		rc = -ENOMEM;
	return rc;
}

/*
 * The interface
 */

static size_t size_of(const struct iovec *pieces, int count)
{
	size_t size = 0;

	for (int i = 0; i < count; i++)
		size += pieces[i].iov_len;
	return size;
}

int sess_send_frames(struct sess_send *send, const struct iovec *pieces, int count,
		     enum sess_send_how how)
{
	bool alive;
	int rc;

	pthread_mutex_lock(&send->lock);
	if (how == SESS_SEND_POST || (how == SESS_SEND_SMALL && send->busy &&
				      send->kept + size_of(pieces, count) <= KEPT_MAX)) {
		rc = send->dead ? -EPIPE :
		     send->busy ? leave(send, pieces, count) :
				  post(send, pieces, count);
		pthread_mutex_unlock(&send->lock);
		return rc;
	}
	alive = acquire(send, how == SESS_SEND_BULK);
	pthread_mutex_unlock(&send->lock);
	if (!alive)
		return -EPIPE;
	rc = push(send, pieces, count, 0);
	pthread_mutex_lock(&send->lock);
	release(send, rc);
	pthread_mutex_unlock(&send->lock);
	return rc < 0 ? -EPIPE : 0;
}

bool sess_send_has_room(struct sess_send *send)
{
	bool room;

	pthread_mutex_lock(&send->lock);
	room = send->dead || send->kept < KEPT_MAX;
	pthread_mutex_unlock(&send->lock);
	return room;
}

bool sess_send_want_room(struct sess_send *send)
{
	bool room;

	pthread_mutex_lock(&send->lock);
	room = send->dead || send->kept < KEPT_MAX;
	send->wants_room = send->wants_room || !room;
	pthread_mutex_unlock(&send->lock);
	return room;
}

void sess_send_resume(struct sess_send *send)
{
	pthread_mutex_lock(&send->lock);
	if (!send->dead && !send->busy && send->kept)
		post(send, NULL, 0);
	pthread_mutex_unlock(&send->lock);
}

int sess_send_patience(const struct sess_send *send)
{
	struct timeval silence = { .tv_sec = SILENCE_SECONDS };
	socklen_t len = sizeof(silence);

	getsockopt(send->fd, SOL_SOCKET, SO_SNDTIMEO, &silence, &len);
	return (int)(silence.tv_sec * 1000 + silence.tv_usec / 1000);
}

void sess_send_kill(struct sess_send *send)
{
	pthread_mutex_lock(&send->lock);
	end(send);
	pthread_mutex_unlock(&send->lock);
}
