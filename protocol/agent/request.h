/*
 * request.h - one request and its reply, as the actions see them.
 *
 * An action reads its arguments with the request_ functions, which apply the
 * defaults of the dialect and refuse what has the wrong type, and adds
 * to the reply in the order in which the keys are to be sent.  A reply that
 * ran out of memory latches; the dispatcher tests it once.
 */
#ifndef VSOCKFS_AGENT_REQUEST_H
#define VSOCKFS_AGENT_REQUEST_H

#include <jansson.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include "protocol/agent/agent.h"
#include "protocol/agent/peer.h"
#include "protocol/error.h"

struct request {
	struct agent *agent;
	struct peer *peer;
	const json_t *object;
	int64_t payload; /* bytes of the archive that are still to be read */

	/* What goes after the reply object: TAIL_SIZE bytes of the file TAIL, -1 for nothing. */
	int tail;
	int64_t tail_size;
};

struct reply {
	json_t *object;
	bool failed; /* out of memory */
};

/* 0, or a negative errno with the text that the client gets as "error". */
typedef int (*action_fn)(struct request *request, struct reply *reply, struct error *err);

/*
 * The string KEY as bytes without NULs, at most MAX of them; FALLBACK (NULL: the key is
 * required) where it is missing or null.  *OUT is owned by the caller.
 */
int request_text(const struct request *request, const char *key, const char *fallback, size_t max,
		 char **out, struct error *err);
/* Likewise for a string in which NULs may be: *LEN is its length. */
int request_bytes(const struct request *request, const char *key, size_t max, char **out,
		  size_t *len, struct error *err);
/* An integer of MIN..MAX; a number with a fraction is cut. */
int request_int(const struct request *request, const char *key, int64_t fallback, int64_t min,
		int64_t max, int64_t *out, struct error *err);
/* Seconds, with or without a fraction, of 0..MAX_SECONDS; as milliseconds. */
int request_ms(const struct request *request, const char *key, int64_t fallback_seconds,
	       int64_t max_seconds, int64_t *ms, struct error *err);
int request_bool(const struct request *request, const char *key, bool fallback, bool *out,
		 struct error *err);
/* The name of a shell or service, trimmed: [A-Za-z0-9][A-Za-z0-9._-]{0,63}. */
int request_name(const struct request *request, const char *key, char **out, struct error *err);

/*
 * Takes archive_size: after it, request_payload reads that many bytes and then 0.
 * A stream that ends before is -ENODATA.
 */
int request_open_payload(struct request *request, struct error *err);
ssize_t request_payload(void *request, void *bytes, size_t len);

void reply_text(struct reply *reply, const char *key, const char *text); /* NULL: null */
void reply_bytes(struct reply *reply, const char *key, const char *bytes, size_t len);
void reply_int(struct reply *reply, const char *key, int64_t value);
void reply_bool(struct reply *reply, const char *key, bool value);
void reply_null(struct reply *reply, const char *key);
/* Seconds since the epoch; 0 is null. */
void reply_time(struct reply *reply, const char *key, double seconds);
/* Takes VALUE over. */
void reply_value(struct reply *reply, const char *key, json_t *value);

#endif
