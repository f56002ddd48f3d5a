/*
 * redact.h - takes given secrets out of a stream of bytes.
 *
 * A secret may come in pieces: as long as the end of what came could be the
 * beginning of one, it is held back.  No lock of its own.
 */
#ifndef VSOCKFS_AGENT_REDACT_H
#define VSOCKFS_AGENT_REDACT_H

#include <jansson.h>
#include <stdbool.h>

#include "protocol/buf.h"
#include "protocol/error.h"

#define REDACT_TEXT "[REDACTED]"

struct redact_value {
	char *bytes; /* owned */
	size_t len;
};

struct redact {
	struct redact_value *values; /* owned */
	size_t count;
	size_t longest;
	bool begins[256]; /* some value begins with this byte */
	struct buf held;
};

typedef void (*redact_fn)(void *arg, const char *bytes, size_t len);

/* VALUES is an array of strings, null or NULL; empty strings do not count. */
int redact_init(struct redact *redact, const json_t *values, struct error *err);
void redact_free(struct redact *redact);

/* Gives EMIT what may be shown of all that came so far. */
void redact_add(struct redact *redact, const char *bytes, size_t len, redact_fn emit, void *arg);
/* No more will come. */
void redact_finish(struct redact *redact, redact_fn emit, void *arg);

#endif
