/* probe_net.c - see probe_net.h. */
#include "protocol/agent/probe_net.h"

#include <arpa/inet.h>
#include <errno.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "protocol/agent/clock.h"
#include "protocol/cleanup.h"

#define CONNECT_MS 2000
#define HTTP_MS 5000

static int64_t sooner(int64_t deadline, int64_t milliseconds)
{
	int64_t own = clock_ms() + milliseconds;

	return own < deadline ? own : deadline;
}

static bool parse_port(const char *text, uint16_t *port)
{
	size_t len = strspn(text, "0123456789");
	unsigned long value = strtoul(text, NULL, 10);

	if (!len || len > 5 || text[len] || value < 1 || value > 65535)
		return false;
	*port = (uint16_t)value;
	return true;
}

int probe_net_address(const char *text, size_t len, uint16_t default_port,
		      struct sockaddr_in *address)
{
	char host[64], *colon;
	uint16_t port = default_port;

	if (len >= sizeof(host))
		return -EINVAL;
	memcpy(host, text, len);
	host[len] = '\0';
	colon = strchr(host, ':');
	if (colon) {
		*colon = '\0';
		if (!parse_port(colon + 1, &port))
			return -EINVAL;
	}
	if (!port)
		return -EINVAL;
	*address = (struct sockaddr_in){ .sin_family = AF_INET, .sin_port = htons(port) };
	return inet_pton(AF_INET, strcmp(host, "localhost") ? host : "127.0.0.1",
			 &address->sin_addr) == 1 ?
		       0 :
		       -EINVAL;
}

/* Waits until EVENTS; false at the deadline. */
static bool wait_for(int fd, short events, int64_t deadline)
{
	struct pollfd wait = { .fd = fd, .events = events };
	int rc;

	do
		rc = poll(&wait, 1, clock_until(deadline));
	while (rc < 0 && errno == EINTR);
	return rc > 0;
}

/* A connected non-blocking socket, or -1. */
static int dial(const struct sockaddr_in *address, int64_t deadline)
{
	autoclose int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	int code = 0;
	socklen_t len = sizeof(code);

	if (fd < 0)
		return -1;
	if (connect(fd, (const struct sockaddr *)address, sizeof(*address)) < 0) {
		if (errno != EINPROGRESS || !wait_for(fd, POLLOUT, deadline) ||
		    getsockopt(fd, SOL_SOCKET, SO_ERROR, &code, &len) < 0 || code)
			return -1;
	}
	return move_fd(fd);
}

bool probe_net_tcp(const struct sockaddr_in *address, int64_t deadline)
{
	autoclose int fd = dial(address, sooner(deadline, CONNECT_MS));

	return fd >= 0;
}

static bool send_all(int fd, const char *bytes, size_t len, int64_t deadline)
{
	while (len) {
		ssize_t n = send(fd, bytes, len, MSG_NOSIGNAL);

		if (n < 0 && errno == EAGAIN && wait_for(fd, POLLOUT, deadline))
			continue;
		if (n < 0)
			return false;
		bytes += n;
		len -= (size_t)n;
	}
	return true;
}

/* "HTTP/1.1 200 ..." has its code behind the first space. */
static bool read_status(int fd, int64_t deadline)
{
	char line[16];
	size_t len = 0;

	while (len < 12 && wait_for(fd, POLLIN, deadline)) {
		ssize_t n = recv(fd, line + len, 12 - len, 0);

		if (n <= 0)
			return false;
		len += (size_t)n;
	}
	line[len] = '\0';
	return len == 12 && !strncmp(line, "HTTP/1.", 7) && line[8] == ' ' &&
	       (line[9] == '2' || line[9] == '3');
}

bool probe_net_http(const struct sockaddr_in *address, const char *host, const char *target,
		    int64_t deadline)
{
	autofree char *request = NULL;
	autoclose int fd = -1;
	int len;

	deadline = sooner(deadline, HTTP_MS);
	len = asprintf(&request,
		       "GET %s HTTP/1.0\r\nHost: %s\r\nUser-Agent: vsockfs-agent\r\n"
		       "Accept: */*\r\nConnection: close\r\n\r\n",
		       target, host);
	if (len < 0) {
		request = NULL;
		return false;
	}
	fd = dial(address, deadline);
	return fd >= 0 && send_all(fd, request, (size_t)len, deadline) && read_status(fd, deadline);
}
