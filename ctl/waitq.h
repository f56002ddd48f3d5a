/*
 * waitq.h - reads that wait, and poll(2) handles, for one thing that may happen.
 *
 * The owner says through `take` whether a reader can have something now.
 * waitq_read takes it at once or parks the request; whoever changes something calls
 * waitq_wake, which lets every parked read try again.  A parked read ends once: data,
 * an interrupt, waitq_close and the reader's release compete to take it
 * out under the queue's lock, and the one that did finishes it with no lock held.
 *
 * `take` and `ready` run under the queue's lock; they may take object->lock, nothing else, and
 * never block.
 */
#ifndef VSOCKFS_CTL_WAITQ_H
#define VSOCKFS_CTL_WAITQ_H

#include <pthread.h>
#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

#include "fs/vnode.h"

struct waiter;

/* One open file that reads from the queue. */
struct waitq_reader {
	uint64_t cursor;           /* the owner's: what this open file has had */
	struct vn_poll *poll;      /* the queue's lock */
	struct waitq_reader *next; /* the queue's lock */
};

struct waitq {
	void *owner;
	/* Bytes, 0 at the end, a negative errno; -EAGAIN: nothing yet. */
	ssize_t (*take)(void *owner, struct waitq_reader *reader, int64_t offset, void *bytes,
			size_t len);
	/* Whether take would not say -EAGAIN for a read that goes on. */
	bool (*ready)(void *owner, struct waitq_reader *reader);
	pthread_mutex_t lock;
	struct waiter *first;         /* lock; the longest waiting */
	struct waitq_reader *readers; /* lock */
	int closed;                   /* lock; positive errno once closed */
};

void waitq_init(struct waitq *queue, void *owner,
		ssize_t (*take)(void *owner, struct waitq_reader *reader, int64_t offset,
				void *bytes, size_t len),
		bool (*ready)(void *owner, struct waitq_reader *reader));
void waitq_destroy(struct waitq *queue);

void waitq_attach(struct waitq *queue, struct waitq_reader *reader);
/* The open file goes away, and with it its poll handle and what it still has parked. */
void waitq_detach(struct waitq *queue, struct waitq_reader *reader);

/* ops->read's answer.  With NONBLOCK, -EAGAIN instead of parking. */
ssize_t waitq_read(struct waitq *queue, struct waitq_reader *reader, struct vn_req *req,
		   bool nonblock, int64_t offset, void *bytes, size_t len);
/* ops->poll: takes POLL over; POLLIN when something can be read. */
unsigned waitq_poll(struct waitq *queue, struct waitq_reader *reader, struct vn_poll *poll);

/* Something changed.  Hold no lock. */
void waitq_wake(struct waitq *queue);
/* Ends every parked read with -ERROR.  The queue goes on. */
void waitq_fail(struct waitq *queue, int error);
/* The same, and later reads are answered so, too.  Hold no lock. */
void waitq_close(struct waitq *queue, int error);
/* Whether anybody waits, or polls for what is not there yet. */
bool waitq_wanted(struct waitq *queue);

#endif
