/*
 * shell_text.h - words for a POSIX shell, and scripts whose answers are bytes.
 *
 * A script travels as the command of one exec.  What an exec gives back is text that was decoded
 * and has its line ends changed, maybe with something in front that a login shell
 * printed.  So a script runs inside a frame: both of its outputs and its exit status come
 * back as base64 behind a marker, and here as the bytes that they were.
 */
#ifndef VSOCKFS_LINE_SHELL_TEXT_H
#define VSOCKFS_LINE_SHELL_TEXT_H

#include <stddef.h>

#include "protocol/buf.h"
#include "protocol/call.h"
#include "protocol/error.h"
#include "protocol/traffic.h"

struct guest;

/* Adds BYTES as one word, in single quotes: any bytes but NUL, also none. */
void shtext_quote(struct buf *out, const char *bytes, size_t len);

/* Adds an assignment on a line of its own: NAME='BYTES'. */
void shtext_assign(struct buf *out, const char *name, const char *bytes, size_t len);

void shtext_base64_encode(struct buf *out, const void *bytes, size_t len);

/* White space is skipped.  -EPROTO for what is not base64, -EOVERFLOW where OUT is full. */
int shtext_base64_decode(struct buf *out, const char *text, size_t len);

struct shtext_reply {
	char *out; /* owned, any bytes, NUL-terminated behind out_len */
	size_t out_len;
	char *err;  /* owned, NUL-terminated text, without newlines at its end */
	int status; /* the script's exit status */
};

/*
 * Runs SCRIPT (sh statements, in a subshell) with LC_ALL=C, TZ=UTC0, umask 0, no aliases and
 * nothing on stdin, in one exec whose own limit lies a little before CALL's deadline.  The script
 * may use fd 4 and up; a process that it leaves behind must have its stdout and stderr elsewhere,
 * else the request does not end.  A status other than 0 is no error of this call.  Besides
 * line_exec's errors: -E2BIG where the script is too long, -ETIMEDOUT where the guest's limit ended
 * it, -EOPNOTSUPP where the guest has no base64, -EPROTO for an answer without a frame.  It is
 * counted as KIND, unless CALL says otherwise.
 */
int shtext_run(struct guest *guest, const struct call *call, enum traffic_kind kind,
	       const struct buf *script, struct shtext_reply *reply, struct error *err);

/* Accepts a zeroed reply. */
void shtext_reply_free(struct shtext_reply *reply);

/*
 * The errno and the sentence of a script that failed: what its last message
 * ends with, FALLBACK (positive) where that is no known text.  Returns the negative errno.
 */
int shtext_failure(const struct shtext_reply *reply, int fallback, struct error *err);

#endif
