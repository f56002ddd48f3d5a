/*
 * sws_relay.c - see sws_relay.h.
 */
#include "sws_relay.h"

#include <sys/socket.h>

#include "protocol/session/frame.h"

/* The two ways between a client and the agent, a thread for each. */
struct relay {
	struct world *world;
	int client, agent;
	pthread_t up, down;
	/* world->lock: */
	bool cut;
	bool late;
	uint32_t victim; /* the call whose answer is to be cut; 0: none */
	enum cut how;
};

static bool read_all(int fd, void *bytes, size_t len)
{
	return !len || recv(fd, bytes, len, MSG_WAITALL) == (ssize_t)len;
}

bool relay_send(int fd, const void *bytes, size_t len)
{
	const char *from = bytes;

	while (len) {
		ssize_t n = send(fd, from, len, MSG_NOSIGNAL);

		if (n <= 0)
			return false;
		from += n;
		len -= (size_t)n;
	}
	return true;
}

/* A whole frame into BYTES; its size, or 0 at the end. */
static size_t read_frame(int fd, unsigned char *bytes, struct frame *frame)
{
	if (!read_all(fd, bytes, FRAME_HEADER) || frame_decode(bytes, frame, NULL) ||
	    !read_all(fd, bytes + FRAME_HEADER, frame->size))
		return 0;
	return FRAME_HEADER + frame->size;
}

/* Counts a call, and says what is to become of it. */
static enum cut judge_call(struct relay *relay, const struct frame *frame)
{
	struct world *w = relay->world;
	enum cut cut = CUT_NONE;

	if (frame->kind != FRAME_CALL)
		return CUT_NONE;
	pthread_mutex_lock(&w->lock);
	w->calls[frame->code]++;
	if (w->cut && (!w->cut_op || w->cut_op == frame->code) && --w->cut_at == 0) {
		cut = relay->how = w->cut;
		w->cut = CUT_NONE;
		relay->late = cut == CUT_LATE;
		if (cut == CUT_ANSWER || cut == CUT_HALF_ANSWER)
			relay->victim = frame->id;
		else
			relay->cut = true;
	}
	pthread_mutex_unlock(&w->lock);
	return cut;
}

static enum cut judge_answer(struct relay *relay, const struct frame *frame)
{
	struct world *w = relay->world;
	enum cut cut = CUT_NONE;

	pthread_mutex_lock(&w->lock);
	if (frame->kind == FRAME_DONE && relay->victim == frame->id) {
		relay->cut = true;
		cut = relay->how;
	}
	pthread_mutex_unlock(&w->lock);
	return cut;
}

static bool is_cut(struct relay *relay)
{
	bool cut;

	pthread_mutex_lock(&relay->world->lock);
	cut = relay->cut;
	pthread_mutex_unlock(&relay->world->lock);
	return cut;
}

bool relay_is_late(struct relay *relay)
{
	bool late;

	if (!relay)
		return false;
	pthread_mutex_lock(&relay->world->lock);
	late = relay->late;
	pthread_mutex_unlock(&relay->world->lock);
	return late;
}

static void await_release(struct relay *relay)
{
	struct call moment = call_within(60, NULL);

	shutdown(relay->client, SHUT_RDWR);
	while (relay_is_late(relay) && call_sleep(&moment, 0.001) == 0)
		;
}

void world_release(struct world *w)
{
	pthread_mutex_lock(&w->lock);
	w->late->late = false;
	pthread_mutex_unlock(&w->lock);
	relay_free(w->late);
	w->late = NULL;
}

static void *run_up(void *arg)
{
	struct relay *relay = arg;
	unsigned char *bytes = malloc(FRAME_HEADER + FRAME_BODY_MAX);
	struct frame frame;
	enum cut cut = CUT_NONE;
	size_t len;

	while ((len = read_frame(relay->client, bytes, &frame))) {
		cut = judge_call(relay, &frame);
		if (cut == CUT_BEFORE || cut == CUT_HALF_CALL)
			break;
		if (cut == CUT_LATE)
			await_release(relay);
		if (!relay_send(relay->agent, bytes, len) || cut == CUT_LATE)
			break;
	}
	if (cut == CUT_HALF_CALL)
		relay_send(relay->agent, bytes, len / 2);
	if (is_cut(relay))
		shutdown(relay->client, SHUT_RDWR);
	shutdown(relay->agent, SHUT_WR);
	free(bytes);
	return NULL;
}

static void *run_down(void *arg)
{
	struct relay *relay = arg;
	unsigned char *bytes = malloc(FRAME_HEADER + FRAME_BODY_MAX);
	struct frame frame;
	size_t len;

	/* After a cut to the very end: the agent has carried out what it had then. */
	while ((len = read_frame(relay->agent, bytes, &frame))) {
		if (is_cut(relay))
			continue;
		switch (judge_answer(relay, &frame)) {
		case CUT_HALF_ANSWER:
			relay_send(relay->client, bytes, len / 2);
			/* fall through */
		case CUT_ANSWER:
			shutdown(relay->client, SHUT_RDWR);
			break;
		default:
			relay_send(relay->client, bytes, len);
		}
	}
	shutdown(relay->client, SHUT_RDWR);
	free(bytes);
	return NULL;
}

void relay_free(struct relay *relay)
{
	if (!relay)
		return;
	pthread_join(relay->up, NULL);
	pthread_join(relay->down, NULL);
	close(relay->client);
	close(relay->agent);
	free(relay);
}

struct relay *relay_new(struct world *w, int client, int agent)
{
	struct relay *relay = calloc(1, sizeof(*relay));

	*relay = (struct relay){ .world = w, .client = client, .agent = agent };
	pthread_create(&relay->up, NULL, run_up, relay);
	pthread_create(&relay->down, NULL, run_down, relay);
	return relay;
}

void world_cut(struct world *w, enum cut cut, unsigned at)
{
	pthread_mutex_lock(&w->lock);
	w->cut = cut;
	w->cut_at = at;
	w->cut_op = 0;
	pthread_mutex_unlock(&w->lock);
}

void world_cut_op(struct world *w, enum cut cut, enum session_op op)
{
	world_cut(w, cut, 1);
	pthread_mutex_lock(&w->lock);
	w->cut_op = op;
	pthread_mutex_unlock(&w->lock);
}

bool world_is_cut(struct world *w)
{
	bool is;

	pthread_mutex_lock(&w->lock);
	is = !w->cut;
	pthread_mutex_unlock(&w->lock);
	return is;
}

bool world_was_cut(struct world *w)
{
	bool was;

	pthread_mutex_lock(&w->lock);
	was = !w->cut;
	w->cut = CUT_NONE;
	pthread_mutex_unlock(&w->lock);
	return was;
}
