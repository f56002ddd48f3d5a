/*
 * test_request.c - once-only replies, interrupts and parking, on a fake libfuse
 * that does with interrupts what 3.14 does: the callback runs under the request's
 * lock, and inline if the interrupt came first.
 */
#include <errno.h>
#include <limits.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include <pthread.h>
#include <stdlib.h>

#include "fs/request.h"

struct fuse_req {
	pthread_mutex_t lock;
	fuse_interrupt_func_t func; /* lock */
	void *data;                 /* lock */
	bool interrupted;           /* lock */
	atomic_int replies;
	int error;
	char bytes[64];
	size_t len;
};

static void fuse_init(struct fuse_req *fuse)
{
	memset(fuse, 0, sizeof(*fuse));
	pthread_mutex_init(&fuse->lock, NULL);
}

static void interrupt(struct fuse_req *fuse)
{
	pthread_mutex_lock(&fuse->lock);
	fuse->interrupted = true;
	if (fuse->func)
		fuse->func(fuse, fuse->data);
	pthread_mutex_unlock(&fuse->lock);
}

void fuse_req_interrupt_func(fuse_req_t fuse, fuse_interrupt_func_t func, void *data)
{
	pthread_mutex_lock(&fuse->lock);
	fuse->func = func;
	fuse->data = data;
	if (fuse->interrupted && func)
		func(fuse, data);
	pthread_mutex_unlock(&fuse->lock);
}

static int reply(fuse_req_t fuse, int error)
{
	pthread_mutex_lock(&fuse->lock); /* a reply under this lock would never come back */
	if (fuse->func)
		abort(); /* still registered: libfuse would call into freed memory */
	pthread_mutex_unlock(&fuse->lock);
	fuse->error = error;
	atomic_fetch_add(&fuse->replies, 1);
	return 0;
}

int fuse_reply_err(fuse_req_t fuse, int error)
{
	return reply(fuse, error);
}

int fuse_reply_buf(fuse_req_t fuse, const char *bytes, size_t len)
{
	fuse->len = len;
	if (len)
		memcpy(fuse->bytes, bytes, len < sizeof(fuse->bytes) ? len : sizeof(fuse->bytes));
	return reply(fuse, 0);
}

int fuse_reply_attr(fuse_req_t fuse, const struct stat *attr, double valid)
{
	(void)attr;
	(void)valid;
	return reply(fuse, 0);
}

int fuse_reply_readlink(fuse_req_t fuse, const char *target)
{
	(void)target;
	return reply(fuse, 0);
}

int fuse_reply_write(fuse_req_t fuse, size_t count)
{
	(void)count;
	return reply(fuse, 0);
}

int fuse_reply_statfs(fuse_req_t fuse, const struct statvfs *stat)
{
	(void)stat;
	return reply(fuse, 0);
}

int fuse_reply_poll(fuse_req_t fuse, unsigned events)
{
	(void)events;
	return reply(fuse, 0);
}

/* The process is gone: what was handed over is to be undone. */
int fuse_reply_entry(fuse_req_t fuse, const struct fuse_entry_param *entry)
{
	(void)entry;
	reply(fuse, 0);
	return -ENOENT;
}

int fuse_reply_open(fuse_req_t fuse, const struct fuse_file_info *file)
{
	(void)file;
	return reply(fuse, 0);
}

int fuse_reply_create(fuse_req_t fuse, const struct fuse_entry_param *entry,
		      const struct fuse_file_info *file)
{
	(void)entry;
	(void)file;
	return reply(fuse, 0);
}

static struct requests *requests;

static int set_up(void **state)
{
	(void)state;
	return requests_new(5, &requests) || requests_start(requests);
}

static int tear_down(void **state)
{
	(void)state;
	requests_stop(requests);
	requests_free(requests);
	return 0;
}

static void await_replies(struct fuse_req *fuse, int count)
{
	struct call call = call_within(10, NULL);

	while (atomic_load(&fuse->replies) < count)
		assert_int_equal(call_sleep(&call, 0.001), 0);
}

static void answers_once(void **state)
{
	struct fuse_req fuse;
	struct vn_req *req;

	(void)state;
	fuse_init(&fuse);
	req = req_ref(req_begin(requests, &fuse));
	assert_int_equal(call_remaining_ms(vn_req_call(req)) / 1000, 5);
	req_reply_err(req, -ENOENT);
	req_reply_err(req, -EIO);
	assert_int_equal(fuse.replies, 1);
	assert_int_equal(fuse.error, ENOENT);
	req_unref(req);
}

