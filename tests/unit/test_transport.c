/*
 * test_transport.c - dialling: the bridge's handshake with every answer it may give, Unix
 * sockets however long their names, AF_VSOCK through a stand-in (no CID is ever dialled).
 */
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include <cmocka.h>

#include "peer.h"
#include "protocol/cleanup.h"
#include "protocol/transport.h"

static bool no_vsock(void)
{
	return false;
}

static bool has_vsock(void)
{
	return true;
}

static int never_connect(uint32_t cid, uint32_t port)
{
	fail_msg("CID %u port %u was dialled", cid, port);
	return -EIO;
}

static uint32_t dialled_cid, dialled_port;
static int vsock_result; /* a descriptor or a negative errno */

static int fake_connect(uint32_t cid, uint32_t port)
{
	dialled_cid = cid;
	dialled_port = port;
	return vsock_result;
}

static const struct transport_ops without = { no_vsock, never_connect, NULL };
static const struct transport_ops with = { has_vsock, fake_connect, NULL };

/* BEFORE, the path, BEHIND. */
static struct address parse(const char *before, const char *path, const char *behind)
{
	struct address address;
	char text[PATH_MAX + 64];

	snprintf(text, sizeof(text), "%s%s%s", before, path, behind);
	assert_int_equal(address_parse(text, &address, NULL), 0);
	return address;
}

/* Dials to the end.  The descriptor, or a negative errno. */
static int dial_all(const struct transport_ops *ops, const struct address *address,
		    struct error *err)
{
	struct dial dial;
	int rc = dial_start(&dial, ops, address, err);

	while (rc == 0 && dial.state != DIAL_DONE) {
		struct pollfd ready = { .fd = dial.fd, .events = dial_events(&dial) };

		assert_int_equal(poll(&ready, 1, 60000), 1);
		rc = dial_step(&dial, err);
	}
	if (rc < 0)
		assert_int_equal(dial.fd, -1);
	return rc < 0 ? rc : dial.fd;
}

/* What is there behind the handshake, up to EOF. */
static void expect_rest(int fd, const char *want)
{
	char got[256];
	size_t len = 0;

	for (;;) {
		struct pollfd ready = { .fd = fd, .events = POLLIN };
		ssize_t rc;

		assert_int_equal(poll(&ready, 1, 60000), 1);
		rc = read(fd, got + len, sizeof(got) - 1 - len);
		assert_true(rc >= 0);
		if (rc == 0)
			break;
		len += (size_t)rc;
	}
	got[len] = '\0';
	assert_string_equal(got, want);
}

#define REPLY "{\"stdout\":\"ready\\n\",\"stderr\":\"\",\"exit_code\":0,\"duration_ms\":5}"

static void check_handshake(const struct peer_step *script)
{
	const struct peer_step *scripts[] = { script };
	struct peer *peer = peer_start(scripts, 1, false);
	struct address address = parse("vsock:1234,bridge=", peer_path(peer), "");
	struct error err = { 0 };
	int fd = dial_all(&without, &address, &err);

	if (fd < 0)
		fail_msg("%s", err.text);
	assert_true(fcntl(fd, F_GETFL) & O_NONBLOCK);
	assert_true(fcntl(fd, F_GETFD) & FD_CLOEXEC);
	peer_go(peer);
	expect_rest(fd, REPLY);
	close(fd);
	assert_string_equal(peer_received(peer, 0), "CONNECT 5005\n");
	assert_false(peer_left_early(peer, 0));
	peer_stop(peer);
}

/* Vector 8, in its three forms. */
static void test_bridge_takes_nothing_behind_its_line(void **state)
{
	static const struct peer_step apart[] = {
		P_LINE, P_SAY("OK 1073746829\n"), P_PAUSE, P_SAY(REPLY), P_CLOSE,
	};
	static const struct peer_step together[] = {
		P_LINE,
		P_SAY("OK 1073746829\n" REPLY),
		P_PAUSE,
		P_CLOSE,
	};
	static const struct peer_step byte_by_byte[] = {
		P_LINE, P_DRIBBLE("OK 1073746829\n"), P_PAUSE, P_DRIBBLE(REPLY), P_CLOSE,
	};

	(void)state;
	check_handshake(apart);
	check_handshake(together);
	check_handshake(byte_by_byte);
}

