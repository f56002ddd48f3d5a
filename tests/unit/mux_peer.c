/*
 * mux_peer.c - see mux_peer.h.
 */
#include "tests/unit/mux_peer.h"

#include <errno.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <unistd.h>

void world_open(struct world *world)
{
	static const struct timeval patience = { .tv_sec = 30 };
	struct error err = { 0 };
	int pair[2];

	*world = (struct world){ .peer = -1 };
	assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair), 0);
	setsockopt(pair[1], SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof(patience));
	setsockopt(pair[1], SOL_SOCKET, SO_SNDTIMEO, &patience, sizeof(patience));
	world->peer = pair[1];
	assert_int_equal(mux_new(pair[0], &world->traffic, NULL, NULL, &world->mux, &err), 0);
}

void world_counted(struct world *world, enum session_op op, struct traffic_count count)
{
	struct traffic_count is = traffic_get(&world->traffic, ops_kind(op));

	assert_int_equal(is.requests, count.requests);
	assert_int_equal(is.retries, count.retries);
	assert_int_equal(is.bytes_sent, count.bytes_sent);
	assert_int_equal(is.bytes_received, count.bytes_received);
}

void world_counted_all(struct world *world, struct traffic_count count)
{
	struct traffic_count is = traffic_total(&world->traffic);

	assert_memory_equal(&is, &count, sizeof(is));
}

void world_close(struct world *world)
{
	mux_unref(world->mux);
	if (world->peer >= 0)
		close(world->peer);
}

/* False at the end of the stream. */
static bool read_all(int fd, void *bytes, size_t len)
{
	char *at = bytes;

	while (len) {
		ssize_t n = recv(fd, at, len, 0);

		if (n == 0 || (n < 0 && errno == ECONNRESET))
			return false;
		if (n < 0)
			fail_msg("nothing came from the client: %s", strerror(errno));
		at += n;
		len -= (size_t)n;
	}
	return true;
}

void peer_get(struct world *world, struct got *got)
{
	unsigned char header[FRAME_HEADER];
	struct error err = { 0 };

	if (!read_all(world->peer, header, sizeof(header)))
		fail_msg("the client closed instead of sending a frame");
	if (frame_decode(header, &got->frame, &err) < 0)
		fail_msg("from the client: %s", err.text);
	assert_true(read_all(world->peer, got->body, got->frame.size));
}

bool peer_at_end(struct world *world)
{
	char byte;

	return !read_all(world->peer, &byte, 1);
}

bool peer_try_raw(struct world *world, const void *bytes, size_t len)
{
	const char *at = bytes;

	while (len) {
		ssize_t n = send(world->peer, at, len, MSG_NOSIGNAL);

		if (n < 0 && errno == EPIPE)
			return false;
		if (n < 0)
			fail_msg("the client takes nothing: %s", strerror(errno));
		at += n;
		len -= (size_t)n;
	}
	return true;
}

void peer_raw(struct world *world, const void *bytes, size_t len)
{
	assert_true(peer_try_raw(world, bytes, len));
}

void peer_frame(struct world *world, uint32_t id, uint8_t kind, uint8_t flags, uint16_t code,
		const void *body, size_t len)
{
	struct frame frame = { (uint32_t)len, id, kind, flags, code };
	unsigned char header[FRAME_HEADER];

	frame_encode(&frame, header);
	if (peer_try_raw(world, header, sizeof(header)))
		peer_try_raw(world, body, len);
}

void peer_done(struct world *world, uint32_t id, const char *result)
{
	peer_frame(world, id, FRAME_DONE, 0, 0, result, strlen(result));
}

void peer_data(struct world *world, uint32_t id, const void *bytes, size_t len)
{
	peer_frame(world, id, FRAME_DATA, 0, 0, bytes, len);
}

void peer_credit(struct world *world, uint32_t id, uint32_t more)
{
	const unsigned char body[4] = { (unsigned char)more, (unsigned char)(more >> 8),
					(unsigned char)(more >> 16), (unsigned char)(more >> 24) };

	peer_frame(world, id, FRAME_CREDIT, 0, 0, body, sizeof(body));
}

static int keep(void *arg, const void *bytes, size_t len)
{
	struct caller *caller = arg;

	buf_add(&caller->data, bytes, len);
	return 0;
}

static void *run(void *arg)
{
	struct caller *caller = arg;
	struct mux *mux = caller->world->mux;
	struct call call = call_within(caller->seconds, &caller->cancel);
	struct buf args = BUF_INIT(FRAME_BODY_MAX);

	if (caller->args)
		buf_adds(&args, caller->args);
	switch (caller->how) {
	case BY_CALL:
		caller->rc = mux_call(mux, &call, caller->op, &args, &caller->reply,
				      &caller->maybe_done, &caller->err);
		break;
	case BY_UPLOAD:
		caller->rc = mux_upload(mux, &call, caller->op, &args, caller->source, caller,
					&caller->reply, &caller->err);
		break;
	default:
		caller->rc = mux_download(
			mux, &call, caller->op, &args, caller->how == BY_QUIET_DOWNLOAD,
			caller->sink ? caller->sink : keep, caller, &caller->reply, &caller->err);
	}
	buf_free(&args);
	return NULL;
}

void caller_start(struct caller *caller, struct world *world)
{
	caller->world = world;
	if (caller->seconds == 0)
		caller->seconds = LONG;
	if (!caller->op)
		caller->op = OP_STAT;
	cancel_init(&caller->cancel);
	sem_init(&caller->gate, 0, 0);
	buf_init(&caller->reply, FRAME_BODY_MAX);
	buf_init(&caller->data, 64u << 20);
	assert_int_equal(pthread_create(&caller->thread, NULL, run, caller), 0);
}

void caller_join(struct caller *caller, int rc)
{
	pthread_join(caller->thread, NULL);
	if (caller->rc != rc)
		fail_msg("%d instead of %d: %s", caller->rc, rc, caller->err.text);
	assert_int_equal(caller->err.code, rc < 0 ? -rc : 0);
}

void caller_free(struct caller *caller)
{
	cancel_destroy(&caller->cancel);
	sem_destroy(&caller->gate);
	buf_free(&caller->reply);
	buf_free(&caller->data);
}

void caller_answered(struct caller *caller, const char *reply)
{
	caller_join(caller, 0);
	assert_string_equal(buf_str(&caller->reply), reply);
	caller_free(caller);
}

void caller_failed(struct caller *caller, int rc, const char *says)
{
	caller_join(caller, rc);
	if (!strstr(caller->err.text, says))
		fail_msg("'%s' does not say '%s'", caller->err.text, says);
	caller_free(caller);
}
