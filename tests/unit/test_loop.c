/*
 * test_loop.c - how the threads that read requests end, on a fake libfuse that treats the
 * errors of read(2) as 3.14 does, and a read(2) that fails as the kernel's does (--wrap).
 */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "fs/log.h"
#include "fs/loop.h"

#define DEVICE 1000 /* no descriptor of this process */

struct fuse_session {
	struct fuse_custom_io io;
	int fd;
	int error;               /* of every read but the first ones */
	atomic_int to_come;      /* requests */
	atomic_int processed;    /* requests */
	atomic_int said, exited; /* what libfuse has said; whether it is over */
};

static atomic_int logged;
static struct fuse_session *here; /* what read(2) is on */

void log_message(int priority, const char *format, ...)
{
	(void)priority;
	(void)format;
	atomic_fetch_add(&logged, 1);
}

int fuse_session_fd(struct fuse_session *session)
{
	(void)session;
	return DEVICE;
}

int fuse_session_custom_io(struct fuse_session *session, const struct fuse_custom_io *io, int fd)
{
	session->io = *io;
	session->fd = fd;
	return 0;
}

void fuse_session_exit(struct fuse_session *session)
{
	atomic_store(&session->exited, 1);
}

int fuse_session_receive_buf(struct fuse_session *session, struct fuse_buf *buf)
{
	char request[16];
	ssize_t got = session->io.read(session->fd, request, sizeof(request), NULL);
	int code = errno;

	(void)buf;
	if (atomic_load(&session->exited))
		return 0;
	if (got >= 0)
		return (int)got;
	if (code == ENODEV) {
		fuse_session_exit(session);
		return 0;
	}
	if (code != EINTR && code != EAGAIN)
		atomic_fetch_add(&session->said, 1);
	return -code;
}

void fuse_session_process_buf(struct fuse_session *session, const struct fuse_buf *buf)
{
	(void)buf;
	atomic_fetch_add(&session->processed, 1);
}

ssize_t __wrap_read(int fd, void *bytes, size_t len);
ssize_t __real_read(int fd, void *bytes, size_t len);

ssize_t __wrap_read(int fd, void *bytes, size_t len)
{
	if (fd != DEVICE)
		return __real_read(fd, bytes, len);
	if (atomic_fetch_sub(&here->to_come, 1) > 0) {
		memset(bytes, 0, len);
		return (ssize_t)len;
	}
	errno = here->error;
	return -1;
}

/* A loop from its start to its end by itself. */
static void live(struct fuse_session *session, int requests, int error)
{
	struct loop *loop;

	*session = (struct fuse_session){ .error = error, .to_come = requests };
	here = session;
	atomic_store(&logged, 0);
	assert_int_equal(loop_new(session, &loop), 0);
	assert_int_equal(session->fd, DEVICE);
	assert_int_equal(loop_start(loop), 0);
	loop_wait(loop);
	assert_true(loop_join(loop, 60));
	loop_free(loop);
	assert_int_equal(atomic_load(&session->exited), 1);
	assert_int_equal(atomic_load(&session->processed), requests);
}

static void test_an_unmount(void **state)
{
	struct fuse_session session;

	(void)state;
	live(&session, 3, ENODEV);
	assert_int_equal(atomic_load(&session.said) + atomic_load(&logged), 0);
}

/* The same end, for a thread that was just taking a request. */
static void test_an_unmount_while_a_request_is_taken(void **state)
{
	struct fuse_session session;

	(void)state;
	live(&session, 3, ECONNABORTED);
	assert_int_equal(atomic_load(&session.said) + atomic_load(&logged), 0);
}

static void test_another_error_is_told(void **state)
{
	struct fuse_session session;

	(void)state;
	live(&session, 0, EPERM);
	assert_int_equal(atomic_load(&logged), 1);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_an_unmount),
		cmocka_unit_test(test_an_unmount_while_a_request_is_taken),
		cmocka_unit_test(test_another_error_is_told),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
