/* transcript.c - see transcript.h. */
#include "protocol/agent/transcript.h"

#include <stdlib.h>
#include <string.h>
#include <utlist.h>

#include "protocol/utf8.h"

#define CHUNK (64u << 10)
#define REPLACEMENT "\xef\xbf\xbd"

/* The bytes of whole characters only, so that a chunk can be dropped or skipped by its count. */
struct transcript_chunk {
	struct transcript_chunk *prev, *next;
	size_t len, chars;
	char bytes[CHUNK];
};

void transcript_init(struct transcript *transcript, size_t max)
{
	*transcript = (struct transcript){ .max = max / CHUNK + 2 };
}

void transcript_free(struct transcript *transcript)
{
	struct transcript_chunk *chunk;

	while ((chunk = transcript->chunks) != NULL) {
		DL_DELETE(transcript->chunks, chunk);
		free(chunk);
	}
	transcript->count = 0;
}

/* Takes the oldest chunk off; NULL where there is none. */
static struct transcript_chunk *drop(struct transcript *transcript)
{
	struct transcript_chunk *chunk = transcript->chunks;

	if (!chunk)
		return NULL;
	transcript->begin += (int64_t)chunk->chars;
	transcript->first_byte += (int64_t)chunk->len;
	DL_DELETE(transcript->chunks, chunk);
	transcript->count--;
	return chunk;
}

void transcript_limit(struct transcript *transcript, size_t size)
{
	transcript->max = size / sizeof(struct transcript_chunk);
	if (!transcript->max)
		transcript->max = 1;
	while (transcript->count > transcript->max)
		free(drop(transcript));
}

/* An empty chunk at the end; the oldest one where there are enough or no memory is left. */
static struct transcript_chunk *grow(struct transcript *transcript)
{
	struct transcript_chunk *chunk = NULL;

	if (transcript->count < transcript->max)
		chunk = malloc(sizeof(*chunk));
	if (!chunk)
		chunk = drop(transcript);
	if (!chunk)
		return NULL;
	transcript->count++;
	/* NOLINTBEGIN(clang-analyzer-core.NullDereference): the head of a list has a prev */
	chunk->len = chunk->chars = 0;
	DL_APPEND(transcript->chunks, chunk);
	/* NOLINTEND(clang-analyzer-core.NullDereference) */
	return chunk;
}

/* One character, or the bytes that U+FFFD will stand for. */
static void put(struct transcript *transcript, const char *bytes, size_t len)
{
	struct transcript_chunk *last = transcript->chunks ? transcript->chunks->prev : NULL;

	if (!last || last->len + len > CHUNK)
		last = grow(transcript);
	transcript->end++;
	transcript->bytes += (int64_t)len;
	if (!last) {
		transcript->begin = transcript->end;
		transcript->first_byte = transcript->bytes;
		return;
	}
	memcpy(last->bytes + last->len, bytes, len);
	last->len += len;
	last->chars++;
}

/* How much of BYTES one U+FFFD stands for: what could have become a character, or a byte. */
static size_t wrong(const char *bytes, size_t len)
{
	for (size_t n = len < 3 ? len : 3; n > 1; n--) {
		if (utf8_split(bytes, n) == n)
			return n;
	}
	return 1;
}

/*
 * How many of BYTES make one character; *IS_WRONG: of U+FFFD.  What follows does not matter, so
 * that the bytes that are kept give the same characters whenever they are looked at.
 */
static size_t take_char(const char *bytes, size_t len, bool *is_wrong)
{
	uint32_t code;
	size_t used = utf8_char(bytes, len, &code);

	*is_wrong = used == 0;
	return used ? used : wrong(bytes, len);
}

static void decode(struct transcript *transcript, const char *bytes, size_t len)
{
	while (len) {
		bool is_wrong;
		size_t used = take_char(bytes, len, &is_wrong);

		put(transcript, bytes, used);
		bytes += used;
		len -= used;
	}
}

