/*
 * mux_internal.h - what the files of the mux share (mux.h is the contract).
 *
 *     mux.c         life and death, tickets, waiting: who reads and who sleeps
 *     mux_call.c    calls: begin, finish, give up
 *     mux_stream.c  calls with a stream of DATA
 *     mux_send.c    frames out
 *     mux_receive.c frames in
 *
 * Locks: mux->lock, then mux->out.lock; no callback (beat, sink, source) is called with either
 * held.
 *
 * Memory: a call has at most a reply of ops_answer_max and, if it is a download, OPS_WINDOW of DATA
 * here (twice that, counting what realloc leaves over); calls are MUX_MAX_CALLS, given up ones hold
 * nothing, and what waits to be sent is at most MUX_MAX_OUT.  An agent that would need more breaks
 * the protocol, or does not read.
 */
#ifndef VSOCKFS_SESSION_MUX_INTERNAL_H
#define VSOCKFS_SESSION_MUX_INTERNAL_H

#include <pthread.h>
#include <stdatomic.h>
#include <sys/uio.h>

#include "protocol/session/frame.h"
#include "protocol/session/mux.h"

#define MUX_MAX_CALLS 4096u
#define MUX_MAX_OUT ((size_t)2 * FRAME_BODY_MAX)
#define MUX_BUCKETS 256u
/* Bytes received at once; a body of more than MUX_SMALL is received where it is to stay. */
#define MUX_IN (16u << 10)
#define MUX_SMALL (4u << 10)

/* A piece of a call's stream that its owner has not taken yet. */
struct mux_chunk {
	struct mux_chunk *next;
	struct buf bytes;
};

/*
 * A call.  Its owner has it from begin to finish; given up before its DONE has come, it belongs to
 * the table of open calls, as a zombie, until then: so its id is not used again.
 */
struct mux_ticket {
	struct mux *mux; /* referenced while it has an owner */
	uint32_t id;
	uint16_t op;
	bool lazy; /* waits long, and need not be quick: see mux_turn */
	struct call_event event;

	/* mux->lock: */
	bool open;     /* in the table */
	bool zombie;   /* nobody waits for it any more */
	bool sleeping; /* in mux->sleepers, on event */
	bool done;     /* code and reply are there */
	bool ended;    /* the last DATA has come */
	uint16_t code;
	struct buf reply;
	struct mux_chunk *first, *last;
	size_t window;                  /* bytes of DATA that the agent may send */
	uint64_t credit;                /* bytes of DATA that we may send */
	uint64_t rounds;                /* mux->rounds when it looked last; lazy ones only */
	uint64_t call_end;              /* mux->out.sent once the whole CALL frame is out */
	struct mux_ticket *prev, *next; /* mux->sleepers */
	struct mux_ticket *chain;       /* a bucket of the table, or mux->spare */
};

/* What is to be sent and did not fit into the socket: the end of one frame, and small ones. */
struct mux_out {
	pthread_mutex_t lock;
	struct buf rest; /* lock */
	size_t at;       /* lock; bytes of rest that are sent */
	uint64_t sent;   /* lock; of all there ever was */
	atomic_bool any; /* changed under the lock: something is in rest */
};

/* What was received and not yet handed on: the reader's own. */
struct mux_in {
	bool has_frame; /* frame is a header whose body is being received */
	struct frame frame;
	struct buf body;   /* of a large one; else it is in bytes */
	size_t start, end; /* of what is in bytes */
	unsigned char bytes[MUX_IN];
};

struct mux {
	int fd;
	int wake;                /* eventfd: the reader is to look up */
	struct traffic *traffic; /* or NULL */
	mux_beat beat;           /* or NULL */
	void *beat_arg;
	uint64_t epoch; /* constant once shared */
	atomic_uint refs;

	pthread_mutex_t lock;
	bool dead;                             /* lock */
	struct error why;                      /* lock; once dead */
	uint32_t last_id;                      /* lock */
	unsigned open;                         /* lock; tickets in the table */
	struct mux_ticket *table[MUX_BUCKETS]; /* lock */
	struct mux_ticket *spare;              /* lock */
	unsigned spares;                       /* lock */

