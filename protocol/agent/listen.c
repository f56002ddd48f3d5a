/* listen.c - see listen.h. */
#include "protocol/agent/listen.h"

#include <errno.h>
#include <poll.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include <linux/vm_sockets.h>

#include "protocol/address.h"
#include "protocol/agent/clock.h"
#include "protocol/cleanup.h"

#define BACKLOG 128

/* Decimal, 1..4294967294, nothing behind it. */
static int parse_port(const char *text, uint32_t *port)
{
	char *end;
	unsigned long value;

	if (text[0] < '0' || text[0] > '9')
		return -EINVAL;
	errno = 0;
	value = strtoul(text, &end, 10);
	if (errno || *end || value < 1 || value > UINT32_MAX - 1)
		return -EINVAL;
	*port = (uint32_t)value;
	return 0;
}

static int parse_path(const char *path, size_t len, struct listener *out, struct error *err)
{
	if (len == 0)
		return error_set(err, EINVAL, "a socket path is missing");
	if (len >= sizeof(out->path))
		return error_set(err, ENAMETOOLONG,
				 "the socket path '%.*s' is longer than %zu bytes", (int)len, path,
				 sizeof(out->path) - 1);
	memcpy(out->path, path, len);
	out->path[len] = '\0';
	return 0;
}

static int parse(const char *text, struct listener *out, struct error *err)
{
	const char *colon = strchr(text, ':');
	const char *rest = colon ? colon + 1 : "";
	size_t len = colon ? (size_t)(colon - text) : 0;

	out->port = ADDRESS_PORT;
	if (len == 5 && !strncmp(text, "vsock", len)) {
		out->kind = LISTEN_VSOCK;
		if (parse_port(rest, &out->port) < 0)
			return error_set(err, EINVAL, "'%s' is no port: use 1 to 4294967294", rest);
		return 0;
	}
	if (len == 4 && !strncmp(text, "unix", len)) {
		out->kind = LISTEN_UNIX;
		return parse_path(rest, strlen(rest), out, err);
	}
	if (len == 11 && !strncmp(text, "firecracker", len)) {
		const char *port = strrchr(rest, ':');

		out->kind = LISTEN_BRIDGE;
		/* A colon with no number behind it is part of the path. */
		if (!port || parse_port(port + 1, &out->port) < 0)
			port = rest + strlen(rest);
		return parse_path(rest, (size_t)(port - rest), out, err);
	}
	return error_set(err, EINVAL,
			 "'%s': listen on vsock:PORT, unix:PATH or firecracker:PATH[:PORT]", text);
}

static int listen_vsock(struct listener *out, struct error *err)
{
	struct sockaddr_vm address = {
		.svm_family = AF_VSOCK,
		.svm_cid = VMADDR_CID_ANY,
		.svm_port = out->port,
	};
	autoclose int fd = socket(AF_VSOCK, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);

	if (fd < 0)
		return error_set(err, errno,
				 "vsock is not supported by this kernel (%s): load its vsock and "
				 "virtio transport modules",
				 strerror(errno));
	if (bind(fd, (struct sockaddr *)&address, sizeof(address)) < 0 || listen(fd, BACKLOG) < 0)
		return error_set(err, errno, "cannot listen on vsock port %u: %s", out->port,
				 strerror(errno));
	out->fd = move_fd(fd);
	return 0;
}

/* Whether nobody listens on the socket file any more. */
static bool is_stale(const struct sockaddr_un *address)
{
	autoclose int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	struct stat st;

	if (fd < 0 || lstat(address->sun_path, &st) < 0 || !S_ISSOCK(st.st_mode))
		return false;
	return connect(fd, (const struct sockaddr *)address, sizeof(*address)) < 0 &&
	       errno == ECONNREFUSED;
}

/*
 * Listens on ADDRESS in the place of a socket that nobody listens on: at no moment is there none,
 * so that who connects meanwhile is only refused.
 */
