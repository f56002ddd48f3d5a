/*
 * test_agent_session_send.c - the sending side of a session: who goes first, who waits, who never
 * does.
 */
#include "protocol/agent/session_send.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "tests/unit/cmocka_all.h"

/* More than a socket takes. */
#define LARGE ((size_t)4 << 20)
#define SMALL 1000

struct fixture {
	int ours, theirs;
	struct sess_send send;
	bool helpless; /* nobody can wait for the socket */
	atomic_int stuck, room;
};

/* A thread that sends COUNT bytes of LETTER. */
struct sender {
	struct fixture *f;
	pthread_t thread;
	enum sess_send_how how;
	char letter;
	size_t count;
	int rc;
};

static bool on_stuck(void *arg)
{
	struct fixture *f = arg;

	atomic_fetch_add(&f->stuck, 1);
	return !f->helpless;
}

static void on_room(void *arg)
{
	struct fixture *f = arg;

	atomic_fetch_add(&f->room, 1);
}

static int setup(void **state)
{
	struct fixture *f = calloc(1, sizeof(*f));
	const struct sess_send_hooks hooks = { on_stuck, on_room, f };
	int pair[2];

	assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair), 0);
	f->ours = pair[0];
	f->theirs = pair[1];
	sess_send_init(&f->send, f->ours, &hooks);
	*state = f;
	return 0;
}

static int teardown(void **state)
{
	struct fixture *f = *state;

	sess_send_destroy(&f->send);
	close(f->ours);
	close(f->theirs);
	free(f);
	return 0;
}

static int put(struct fixture *f, enum sess_send_how how, char letter, size_t count)
{
	char *bytes = malloc(count);
	struct iovec pieces[2] = { { bytes, count / 2 }, { bytes + count / 2, count - count / 2 } };
	int rc;

	memset(bytes, letter, count);
	rc = sess_send_frames(&f->send, pieces, 2, how);
	free(bytes);
	return rc;
}

static void *run_sender(void *arg)
{
	struct sender *sender = arg;

	sender->rc = put(sender->f, sender->how, sender->letter, sender->count);
	return NULL;
}

static void start(struct sender *sender, struct fixture *f, enum sess_send_how how, char letter,
		  size_t count)
{
	*sender = (struct sender){ .f = f, .how = how, .letter = letter, .count = count };
	assert_int_equal(pthread_create(&sender->thread, NULL, run_sender, sender), 0);
}

static void join(struct sender *sender, int rc)
{
	pthread_join(sender->thread, NULL);
	assert_int_equal(sender->rc, rc);
}

static void await_state(struct fixture *f, bool busy, unsigned small, unsigned bulk)
{
	bool so = false;

	while (!so) {
		pthread_mutex_lock(&f->send.lock);
		so = f->send.busy == busy && f->send.small_waiting == small &&
		     f->send.bulk_waiting == bulk;
		pthread_mutex_unlock(&f->send.lock);
		if (!so)
			poll(NULL, 0, 1);
	}
}

/* The next COUNT bytes are all LETTER. */
static void expect(struct fixture *f, char letter, size_t count)
{
	char bytes[65536];

	while (count) {
		ssize_t n = recv(f->theirs, bytes, count < sizeof(bytes) ? count : sizeof(bytes),
				 0);

		assert_true(n > 0);
		for (ssize_t i = 0; i < n; i++)
			assert_int_equal(bytes[i], letter);
		count -= (size_t)n;
	}
}

static void expect_nothing(struct fixture *f)
{
	char byte;

	assert_int_equal(recv(f->theirs, &byte, 1, MSG_DONTWAIT), -1);
	assert_int_equal(errno, EAGAIN);
}

/* Posts until there is no room; how many bytes. */
static size_t fill(struct fixture *f)
{
	size_t count = 0;

	while (sess_send_has_room(&f->send)) {
		assert_int_equal(put(f, SESS_SEND_POST, 'p', SMALL), 0);
		count += SMALL;
	}
	return count;
}

static void what_is_posted_goes_at_once(void **state)
{
	struct fixture *f = *state;

	assert_int_equal(put(f, SESS_SEND_POST, 'p', SMALL), 0);
	expect(f, 'p', SMALL);
	assert_int_equal(f->stuck, 0);
	assert_int_equal(f->send.kept, 0);
}

static void posting_never_waits(void **state)
{
	struct fixture *f = *state;
	size_t count = fill(f);

	/* The last word: whoever saw to the socket has been told that there is more. */
	assert_true(f->stuck > 0);
	assert_false(sess_send_want_room(&f->send));
	assert_int_equal(f->room, 0);
	/* No more than is bounded: the socket's own, what is kept, and a frame. */
	assert_true(f->send.kept < 2 << 16);

	/* It goes on when the peer does, and not before. */
	sess_send_resume(&f->send);
	assert_false(sess_send_has_room(&f->send));
	for (size_t taken = 0; taken < count; taken += SMALL) {
		expect(f, 'p', SMALL);
		sess_send_resume(&f->send);
	}
	expect_nothing(f);
	assert_int_equal(f->room, 1);
	assert_true(sess_send_want_room(&f->send));
	assert_int_equal(f->send.posted.room + f->send.going.room, 0);
}