	/* Who reads, who sleeps; all of it under lock. */
	bool reading;     /* some thread has `in` */
	bool reader_lazy; /* ... for a lazy ticket */
	bool yield;       /* ... which is to let another one read */
	unsigned napping; /* lazy ones that look again soon */
	uint64_t rounds;  /* of reading by others than lazy ones */
	struct mux_ticket *sleepers;
	unsigned wanting_room; /* that wait until something can be sent */
	uint64_t room;         /* counts how often something could */

	struct mux_out out;
	struct mux_in in; /* whoever set `reading` */
};

/* mux.c */

/* The reader is to come back from poll(2), this time or the next. */
void mux_poke(struct mux *mux);
/* Kills with a sentence, without the lock; -ECONNRESET. */
int mux_break(struct mux *mux, const char *format, ...) __attribute__((format(printf, 2, 3)));
void mux_counted(struct mux *mux, uint16_t op, const struct traffic_count *more);
void mux_beats(struct mux *mux, bool heard);

/* All with mux->lock held. */
int mux_die(struct mux *mux, const char *why); /* as mux_break */
struct mux_ticket *mux_find(struct mux *mux, uint32_t id);
int mux_ticket_new(struct mux *mux, enum session_op op, struct mux_ticket **out, struct error *err);
void mux_ticket_close(struct mux_ticket *ticket); /* takes it out of the table */
void mux_ticket_recycle(struct mux *mux, struct mux_ticket *ticket);
void mux_ticket_drop_data(struct mux_ticket *ticket);
void mux_ticket_wake(struct mux_ticket *ticket);

/*
 * One turn of waiting, with mux->lock held before and after, not meanwhile: this thread reads, or
 * sleeps if another one does.  0: something may have changed; -ETIMEDOUT, -EINTR as CALL has it.
 * Whoever has stopped waiting calls mux_pass_on before it unlocks.
 */
int mux_turn(struct mux_ticket *ticket, const struct call *call);
void mux_pass_on(struct mux *mux);

/* mux_call.c */

struct mux_how {
	bool lazy;
	size_t window;        /* of DATA from the agent */
	uint32_t deadline_ms; /* for the agent; 0: none */
};
int mux_begin_how(struct mux *mux, const struct call *call, enum session_op op,
		  const struct buf *args, const struct mux_how *how, struct mux_ticket **out,
		  struct error *err);
/* What it asks, for people. */
const char *mux_name(const struct mux_ticket *ticket);
/* Tells the agent, frees what is here; the ticket is the owner's no more. */
void mux_give_up(struct mux_ticket *ticket);
/* The sentence for RC, -ETIMEDOUT or -EINTR. */
int mux_waited_in_vain(const struct mux_ticket *ticket, int rc, struct error *err);

/* mux_send.c */

/*
 * Sends, or queues if it must; for frames of calls of OP without which the session is stuck.  May
 * break the mux.
 */
void mux_send_small(struct mux *mux, uint16_t op, const struct frame *frame, const void *body);
/*
 * Sends FRAME with its body in two parts, waiting for room.  0, also if a part of it is queued;
 * -ETIMEDOUT and -EINTR: nothing of it is sent; -ECONNRESET; -ECANCELED when TICKET is done
 * meanwhile.
 */
int mux_send(struct mux_ticket *ticket, const struct call *call, const struct frame *frame,
	     const struct iovec body[2]);
/* The reader's: the socket can take something. */
void mux_send_rest(struct mux *mux);
uint64_t mux_sent(struct mux *mux);

/* mux_receive.c */

/*
 * Polls, receives and delivers, at most once.  Only for who has set `reading`; with mux->lock held
 * before and after, not meanwhile.
 */
int mux_receive(struct mux *mux, const struct call *call);
void mux_in_init(struct mux_in *in);

#endif
