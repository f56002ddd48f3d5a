/*
 * peer.c - the scripted guest of peer.h.
 */
#include "peer.h"

#include <errno.h>
#include <poll.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include <linux/sockios.h>

#define KEPT (256u << 10)
#define BLOCK 4096

struct connection {
	char *bytes; /* NUL-terminated; the first KEPT of them */
	int64_t len;
	bool left_early;
};

struct peer {
	pthread_t thread;
	char dir[32]; /* "" where the path was given */
	char path[64];
	const struct peer_step *const *scripts;
	size_t count;
	bool repeat;
	int listener;
	int stop; /* eventfd: everything that waits watches it */
	pthread_mutex_t lock;
	pthread_cond_t changed;
	bool stopping;                                       /* lock */
	int accepted, served;                                /* lock */
	int paused, gone_on;                                 /* lock; counts of pauses */
	struct connection connections[PEER_MAX_CONNECTIONS]; /* lock, once served */
};

static void die(const char *what)
{
	perror(what);
	abort();
}

/* Waits for EVENTS on FD.  False when the peer is stopped. */
static bool wait_for(struct peer *peer, int fd, short events)
{
	struct pollfd polls[] = {
		{ .fd = fd, .events = events },
		{ .fd = peer->stop, .events = POLLIN },
	};

	while (poll(polls, 2, -1) < 0 && errno == EINTR)
		;
	return !polls[1].revents;
}

static void keep(struct connection *connection, const char *bytes, size_t len)
{
	if (connection->len + (int64_t)len <= (int64_t)KEPT) {
		memcpy(connection->bytes + connection->len, bytes, len);
		connection->bytes[connection->len + (int64_t)len] = '\0';
	}
	connection->len += (int64_t)len;
}

/* Reads at most LEN bytes.  False at EOF, which a client may not cause here. */
static bool take(struct peer *peer, struct connection *connection, int fd, char *bytes, size_t len,
		 size_t *got)
{
	ssize_t rc;

	if (!wait_for(peer, fd, POLLIN))
		return false;
	rc = recv(fd, bytes, len, 0);
	if (rc <= 0) {
		connection->left_early = true;
		return false;
	}
	keep(connection, bytes, (size_t)rc);
	*got = (size_t)rc;
	return true;
}

static bool take_line(struct peer *peer, struct connection *connection, int fd)
{
	char byte = 0;
	size_t got;

	while (byte != '\n')
		if (!take(peer, connection, fd, &byte, 1, &got))
			return false;
	return true;
}

static bool take_bytes(struct peer *peer, struct connection *connection, int fd, int64_t count)
{
	static _Thread_local char bytes[BLOCK];
	size_t got;

	for (; count > 0; count -= (int64_t)got)
		if (!take(peer, connection, fd, bytes, count < BLOCK ? (size_t)count : BLOCK, &got))
			return false;
	return true;
}

static bool say(struct peer *peer, struct connection *connection, int fd, const char *bytes,
		size_t len)
{
	while (len > 0) {
		ssize_t sent;

		if (!wait_for(peer, fd, POLLOUT))
			return false;
		sent = send(fd, bytes, len, MSG_NOSIGNAL | MSG_DONTWAIT);
		if (sent < 0 && errno == EAGAIN)
			continue;
		if (sent < 0) {
			connection->left_early = true;
			return false;
		}
		bytes += sent;
		len -= (size_t)sent;
	}
	return true;
}

static bool flood(struct peer *peer, struct connection *connection, int fd, int64_t count)
{
	char bytes[BLOCK];

	memset(bytes, 'x', sizeof(bytes));
	for (; count > 0; count -= BLOCK)
		if (!say(peer, connection, fd, bytes, count < BLOCK ? (size_t)count : BLOCK))
			return false;
	return true;
}

