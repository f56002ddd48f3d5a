/*
 * cmd.h - one line of a ctl file, taken apart and looked up in a table of verbs.
 *
 * Words are separated by blanks.  Quoting, where an argument needs it:
 *   'text'   as it stands
 *   "text"   with \n \t \r \\ \" \xHH
 *   \c       the character c
 * Three kinds of arguments (see enum cmd_kind) keep the common lines free of it.
 * Verbs match exactly; a wrong number of words is an error that quotes the usage.
 */
#ifndef VSOCKFS_CTL_CMD_H
#define VSOCKFS_CTL_CMD_H

#include <stdbool.h>
#include <stddef.h>

#include "protocol/buf.h"
#include "protocol/call.h"
#include "protocol/error.h"

struct object;

#define CMD_WORDS 4

enum cmd_kind {
	CMD_PLAIN, /* MIN to MAX words */
	CMD_ONE,   /* one argument: the rest of the line if it has no quotes or backslashes, blanks
		      at its ends left out; else exactly one quoted word */
	CMD_REST,  /* the rest of the line, as it stands */
};

enum {
	CMD_REACHES = 1, /* reaches the guest: what was written through the mount goes first */
	CMD_CHANGES = 2, /* may change the guest's files: the mount forgets what it knew */
};

struct cmd;

struct cmd_verb {
	const char *name;
	enum cmd_kind kind;
	int min, max; /* arguments; max is 1 for CMD_ONE and CMD_REST, and at most CMD_WORDS */
	unsigned flags;
	const char *usage; /* "size COLS ROWS" */
	/* Under the object's verb lock. */
	int (*run)(struct object *object, const struct call *call, const struct cmd *cmd,
		   struct error *err);
	/* After a successful run, without the lock; may be NULL. */
	int (*wait)(struct object *object, const struct call *call, struct error *err);
};

struct cmd {
	const struct cmd_verb *verb; /* NULL for a blank line */
	const char *argv[CMD_WORDS]; /* without the verb; inside text */
	int argc;
	char *text; /* owned */
};

/*
 * Parses LEN bytes, a line without its newline.  -EINVAL with a sentence that
 * quotes the wrong word.  Give OUT to cmd_free also after an error.
 */
int cmd_parse(const struct cmd_verb *verbs, size_t count, const char *line, size_t len,
	      struct cmd *out, struct error *err);
void cmd_free(struct cmd *cmd);

/* Appends TEXT so that a CMD_ONE argument (and a word) reads as exactly TEXT. */
void cmd_quote(struct buf *out, const char *text);

/* A decimal number from MIN to MAX with nothing after it.  WHAT names it in the error. */
int cmd_number(const char *text, double min, double max, bool whole, const char *what, double *out,
	       struct error *err);

#endif