/* Vector 9. */
static void test_no_vsock_and_no_bridge(void **state)
{
	struct address address = parse("vsock:1234", "", "");
	struct error err = { 0 };

	(void)state;
	assert_int_equal(dial_all(&without, &address, &err), -EAFNOSUPPORT);
	assert_non_null(strstr(err.text, "not supported"));
}

/* Vector 10, and more of its kind. */
static void test_bridge_that_refuses(void **state)
{
	static char long_line[201];
	static const struct {
		const char *answer;
		int code;
		const char *said;
	} cases[] = {
		{ "ERR\n", -ECONNREFUSED, "'ERR'" },
		{ "", -ECONNREFUSED, "nothing" },
		{ "OK", -ECONNREFUSED, "'OK'" }, /* EOF within the line */
		{ long_line, -EPROTO, "'xxxxx" },
		{ "OK\n", -ECONNREFUSED, "'OK'" },
		{ "OK \n", -ECONNREFUSED, "'OK '" },
		{ "OK 12x\n", -ECONNREFUSED, "'OK 12x'" },
		{ "OK -1\n", -ECONNREFUSED, "'OK -1'" },
		{ "NOK 12\n", -ECONNREFUSED, "'NOK 12'" },
		{ "\n", -ECONNREFUSED, "nothing" },
		{ "\033[2Jnow\n", -ECONNREFUSED, "'?[2Jnow'" },
		{ "{\"error\": \"?\"}\n", -ECONNREFUSED, "that is unix:PATH" },
	};

	(void)state;
	memset(long_line, 'x', 200);
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		const struct peer_step script[] = {
			P_LINE,
			P_SAY(cases[i].answer),
			P_CLOSE,
		};
		const struct peer_step *scripts[] = { script };
		struct peer *peer = peer_start(scripts, 1, false);
		struct address address = parse("firecracker:", peer_path(peer), "");
		struct error err = { 0 };

		assert_int_equal(dial_all(&without, &address, &err), cases[i].code);
		assert_non_null(strstr(err.text, "port 5005"));
		if (!strstr(err.text, cases[i].said))
			fail_msg("'%s' does not have %s", err.text, cases[i].said);
		peer_stop(peer);
	}
}

/* A VMM whose guest has no vsock driver yet. */
static void test_bridge_that_says_nothing(void **state)
{
	static const struct peer_step script[] = { P_LINE, P_PAUSE, P_CLOSE };
	const struct peer_step *scripts[] = { script };
	struct peer *peer = peer_start(scripts, 1, false);
	struct address address = parse("firecracker:", peer_path(peer), ":77");
	struct error err = { 0 };
	struct dial dial;

	(void)state;
	assert_int_equal(dial_start(&dial, &without, &address, &err), 0);
	peer_wait_paused(peer);
	assert_int_equal(dial_step(&dial, &err), 0); /* would block, and does not */
	assert_int_equal(dial.state, DIAL_ANSWER);
	assert_int_equal(dial_timed_out(&dial, &err), -ETIMEDOUT);
	assert_non_null(strstr(err.text, "port 77"));
	assert_non_null(strstr(err.text, "nothing"));
	dial_close(&dial);
	peer_stop(peer);
}

static void test_unix(void **state)
{
	static const struct peer_step script[] = { P_SAY("hello"), P_CLOSE };
	const struct peer_step *scripts[] = { script };
	struct peer *peer = peer_start(scripts, 1, false);
	struct address address = parse("unix:", peer_path(peer), "");
	struct error err = { 0 };
	int fd = dial_all(&without, &address, &err);

	(void)state;
	assert_true(fd >= 0);
	expect_rest(fd, "hello");
	close(fd);
	assert_int_equal(peer_received_len(peer, 0), 0); /* no handshake here */
	peer_stop(peer);
}

static void expect_failure(const char *scheme, const char *path, int code, const char *part)
{
	struct address address = parse(scheme, path, "");
	struct error err = { 0 };

	assert_int_equal(dial_all(&without, &address, &err), code);
	if (!strstr(err.text, part))
		fail_msg("'%s' does not have '%s'", err.text, part);
}

