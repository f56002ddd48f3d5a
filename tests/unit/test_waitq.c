/*
 * test_waitq.c - parked reads: every end of them, each once.
 */
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "ctl/waitq.h"
#include "tests/unit/cmocka_all.h"
#include "tests/unit/fake_host.h"

/* A queue of bytes that the tests fill. */
struct fixture {
	struct waitq queue;
	struct waitq_reader reader;
	pthread_mutex_t lock;
	char bytes[4096];
	size_t len;
};

static ssize_t take(void *owner, struct waitq_reader *reader, int64_t offset, void *bytes,
		    size_t len)
{
	struct fixture *f = owner;
	ssize_t got = -EAGAIN;

	(void)reader;
	(void)offset;
	pthread_mutex_lock(&f->lock);
	if (f->len > 0) {
		got = (ssize_t)(len < f->len ? len : f->len);
		memcpy(bytes, f->bytes, (size_t)got);
		f->len -= (size_t)got;
		memmove(f->bytes, f->bytes + got, f->len);
	}
	pthread_mutex_unlock(&f->lock);
	return got;
}

static bool ready(void *owner, struct waitq_reader *reader)
{
	struct fixture *f = owner;
	bool is;

	(void)reader;
	pthread_mutex_lock(&f->lock);
	is = f->len > 0;
	pthread_mutex_unlock(&f->lock);
	return is;
}

static void add(struct fixture *f, const char *text)
{
	pthread_mutex_lock(&f->lock);
	memcpy(f->bytes + f->len, text, strlen(text));
	f->len += strlen(text);
	pthread_mutex_unlock(&f->lock);
	waitq_wake(&f->queue);
}

static int setup(void **state)
{
	struct fixture *f = calloc(1, sizeof(*f));

	pthread_mutex_init(&f->lock, NULL);
	waitq_init(&f->queue, f, take, ready);
	waitq_attach(&f->queue, &f->reader);
	*state = f;
	return 0;
}

static int teardown(void **state)
{
	struct fixture *f = *state;

	waitq_detach(&f->queue, &f->reader);
	waitq_destroy(&f->queue);
	free(f);
	return 0;
}

/* A node whose read is the fixture's queue, for fake_read. */
struct queue_node {
	struct vnode vnode;
	struct fixture *fixture;
};

static ssize_t node_read(struct vnode *vnode, struct vn_req *req, struct vn_file *file,
			 int64_t offset, void *bytes, size_t len)
{
	struct fixture *f = ((struct queue_node *)vnode)->fixture;

	return waitq_read(&f->queue, &f->reader, req, file->flags & O_NONBLOCK, offset, bytes, len);
}

static const struct vnode_ops node_ops = { .read = node_read };

static struct vn_req *start_read(struct fixture *f, size_t len, int flags)
{
	struct queue_node node = { .fixture = f };
	struct fake_file file = { .node = &node.vnode, .file = { .flags = flags } };

	vn_init(&node.vnode, &node_ops);
	return fake_read(&file, 0, len);
}

static void expect(struct vn_req *req, const char *text)
{
	char *got = NULL;

	assert_int_equal(fake_finish(req, &got), strlen(text));
	assert_string_equal(got, text);
	free(got);
}

static void test_what_is_there_is_taken_at_once(void **state)
{
	struct fixture *f = *state;
	struct vn_req *req;

	add(f, "hello");
	req = start_read(f, 3, 0);
	assert_false(req->parked);
	expect(req, "hel");
	expect(start_read(f, 10, 0), "lo");
}

static void test_nonblock(void **state)
{
	struct fixture *f = *state;

	assert_int_equal(fake_finish(start_read(f, 3, O_NONBLOCK), NULL), -EAGAIN);
	assert_false(waitq_wanted(&f->queue));
	add(f, "x");
	expect(start_read(f, 3, O_NONBLOCK), "x");
}

static void test_a_parked_read_gets_what_comes(void **state)
{
	struct fixture *f = *state;
	struct vn_req *req = start_read(f, 10, 0);

	assert_true(fake_parked(req));
	assert_true(waitq_wanted(&f->queue));
	waitq_wake(&f->queue);
	assert_true(fake_parked(req));
	add(f, "news");
	assert_false(waitq_wanted(&f->queue));
	expect(req, "news");
}

