/*
 * exchange_io.h - one exchange as a state machine over a non-blocking
 * descriptor, which never waits.  Internal to line/exchange.c and reaper.c.
 *
 * Everything that one request and its reply need lies in one struct, so that
 * it can change hands whole: from the thread of the caller, who pumps it with poll(2), to the
 * reaper's, once the caller has given up.  It belongs to one thread at a time; no locks.
 *
 * The rule it keeps (docs/protocol.md): a connection that was accepted is read to
 * EOF before it is closed, because leaving early kills the agent in the field.
 */
#ifndef VSOCKFS_LINE_EXCHANGE_IO_H
#define VSOCKFS_LINE_EXCHANGE_IO_H

#include <jansson.h>
#include <stdbool.h>
#include <stdint.h>

#include "protocol/buf.h"
#include "protocol/guest_internal.h"
#include "protocol/line/exchange.h"
#include "protocol/transport.h"

/* A request that changes nothing and is answered at once; with its newline. */
#define EXCHANGE_NOTHING "{\"command\": \":\", \"timeout_seconds\": 5}\n"

enum exchange_state {
	EXCHANGE_IDLE, /* not connected: before the first attempt, and between two */
	EXCHANGE_DIAL,
	EXCHANGE_TALK, /* accepted: from here on it is finished, not closed */
	EXCHANGE_END,  /* the peer has closed, or the connection is a session now */
};

enum exchange_shape {
	EXCHANGE_OBJECT, /* one object up to EOF */
	EXCHANGE_HELLO, /* likewise, or a line that says that the connection goes on as a session */
	EXCHANGE_HEADER,  /* an export's object up to the newline */
	EXCHANGE_BODY,    /* an export's bytes */
	EXCHANGE_DISCARD, /* nobody wants the rest */
};

typedef int (*exchange_sink)(void *arg, const void *bytes, size_t len);

struct exchange {
	struct guest *guest; /* the gate's place is held; the reaper also has a hold */
	const struct address
		*aside;        /* dialled instead of the guest's own, without a place; or NULL */
	struct exchange *next; /* the reaper's list */
	enum exchange_state state;
	struct dial dial; /* state DIAL; its descriptor is `fd` afterwards */
	int fd;           /* state TALK and END */

	char *line; /* the request, owned */
	size_t line_len, line_sent;
	struct line_payload payload;
	int64_t payload_read; /* bytes asked of payload.read, or replaced by zeros */
	int payload_error;    /* negative errno of payload.read */
	char *chunk;          /* bytes read and not yet sent, owned */
	size_t chunk_len, chunk_sent;
	bool mute; /* the peer takes no more: only read */

	enum exchange_shape shape;
	struct buf reply;
	json_t *object;   /* the reply, or an export's header; owned */
	int64_t received; /* bytes of the reply so far */
	bool begun;       /* something that is no white space has come */
	bool braced;      /* and it was a '{' */
	bool lined;       /* a hello's first line has been looked at */
	bool session;     /* it said that the connection goes on */
	bool abandoned;   /* only whether it says that still matters, and then nothing */
	int64_t body_size, body_left;
	int64_t max_size;
	exchange_sink sink;
	void *sink_arg;

	int64_t dialled_at; /* call_now() when this attempt began */
	int64_t heard_at;   /* when a byte moved last, or the connection was made */
	int64_t bulk_at;    /* when a byte of a payload or of an export moved last; 0 for never */
	int64_t patience;   /* nanoseconds of silence that say the guest is gone */
	int64_t reap_until; /* the reaper: when to give up; 0: LIMIT_REAP_SECONDS from then */
	bool reported;      /* the reaper: the guest was called gone for this one */
	enum traffic_kind kind;
	struct traffic_count traffic; /* not yet told to the guest */
};

/*
 * Takes REQUEST's object and payload over, whatever happens.  -E2BIG for a line
 * over LIMIT_REQUEST_LINE, -ENOMEM, -EINVAL.
 */
int exchange_new(struct guest *guest, struct exchange_request *request, struct exchange **out,
		 struct error *err);
/* Closes what is open: only in the states IDLE and END, or where giving up is right. */
void exchange_free(struct exchange *x);

/* Begins an attempt: errors of dial_start; the state is IDLE then. */
int exchange_dial(struct exchange *x, struct error *err);

/* Whether another attempt would repeat nothing that was sent. */
bool exchange_untouched(const struct exchange *x);
/*
 * Back to IDLE after a failed attempt, ready for another; needs a payload of which nothing was
 * read.
 */
void exchange_rewind(struct exchange *x);

int exchange_fd(const struct exchange *x);
short exchange_events(const struct exchange *x);

/* Whether the whole request, with its payload, has left. */
bool exchange_all_sent(const struct exchange *x);

/*
 * Moves what can be moved now.  0; or a negative errno, and the state says what is left to do:
 *   IDLE  the dial failed (errors of dial_step)
 *   TALK  the caller's answer is this error, the connection goes on
 *   END   the peer has closed too early, -EPROTO
 * State END with 0: the whole reply is there.
 */
int exchange_step(struct exchange *x, struct error *err);

/*
 * The caller has given up: from now on everything is thrown away.  A request of which nothing was
 * sent becomes EXCHANGE_NOTHING, since a connection may not stay silent.  A hello's answer is
 * looked at as far as it may begin a session: that is the end, since such a connection has no
 * other.
 */
void exchange_abandon(struct exchange *x);
/* Throws away what has come, and from now on what comes. */
void exchange_discard(struct exchange *x);

/* Tells the guest what was moved since the last time. */
void exchange_account(struct exchange *x);

/* What an object says: 0, or -EREMOTEIO with the text of its "error". */
int exchange_judge(const json_t *object, struct error *err);

#endif
