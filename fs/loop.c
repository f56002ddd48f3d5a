/*
 * loop.c - worker threads: as many idle as needed, the others busy.
 */
#include "fs/loop.h"

#include <errno.h>
#include <pthread.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/uio.h>
#include <time.h>
#include <unistd.h>

#include "fs/log.h"
#include "protocol/call.h"

#define MAX_THREADS 256
#define MAX_IDLE 10

/* A signal may come just before a thread begins to wait: it is sent until it has worked. */
#define WAKE_MS 20

struct worker {
	struct loop *loop;
	struct worker *prev, *next;
	pthread_t thread;
	bool reading;
};

struct loop {
	struct fuse_session *session;
	pthread_mutex_t lock; /* guards all below, and the workers */
	pthread_cond_t changed;
	struct worker *first;
	unsigned count, idle;
	bool stopping;
};

static void on_wake(int number)
{
	(void)number; /* only there so that read(2) returns */
}

/*
 * Once the connection has ended the kernel says ENODEV, but ECONNABORTED to who was just taking a
 * request. libfuse knows only the first for an end, and complains on stderr of the other.
 */
static ssize_t read_request(int fd, void *bytes, size_t len, void *arg)
{
	ssize_t got = read(fd, bytes, len);

	(void)arg;
	if (got < 0 && errno == ECONNABORTED)
		errno = ENODEV;
	return got;
}

static ssize_t write_reply(int fd, struct iovec *pieces, int count, void *arg)
{
	(void)arg;
	return writev(fd, pieces, count);
}

static const struct fuse_custom_io device_io = { .read = read_request, .writev = write_reply };

int loop_new(struct fuse_session *session, struct loop **out)
{
	struct sigaction action = { .sa_handler = on_wake }; /* no SA_RESTART */
	struct loop *loop;
	pthread_condattr_t attr;
	int rc = fuse_session_custom_io(session, &device_io, fuse_session_fd(session));

	if (rc < 0)
		return rc;
	loop = calloc(1, sizeof(*loop));
	if (!loop)
		return -ENOMEM;
	sigemptyset(&action.sa_mask);
	sigaction(SIGUSR2, &action, NULL);
	loop->session = session;
	pthread_mutex_init(&loop->lock, NULL);
	pthread_condattr_init(&attr);
	pthread_condattr_setclock(&attr, CLOCK_MONOTONIC);
	pthread_cond_init(&loop->changed, &attr);
	pthread_condattr_destroy(&attr);
	*out = loop;
	return 0;
}

void loop_free(struct loop *loop)
{
	if (!loop)
		return;
	pthread_cond_destroy(&loop->changed);
	pthread_mutex_destroy(&loop->lock);
	free(loop);
}

static int spawn(struct loop *loop);

/* Under the lock. */
static void stop(struct loop *loop)
{
	loop->stopping = true;
	fuse_session_exit(loop->session);
	pthread_cond_broadcast(&loop->changed);
}

/* Under the lock, which is let go while waiting.  False: this was no request. */
static bool receive(struct worker *worker, struct fuse_buf *buf)
{
	struct loop *loop = worker->loop;
	int rc;

	worker->reading = true;
	loop->idle++;
	pthread_mutex_unlock(&loop->lock);
	rc = fuse_session_receive_buf(loop->session, buf);
	pthread_mutex_lock(&loop->lock);
	worker->reading = false;
	loop->idle--;
	if (rc > 0)
		return true;
	if (rc != -EINTR && rc != -EAGAIN) {
		if (rc < 0)
			log_message(LOG_ERR, "cannot read from /dev/fuse: error %d", -rc);
		stop(loop); /* 0: the mount has ended */
	}
	return false;
}

static void *worker_main(void *arg)
{
	struct worker *worker = arg;
	struct loop *loop = worker->loop;
	struct fuse_buf buf = { 0 };

	pthread_mutex_lock(&loop->lock);
	worker->thread = pthread_self();
	while (!loop->stopping && loop->idle < MAX_IDLE) {
		if (!receive(worker, &buf))
			continue;
		if (!loop->idle && !loop->stopping)
			spawn(loop); /* else the next request waits for one of us */
		pthread_mutex_unlock(&loop->lock);
		fuse_session_process_buf(loop->session, &buf);
		pthread_mutex_lock(&loop->lock);
	}
	if (worker->prev)
		worker->prev->next = worker->next;
	else
		loop->first = worker->next;
	if (worker->next)
		worker->next->prev = worker->prev;
	loop->count--;
	pthread_cond_broadcast(&loop->changed);
	pthread_mutex_unlock(&loop->lock); /* the loop may be gone from here on */
	free(buf.mem);
	free(worker);
	return NULL;
}

/* Under the lock. */
static int spawn(struct loop *loop)
{
	struct worker *worker;
	int rc;

	if (loop->count >= MAX_THREADS)
		return -EAGAIN;
	worker = calloc(1, sizeof(*worker));
	if (!worker)
		return -ENOMEM;
	worker->loop = loop;
	rc = pthread_create(&worker->thread, NULL, worker_main, worker);
	if (rc) {
		free(worker);
		return -rc;
	}
	pthread_detach(worker->thread);
	worker->next = loop->first;
	if (worker->next)
		worker->next->prev = worker;
	loop->first = worker;
	loop->count++;
	return 0;
}

int loop_start(struct loop *loop)
{
	int rc;

	pthread_mutex_lock(&loop->lock);
	rc = spawn(loop);
	pthread_mutex_unlock(&loop->lock);
	return rc;
}

void loop_wait(struct loop *loop)
{
	pthread_mutex_lock(&loop->lock);
	while (!loop->stopping)
		pthread_cond_wait(&loop->changed, &loop->lock);
	pthread_mutex_unlock(&loop->lock);
}

void loop_stop(struct loop *loop)
{
	pthread_mutex_lock(&loop->lock);
	stop(loop);
	pthread_mutex_unlock(&loop->lock);
}

bool loop_join(struct loop *loop, double seconds)
{
	int64_t deadline = call_within(seconds, NULL).deadline;
	bool all_gone;

	pthread_mutex_lock(&loop->lock);
	while (loop->count && call_now() < deadline) {
		int64_t until = call_now() + WAKE_MS * INT64_C(1000000);
		struct timespec at = { .tv_sec = until / 1000000000,
				       .tv_nsec = until % 1000000000 };

		for (struct worker *worker = loop->first; worker; worker = worker->next) {
			if (worker->reading)
				pthread_kill(worker->thread, SIGUSR2);
		}
		pthread_cond_timedwait(&loop->changed, &loop->lock, &at);
	}
	all_gone = !loop->count;
	pthread_mutex_unlock(&loop->lock);
	return all_gone;
}
