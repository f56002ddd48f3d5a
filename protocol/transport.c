/*
 * transport.c - connecting: Unix sockets, the VMM's CONNECT handshake, AF_VSOCK.
 */
#include "protocol/transport.h"

#include <ctype.h>
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
/* after sys/socket.h, which it needs */
#include <linux/vm_sockets.h>

#include "protocol/cleanup.h"

static bool system_has_vsock(void)
{
	autoclose int fd = socket(AF_VSOCK, SOCK_STREAM | SOCK_CLOEXEC, 0);

	return fd >= 0;
}

static int system_connect_vsock(uint32_t cid, uint32_t port)
{
	struct sockaddr_vm to = { .svm_family = AF_VSOCK, .svm_cid = cid, .svm_port = port };
	autoclose int fd = socket(AF_VSOCK, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);

	if (fd < 0)
		return -errno;
	if (connect(fd, (const struct sockaddr *)&to, sizeof(to)) < 0 && errno != EINPROGRESS)
		return -errno;
	return move_fd(fd);
}

const struct transport_ops transport_system = {
	.has_vsock = system_has_vsock,
	.connect_vsock = system_connect_vsock,
};

enum transport_kind transport_choose(const struct transport_ops *ops, const struct address *address)
{
	switch (address->kind) {
	case ADDRESS_FIRECRACKER:
		return TRANSPORT_BRIDGE;
	case ADDRESS_VSOCK:
		return address->path[0] && !ops->has_vsock() ? TRANSPORT_BRIDGE : TRANSPORT_VSOCK;
	default:
		return TRANSPORT_UNIX;
	}
}

const char *transport_name(enum transport_kind kind)
{
	static const char *const names[] = {
		[TRANSPORT_VSOCK] = "vsock",
		[TRANSPORT_BRIDGE] = "bridge",
		[TRANSPORT_UNIX] = "unix",
	};

	return names[kind];
}

/*
 * A path that does not fit into sun_path is reached through its directory's
 * descriptor; *DIR is that descriptor, to be kept open until connect(2) is done.
 */
static int unix_address(const char *path, struct sockaddr_un *to, int *dir, struct error *err)
{
	const char *slash = strrchr(path, '/');
	char parent[PATH_MAX];

	*to = (struct sockaddr_un){ .sun_family = AF_UNIX };
	if (strlen(path) < sizeof(to->sun_path)) {
		memcpy(to->sun_path, path, strlen(path) + 1);
		return 0;
	}

	const char *base = slash ? slash + 1 : path;

	snprintf(parent, sizeof(parent), "%.*s", slash ? (int)(slash - path) + 1 : 1,
		 slash ? path : ".");
	*dir = open(parent, O_PATH | O_DIRECTORY | O_CLOEXEC);
	if (*dir < 0)
		return error_set(err, errno, "cannot open the directory %s: %s", parent,
				 strerror(errno));

	int len = snprintf(to->sun_path, sizeof(to->sun_path), "/proc/self/fd/%d/%s", *dir, base);

	if (len < 0 || (size_t)len >= sizeof(to->sun_path))
		return error_set(
			err, ENAMETOOLONG,
			"the socket's name %s is too long to connect to: use a shorter one", base);
	return 0;
}

/* LISTENER is who makes such a socket: the agent itself, or its VM. */
static int unix_failed(int code, const char *path, const char *listener, struct error *err)
{
	switch (code) {
	case ENOENT:
		return error_set(err, ENOENT, "there is no socket %s: is the %s running?", path,
				 listener);
	case ECONNREFUSED:
		return error_set(err, ECONNREFUSED,
				 "nobody listens on %s: start the %s that made it", path, listener);
	case EAGAIN:
		return error_set(err, EAGAIN, "%s takes no more connections just now", path);
	case EACCES:
		return error_set(
			err, EACCES,
			"no permission to connect to %s: run as its owner, or change its mode",
			path);
	case EPROTOTYPE:
		return error_set(err, EPROTOTYPE, "%s is no stream socket", path);
	default:
		return error_set(err, code, "cannot connect to %s: %s", path, strerror(code));
	}
}

static int connect_unix(const char *path, const char *listener, struct error *err)
{
	struct sockaddr_un to;
	autoclose int dir = -1;
	autoclose int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);

	if (fd < 0)
		return error_set(err, errno, "cannot make a socket: %s", strerror(errno));

	int rc = unix_address(path, &to, &dir, err);

	if (rc < 0)
		return rc;
	if (connect(fd, (const struct sockaddr *)&to, sizeof(to)) < 0)
		return unix_failed(errno, path, listener, err);
	return move_fd(fd);
}

static int vsock_failed(const struct dial *dial, int code, struct error *err)
{
	switch (code) {
	case ECONNRESET:
	case ECONNREFUSED:
		return error_set(err, code,
				 "nobody listens on port %u of CID %u: is the agent running in the "
				 "guest?",
				 dial->port, dial->cid);
	case ENODEV:
	case EHOSTUNREACH:
	case ENETUNREACH:
		return error_set(err, code, "no guest has CID %u: is the VM running?", dial->cid);
	case ETIMEDOUT:
		return dial_timed_out(dial, err);
	case EAFNOSUPPORT:
		return error_set(
			err, code,
			"vsock is not supported on this host: load the module vhost_vsock, "
			"or give the VMM's socket with ,bridge=PATH");
	default:
		return error_set(err, code, "cannot connect to port %u of CID %u: %s", dial->port,
				 dial->cid, strerror(code));
	}
}