static void test_unix_that_is_not_there(void **state)
{
	char dir[] = "/tmp/transport-XXXXXX", path[64];
	struct sockaddr_un at = { .sun_family = AF_UNIX };
	int fd = socket(AF_UNIX, SOCK_STREAM, 0);

	(void)state;
	assert_non_null(mkdtemp(dir));
	snprintf(path, sizeof(path), "%s/s", dir);
	expect_failure("unix:", path, -ENOENT, "is the agent running?");
	expect_failure("firecracker:", path, -ENOENT, "is the VM running?");

	/* bound, and nobody listens */
	snprintf(at.sun_path, sizeof(at.sun_path), "%s", path);
	assert_int_equal(bind(fd, (struct sockaddr *)&at, sizeof(at)), 0);
	expect_failure("unix:", path, -ECONNREFUSED, "start the agent that made it");
	expect_failure("firecracker:", path, -ECONNREFUSED, "start the VM that made it");

	/* listens, and is full */
	assert_int_equal(listen(fd, 0), 0);

	struct address address = parse("unix:", path, "");
	struct error err = { 0 };
	int first = dial_all(&without, &address, &err);

	assert_true(first >= 0);
	expect_failure("unix:", path, -EAGAIN, "no more connections");
	close(first);
	close(fd);
	unlink(path);
	rmdir(dir);
}

/* 108 bytes are what sun_path takes, with the NUL. */
static void test_long_paths(void **state)
{
	static const struct peer_step script[] = { P_SAY("deep"), P_CLOSE };
	const struct peer_step *scripts[] = { script };
	struct peer *peer = peer_start(scripts, 1, true);
	char dir[256], link_path[512];

	(void)state;
	snprintf(dir, sizeof(dir), "%s-%0150d", peer_path(peer), 0);
	assert_int_equal(mkdir(dir, 0700), 0);
	snprintf(link_path, sizeof(link_path), "%s/s", dir);
	assert_int_equal(symlink(peer_path(peer), link_path), 0);

	struct address address = parse("unix:", link_path, "");
	struct error err = { 0 };
	int fd = dial_all(&without, &address, &err);

	if (fd < 0)
		fail_msg("%s", err.text);
	expect_rest(fd, "deep");
	close(fd);

	snprintf(link_path, sizeof(link_path), "%s/%0120d", dir, 0);
	expect_failure("unix:", link_path, -ENAMETOOLONG, "too long");
	snprintf(link_path, sizeof(link_path), "%s/none/s", dir);
	expect_failure("unix:", link_path, -ENOENT, "none");
	snprintf(link_path, sizeof(link_path), "%s/s", dir);
	unlink(link_path);
	rmdir(dir);
	peer_stop(peer);
}

static void test_vsock_is_preferred(void **state)
{
	struct address address = parse("vsock:1234:99,bridge=", "/nowhere", "");
	struct error err = { 0 };
	int pair[2], fd;

	(void)state;
	assert_int_equal(transport_choose(&with, &address), TRANSPORT_VSOCK);
	assert_int_equal(transport_choose(&without, &address), TRANSPORT_BRIDGE);
	assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0, pair), 0);
	vsock_result = pair[0];
	fd = dial_all(&with, &address, &err);
	assert_int_equal(fd, pair[0]);
	assert_int_equal(dialled_cid, 1234);
	assert_int_equal(dialled_port, 99);
	close(pair[0]);
	close(pair[1]);
}

static void test_vsock_failures(void **state)
{
	static const struct {
		int code;
		const char *part;
	} cases[] = {
		{ ECONNRESET, "port 5005 of CID 3" },
		{ ENODEV, "no guest has CID 3" },
		{ ETIMEDOUT, "did not answer on port 5005" },
		{ EACCES, "Permission denied" },
	};
	struct address address = parse("vsock:3", "", "");

	(void)state;
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		struct error err = { 0 };

		vsock_result = -cases[i].code;
		assert_int_equal(dial_all(&with, &address, &err), -cases[i].code);
		assert_non_null(strstr(err.text, cases[i].part));
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_bridge_takes_nothing_behind_its_line),
		cmocka_unit_test(test_no_vsock_and_no_bridge),
		cmocka_unit_test(test_bridge_that_refuses),
		cmocka_unit_test(test_bridge_that_says_nothing),
		cmocka_unit_test(test_unix),
		cmocka_unit_test(test_unix_that_is_not_there),
		cmocka_unit_test(test_long_paths),
		cmocka_unit_test(test_vsock_is_preferred),
		cmocka_unit_test(test_vsock_failures),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
