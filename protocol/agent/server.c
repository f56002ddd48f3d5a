/* server.c - see server.h. */
#include "protocol/agent/server.h"

#include <errno.h>
#include <poll.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <unistd.h>
#include <utlist.h>

#include "protocol/agent/clock.h"
#include "protocol/agent/dispatch.h"
#include "protocol/agent/service.h"
#include "protocol/cleanup.h"

#define THREAD_STACK (512u << 10)
#define FINISH_SECONDS 3

/* How long to leave the sockets alone when the process is out of descriptors or threads. */
#define PAUSE_MS 100

struct connection {
	struct server *server;
	enum listen_kind kind;
	uint32_t port;
	int fd;
	struct connection *prev, *next; /* server->lock */
};

struct server {
	struct agent *agent;
	const struct listener *listeners;
	size_t count;
	int room; /* eventfd: a connection has ended */

	pthread_mutex_t lock;
	pthread_cond_t ended;
	struct connection *connections; /* lock */
	size_t served;                  /* lock; how many */
	int64_t idle_since;             /* lock; clock_ms, while there is none */
};

static void connection_end(struct connection *connection)
{
	struct server *server = connection->server;
	uint64_t one = 1;

	/* Under the lock, where server_free may be about to shut the descriptor down. */
	pthread_mutex_lock(&server->lock);
	DL_DELETE(server->connections, connection);
	server->served--;
	server->idle_since = clock_ms();
	close(connection->fd);
	while (write(server->room, &one, sizeof(one)) < 0 && errno == EINTR)
		;
	pthread_cond_broadcast(&server->ended);
	pthread_mutex_unlock(&server->lock);
	free(connection);
}

static void *serve(void *arg)
{
	struct connection *connection = arg;

	if (listener_greet(connection->kind, connection->port, connection->fd))
		dispatch_serve(connection->server->agent, connection->fd);
	connection_end(connection);
	return NULL;
}

/* Takes FD over. */
static int start(struct server *server, const struct listener *listener, int fd)
{
	struct connection *connection = malloc(sizeof(*connection));
	pthread_attr_t attributes;
	pthread_t thread;
	int rc;

	if (!connection) {
		close(fd);
		return -ENOMEM;
	}
	*connection = (struct connection){
		.server = server,
		.kind = listener->kind,
		.port = listener->port,
		.fd = fd,
	};
	pthread_mutex_lock(&server->lock);
	DL_APPEND(server->connections, connection);
	server->served++;
	pthread_mutex_unlock(&server->lock);

	pthread_attr_init(&attributes);
	pthread_attr_setstacksize(&attributes, THREAD_STACK);
	pthread_attr_setdetachstate(&attributes, PTHREAD_CREATE_DETACHED);
	rc = pthread_create(&thread, &attributes, serve, connection);
	pthread_attr_destroy(&attributes);
	if (rc)
		connection_end(connection);
	return -rc;
}

static bool is_full(struct server *server)
{
	bool full;

	pthread_mutex_lock(&server->lock);
	full = server->served >= LIMIT_AGENT_CONNECTIONS;
	pthread_mutex_unlock(&server->lock);
	return full;
}

/* False when the process has run out of what a connection needs. */
static bool take(struct server *server, const struct listener *listener)
{
	int fd = listener_accept(listener, server->agent->options.any_peer);

	switch (fd) {
	case -EMFILE:
	case -ENFILE:
	case -ENOBUFS:
	case -ENOMEM:
		return false;
	default:
		return fd < 0 || start(server, listener, fd) == 0;
	}
}

/* Until there has been nobody for long enough, as poll(2) takes it. */
static int idle_left(struct server *server)
{
	int64_t since, limit = (int64_t)server->agent->options.idle_exit_seconds * 1000;
	bool used;

	pthread_mutex_lock(&server->lock);
	used = server->served > 0;
	since = server->idle_since;
	pthread_mutex_unlock(&server->lock);
	return used || !limit ? -1 : clock_until(since + limit);
}

/* Whether to end now: a service is looked at again after another while. */
static bool is_over(struct server *server)
{
	if (idle_left(server) != 0)
		return false;
	if (!services_are_running(server->agent->services))
		return true;
	pthread_mutex_lock(&server->lock);
	server->idle_since = clock_ms();
	pthread_mutex_unlock(&server->lock);
	return false;
}

bool server_run(struct server *server, const int stop[2])
{
	struct pollfd wait[LIMIT_AGENT_LISTENERS + 3];
	nfds_t count = (nfds_t)server->count;

	for (nfds_t i = 0; i < count; i++)
		wait[i] = (struct pollfd){ .fd = server->listeners[i].fd };
	wait[count] = (struct pollfd){ .fd = server->room, .events = POLLIN };
	wait[count + 1] = (struct pollfd){ .fd = stop[0], .events = POLLIN };
	wait[count + 2] = (struct pollfd){ .fd = stop[1], .events = POLLIN };

	for (;;) {
		/* While it is full nothing is taken: the backlogs are the queue. */
		short events = is_full(server) ? 0 : POLLIN;
		uint64_t ended;

		for (nfds_t i = 0; i < count; i++)
			wait[i].events = events;
		int ready = poll(wait, count + 3, idle_left(server));

		if (ready < 0)
			continue;
		if (ready == 0 && is_over(server))
			return true;
		if (wait[count + 1].revents || wait[count + 2].revents)
			return false;
		if (wait[count].revents && read(server->room, &ended, sizeof(ended)) < 0)
			continue;
		for (nfds_t i = 0; i < count; i++) {
			if ((wait[i].revents & POLLIN) && !is_full(server) &&
			    !take(server, &server->listeners[i]))
				poll(NULL, 0, PAUSE_MS);
		}
	}
}

int server_new(struct agent *agent, const struct listener *listeners, size_t count,
	       struct server **out, struct error *err)
{
	struct server *server;

	if (count > LIMIT_AGENT_LISTENERS)
		return error_set(err, EINVAL, "at most %d addresses to listen on",
				 LIMIT_AGENT_LISTENERS);
	server = calloc(1, sizeof(*server));
	if (!server)
		return error_set(err, ENOMEM, "out of memory");
	server->agent = agent;
	server->listeners = listeners;
	server->count = count;
	server->idle_since = clock_ms();
	server->room = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	if (server->room < 0) {
		int rc = errno;

		free(server);
		return error_set(err, rc, "cannot make an eventfd: %s", strerror(rc));
	}
	pthread_mutex_init(&server->lock, NULL);
	pthread_cond_init(&server->ended, NULL);
	*out = server;
	return 0;
}

bool server_free(struct server *server)
{
	struct connection *connection;
	struct timespec until;
	int rc = 0;

	agent_interrupt(server->agent);
	clock_gettime(CLOCK_REALTIME, &until);
	until.tv_sec += FINISH_SECONDS;

	pthread_mutex_lock(&server->lock);
	/* What was asked is still answered, but nothing more is read. */
	for (connection = server->connections; connection; connection = connection->next)
		shutdown(connection->fd, SHUT_RD);
	while (server->connections && rc != ETIMEDOUT)
		rc = pthread_cond_timedwait(&server->ended, &server->lock, &until);
	if (server->connections) {
		pthread_mutex_unlock(&server->lock);
		return false;
	}
	pthread_mutex_unlock(&server->lock);

	close(server->room);
	pthread_cond_destroy(&server->ended);
	pthread_mutex_destroy(&server->lock);
	free(server);
	return true;
}