/* The whole of CONNECT in one write: a bridge may take each read for a message. */
static int send_connect(struct dial *dial, const char *path, struct error *err)
{
	char line[32];
	int len = snprintf(line, sizeof(line), "CONNECT %u\n", dial->port);
	ssize_t sent;

	do
		sent = send(dial->fd, line, (size_t)len, MSG_NOSIGNAL);
	while (sent < 0 && errno == EINTR);
	if (sent == len)
		return 0;
	if (sent >= 0 || errno == EPIPE || errno == ECONNRESET)
		return error_set(
			err, ECONNREFUSED,
			"the bridge %s closed before CONNECT %u was sent: is the VM running?", path,
			dial->port);
	return error_set(err, errno, "cannot send CONNECT %u to %s: %s", dial->port, path,
			 strerror(errno));
}

/* Where a bridge was given, transport_choose has looked already. */
static int start_vsock(struct dial *dial, const struct transport_ops *ops, bool known,
		       struct error *err)
{
	if (!known && !ops->has_vsock())
		return vsock_failed(dial, EAFNOSUPPORT, err);

	int fd = ops->connect_vsock(dial->cid, dial->port);

	if (fd < 0)
		return vsock_failed(dial, -fd, err);
	dial->fd = fd;
	dial->state = DIAL_CONNECTING;
	return 0;
}

int dial_start(struct dial *dial, const struct transport_ops *ops, const struct address *address,
	       struct error *err)
{
	*dial = (struct dial){
		.state = DIAL_DONE,
		.kind = transport_choose(ops, address),
		.fd = -1,
		.cid = address->cid,
		.port = address->port,
	};
	if (dial->kind == TRANSPORT_VSOCK)
		return start_vsock(dial, ops, address->path[0] != '\0', err);

	int fd = connect_unix(address->path, dial->kind == TRANSPORT_UNIX ? "agent" : "VM", err);

	if (fd < 0)
		return fd;
	dial->fd = fd;
	if (dial->kind == TRANSPORT_UNIX)
		return 0;
	dial->state = DIAL_ANSWER;

	int rc = send_connect(dial, address->path, err);

	if (rc < 0)
		dial_close(dial);
	return rc;
}

short dial_events(const struct dial *dial)
{
	return dial->state == DIAL_CONNECTING ? POLLOUT : POLLIN;
}

/* "OK NUMBER"; the number is the VMM's affair. */
static bool is_ok(const char *line)
{
	if (strncmp(line, "OK ", 3) != 0 || !isdigit((unsigned char)line[3]))
		return false;
	line += 3;
	while (isdigit((unsigned char)*line))
		line++;
	return *line == '\0' || strcmp(line, "\r") == 0;
}

static int bridge_refused(const struct dial *dial, int code, struct error *err)
{
	if (dial->len)
		return error_set(err, code, "the bridge did not connect port %u, it said '%s': %s",
				 dial->port, dial->line,
				 dial->line[0] == '{' ?
					 "is it an agent's own socket? that is unix:PATH" :
					 "is the agent running in the guest?");
	return error_set(err, code,
			 "the bridge closed without connecting port %u, it said nothing: is the "
			 "agent running in the guest?",
			 dial->port);
}

/*
 * Byte by byte up to the newline, since what comes behind it is the agent's and
 * a socket takes nothing back.
 */
static int read_answer(struct dial *dial, struct error *err)
{
	while (dial->len < LIMIT_HANDSHAKE_LINE) {
		char *at = &dial->line[dial->len];
		ssize_t got = recv(dial->fd, at, 1, 0);

		if (got < 0 && errno == EINTR)
			continue;
		if (got < 0 && errno == EAGAIN)
			return 0;
		if (got <= 0)
			return bridge_refused(
				dial, got < 0 && errno == ECONNRESET ? ECONNRESET : ECONNREFUSED,
				err);
		if (*at == '\n') {
			*at = '\0';
			if (!is_ok(dial->line))
				return bridge_refused(dial, ECONNREFUSED, err);
			dial->state = DIAL_DONE;
			return 0;
		}
		dial->len++;
	}
	return error_set(err, EPROTO,
			 "the bridge did not connect port %u, it said more than %d bytes without "
			 "a newline: '%s': is this a VMM's vsock socket?",
			 dial->port, LIMIT_HANDSHAKE_LINE, dial->line);
}

static int finish_connect(struct dial *dial, struct error *err)
{
	struct pollfd ready = { .fd = dial->fd, .events = POLLOUT };
	int code = 0;
	socklen_t size = sizeof(code);

	if (poll(&ready, 1, 0) == 0)
		return 0; /* woken for nothing: SO_ERROR would be 0, as after success */
	if (getsockopt(dial->fd, SOL_SOCKET, SO_ERROR, &code, &size) < 0)
		code = errno;
	if (code)
		return vsock_failed(dial, code, err);
	dial->state = DIAL_DONE;
	return 0;
}

int dial_step(struct dial *dial, struct error *err)
{
	int rc = 0;

	if (dial->state == DIAL_CONNECTING)
		rc = finish_connect(dial, err);
	else if (dial->state == DIAL_ANSWER)
		rc = read_answer(dial, err);
	if (rc < 0)
		dial_close(dial);
	return rc;
}

int dial_timed_out(const struct dial *dial, struct error *err)
{
	if (dial->kind == TRANSPORT_VSOCK)
		return error_set(
			err, ETIMEDOUT,
			"CID %u did not answer on port %u: is the VM running, with a vsock "
			"driver?",
			dial->cid, dial->port);
	return error_set(
		err, ETIMEDOUT,
		"the bridge did not connect port %u in time, it said %s%s%s: has the guest "
		"booted, with a vsock driver?",
		dial->port, dial->len ? "'" : "", dial->len ? dial->line : "nothing",
		dial->len ? "'" : "");
}

void dial_close(struct dial *dial)
{
	cleanup_close(&dial->fd);
	dial->fd = -1;
}
