/*
 * mux.c - life and death of a session's client side, its table of calls, and who reads.
 */
#include "protocol/session/mux_internal.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <unistd.h>
#include <utlist.h>

#include "protocol/cleanup.h"

/* Tickets kept for the next calls, and the room of a reply that is kept with one. */
#define MAX_SPARES 16
#define SPARE_REPLY 4096

/* How long the others must have been quiet before a lazy ticket reads again. */
#define NAP_SECONDS 0.010

int mux_new(int fd, struct traffic *traffic, mux_beat beat, void *arg, struct mux **out,
	    struct error *err)
{
	struct mux *mux = calloc(1, sizeof(*mux));
	int rc;

	if (!mux) {
		close(fd);
		return error_set(err, ENOMEM, "out of memory for a session");
	}
	mux->wake = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	if (mux->wake < 0) {
		rc = errno;
		close(fd);
		free(mux);
		return error_set(err, rc, "cannot make an eventfd for a session: %s", strerror(rc));
	}
	mux->fd = fd;
	mux->traffic = traffic;
	mux->beat = beat;
	mux->beat_arg = arg;
	atomic_init(&mux->refs, 1);
	pthread_mutex_init(&mux->lock, NULL);
	pthread_mutex_init(&mux->out.lock, NULL);
	buf_init(&mux->out.rest, MUX_MAX_OUT);
	mux_in_init(&mux->in);
	*out = mux;
	return 0;
}

struct mux *mux_ref(struct mux *mux)
{
	atomic_fetch_add(&mux->refs, 1);
	return mux;
}

static void ticket_free(struct mux_ticket *ticket)
{
	mux_ticket_drop_data(ticket);
	buf_free(&ticket->reply);
	call_event_destroy(&ticket->event);
	free(ticket);
}

static void free_chain(struct mux_ticket *ticket)
{
	while (ticket) {
		struct mux_ticket *next = ticket->chain;

		ticket_free(ticket);
		ticket = next;
	}
}

void mux_unref(struct mux *mux)
{
	if (!mux || atomic_fetch_sub(&mux->refs, 1) != 1)
		return;
	/* Every ticket with an owner has a reference: what is left are zombies. */
	for (unsigned i = 0; i < MUX_BUCKETS; i++)
		free_chain(mux->table[i]);
	free_chain(mux->spare);
	close(mux->fd);
	close(mux->wake);
	buf_free(&mux->out.rest);
	buf_free(&mux->in.body);
	pthread_mutex_destroy(&mux->out.lock);
	pthread_mutex_destroy(&mux->lock);
	free(mux);
}

void mux_counted(struct mux *mux, uint16_t op, const struct traffic_count *more)
{
	if (mux->traffic)
		traffic_add(mux->traffic, ops_kind(op), more);
}

void mux_beats(struct mux *mux, bool heard)
{
	if (mux->beat)
		mux->beat(mux->beat_arg, heard);
}

void mux_poke(struct mux *mux)
{
	uint64_t one = 1;

	/* It can only fail because it is full: then the reader is about to look up anyway. */
	while (write(mux->wake, &one, sizeof(one)) < 0 && errno == EINTR)
		;
}

void mux_set_epoch(struct mux *mux, uint64_t epoch)
{
	mux->epoch = epoch;
}

uint64_t mux_epoch(const struct mux *mux)
{
	return mux->epoch;
}

bool mux_dead(struct mux *mux)
{
	bool dead;

	pthread_mutex_lock(&mux->lock);
	dead = mux->dead;
	pthread_mutex_unlock(&mux->lock);
	return dead;
}

int mux_die(struct mux *mux, const char *why)
{
	struct mux_ticket *ticket;

	if (!mux->dead) {
		mux->dead = true;
		error_set(&mux->why, ECONNRESET, "%s", why);
		/* The reader wakes from it, and the agent hears of it. */
		shutdown(mux->fd, SHUT_RDWR);
		for (ticket = mux->sleepers; ticket; ticket = ticket->next)
			call_event_signal(&ticket->event);
	}
	return -ECONNRESET;
}

void mux_kill(struct mux *mux, const struct error *why)
{
	pthread_mutex_lock(&mux->lock);
	mux_die(mux, why->text);
	pthread_mutex_unlock(&mux->lock);
}

int mux_break(struct mux *mux, const char *format, ...)
{
	char why[512];
	va_list args;

	va_start(args, format);
	vsnprintf(why, sizeof(why), format, args);
	va_end(args);
	pthread_mutex_lock(&mux->lock);
	mux_die(mux, why);
	pthread_mutex_unlock(&mux->lock);
	return -ECONNRESET;
}

/*
 * Tickets
 */

static struct mux_ticket **bucket_of(struct mux *mux, uint32_t id)
{
	return &mux->table[id % MUX_BUCKETS];
}

struct mux_ticket *mux_find(struct mux *mux, uint32_t id)
{
	struct mux_ticket *ticket = *bucket_of(mux, id);

	while (ticket && ticket->id != id)
		ticket = ticket->chain;
	return ticket;
}

static struct mux_ticket *take_spare(struct mux *mux)
{
	struct mux_ticket *ticket = mux->spare;

	if (ticket) {
		mux->spare = ticket->chain;
		mux->spares--;
		return ticket;
	}
	ticket = calloc(1, sizeof(*ticket));
	if (!ticket)
		return NULL;
	call_event_init(&ticket->event);
	buf_init(&ticket->reply, FRAME_BODY_MAX);
	return ticket;
}

