/*
 * transcript.h - what a terminal has shown, up to a cap, as text and as the bytes that it was.
 *
 * As text: what is no UTF-8 is U+FFFD, and cursors count characters.  As bytes: offsets count
 * bytes.  Both from the beginning, also when the oldest have been dropped.  No lock of its
 * own.
 */
#ifndef VSOCKFS_AGENT_TRANSCRIPT_H
#define VSOCKFS_AGENT_TRANSCRIPT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "protocol/buf.h"

struct transcript_chunk;

struct transcript {
	struct transcript_chunk *chunks; /* oldest first */
	size_t count;                    /* of chunks */
	size_t max;                      /* of chunks */
	int64_t begin, end; /* cursors of the first kept character and behind the last */
	int64_t first_byte; /* offset of the first kept byte */
	int64_t bytes;      /* how many there were, without the partial ones */
	char partial[4];    /* the beginning of a character */
	size_t partial_len;
};

/* Keeps at least MAX bytes of text once there are as many. */
void transcript_init(struct transcript *transcript, size_t max);
/* From now on it takes at most SIZE bytes of memory, or one chunk. */
void transcript_limit(struct transcript *transcript, size_t size);
void transcript_free(struct transcript *transcript);

void transcript_add(struct transcript *transcript, const char *bytes, size_t len);
/* No more will come: an incomplete character is a wrong one. */
void transcript_finish(struct transcript *transcript);

/*
 * Adds at most MAX_CHARS characters from *CURSOR on to OUT.  *CURSOR is moved to what is
 * there; returns the cursor behind the last character.
 */
int64_t transcript_read(const struct transcript *transcript, int64_t *cursor, int64_t max_chars,
			struct buf *out);

/* Bytes there were until now. */
int64_t transcript_size(const struct transcript *transcript);
/* Copies at most LEN bytes from *OFFSET on, which is moved to what is there. */
size_t transcript_read_bytes(const struct transcript *transcript, int64_t *offset, char *bytes,
			     size_t len);

#endif
