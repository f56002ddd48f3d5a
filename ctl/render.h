/*
 * render.h - a terminal's output as plain text.
 *
 * Takes the bytes as they come and gives whole lines as a reader of the
 * screen would have seen them last: escape sequences are gone, a carriage return,
 * backspaces and cursor movements within the line overwrite it.  The line that is not
 * finished yet can be asked for at any time.  It is a model of one line, not of a screen:
 * movements up and down and clearing of the screen are ignored.  A line longer than
 * LIMIT_TEXT_LINE columns is broken there.
 */
#ifndef VSOCKFS_CTL_RENDER_H
#define VSOCKFS_CTL_RENDER_H

#include <stddef.h>
#include <stdint.h>

#include "protocol/buf.h"
#include "protocol/limits.h"

#define RENDER_PARAMS 4

struct render {
	uint32_t cells[LIMIT_TEXT_LINE]; /* code points; bytes that are no UTF-8 as BYTE | b */
	size_t len;                      /* cells of the line */
	size_t column;                   /* the cursor; may be behind the end */
	int state;
	unsigned params[RENDER_PARAMS]; /* of the sequence that is being read */
	size_t param_count;
	uint32_t partial;  /* a character whose bytes are not all there yet */
	unsigned expected; /* bytes that it still needs */
	unsigned char raw[4];
	unsigned raw_len;
};

void render_init(struct render *render);

/* Takes LEN bytes; lines that are finished are added to LINES, each with its newline. */
void render_feed(struct render *render, const void *bytes, size_t len, struct buf *lines);

/* Adds the line that is not finished, without a newline. */
void render_line(const struct render *render, struct buf *out);

#endif