static void test_first_come_first_served(void **state)
{
	struct fixture *f = *state;
	struct vn_req *first = start_read(f, 2, 0);
	struct vn_req *second = start_read(f, 2, 0);
	struct vn_req *third = start_read(f, 2, 0);

	add(f, "aabb");
	assert_true(fake_parked(third));
	expect(first, "aa");
	expect(second, "bb");
	add(f, "cc");
	expect(third, "cc");
}

static void test_interrupt(void **state)
{
	struct fixture *f = *state;
	struct vn_req *stays = start_read(f, 2, 0);
	struct vn_req *req = start_read(f, 2, 0);

	fake_interrupt(req);
	assert_int_equal(fake_finish(req, NULL), -EINTR);
	assert_true(fake_parked(stays));
	/* One that comes too late finds nothing to do. */
	add(f, "x");
	fake_interrupt(stays);
	expect(stays, "x");
}

static void test_fail_and_close(void **state)
{
	struct fixture *f = *state;
	struct vn_req *req = start_read(f, 2, 0);

	waitq_fail(&f->queue, ENOTCONN);
	assert_int_equal(fake_finish(req, NULL), -ENOTCONN);
	req = start_read(f, 2, 0);
	assert_true(fake_parked(req));
	waitq_close(&f->queue, ENOENT);
	assert_int_equal(fake_finish(req, NULL), -ENOENT);
	assert_int_equal(fake_finish(start_read(f, 2, 0), NULL), -ENOENT);
}

static void test_release_ends_its_reads(void **state)
{
	struct fixture *f = *state;
	struct vn_req *req = start_read(f, 2, 0);

	waitq_detach(&f->queue, &f->reader);
	assert_int_equal(fake_finish(req, NULL), -EINTR);
	waitq_attach(&f->queue, &f->reader);
}

static struct vn_poll *handle(bool *woken)
{
	struct vn_poll *poll = calloc(1, sizeof(*poll));

	*woken = false;
	poll->woken = woken;
	return poll;
}

static void test_poll(void **state)
{
	struct fixture *f = *state;
	bool first, second;

	assert_int_equal(waitq_poll(&f->queue, &f->reader, handle(&first)), 0);
	assert_true(waitq_wanted(&f->queue));
	/* The newest handle is the one that counts. */
	assert_int_equal(waitq_poll(&f->queue, &f->reader, handle(&second)), 0);
	waitq_wake(&f->queue);
	assert_false(second);
	add(f, "x");
	assert_false(first);
	assert_true(second);
	assert_int_equal(waitq_poll(&f->queue, &f->reader, NULL), POLLIN | POLLRDNORM);
	waitq_close(&f->queue, ENOTCONN);
	assert_true(waitq_poll(&f->queue, &f->reader, NULL) & POLLERR);
}

/*
 * Wakers and interrupters race for many reads: each ends once, and no byte is lost or given twice.
 */
enum { READS = 400 };

static void *feed(void *arg)
{
	for (int i = 0; i < READS; i++)
		add(arg, "x");
	return NULL;
}

static void test_one_winner(void **state)
{
	struct fixture *f = *state;
	struct vn_req *reqs[READS];
	pthread_t thread;
	int bytes = 0, interrupted = 0;

	assert_int_equal(pthread_create(&thread, NULL, feed, f), 0);
	for (int i = 0; i < READS; i++) {
		reqs[i] = start_read(f, 1, 0);
		if (i % 3 == 0)
			fake_interrupt(reqs[i]);
	}
	pthread_join(thread, NULL);
	waitq_wake(&f->queue);
	for (int i = 0; i < READS; i++) {
		ssize_t got = fake_finish(reqs[i], NULL);

		assert_true(got == 1 || got == -EINTR);
		bytes += got == 1;
		interrupted += got != 1;
	}
	assert_int_equal(bytes + interrupted, READS);
	assert_int_equal(f->len, READS - (size_t)bytes);
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
	const struct CMUnitTest tests[] = {
		TEST(test_what_is_there_is_taken_at_once),
		TEST(test_nonblock),
		TEST(test_a_parked_read_gets_what_comes),
		TEST(test_first_come_first_served),
		TEST(test_interrupt),
		TEST(test_fail_and_close),
		TEST(test_release_ends_its_reads),
		TEST(test_poll),
		TEST(test_one_winner),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