static bool pause_script(struct peer *peer)
{
	bool stopping;
	int mine;

	pthread_mutex_lock(&peer->lock);
	mine = ++peer->paused;
	pthread_cond_broadcast(&peer->changed);
	while (peer->gone_on < mine && !peer->stopping)
		pthread_cond_wait(&peer->changed, &peer->lock);
	stopping = peer->stopping;
	pthread_mutex_unlock(&peer->lock);
	return !stopping;
}

/* Whether the client has closed while it still had something to wait for. */
static bool has_left(int fd)
{
	struct pollfd polls = { .fd = fd, .events = POLLRDHUP };

	return poll(&polls, 1, 0) > 0 && polls.revents & (POLLRDHUP | POLLHUP | POLLERR);
}

/* Until the client has taken what was sent: only then would closing lose nothing. */
static void wait_taken(struct peer *peer, int fd)
{
	struct pollfd stop = { .fd = peer->stop, .events = POLLIN };
	int queued = 1;

	while (ioctl(fd, SIOCOUTQ, &queued) == 0 && queued > 0 && !has_left(fd) &&
	       poll(&stop, 1, 1) == 0)
		;
}

static bool play_step(struct peer *peer, struct connection *connection, int fd,
		      const struct peer_step *step)
{
	switch (step->what) {
	case PEER_LINE:
		return take_line(peer, connection, fd);
	case PEER_BYTES:
		return take_bytes(peer, connection, fd, step->count);
	case PEER_SAY:
		return say(peer, connection, fd, step->text, strlen(step->text));
	case PEER_DRIBBLE:
		for (const char *at = step->text; *at; at++) {
			if (!say(peer, connection, fd, at, 1))
				return false;
			wait_taken(peer, fd);
		}
		return true;
	case PEER_FLOOD:
		return flood(peer, connection, fd, step->count);
	case PEER_PAUSE:
		return pause_script(peer);
	case PEER_RESET:
		return wait_for(peer, fd, POLLIN) && false;
	case PEER_CLOSE:
		wait_taken(peer, fd);
		return false;
	}
	return false;
}

static void play(struct peer *peer, struct connection *connection, int fd,
		 const struct peer_step *step)
{
	while (play_step(peer, connection, fd, step))
		step++;
	if (step->what != PEER_RESET && has_left(fd))
		connection->left_early = true;
	close(fd);
}

static void serve_one(struct peer *peer, int fd)
{
	struct connection unkept = { 0 };
	struct connection *connection = &unkept;
	size_t script;
	int number;

	pthread_mutex_lock(&peer->lock);
	number = peer->accepted++;
	if (number < PEER_MAX_CONNECTIONS)
		connection = &peer->connections[number];
	pthread_mutex_unlock(&peer->lock);
	connection->bytes = calloc(1, KEPT + 1);
	if (!connection->bytes)
		die("calloc");
	script = (size_t)number < peer->count ? (size_t)number : peer->count - 1;
	play(peer, connection, fd, peer->scripts[script]);
	free(unkept.bytes);
	pthread_mutex_lock(&peer->lock);
	peer->served++;
	pthread_cond_broadcast(&peer->changed);
	pthread_mutex_unlock(&peer->lock);
}

static void *serve(void *arg)
{
	struct peer *peer = arg;

	for (size_t i = 1; peer->listener >= 0; i++) {
		int fd;

		if (!wait_for(peer, peer->listener, POLLIN))
			return NULL;
		fd = accept(peer->listener, NULL, NULL);
		if (fd < 0)
			die("accept");
		if (i == peer->count && !peer->repeat) {
			close(peer->listener); /* from now on connections are refused */
			peer->listener = -1;
		}
		serve_one(peer, fd);
	}
	return NULL;
}

