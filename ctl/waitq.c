/*
 * waitq.c - see waitq.h.
 *
 * A waiter is entered before its request is parked with the host, so that an interrupt
 * between the two finds it, but it is `armed` only afterwards, because a request may
 * not be finished before it is parked: until then an end is only noted in `verdict`.
 */
#include "ctl/waitq.h"

#include <errno.h>
#include <poll.h>
#include <stdlib.h>

/* A read of more than this gets at most this; the kernel asks for less anyway. */
#define READ_MAX (1u << 20)

struct waiter {
	struct vn_req *req;
	struct waitq_reader *reader;
	int64_t offset;
	size_t len;
	bool armed;     /* the queue's lock */
	int verdict;    /* the queue's lock; negative errno that came before it was armed */
	ssize_t result; /* once taken out */
	void *bytes;    /* once taken out; owned */
	struct waiter *next;
};

void waitq_init(struct waitq *queue, void *owner,
		ssize_t (*take)(void *owner, struct waitq_reader *reader, int64_t offset,
				void *bytes, size_t len),
		bool (*ready)(void *owner, struct waitq_reader *reader))
{
	*queue = (struct waitq){ .owner = owner, .take = take, .ready = ready };
	pthread_mutex_init(&queue->lock, NULL);
}

void waitq_destroy(struct waitq *queue)
{
	pthread_mutex_destroy(&queue->lock);
}

/* Takes the waiter at LINK out, with its result, and puts it on DONE.  Lock held. */
static void take_out(struct waiter **link, ssize_t result, void *bytes, struct waiter **done)
{
	struct waiter *waiter = *link;

	*link = waiter->next;
	waiter->result = result;
	waiter->bytes = bytes;
	while (*done)
		done = &(*done)->next;
	waiter->next = NULL;
	*done = waiter;
}

/* No lock held. */
static void finish_all(struct waiter *done)
{
	while (done) {
		struct waiter *waiter = done;

		done = waiter->next;
		vn_req_finish(waiter->req, waiter->bytes, waiter->result);
		free(waiter->bytes);
		free(waiter);
	}
}

/* Lets the waiter at LINK try; true when it was taken out.  Lock held. */
static bool try_waiter(struct waitq *queue, struct waiter **link, struct waiter **done)
{
	struct waiter *waiter = *link;
	ssize_t got = queue->closed ? -queue->closed : waiter->verdict;
	void *bytes = NULL;

	if (!waiter->armed)
		return false;
	if (got == 0) {
		bytes = malloc(waiter->len ? waiter->len : 1);
		got = bytes ? queue->take(queue->owner, waiter->reader, waiter->offset, bytes,
					  waiter->len) :
			      -ENOMEM;
	}
	if (got == -EAGAIN) {
		free(bytes);
		return false;
	}
	take_out(link, got, bytes, done);
	return true;
}

/* The poll handles that have become true, in an array; *COUNT of them.  Lock held. */
static void take_polls(struct waitq *queue, struct vn_poll **polls, size_t room, size_t *count)
{
	for (struct waitq_reader *r = queue->readers; r && *count < room; r = r->next) {
		if (!r->poll || (!queue->closed && !queue->ready(queue->owner, r)))
			continue;
		polls[(*count)++] = r->poll;
		r->poll = NULL;
	}
}

static void wake_polls(struct waitq *queue)
{
	struct vn_poll *polls[32];
	size_t count;

	do {
		count = 0;
		pthread_mutex_lock(&queue->lock);
		take_polls(queue, polls, sizeof(polls) / sizeof(polls[0]), &count);
		pthread_mutex_unlock(&queue->lock);
		for (size_t i = 0; i < count; i++)
			vn_poll_wake(polls[i]);
	} while (count == sizeof(polls) / sizeof(polls[0]));
}

void waitq_wake(struct waitq *queue)
{
	struct waiter *done = NULL, **link;

	pthread_mutex_lock(&queue->lock);
	link = &queue->first;
	while (*link)
		if (!try_waiter(queue, link, &done))
			link = &(*link)->next;
	pthread_mutex_unlock(&queue->lock);
	finish_all(done);
	wake_polls(queue);
}