static void hostile_errors(void **state)
{
	static const struct {
		int rc, error;
	} cases[] = {
		{ 0, 0 },         { -ENOENT, ENOENT }, { -511, 511 }, { -512, EIO },
		{ -100000, EIO }, { INT_MIN, EIO },    { 5, EIO },    { -ENOSYS, EOPNOTSUPP },
	};

	(void)state;
	for (size_t i = 0; i < sizeof(cases) / sizeof(*cases); i++) {
		struct fuse_req fuse;

		fuse_init(&fuse);
		req_reply_err(req_begin(requests, &fuse), cases[i].rc);
		assert_int_equal(fuse.error, cases[i].error);
	}
}

static void answers_are_cut_to_their_room(void **state)
{
	struct fuse_req fuse;
	struct vn_req *req;

	(void)state;
	fuse_init(&fuse);
	req = req_begin(requests, &fuse);
	req_set_room(req, 2);
	vn_req_finish(req, "abc", 3);
	assert_int_equal(fuse.len, 2);
}

static void undelivered_is_told(void **state)
{
	struct fuse_entry_param entry = { .ino = 5 };
	struct fuse_file_info file = { .fh = 1 };
	struct fuse_req fuse;

	(void)state;
	fuse_init(&fuse);
	assert_int_not_equal(req_reply_entry(req_begin(requests, &fuse), &entry), 0);
	assert_int_equal(req_reply_open(req_begin(requests, &fuse), &file), 0);
}

static void interrupt_fires_the_token(void **state)
{
	struct fuse_req fuse;
	struct vn_req *req;

	(void)state;
	fuse_init(&fuse);
	req = req_begin(requests, &fuse);
	assert_false(cancel_fired(vn_req_call(req)->cancel));
	interrupt(&fuse);
	assert_true(cancel_fired(vn_req_call(req)->cancel));
	assert_int_equal(fuse.replies, 0); /* whoever works on it replies */
	req_reply_err(req, -EINTR);
	interrupt(&fuse); /* late: nobody is there */
	assert_int_equal(fuse.replies, 1);
}

static void interrupt_that_came_first(void **state)
{
	struct fuse_req fuse;
	struct vn_req *req;

	(void)state;
	fuse_init(&fuse);
	interrupt(&fuse);
	req = req_begin(requests, &fuse);
	assert_true(cancel_fired(vn_req_call(req)->cancel));
	req_reply_err(req, -EINTR);
	assert_int_equal(fuse.replies, 1);
}

/* What a node keeps of a read that waits. */
struct waiter {
	pthread_mutex_t lock;
	struct vn_req *parked; /* lock */
	atomic_int cancelled;
};

static struct vn_req *take(struct waiter *waiter)
{
	struct vn_req *req;

	pthread_mutex_lock(&waiter->lock);
	req = waiter->parked;
	waiter->parked = NULL;
	pthread_mutex_unlock(&waiter->lock);
	return req;
}

static void cancelled(void *arg, struct vn_req *req)
{
	struct waiter *waiter = arg;

	atomic_fetch_add(&waiter->cancelled, 1);
	if (take(waiter) == req)
		vn_req_finish(req, NULL, -EINTR);
}

static void park(struct waiter *waiter, struct vn_req *req)
{
	pthread_mutex_lock(&waiter->lock);
	waiter->parked = req;
	pthread_mutex_unlock(&waiter->lock);
	vn_req_park(req, cancelled, waiter);
}

static void parked_read_gets_bytes(void **state)
{
	struct waiter waiter = { .lock = PTHREAD_MUTEX_INITIALIZER };
	struct fuse_req fuse;
	struct vn_req *req;

	(void)state;
	fuse_init(&fuse);
	req = req_begin(requests, &fuse);
	req_set_room(req, 10);
	park(&waiter, req);
	vn_req_finish(take(&waiter), "news", 4);
	assert_int_equal(fuse.replies, 1);
	assert_int_equal(fuse.len, 4);
	assert_memory_equal(fuse.bytes, "news", 4);
	assert_int_equal(waiter.cancelled, 0);
}

static void parked_read_is_interrupted(void **state)
{
	struct waiter waiter = { .lock = PTHREAD_MUTEX_INITIALIZER };
	struct fuse_req fuse;

	(void)state;
	fuse_init(&fuse);
	park(&waiter, req_begin(requests, &fuse));
	interrupt(&fuse);
	await_replies(&fuse, 1);
	assert_int_equal(fuse.error, EINTR);
	assert_int_equal(waiter.cancelled, 1);
	interrupt(&fuse);
	assert_int_equal(waiter.cancelled, 1);
}

