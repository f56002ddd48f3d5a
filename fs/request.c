/*
 * request.c - the kernel's requests: once-only replies, interrupts, parking.
 */
#include "fs/request.h"

#include <errno.h>
#include <limits.h>
#include <pthread.h>
#include <stdlib.h>

#include "fs/log.h"
#include "protocol/cleanup.h"

/* The guest's own timeout should be what a caller runs into, not ours. */
#define MARGIN_SECONDS 0.5

typedef void (*cancelled_fn)(void *arg, struct vn_req *req);

struct vn_req {
	struct requests *owner;
	fuse_req_t fuse;
	struct call call;
	struct cancel cancel;
	size_t room; /* bytes that a read's reply may have */
	atomic_uint refs;
	atomic_bool settled;
	struct vn_req *prev, *next; /* owner->lock; what is under way */
	struct vn_req *next_queued; /* owner->lock */
	cancelled_fn cancelled;     /* owner->lock; set while parked and not yet run */
	void *arg;                  /* owner->lock */
	bool queued;                /* owner->lock; the queue holds a reference */
};

struct requests {
	double timeout;
	pthread_mutex_t lock;
	pthread_cond_t work;    /* something was queued, or stop */
	pthread_cond_t ran;     /* a CANCELLED has returned */
	struct vn_req *first;   /* lock; under way */
	struct vn_req *queue;   /* lock; interrupted parked requests, oldest first */
	struct vn_req **tail;   /* lock */
	struct vn_req *running; /* lock; whose CANCELLED is running */
	bool cancelling;        /* lock */
	bool stop;              /* lock */
	bool started;           /* by the thread that starts and stops */
	pthread_t thread;
};

int requests_new(double timeout, struct requests **out)
{
	struct requests *requests = calloc(1, sizeof(*requests));

	if (!requests)
		return -ENOMEM;
	requests->timeout = timeout;
	pthread_mutex_init(&requests->lock, NULL);
	pthread_cond_init(&requests->work, NULL);
	pthread_cond_init(&requests->ran, NULL);
	requests->tail = &requests->queue;
	*out = requests;
	return 0;
}

void requests_free(struct requests *requests)
{
	if (!requests)
		return;
	pthread_cond_destroy(&requests->ran);
	pthread_cond_destroy(&requests->work);
	pthread_mutex_destroy(&requests->lock);
	free(requests);
}

struct vn_req *req_ref(struct vn_req *req)
{
	atomic_fetch_add(&req->refs, 1);
	return req;
}

void req_unref(struct vn_req *req)
{
	if (atomic_fetch_sub(&req->refs, 1) != 1)
		return;
	cancel_destroy(&req->cancel);
	free(req);
}

/* Under the lock: puts a parked request up for the completion thread. */
static void enqueue(struct requests *requests, struct vn_req *req)
{
	if (!req->cancelled || req->queued)
		return;
	req->queued = true;
	req->next_queued = NULL;
	*requests->tail = req_ref(req);
	requests->tail = &req->next_queued;
	pthread_cond_signal(&requests->work);
}

/* Under the lock: takes REQ out of the queue; the caller drops the queue's reference. */
static bool dequeue(struct requests *requests, struct vn_req *req)
{
	struct vn_req **link = &requests->queue;

	if (!req->queued)
		return false;
	while (*link != req)
		link = &(*link)->next_queued;
	*link = req->next_queued;
	if (requests->tail == &req->next_queued)
		requests->tail = link;
	req->queued = false;
	return true;
}

static void *completion_thread(void *arg)
{
	struct requests *requests = arg;

	pthread_mutex_lock(&requests->lock);
	for (;;) {
		struct vn_req *req = requests->queue;
		cancelled_fn cancelled;
		void *cancelled_arg;

		if (!req) {
			if (requests->stop)
				break;
			pthread_cond_wait(&requests->work, &requests->lock);
			continue;
		}
		dequeue(requests, req);
		cancelled = move_ptr(req->cancelled); /* once */
		cancelled_arg = req->arg;
		requests->running = req;
		pthread_mutex_unlock(&requests->lock);
		cancelled(cancelled_arg, req);
		pthread_mutex_lock(&requests->lock);
		requests->running = NULL;
		pthread_cond_broadcast(&requests->ran);
		pthread_mutex_unlock(&requests->lock);
		req_unref(req);
		pthread_mutex_lock(&requests->lock);
	}
	pthread_mutex_unlock(&requests->lock);
	return NULL;
}

int requests_start(struct requests *requests)
{
	int rc = pthread_create(&requests->thread, NULL, completion_thread, requests);

	requests->started = !rc;
	return -rc;
}

void requests_stop(struct requests *requests)
{
	if (!requests->started)
		return;
	pthread_mutex_lock(&requests->lock);
	requests->stop = true;
	pthread_cond_signal(&requests->work);
	pthread_mutex_unlock(&requests->lock);
	pthread_join(requests->thread, NULL);
	requests->started = false;
}

void requests_cancel_all(struct requests *requests)
{
	pthread_mutex_lock(&requests->lock);
	requests->cancelling = true;
	for (struct vn_req *req = requests->first; req; req = req->next) {
		cancel_fire(&req->cancel);
		enqueue(requests, req);
	}
	pthread_mutex_unlock(&requests->lock);
}

/* libfuse calls this under the request's lock: mark, wake, queue; never reply. */
static void on_interrupt(fuse_req_t fuse, void *data)
{
	struct vn_req *req = data;

	(void)fuse;
	cancel_fire(&req->cancel);
	pthread_mutex_lock(&req->owner->lock);
	enqueue(req->owner, req);
	pthread_mutex_unlock(&req->owner->lock);
}