static struct peer *start(struct peer *peer, const struct peer_step *const *scripts, size_t count,
			  bool repeat)
{
	struct sockaddr_un at = { .sun_family = AF_UNIX };

	peer->scripts = scripts;
	peer->count = count;
	peer->repeat = repeat;
	pthread_mutex_init(&peer->lock, NULL);
	pthread_cond_init(&peer->changed, NULL);
	peer->stop = eventfd(0, EFD_CLOEXEC);
	peer->listener = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
	/* Under its name only when it listens: a client that looks must not miss it meanwhile. */
	snprintf(at.sun_path, sizeof(at.sun_path), "%s.new", peer->path);
	if (peer->stop < 0 || bind(peer->listener, (struct sockaddr *)&at, sizeof(at)) < 0 ||
	    listen(peer->listener, 1) < 0 || rename(at.sun_path, peer->path) < 0)
		die(peer->path);
	if (pthread_create(&peer->thread, NULL, serve, peer) != 0)
		die("pthread_create");
	return peer;
}

struct peer *peer_start(const struct peer_step *const *scripts, size_t count, bool repeat)
{
	struct peer *peer = calloc(1, sizeof(*peer));

	if (!peer)
		die("calloc");
	strcpy(peer->dir, "/tmp/peer-XXXXXX");
	if (!mkdtemp(peer->dir))
		die("mkdtemp");
	snprintf(peer->path, sizeof(peer->path), "%s/sock", peer->dir);
	return start(peer, scripts, count, repeat);
}

struct peer *peer_start_at(const char *path, const struct peer_step *const *scripts, size_t count,
			   bool repeat)
{
	struct peer *peer = calloc(1, sizeof(*peer));

	if (!peer)
		die("calloc");
	snprintf(peer->path, sizeof(peer->path), "%s", path);
	return start(peer, scripts, count, repeat);
}

void peer_stop(struct peer *peer)
{
	uint64_t one = 1;

	pthread_mutex_lock(&peer->lock);
	peer->stopping = true;
	pthread_cond_broadcast(&peer->changed);
	pthread_mutex_unlock(&peer->lock);
	if (write(peer->stop, &one, sizeof(one)) < 0)
		die("eventfd");
	pthread_join(peer->thread, NULL);
	if (peer->listener >= 0)
		close(peer->listener);
	close(peer->stop);
	unlink(peer->path);
	if (peer->dir[0])
		rmdir(peer->dir);
	for (int i = 0; i < PEER_MAX_CONNECTIONS; i++)
		free(peer->connections[i].bytes);
	pthread_cond_destroy(&peer->changed);
	pthread_mutex_destroy(&peer->lock);
	free(peer);
}

const char *peer_path(const struct peer *peer)
{
	return peer->path;
}

void peer_wait_paused(struct peer *peer)
{
	pthread_mutex_lock(&peer->lock);
	while (peer->paused <= peer->gone_on)
		pthread_cond_wait(&peer->changed, &peer->lock);
	pthread_mutex_unlock(&peer->lock);
}

void peer_go(struct peer *peer)
{
	pthread_mutex_lock(&peer->lock);
	peer->gone_on++;
	pthread_cond_broadcast(&peer->changed);
	pthread_mutex_unlock(&peer->lock);
}

void peer_wait_served(struct peer *peer, int count)
{
	pthread_mutex_lock(&peer->lock);
	while (peer->served < count)
		pthread_cond_wait(&peer->changed, &peer->lock);
	pthread_mutex_unlock(&peer->lock);
}

int peer_accepted(struct peer *peer)
{
	int accepted;

	pthread_mutex_lock(&peer->lock);
	accepted = peer->accepted;
	pthread_mutex_unlock(&peer->lock);
	return accepted;
}

/* Waits for its end first: until then the bytes are the thread's. */
static struct connection *served(struct peer *peer, int connection)
{
	peer_wait_served(peer, connection + 1);
	return &peer->connections[connection];
}

const char *peer_received(struct peer *peer, int connection)
{
	return served(peer, connection)->bytes;
}

int64_t peer_received_len(struct peer *peer, int connection)
{
	return served(peer, connection)->len;
}

bool peer_left_early(struct peer *peer, int connection)
{
	return served(peer, connection)->left_early;
}
