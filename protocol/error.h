/*
 * error.h - what went wrong: an errno for programs and a sentence for people.
 *
 * A function that can fail takes a `struct error *` as its last parameter and
 * returns 0 or a negative errno; on failure err->code is the same number,
 * positive, and err->text one line that says what happened and what to do.
 * err may be NULL where the caller wants the number only.  On success *err is
 * not touched.  There is no ownership: the text lives inside the struct.
 */
#ifndef VSOCKFS_ERROR_H
#define VSOCKFS_ERROR_H

#include "protocol/limits.h"

struct error {
	int code; /* positive errno, 0 while nothing went wrong */
	char text[LIMIT_ERROR_TEXT];
};

/*
 * Records CODE (positive) and the formatted sentence, cut at LIMIT_ERROR_TEXT, each byte that is
 * not of a visible character (utf8_visible) replaced by '?'.  Returns -CODE, so that `return
 * error_set(err, EINVAL, "...")` is the usual way out.
 */
int error_set(struct error *err, int code, const char *format, ...)
	__attribute__((format(printf, 3, 4)));

/*
 * Puts "CONTEXT: " in front of a text that is already there and returns
 * -err->code; with err NULL, returns RC.
 */
int error_wrap(struct error *err, int rc, const char *format, ...)
	__attribute__((format(printf, 3, 4)));

/* ERR, or where that is NULL, OWN, which says nothing yet: for who wants the sentence too. */
struct error *error_place(struct error *err, struct error *own);

/* Copies FROM to TO (either may be NULL) and returns -FROM->code. */
int error_copy(struct error *to, const struct error *from);

/*
 * The errno whose message, in any of the common C libraries, TEXT ends with
 * ("mkdir: cannot create 'x': File exists" gives EEXIST); FALLBACK if none.
 */
int error_from_text(const char *text, int fallback);

#endif