/* Ends the waiters of READER, or of REQ, or all of them (both NULL) with ERROR. */
static void end_waiters(struct waitq *queue, const struct waitq_reader *reader,
			const struct vn_req *req, int error)
{
	struct waiter *done = NULL, **link;

	pthread_mutex_lock(&queue->lock);
	link = &queue->first;
	while (*link) {
		struct waiter *waiter = *link;

		if ((reader && waiter->reader != reader) || (req && waiter->req != req)) {
			link = &waiter->next;
		} else if (waiter->armed) {
			take_out(link, -error, NULL, &done);
		} else {
			waiter->verdict = -error;
			link = &waiter->next;
		}
	}
	pthread_mutex_unlock(&queue->lock);
	finish_all(done);
}

void waitq_fail(struct waitq *queue, int error)
{
	end_waiters(queue, NULL, NULL, error);
}

void waitq_close(struct waitq *queue, int error)
{
	pthread_mutex_lock(&queue->lock);
	if (!queue->closed)
		queue->closed = error;
	pthread_mutex_unlock(&queue->lock);
	waitq_wake(queue);
}

static void cancelled(void *arg, struct vn_req *req)
{
	end_waiters(arg, NULL, req, EINTR);
}

/*
 * Arms WAITER, which is in the queue, and lets it try at once: what came meanwhile is not missed.
 */
static void arm(struct waitq *queue, struct waiter *waiter)
{
	struct waiter *done = NULL, **link;

	pthread_mutex_lock(&queue->lock);
	waiter->armed = true;
	link = &queue->first;
	while (*link != waiter)
		link = &(*link)->next;
	try_waiter(queue, link, &done);
	pthread_mutex_unlock(&queue->lock);
	finish_all(done);
}

ssize_t waitq_read(struct waitq *queue, struct waitq_reader *reader, struct vn_req *req,
		   bool nonblock, int64_t offset, void *bytes, size_t len)
{
	struct waiter *waiter, **link;
	ssize_t got;

	pthread_mutex_lock(&queue->lock);
	got = queue->closed ? -queue->closed :
			      queue->take(queue->owner, reader, offset, bytes, len);
	if (got != -EAGAIN || nonblock) {
		pthread_mutex_unlock(&queue->lock);
		return got;
	}
	waiter = calloc(1, sizeof(*waiter));
	if (!waiter) {
		pthread_mutex_unlock(&queue->lock);
		return -ENOMEM;
	}
	*waiter = (struct waiter){
		.req = req,
		.reader = reader,
		.offset = offset,
		.len = len < READ_MAX ? len : READ_MAX,
	};
	for (link = &queue->first; *link; link = &(*link)->next)
		;
	*link = waiter;
	pthread_mutex_unlock(&queue->lock);
	vn_req_park(req, cancelled, queue);
	arm(queue, waiter);
	return VN_PARKED;
}

unsigned waitq_poll(struct waitq *queue, struct waitq_reader *reader, struct vn_poll *poll)
{
	struct vn_poll *old = poll;
	bool ready;

	pthread_mutex_lock(&queue->lock);
	ready = queue->closed || queue->ready(queue->owner, reader);
	/* Kept also when it is ready now: edge-triggered epoll does not ask again before a wake. */
	if (poll) {
		old = reader->poll;
		reader->poll = poll;
	}
	pthread_mutex_unlock(&queue->lock);
	if (old)
		vn_poll_free(old);
	return ready ? POLLIN | POLLRDNORM | (queue->closed ? POLLERR : 0) : 0;
}

void waitq_attach(struct waitq *queue, struct waitq_reader *reader)
{
	pthread_mutex_lock(&queue->lock);
	reader->poll = NULL;
	reader->next = queue->readers;
	queue->readers = reader;
	pthread_mutex_unlock(&queue->lock);
}

void waitq_detach(struct waitq *queue, struct waitq_reader *reader)
{
	struct waitq_reader **link;

	end_waiters(queue, reader, NULL, EINTR);
	pthread_mutex_lock(&queue->lock);
	link = &queue->readers;
	while (*link != reader)
		link = &(*link)->next;
	*link = reader->next;
	pthread_mutex_unlock(&queue->lock);
	if (reader->poll)
		vn_poll_free(reader->poll);
}

bool waitq_wanted(struct waitq *queue)
{
	bool wanted;

	pthread_mutex_lock(&queue->lock);
	wanted = queue->first != NULL;
	for (struct waitq_reader *r = queue->readers; r && !wanted; r = r->next)
		wanted = r->poll && !queue->ready(queue->owner, r);
	pthread_mutex_unlock(&queue->lock);
	return wanted;
}