static void what_is_posted_goes_before_bulk(void **state)
{
	struct fixture *f = *state;
	struct sender first, second;

	start(&first, f, SESS_SEND_BULK, 'a', LARGE);
	await_state(f, true, 0, 0);
	start(&second, f, SESS_SEND_BULK, 'b', LARGE);
	await_state(f, true, 0, 1);
	assert_int_equal(put(f, SESS_SEND_POST, 'p', SMALL), 0);
	/* What fits does not wait for its turn either. */
	assert_int_equal(put(f, SESS_SEND_SMALL, 's', SMALL), 0);

	expect(f, 'a', LARGE);
	expect(f, 'p', SMALL);
	expect(f, 's', SMALL);
	expect(f, 'b', LARGE);
	join(&first, 0);
	join(&second, 0);
	assert_int_equal(f->stuck, 0);
}

static void small_goes_before_bulk(void **state)
{
	struct fixture *f = *state;
	struct sender first, second, third;

	start(&first, f, SESS_SEND_BULK, 'a', LARGE);
	await_state(f, true, 0, 0);
	start(&second, f, SESS_SEND_BULK, 'b', LARGE);
	await_state(f, true, 0, 1);
	start(&third, f, SESS_SEND_SMALL, 's', LARGE); /* so many answers that they must wait */
	await_state(f, true, 1, 1);

	expect(f, 'a', LARGE);
	expect(f, 's', LARGE);
	expect(f, 'b', LARGE);
	join(&first, 0);
	join(&second, 0);
	join(&third, 0);
}

/* Half a frame that was posted is finished before anything else. */
static void frames_are_never_mixed(void **state)
{
	struct fixture *f = *state;
	struct sender bulk;
	size_t count = fill(f);

	assert_int_equal(put(f, SESS_SEND_POST, 'q', SMALL), 0);
	start(&bulk, f, SESS_SEND_BULK, 'b', LARGE);
	await_state(f, true, 0, 0);
	assert_int_equal(put(f, SESS_SEND_POST, 'r', SMALL), 0);
	expect(f, 'p', count);
	expect(f, 'q', SMALL);
	expect(f, 'b', LARGE);
	expect(f, 'r', SMALL);
	join(&bulk, 0);
}

static void a_dead_one_keeps_nobody_waiting(void **state)
{
	struct fixture *f = *state;
	struct sender first, second;

	fill(f);
	assert_false(sess_send_want_room(&f->send));
	start(&first, f, SESS_SEND_BULK, 'a', LARGE);
	await_state(f, true, 0, 0);
	start(&second, f, SESS_SEND_BULK, 'b', LARGE);
	await_state(f, true, 0, 1);
	sess_send_kill(&f->send);
	join(&first, -EPIPE);
	join(&second, -EPIPE);
	assert_int_equal(f->room, 1);
	assert_true(sess_send_want_room(&f->send));
	assert_int_equal(put(f, SESS_SEND_POST, 'p', SMALL), -EPIPE);
	assert_int_equal(put(f, SESS_SEND_SMALL, 's', SMALL), -EPIPE);
	sess_send_resume(&f->send);
}

static void a_peer_that_is_gone_is_noticed(void **state)
{
	struct fixture *f = *state;

	shutdown(f->theirs, SHUT_RDWR);
	assert_int_equal(put(f, SESS_SEND_POST, 'p', SMALL), -EPIPE);
	assert_int_equal(put(f, SESS_SEND_BULK, 'b', SMALL), -EPIPE);
}

static void where_nobody_can_wait_the_connection_ends(void **state)
{
	struct fixture *f = *state;
	int rc = 0;

	f->helpless = true;
	for (size_t i = 0; rc == 0 && i < LARGE; i += SMALL)
		rc = put(f, SESS_SEND_POST, 'p', SMALL);
	assert_int_equal(rc, -EPIPE);
	assert_int_equal(f->stuck, 1);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(what_is_posted_goes_at_once, setup, teardown),
		cmocka_unit_test_setup_teardown(posting_never_waits, setup, teardown),
		cmocka_unit_test_setup_teardown(what_is_posted_goes_before_bulk, setup, teardown),
		cmocka_unit_test_setup_teardown(small_goes_before_bulk, setup, teardown),
		cmocka_unit_test_setup_teardown(frames_are_never_mixed, setup, teardown),
		cmocka_unit_test_setup_teardown(a_dead_one_keeps_nobody_waiting, setup, teardown),
		cmocka_unit_test_setup_teardown(a_peer_that_is_gone_is_noticed, setup, teardown),
		cmocka_unit_test_setup_teardown(where_nobody_can_wait_the_connection_ends, setup,
						teardown),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
