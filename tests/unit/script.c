/*
 * script.c - one exchange of the line dialect with a scripted guest (script.h).
 *
 * The guest is a thread behind a Unix socket: it takes one connection after the other,
 * reads a request with what belongs to it, answers as the script says, shuts its side and then
 * reads to the client's end, so that a byte too many is seen as well.
 */
#include "script.h"

#include <errno.h>
#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>

#include <cmocka.h>

#include "protocol/buf.h"
#include "protocol/cleanup.h"

#define PATIENCE 30 /* seconds, far more than anything here takes */
#define SENT_MAX (4u << 20)

struct script {
	struct guest *guest;
	struct call call;
	struct error error;
	char dir[32];
	struct sockaddr_un where;
	int listener;
	pthread_t thread;

	pthread_mutex_t lock;
	pthread_cond_t changed;
	struct buf reply; /* lock */
	struct buf sent;  /* lock; what came since the last script_reply */
	int connections;  /* lock; likewise */
	int ended;        /* lock; those of them that the client has closed */
};

/* How many bytes follow the request line. */
static size_t payload_size(const char *line)
{
	static const char key[] = "\"archive_size\": ";
	const char *at = strstr(line, key);

	return at ? strtoul(at + strlen(key), NULL, 10) : 0;
}

/* Whether SENT is a whole request. */
static bool is_whole(const struct buf *sent)
{
	const char *newline = memchr(buf_str(sent), '\n', sent->len);

	return newline &&
	       sent->len - (size_t)(newline + 1 - sent->data) >= payload_size(sent->data);
}

/* Reads what is there into script->sent; false at the end. */
static bool take_some(struct script *script, int fd)
{
	char bytes[4096];
	ssize_t got = recv(fd, bytes, sizeof(bytes), 0);

	if (got <= 0)
		return false;
	pthread_mutex_lock(&script->lock);
	buf_add(&script->sent, bytes, (size_t)got);
	pthread_mutex_unlock(&script->lock);
	return true;
}

static void serve(struct script *script, int fd)
{
	struct buf reply;

	pthread_mutex_lock(&script->lock);
	script->connections++;
	pthread_mutex_unlock(&script->lock);
	while (!is_whole(&script->sent) && take_some(script, fd))
		continue;

	pthread_mutex_lock(&script->lock);
	reply = script->reply;
	buf_init(&script->reply, SENT_MAX);
	pthread_mutex_unlock(&script->lock);
	for (size_t at = 0; at < reply.len;) {
		ssize_t sent = send(fd, reply.data + at, reply.len - at, MSG_NOSIGNAL);

		if (sent < 0)
			break;
		at += (size_t)sent;
	}
	buf_free(&reply);
	shutdown(fd, SHUT_WR);
	while (take_some(script, fd))
		continue;

	pthread_mutex_lock(&script->lock);
	script->ended++;
	pthread_cond_broadcast(&script->changed);
	pthread_mutex_unlock(&script->lock);
}

static void *peer(void *arg)
{
	struct script *script = arg;

	for (;;) {
		autoclose int fd = accept4(script->listener, NULL, NULL, SOCK_CLOEXEC);

		if (fd < 0)
			return NULL; /* the listener was shut down */
		serve(script, fd);
	}
}

static void start_peer(struct script *script)
{
	strcpy(script->dir, "/tmp/vsockfs-script-XXXXXX");
	assert_non_null(mkdtemp(script->dir));
	script->where.sun_family = AF_UNIX;
	snprintf(script->where.sun_path, sizeof(script->where.sun_path), "%s/s", script->dir);
	script->listener = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
	assert_true(script->listener >= 0);
	assert_int_equal(bind(script->listener, (const struct sockaddr *)&script->where,
			      sizeof(script->where)),
			 0);
	assert_int_equal(listen(script->listener, 1), 0);
	assert_int_equal(pthread_create(&script->thread, NULL, peer, script), 0);
}

int script_setup(void **state)
{
	const struct guest_options options = { .timeout = PATIENCE, .max_connections = 1 };
	struct script *script = calloc(1, sizeof(*script));
	struct address address;
	char source[128];

	assert_non_null(script);
	pthread_mutex_init(&script->lock, NULL);
	pthread_cond_init(&script->changed, NULL);
	buf_init(&script->reply, SENT_MAX);
	buf_init(&script->sent, SENT_MAX);
	start_peer(script);
	snprintf(source, sizeof(source), "unix:%s", script->where.sun_path);
	assert_int_equal(address_parse(source, &address, &script->error), 0);
	assert_int_equal(guest_new(&address, &options, &script->guest, &script->error), 0);
	*state = script;
	return 0;
}

int script_teardown(void **state)
{
	struct script *script = *state;

	guest_unref(script->guest);
	shutdown(script->listener, SHUT_RDWR);
	pthread_join(script->thread, NULL);
	close(script->listener);
	unlink(script->where.sun_path);
	rmdir(script->dir);
	buf_free(&script->reply);
	buf_free(&script->sent);
	pthread_cond_destroy(&script->changed);
	pthread_mutex_destroy(&script->lock);
	free(script);
	return 0;
}

/* With the lock held: the client has closed whatever it had opened. */
static void await_end(struct script *script)
{
	struct timespec until;

	clock_gettime(CLOCK_REALTIME, &until);
	until.tv_sec += PATIENCE;
	while (script->ended < script->connections) {
		if (pthread_cond_timedwait(&script->changed, &script->lock, &until) != 0) {
			pthread_mutex_unlock(&script->lock);
			fail_msg("the client does not close its connection");
		}
	}
}

void script_reply_bytes(struct script *script, const void *reply, size_t len)
{
	pthread_mutex_lock(&script->lock);
	await_end(script);
	script->connections = 0;
	script->ended = 0;
	buf_free(&script->sent);
	buf_free(&script->reply);
	buf_add(&script->reply, reply, len);
	pthread_mutex_unlock(&script->lock);
}

void script_reply(struct script *script, const char *reply)
{
	script_reply_bytes(script, reply, strlen(reply));
}

struct guest *script_guest(struct script *script)
{
	return script->guest;
}

const struct call *script_call(struct script *script)
{
	script->call = call_within(PATIENCE, NULL);
	return &script->call;
}

struct error *script_error(struct script *script)
{
	script->error = (struct error){ 0 };
	return &script->error;
}

void script_expect_bytes(struct script *script, const void *sent, size_t len)
{
	pthread_mutex_lock(&script->lock);
	await_end(script);
	pthread_mutex_unlock(&script->lock);
	assert_int_equal(script->connections, 1);
	assert_int_equal(script->sent.len, len);
	assert_memory_equal(script->sent.data, sent, len);
}

void script_expect(struct script *script, const char *sent)
{
	pthread_mutex_lock(&script->lock);
	await_end(script);
	pthread_mutex_unlock(&script->lock);
	assert_string_equal(buf_str(&script->sent), sent);
	script_expect_bytes(script, sent, strlen(sent));
}

void script_expect_nothing(struct script *script)
{
	assert_int_equal(script->connections, 0);
}

void script_expect_error(struct script *script, const char *text)
{
	if (!strstr(script->error.text, text))
		fail_msg("'%s' does not contain '%s'", script->error.text, text);
}