static void interrupt_before_parking(void **state)
{
	struct waiter waiter = { .lock = PTHREAD_MUTEX_INITIALIZER };
	struct fuse_req fuse;
	struct vn_req *req;

	(void)state;
	fuse_init(&fuse);
	req = req_begin(requests, &fuse);
	interrupt(&fuse);
	park(&waiter, req);
	await_replies(&fuse, 1);
	assert_int_equal(fuse.error, EINTR);
	assert_int_equal(waiter.cancelled, 1);
}

/* A node's other threads may be faster than the one that parks. */
static void finished_before_parking(void **state)
{
	struct waiter waiter = { .lock = PTHREAD_MUTEX_INITIALIZER };
	struct fuse_req fuse, next;
	struct vn_req *req;

	(void)state;
	fuse_init(&fuse);
	fuse_init(&next);
	req = req_ref(req_begin(requests, &fuse)); /* as op_read does */
	interrupt(&fuse);
	vn_req_finish(req, "x", 1);
	vn_req_park(req, cancelled, &waiter);
	req_unref(req);
	park(&waiter, req_begin(requests, &next));
	interrupt(&next);
	await_replies(&next, 1);
	assert_int_equal(waiter.cancelled, 1); /* the second only */
	assert_int_equal(fuse.replies, 1);
}

static void ending_cancels_all(void **state)
{
	struct waiter waiter = { .lock = PTHREAD_MUTEX_INITIALIZER };
	struct fuse_req parked, busy, later;
	struct vn_req *req, *late;

	(void)state;
	fuse_init(&parked);
	fuse_init(&busy);
	fuse_init(&later);
	park(&waiter, req_begin(requests, &parked));
	req = req_begin(requests, &busy);
	requests_cancel_all(requests);
	assert_true(cancel_fired(vn_req_call(req)->cancel));
	await_replies(&parked, 1);
	late = req_begin(requests, &later);
	assert_true(cancel_fired(vn_req_call(late)->cancel));
	req_reply_err(late, 0);
	req_reply_err(req, 0);
}

static void *interrupt_thread(void *arg)
{
	interrupt(arg);
	return NULL;
}

static void *finish_thread(void *arg)
{
	struct waiter *waiter = arg;
	struct vn_req *req;

	while (!(req = take(waiter))) {
		if (atomic_load(&waiter->cancelled))
			return NULL;
	}
	vn_req_finish(req, "x", 1);
	return NULL;
}

/* News and an interrupt at once: one of them wins, and the loser touches nothing that is freed. */
static void finish_races_with_interrupt(void **state)
{
	(void)state;
	for (int i = 0; i < 500; i++) {
		struct waiter *waiter = calloc(1, sizeof(*waiter));
		struct fuse_req *fuse = calloc(1, sizeof(*fuse));
		pthread_t interrupter, finisher;

		pthread_mutex_init(&waiter->lock, NULL);
		fuse_init(fuse);
		assert_int_equal(pthread_create(&interrupter, NULL, interrupt_thread, fuse), 0);
		park(waiter, req_begin(requests, fuse));
		assert_int_equal(pthread_create(&finisher, NULL, finish_thread, waiter), 0);
		pthread_join(finisher, NULL);
		await_replies(fuse, 1);
		if (!fuse->error) /* the finisher's reply: no CANCELLED runs any more */
			free(waiter);
		pthread_join(interrupter, NULL);
		assert_int_equal(fuse->replies, 1);
		if (fuse->error)
			free(waiter);
		free(fuse);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(answers_once, set_up, tear_down),
		cmocka_unit_test_setup_teardown(hostile_errors, set_up, tear_down),
		cmocka_unit_test_setup_teardown(answers_are_cut_to_their_room, set_up, tear_down),
		cmocka_unit_test_setup_teardown(undelivered_is_told, set_up, tear_down),
		cmocka_unit_test_setup_teardown(interrupt_fires_the_token, set_up, tear_down),
		cmocka_unit_test_setup_teardown(interrupt_that_came_first, set_up, tear_down),
		cmocka_unit_test_setup_teardown(parked_read_gets_bytes, set_up, tear_down),
		cmocka_unit_test_setup_teardown(parked_read_is_interrupted, set_up, tear_down),
		cmocka_unit_test_setup_teardown(interrupt_before_parking, set_up, tear_down),
		cmocka_unit_test_setup_teardown(finished_before_parking, set_up, tear_down),
		cmocka_unit_test_setup_teardown(ending_cancels_all, set_up, tear_down),
		cmocka_unit_test_setup_teardown(finish_races_with_interrupt, set_up, tear_down),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
