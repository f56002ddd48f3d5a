/*
 * reply.h - reading a reply of the line dialect, field by field.  Internal to
 * protocol/line/.
 *
 * A field that is missing or null has the protocol's default; one of a wrong
 * type, out of its range or too long is -EPROTO with a sentence that names
 * it.  The first problem is latched, later fields get their defaults, and
 * the caller tests `rc` once at the end.
 */
#ifndef VSOCKFS_LINE_REPLY_H
#define VSOCKFS_LINE_REPLY_H

#include <jansson.h>

#include "protocol/line/line.h"

struct line_reply {
	const json_t *object; /* borrowed */
	struct error *err;
	int rc; /* the first problem */
};

/* FALLBACK may be NULL for "".  OUT is filled (data not NULL) unless rc says otherwise. */
void line_reply_text(struct line_reply *reply, const char *key, const char *fallback,
		     struct line_text *out);

/* A word of the protocol's ([A-Za-z0-9._-]*) in SIZE bytes with its NUL. */
void line_reply_word(struct line_reply *reply, const char *key, const char *fallback, char *out,
		     size_t size);

int64_t line_reply_int(struct line_reply *reply, const char *key, int64_t fallback, int64_t min,
		       int64_t max);

/* A count or a size: 0 to INT64_MAX, default 0. */
int64_t line_reply_count(struct line_reply *reply, const char *key);

/* Seconds since the epoch, integer or float; 0 for null. */
double line_reply_time(struct line_reply *reply, const char *key);

bool line_reply_bool(struct line_reply *reply, const char *key, bool fallback);

/* exit_code, where null means that there is none yet: returns whether there is one. */
bool line_reply_exit_code(struct line_reply *reply, int64_t *exit_code);

/* Borrowed; NULL for missing or null. */
const json_t *line_reply_array(struct line_reply *reply, const char *key);
const json_t *line_reply_object(struct line_reply *reply, const char *key);

/* Latches a problem of the caller's own. */
void line_reply_fail(struct line_reply *reply, const char *format, ...)
	__attribute__((format(printf, 2, 3)));

void line_text_free(struct line_text *text);

#endif