static int replace_stale(int fd, const struct sockaddr_un *address)
{
	struct sockaddr_un beside = { .sun_family = AF_UNIX };
	size_t len = strnlen(address->sun_path, sizeof(address->sun_path) - 1);

	if (len + 2 > sizeof(beside.sun_path))
		return unlink(address->sun_path) < 0 ?
			       -1 :
			       bind(fd, (const struct sockaddr *)address, sizeof(*address));
	memcpy(beside.sun_path, address->sun_path, len);
	beside.sun_path[len] = '~';
	unlink(beside.sun_path);
	if (bind(fd, (struct sockaddr *)&beside, sizeof(beside)) < 0)
		return -1;
	if (listen(fd, BACKLOG) == 0 && rename(beside.sun_path, address->sun_path) == 0)
		return 0;
	unlink(beside.sun_path);
	return -1;
}

static int listen_unix(struct listener *out, struct error *err)
{
	struct sockaddr_un address = { .sun_family = AF_UNIX };
	autoclose int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	struct stat st;
	int rc;

	memcpy(address.sun_path, out->path, sizeof(address.sun_path));
	if (fd < 0)
		return error_set(err, errno, "cannot make a socket: %s", strerror(errno));
	rc = bind(fd, (struct sockaddr *)&address, sizeof(address));
	if (rc < 0 && errno == EADDRINUSE && is_stale(&address))
		rc = replace_stale(fd, &address);
	if (rc < 0 || listen(fd, BACKLOG) < 0)
		return error_set(err, errno, "cannot listen on %s: %s", out->path, strerror(errno));
	if (lstat(out->path, &st) == 0) {
		out->dev = st.st_dev;
		out->ino = st.st_ino;
	}
	out->fd = move_fd(fd);
	return 0;
}

int listener_open(const char *text, struct listener *out, struct error *err)
{
	int rc;

	*out = (struct listener){ .fd = -1 };
	rc = parse(text, out, err);
	if (rc < 0)
		return rc;
	return out->kind == LISTEN_VSOCK ? listen_vsock(out, err) : listen_unix(out, err);
}

void listener_close(struct listener *listener)
{
	struct stat st;

	if (listener->fd < 0)
		return;
	close(move_fd(listener->fd));
	if (listener->path[0] && lstat(listener->path, &st) == 0 && st.st_dev == listener->dev &&
	    st.st_ino == listener->ino)
		unlink(listener->path);
}

int listener_accept(const struct listener *listener, bool any_peer)
{
	struct sockaddr_vm address = { 0 };
	socklen_t len = sizeof(address);
	autoclose int fd = -1;

	if (listener->kind != LISTEN_VSOCK)
		fd = accept4(listener->fd, NULL, NULL, SOCK_CLOEXEC);
	else
		fd = accept4(listener->fd, (struct sockaddr *)&address, &len, SOCK_CLOEXEC);
	if (fd < 0)
		return -errno;
	if (listener->kind == LISTEN_VSOCK && !any_peer && address.svm_cid != VMADDR_CID_HOST)
		return -EPERM;
	return move_fd(fd);
}

/* Byte by byte: what follows the newline is the agent's. */
static bool read_greeting(int fd, char *line, size_t size)
{
	int64_t deadline = clock_ms() + INT64_C(1000) * LIMIT_HANDSHAKE_SECONDS;

	for (size_t len = 0; len < size;) {
		struct pollfd wait = { .fd = fd, .events = POLLIN };
		int ready = poll(&wait, 1, clock_until(deadline));

		if (ready < 0 && errno == EINTR)
			continue;
		if (ready <= 0 || recv(fd, line + len, 1, 0) != 1)
			return false;
		if (line[len] == '\n') {
			line[len] = '\0';
			return true;
		}
		len++;
	}
	return false;
}

bool listener_greet(enum listen_kind kind, uint32_t port, int fd)
{
	char line[LIMIT_HANDSHAKE_LINE], answer[32];
	uint32_t wanted;
	int len;

	if (kind != LISTEN_BRIDGE)
		return true;
	if (!read_greeting(fd, line, sizeof(line)) || strncmp(line, "CONNECT ", 8) != 0 ||
	    parse_port(line + 8, &wanted) < 0 || wanted != port)
		return false;
	/* The number is a port on the VMM's side: any will do. */
	len = snprintf(answer, sizeof(answer), "OK %d\n", 1073741824 + fd);
	return send(fd, answer, (size_t)len, MSG_NOSIGNAL) == len;
}