struct vn_req *req_begin(struct requests *requests, fuse_req_t fuse)
{
	struct vn_req *req = calloc(1, sizeof(*req));
	bool cancelling;

	if (!req) {
		fuse_reply_err(fuse, ENOMEM);
		return NULL;
	}
	req->owner = requests;
	req->fuse = fuse;
	cancel_init(&req->cancel);
	req->call = call_within(requests->timeout + MARGIN_SECONDS, &req->cancel);
	atomic_init(&req->refs, 1);
	atomic_init(&req->settled, false);

	pthread_mutex_lock(&requests->lock);
	req->next = requests->first;
	if (req->next)
		req->next->prev = req;
	requests->first = req;
	cancelling = requests->cancelling;
	pthread_mutex_unlock(&requests->lock);

	if (cancelling)
		cancel_fire(&req->cancel);
	fuse_req_interrupt_func(fuse, on_interrupt, req); /* may call it at once */
	return req;
}

void req_set_room(struct vn_req *req, size_t size)
{
	req->room = size;
}

const struct call *vn_req_call(struct vn_req *req)
{
	return &req->call;
}

void vn_req_park(struct vn_req *req, void (*cancelled)(void *arg, struct vn_req *req), void *arg)
{
	struct requests *requests = req->owner;

	pthread_mutex_lock(&requests->lock);
	if (!atomic_load(&req->settled)) { /* else somebody has already finished it */
		req->cancelled = cancelled;
		req->arg = arg;
		/* Before it was parked the callback queued nothing. */
		if (cancel_fired(&req->cancel))
			enqueue(requests, req);
	}
	pthread_mutex_unlock(&requests->lock);
}

/*
 * What every reply begins with: nothing of ours points to the request any more
 * when it returns.  NULL if there has been a reply already.
 */
static fuse_req_t settle(struct vn_req *req)
{
	struct requests *requests = req->owner;
	bool was_queued;

	if (atomic_exchange(&req->settled, true)) {
		log_message(LOG_ERR, "internal error: a second reply to one request was dropped");
		return NULL;
	}
	fuse_req_interrupt_func(req->fuse, NULL, NULL);

	pthread_mutex_lock(&requests->lock);
	if (req->prev)
		req->prev->next = req->next;
	else
		requests->first = req->next;
	if (req->next)
		req->next->prev = req->prev;
	req->cancelled = NULL;
	was_queued = dequeue(requests, req);
	while (requests->running == req && !pthread_equal(pthread_self(), requests->thread))
		pthread_cond_wait(&requests->ran, &requests->lock);
	pthread_mutex_unlock(&requests->lock);
	if (was_queued)
		req_unref(req);
	return req->fuse;
}

/* Settles REQ, answers with the expression ANSWER that uses `fuse`, and lets REQ go. */
#define REPLY(req, answer)                                                                         \
	__extension__({                                                                            \
		fuse_req_t fuse = settle(req);                                                     \
		int failed_ = fuse ? (answer) : 0;                                                 \
                                                                                                   \
		if (fuse)                                                                          \
			req_unref(req);                                                            \
		failed_;                                                                           \
	})

/* The kernel refuses a reply with an error from here on, and goes on waiting. */
#define FIRST_REFUSED_ERROR 512

void req_reply_err(struct vn_req *req, int rc)
{
	int code;

	if (rc > 0 || rc <= -FIRST_REFUSED_ERROR)
		code = EIO;
	else if (rc == -ENOSYS) /* the kernel would not send this operation any more */
		code = EOPNOTSUPP;
	else
		code = -rc;
	REPLY(req, fuse_reply_err(fuse, code));
}

void req_reply_attr(struct vn_req *req, const struct vn_attr *attr)
{
	REPLY(req, fuse_reply_attr(fuse, &attr->st, attr->valid));
}

void req_reply_readlink(struct vn_req *req, const char *target)
{
	REPLY(req, fuse_reply_readlink(fuse, target));
}

void req_reply_write(struct vn_req *req, size_t count)
{
	REPLY(req, fuse_reply_write(fuse, count));
}

void req_reply_bytes(struct vn_req *req, const void *bytes, size_t len)
{
	REPLY(req, fuse_reply_buf(fuse, bytes, len));
}

void req_reply_statfs(struct vn_req *req, const struct statvfs *stat)
{
	REPLY(req, fuse_reply_statfs(fuse, stat));
}

void req_reply_poll(struct vn_req *req, unsigned events)
{
	REPLY(req, fuse_reply_poll(fuse, events));
}

int req_reply_entry(struct vn_req *req, const struct fuse_entry_param *entry)
{
	return REPLY(req, fuse_reply_entry(fuse, entry));
}

int req_reply_open(struct vn_req *req, const struct fuse_file_info *file)
{
	return REPLY(req, fuse_reply_open(fuse, file));
}

int req_reply_create(struct vn_req *req, const struct fuse_entry_param *entry,
		     const struct fuse_file_info *file)
{
	return REPLY(req, fuse_reply_create(fuse, entry, file));
}

void vn_req_finish(struct vn_req *req, const void *bytes, ssize_t result)
{
	if (result < 0)
		req_reply_err(req, result > INT_MIN ? (int)result : -EIO);
	else
		req_reply_bytes(req, bytes,
				(size_t)result < req->room ? (size_t)result : req->room);
}
