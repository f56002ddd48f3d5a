/*
 * fuzz_session_client.c - whatever an agent sends, in pieces of any size, into a mux that has a
 * call, a download and a call that was given up under way.
 *
 * The first byte says how large the pieces are. A call fails with a sentence or has its answer, a
 * stream has no more than its credit, and nothing waits.
 */
#include <errno.h>
#include <stdint.h>
#include <sys/socket.h>
#include <unistd.h>

#include "protocol/session/mux_internal.h"
#include "tests/fuzz/require.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static const struct call now = { 0 };

static struct mux_ticket *begin(struct mux *mux, enum session_op op, size_t window)
{
	struct call call = call_within(60, NULL);
	struct mux_how how = { .window = window };
	struct mux_ticket *ticket;
	struct error err = { 0 };

	REQUIRE(mux_begin_how(mux, &call, op, NULL, &how, &ticket, &err) == 0);
	return ticket;
}

static void read_round(struct mux *mux)
{
	pthread_mutex_lock(&mux->lock);
	mux->reading = true;
	mux_receive(mux, &now);
	mux->reading = false;
	pthread_mutex_unlock(&mux->lock);
}

/* Reads all of what waits, so that the sanitizer sees it; its size. */
static size_t waiting(const struct mux_ticket *ticket)
{
	static volatile char seen;
	size_t sum = 0;

	for (const struct mux_chunk *chunk = ticket->first; chunk; chunk = chunk->next) {
		for (size_t i = 0; i < chunk->bytes.len; i++)
			seen = chunk->bytes.data[i];
		sum += chunk->bytes.len;
	}
	(void)seen;
	return sum;
}

static void finish(struct mux_ticket *ticket)
{
	struct buf reply = BUF_INIT(FRAME_BODY_MAX);
	struct error err = { 0 };
	int rc = mux_finish(ticket, &now, &reply, NULL, &err);

	REQUIRE(rc <= 0 && rc > -512);
	REQUIRE(rc == 0 || (err.code == -rc && err.text[0]));
	buf_free(&reply);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct mux_ticket *call, *download;
	struct error err = { 0 };
	size_t piece, sent = 1;
	struct mux *mux;
	int pair[2];

	if (!size)
		return 0;
	REQUIRE(socketpair(AF_UNIX, SOCK_STREAM, 0, pair) == 0);
	REQUIRE(mux_new(pair[0], NULL, NULL, NULL, &mux, &err) == 0);
	call = begin(mux, OP_STAT, 0);
	download = begin(mux, OP_EXPORT, OPS_WINDOW);
	mux_give_up(begin(mux, OP_LIST, OPS_WINDOW));

	piece = data[0] ? data[0] * 16u : 1;
	while (sent < size && !mux_dead(mux)) {
		size_t len = size - sent < piece ? size - sent : piece;
		ssize_t n = send(pair[1], data + sent, len, MSG_NOSIGNAL | MSG_DONTWAIT);

		REQUIRE(n > 0 || errno == EPIPE || errno == EAGAIN);
		sent += n > 0 ? (size_t)n : 0;
		read_round(mux);
	}
	/* what is left in the socket, and then the end of it */
	for (int i = 0; i < 8 && !mux_dead(mux); i++)
		read_round(mux);
	REQUIRE(download->window + waiting(download) <= OPS_WINDOW);
	REQUIRE(waiting(call) == 0);
	close(pair[1]);
	finish(call);
	finish(download);
	mux_unref(mux);
	return 0;
}