int mux_ticket_new(struct mux *mux, enum session_op op, struct mux_ticket **out, struct error *err)
{
	struct mux_ticket *ticket, **bucket;

	if (mux->open >= MUX_MAX_CALLS)
		return error_set(err, EAGAIN, "%u calls are open on the session: try again later",
				 MUX_MAX_CALLS);
	ticket = take_spare(mux);
	if (!ticket)
		return error_set(err, ENOMEM, "out of memory for a call");
	do
		mux->last_id++;
	while (!mux->last_id || mux_find(mux, mux->last_id));
	ticket->id = mux->last_id;
	ticket->op = (uint16_t)op;
	ticket->mux = mux_ref(mux);
	ticket->lazy = ticket->zombie = ticket->done = ticket->ended = false;
	ticket->open = true;
	ticket->code = 0;
	ticket->reply.len = 0;
	ticket->window = 0;
	ticket->credit = OPS_WINDOW;
	ticket->rounds = mux->rounds;
	ticket->call_end = UINT64_MAX;
	bucket = bucket_of(mux, ticket->id);
	ticket->chain = *bucket;
	*bucket = ticket;
	mux->open++;
	*out = ticket;
	return 0;
}

void mux_ticket_close(struct mux_ticket *ticket)
{
	struct mux_ticket **at = bucket_of(ticket->mux, ticket->id);

	if (!ticket->open)
		return;
	while (*at != ticket)
		at = &(*at)->chain;
	*at = ticket->chain;
	ticket->chain = NULL;
	ticket->open = false;
	ticket->mux->open--;
}

void mux_ticket_drop_data(struct mux_ticket *ticket)
{
	while (ticket->first) {
		struct mux_chunk *chunk = ticket->first;

		ticket->first = chunk->next;
		buf_free(&chunk->bytes);
		free(chunk);
	}
	ticket->last = NULL;
}

void mux_ticket_recycle(struct mux *mux, struct mux_ticket *ticket)
{
	if (mux->spares == MAX_SPARES || ticket->reply.room > SPARE_REPLY) {
		ticket_free(ticket);
		return;
	}
	mux_ticket_drop_data(ticket);
	ticket->chain = mux->spare;
	mux->spare = ticket;
	mux->spares++;
}

void mux_ticket_wake(struct mux_ticket *ticket)
{
	if (ticket->sleeping)
		call_event_signal(&ticket->event);
}

/*
 * Who reads
 */

/* Reads one round for TICKET and all others. */
static int read_turn(struct mux_ticket *ticket, const struct call *call)
{
	struct mux *mux = ticket->mux;
	int rc;

	mux->reading = true;
	mux->reader_lazy = ticket->lazy;
	rc = mux_receive(mux, call);
	mux->reading = false;
	if (!ticket->lazy) {
		mux->rounds++;
	} else if (mux->yield) {
		/* Whoever asked for it sleeps: it is woken here, and this one naps first. */
		ticket->rounds = mux->rounds - 1;
		mux_pass_on(mux);
	}
	mux->yield = false;
	return rc;
}

static int sleep_turn(struct mux_ticket *ticket, const struct call *call)
{
	struct mux *mux = ticket->mux;
	int rc;

	DL_APPEND(mux->sleepers, ticket);
	ticket->sleeping = true;
	pthread_mutex_unlock(&mux->lock);
	rc = call_event_wait(&ticket->event, call);
	pthread_mutex_lock(&mux->lock);
	ticket->sleeping = false;
	DL_DELETE(mux->sleepers, ticket);
	return rc;
}

/* Sleeps so shortly that nobody need wake it to read again. */
static int nap_turn(struct mux_ticket *ticket, const struct call *call)
{
	struct mux *mux = ticket->mux;
	struct call nap = call_extend(call, NAP_SECONDS);
	bool cut = nap.deadline > call->deadline;
	int rc;

	if (cut)
		nap.deadline = call->deadline;
	ticket->rounds = mux->rounds;
	mux->napping++;
	rc = sleep_turn(ticket, &nap);
	mux->napping--;
	return rc == -ETIMEDOUT && !cut ? 0 : rc;
}

/*
 * A lazy ticket's thread, such as that of a watch, would read for ever, and every other call would
 * pay for being woken by it.  So it lets those read for themselves, and reads when they have been
 * quiet for a nap.
 */
int mux_turn(struct mux_ticket *ticket, const struct call *call)
{
	struct mux *mux = ticket->mux;

	if (mux->reading) {
		if (mux->reader_lazy && !ticket->lazy && !mux->yield) {
			mux->yield = true;
			mux_poke(mux);
		}
		return sleep_turn(ticket, call);
	}
	if (ticket->lazy && ticket->rounds != mux->rounds)
		return nap_turn(ticket, call);
	return read_turn(ticket, call);
}

void mux_pass_on(struct mux *mux)
{
	struct mux_ticket *ticket, *lazy = NULL;

	if (mux->reading || mux->dead)
		return;
	for (ticket = mux->sleepers; ticket; ticket = ticket->next) {
		if (ticket->lazy) {
			lazy = ticket;
		} else if (!ticket->done) { /* those that are done wake anyway, and pass it on */
			call_event_signal(&ticket->event);
			return;
		}
	}
	if (lazy && !mux->napping)
		call_event_signal(&lazy->event);
}