void transcript_add(struct transcript *transcript, const char *bytes, size_t len)
{
	size_t rest;

	/* Byte by byte until the character that was cut is whole, or turns out wrong. */
	while (transcript->partial_len && len) {
		char joined[4];
		size_t n = transcript->partial_len;

		memcpy(joined, transcript->partial, n);
		joined[n++] = *bytes++;
		len--;
		rest = utf8_split(joined, n);
		memmove(transcript->partial, joined + n - rest, rest);
		transcript->partial_len = rest;
		decode(transcript, joined, n - rest);
	}
	rest = utf8_split(bytes, len);
	decode(transcript, bytes, len - rest);
	if (rest) {
		memcpy(transcript->partial, bytes + len - rest, rest);
		transcript->partial_len = rest;
	}
}

void transcript_finish(struct transcript *transcript)
{
	size_t len = transcript->partial_len;

	transcript->partial_len = 0;
	decode(transcript, transcript->partial, len);
}

/* Adds at most MAX characters of CHUNK, behind the first SKIP, to OUT; returns how many. */
static int64_t add_chars(const struct transcript_chunk *chunk, int64_t skip, int64_t max,
			 struct buf *out)
{
	size_t at = 0, from = 0; /* from: right ones that are not added yet */
	int64_t count = 0;

	while (at < chunk->len && count < max) {
		bool is_wrong;
		size_t used = take_char(chunk->bytes + at, chunk->len - at, &is_wrong);

		at += used;
		if (skip > 0) {
			skip--;
			from = at;
			continue;
		}
		count++;
		if (is_wrong) {
			buf_add(out, chunk->bytes + from, at - used - from);
			buf_adds(out, REPLACEMENT);
			from = at;
		}
	}
	buf_add(out, chunk->bytes + from, at - from);
	return count;
}

int64_t transcript_read(const struct transcript *transcript, int64_t *cursor, int64_t max_chars,
			struct buf *out)
{
	const struct transcript_chunk *chunk;
	int64_t at = transcript->begin, next;

	if (*cursor < transcript->begin)
		*cursor = transcript->begin;
	if (*cursor > transcript->end)
		*cursor = transcript->end;
	next = *cursor;
	for (chunk = transcript->chunks; chunk; chunk = chunk->next) {
		int64_t behind = at + (int64_t)chunk->chars;

		if (next < behind && max_chars > 0) {
			int64_t chars = add_chars(chunk, next - at, max_chars, out);

			next += chars;
			max_chars -= chars;
		}
		at = behind;
	}
	return next;
}

int64_t transcript_size(const struct transcript *transcript)
{
	return transcript->bytes + (int64_t)transcript->partial_len;
}

/* Copies what of the run of LEN FROM, which begins at AT, lies in the window of SIZE at OFFSET. */
static size_t copy_window(char *window, int64_t offset, size_t size, const char *from, int64_t at,
			  size_t len)
{
	int64_t begin = at < offset ? offset : at;
	int64_t end = at + (int64_t)len, window_end = offset + (int64_t)size;

	if (end > window_end)
		end = window_end;
	if (begin >= end)
		return 0;
	memcpy(window + (begin - offset), from + (begin - at), (size_t)(end - begin));
	return (size_t)(end - begin);
}

size_t transcript_read_bytes(const struct transcript *transcript, int64_t *offset, char *bytes,
			     size_t len)
{
	const struct transcript_chunk *chunk;
	int64_t at = transcript->first_byte;
	size_t got = 0;

	if (*offset < at)
		*offset = at;
	if (*offset > transcript_size(transcript))
		*offset = transcript_size(transcript);
	for (chunk = transcript->chunks; chunk && got < len; chunk = chunk->next) {
		got += copy_window(bytes, *offset, len, chunk->bytes, at, chunk->len);
		at += (int64_t)chunk->len;
	}
	got += copy_window(bytes, *offset, len, transcript->partial, transcript->bytes,
			   transcript->partial_len);
	return got;
}
