/*
 * fuzz_exchange.c - a guest's reply as it comes over a socket, in pieces of any size: an object up
 * to the end, the line that makes a session of a hello's connection, or an export's header and
 * body.
 *
 * The first byte says which of these was asked for, how the peer goes, and whether the caller gives
 * up in the middle; the second how large the pieces are. An export gives its sink exactly what its
 * header promised, or fails; whatever comes, there is an end.
 */
#include <errno.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "protocol/line/exchange_io.h"
#include "tests/fuzz/require.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

#define MAX_SIZE 4096

enum { RESET = 4, ABANDON = 8 }; /* of the first byte; the lowest two bits are the shape */

static const enum exchange_shape shapes[] = { EXCHANGE_OBJECT, EXCHANGE_HEADER, EXCHANGE_HELLO,
					      EXCHANGE_OBJECT };

/* What arrived, copied so that each byte is read under the sanitizer's eyes. */
struct arrived {
	char bytes[MAX_SIZE];
	size_t len;
};

static int take(void *arg, const void *bytes, size_t len)
{
	struct arrived *arrived = arg;

	REQUIRE(len <= sizeof(arrived->bytes) - arrived->len);
	memcpy(arrived->bytes + arrived->len, bytes, len);
	arrived->len += len;
	return 0;
}

static int step(struct exchange *x, struct error *err)
{
	int rc = exchange_step(x, err);

	REQUIRE(x->state == EXCHANGE_TALK || x->state == EXCHANGE_END);
	return rc;
}

/* With what is answered. */
static void judge(const struct exchange *x, enum exchange_shape shape,
		  const struct arrived *arrived)
{
	REQUIRE(json_is_object(x->object));
	if (shape == EXCHANGE_HEADER)
		REQUIRE((json_int_t)arrived->len ==
			json_integer_value(json_object_get(x->object, "archive_size")));
	if (x->session)
		REQUIRE(shape == EXCHANGE_HELLO &&
			json_is_string(json_object_get(x->object, "dialect")));
}

/* The peer sends the SIZE bytes at DATA, in pieces, and goes. */
static int run(struct exchange *x, int peer, const uint8_t *data, size_t size, size_t piece,
	       bool abandon, struct error *err)
{
	int rc = 0;

	for (size_t at = 0; at < size && rc == 0 && x->state == EXCHANGE_TALK; at += piece) {
		size_t len = size - at < piece ? size - at : piece;

		REQUIRE(send(peer, data + at, len, MSG_NOSIGNAL) == (ssize_t)len);
		rc = step(x, err);
		if (abandon && at > size / 2)
			exchange_abandon(x);
	}
	close(peer);
	for (int i = 0; rc == 0 && x->state == EXCHANGE_TALK; i++) {
		REQUIRE(i < 4);
		rc = step(x, err);
	}
	return rc;
}

/* A request of two bytes, connected over FD. */
static struct exchange *begin(int fd, enum exchange_shape shape, struct arrived *arrived)
{
	struct exchange *x = calloc(1, sizeof(*x));

	REQUIRE(x);
	x->state = EXCHANGE_TALK;
	x->shape = shape;
	x->max_size = MAX_SIZE;
	x->sink = take;
	x->sink_arg = arrived;
	x->dial.fd = -1;
	x->fd = fd;
	x->line = strdup("?\n");
	x->line_len = 2;
	buf_init(&x->reply, shape == EXCHANGE_HEADER ? LIMIT_EXPORT_HEADER : LIMIT_REPLY_OBJECT);
	return x;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct arrived arrived = { .len = 0 };
	struct exchange *x;
	struct error err = { 0 };
	bool abandon;
	char line[2];
	int pair[2], rc;

	if (size < 2)
		return 0;
	REQUIRE(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair) == 0);
	abandon = data[0] & ABANDON;
	x = begin(pair[0], shapes[data[0] & 3], &arrived);
	REQUIRE(step(x, &err) == 0 && exchange_all_sent(x));
	/* A request that is not read is a connection that is reset. */
	if (!(data[0] & RESET))
		REQUIRE(recv(pair[1], line, sizeof(line), 0) == sizeof(line));
	rc = run(x, pair[1], data + 2, size - 2, data[1] + 1u, abandon, &err);
	if (rc < 0)
		REQUIRE(err.code == -rc && err.text[0] != '\0');
	else if (!abandon)
		judge(x, shapes[data[0] & 3], &arrived);
	exchange_free(x);
	return 0;
}
