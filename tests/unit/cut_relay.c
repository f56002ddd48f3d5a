/* cut_relay.c - see cut_relay.h. */
#include "cut_relay.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include "cmocka_all.h"
#include "protocol/session/frame.h"

struct line {
	struct cut_relay *relay;
	int client, agent;
	pthread_t down;
	bool cut;        /* relay->lock */
	uint32_t victim; /* relay->lock; the call whose answer or data is to be cut; 0: none */
	enum relay_cut how;
};

static bool read_all(int fd, void *bytes, size_t len)
{
	return !len || recv(fd, bytes, len, MSG_WAITALL) == (ssize_t)len;
}

static bool write_all(int fd, const void *bytes, size_t len)
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

static bool pass_line(int from, int to)
{
	char byte = 0;

	while (byte != '\n') {
		if (!read_all(from, &byte, 1) || !write_all(to, &byte, 1))
			return false;
	}
	return true;
}

static bool read_frame(int fd, unsigned char *bytes, struct frame *frame)
{
	return read_all(fd, bytes, FRAME_HEADER) && frame_decode(bytes, frame, NULL) == 0 &&
	       read_all(fd, bytes + FRAME_HEADER, frame->size);
}

static void hang_up(struct line *line)
{
	pthread_mutex_lock(&line->relay->lock);
	line->cut = true;
	pthread_mutex_unlock(&line->relay->lock);
	shutdown(line->client, SHUT_RDWR);
	shutdown(line->agent, SHUT_RDWR);
}

/* What is to be done about a frame from the client. */
static enum relay_cut judge(struct line *line, const struct frame *frame)
{
	struct cut_relay *relay = line->relay;
	enum relay_cut how = RELAY_CUT_NONE;

	pthread_mutex_lock(&relay->lock);
	if (frame->kind == FRAME_CALL && frame->code < 128)
		relay->calls[frame->code]++;
	if (frame->kind == FRAME_CALL && relay->cut && frame->code == relay->op) {
		line->how = relay->cut;
		line->victim = frame->id;
		relay->cut = RELAY_CUT_NONE;
		how = line->how == RELAY_CUT_BEFORE ? RELAY_CUT_BEFORE : RELAY_CUT_NONE;
	} else if (frame->kind == FRAME_DATA && frame->id == line->victim &&
		   line->how == RELAY_CUT_DATA) {
		how = RELAY_CUT_DATA;
	}
	pthread_mutex_unlock(&relay->lock);
	return how;
}

static bool is_victim(struct line *line, const struct frame *frame)
{
	bool is;

	pthread_mutex_lock(&line->relay->lock);
	is = frame->kind == FRAME_DONE && frame->id == line->victim &&
	     line->how == RELAY_CUT_ANSWER;
	pthread_mutex_unlock(&line->relay->lock);
	return is;
}

static void *run_down(void *arg)
{
	struct line *line = arg;
	unsigned char *bytes = malloc(FRAME_HEADER + FRAME_BODY_MAX);
	struct frame frame;

	if (pass_line(line->agent, line->client)) {
		while (read_frame(line->agent, bytes, &frame) && !is_victim(line, &frame) &&
		       write_all(line->client, bytes, FRAME_HEADER + frame.size))
			;
	}
	hang_up(line);
	free(bytes);
	return NULL;
}

static void *run_line(void *arg)
{
	struct line *line = arg;
	struct cut_relay *relay = line->relay;
	unsigned char *bytes = malloc(FRAME_HEADER + FRAME_BODY_MAX);
	enum relay_cut how = RELAY_CUT_NONE;
	struct frame frame;

	pthread_create(&line->down, NULL, run_down, line);
	if (pass_line(line->client, line->agent)) {
		while (how == RELAY_CUT_NONE && read_frame(line->client, bytes, &frame)) {
			how = judge(line, &frame);
			if (how != RELAY_CUT_BEFORE &&
			    !write_all(line->agent, bytes, FRAME_HEADER + frame.size))
				break;
		}
	}
	hang_up(line);
	pthread_join(line->down, NULL);
	close(line->client);
	close(line->agent);
	free(bytes);
	free(line);
	pthread_mutex_lock(&relay->lock);
	relay->connections--;
	pthread_cond_broadcast(&relay->ended);
	pthread_mutex_unlock(&relay->lock);
	return NULL;
}

static struct sockaddr_un address_of(const char *path)
{
	struct sockaddr_un address = { .sun_family = AF_UNIX };

	snprintf(address.sun_path, sizeof(address.sun_path), "%s", path);
	return address;
}

static void *run(void *arg)
{
	struct cut_relay *relay = arg;
	struct sockaddr_un address = address_of(relay->agent);
	int client;

	while ((client = accept(relay->listener, NULL, NULL)) >= 0) {
		struct line *line = calloc(1, sizeof(*line));
		pthread_t thread;

		line->relay = relay;
		line->client = client;
		line->agent = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
		if (connect(line->agent, (struct sockaddr *)&address, sizeof(address)) < 0)
			shutdown(client, SHUT_RDWR);
		pthread_mutex_lock(&relay->lock);
		relay->connections++;
		pthread_mutex_unlock(&relay->lock);
		pthread_create(&thread, NULL, run_line, line);
		pthread_detach(thread);
	}
	return NULL;
}

void cut_relay_open(struct cut_relay *relay, const char *path, const char *agent)
{
	struct sockaddr_un address = address_of(path);

	*relay = (struct cut_relay){ .listener = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0) };
	snprintf(relay->path, sizeof(relay->path), "%s", path);
	snprintf(relay->agent, sizeof(relay->agent), "%s", agent);
	pthread_mutex_init(&relay->lock, NULL);
	pthread_cond_init(&relay->ended, NULL);
	assert_int_equal(bind(relay->listener, (struct sockaddr *)&address, sizeof(address)), 0);
	assert_int_equal(listen(relay->listener, 16), 0);
	assert_int_equal(pthread_create(&relay->thread, NULL, run, relay), 0);
}

void cut_relay_close(struct cut_relay *relay)
{
	shutdown(relay->listener, SHUT_RDWR);
	pthread_join(relay->thread, NULL);
	close(relay->listener);
	pthread_mutex_lock(&relay->lock);
	while (relay->connections)
		pthread_cond_wait(&relay->ended, &relay->lock);
	pthread_mutex_unlock(&relay->lock);
	pthread_cond_destroy(&relay->ended);
	pthread_mutex_destroy(&relay->lock);
}

void cut_relay_order(struct cut_relay *relay, enum session_op op, enum relay_cut cut)
{
	pthread_mutex_lock(&relay->lock);
	relay->op = op;
	relay->cut = cut;
	pthread_mutex_unlock(&relay->lock);
}

bool cut_relay_done(struct cut_relay *relay)
{
	bool done;

	pthread_mutex_lock(&relay->lock);
	done = relay->cut == RELAY_CUT_NONE;
	relay->cut = RELAY_CUT_NONE;
	pthread_mutex_unlock(&relay->lock);
	return done;
}

unsigned cut_relay_count(struct cut_relay *relay, enum session_op op)
{
	unsigned count;

	pthread_mutex_lock(&relay->lock);
	count = relay->calls[op];
	relay->calls[op] = 0;
	pthread_mutex_unlock(&relay->lock);
	return count;
}
