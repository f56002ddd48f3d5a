/* transcript.c - see transcript.h. */
#include "protocol/agent/transcript.h"

#include <stdlib.h>
#include <string.h>
#include <utlist.h>

#include "protocol/utf8.h"

#define CHUNK (64u << 10)
#define REPLACEMENT "\xef\xbf\xbd"

/* Whole characters only, so that a chunk can be dropped or skipped by its count. */
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

/* An empty chunk at the end; the oldest one where there are enough or no memory is left. */
static struct transcript_chunk *grow(struct transcript *transcript)
{
	struct transcript_chunk *chunk = NULL;

	if (transcript->count < transcript->max)
		chunk = malloc(sizeof(*chunk));
	if (chunk) {
		transcript->count++;
	} else {
		chunk = transcript->chunks;
		if (!chunk)
			return NULL;
		transcript->begin += (int64_t)chunk->chars;
		DL_DELETE(transcript->chunks, chunk);
	}
	chunk->len = chunk->chars = 0;
	DL_APPEND(transcript->chunks, chunk);
	return chunk;
}

/* One character. */
static void put(struct transcript *transcript, const char *bytes, size_t len)
{
	struct transcript_chunk *last = transcript->chunks ? transcript->chunks->prev : NULL;

	if (!last || last->len + len > CHUNK)
		last = grow(transcript);
	transcript->end++;
	if (!last) {
		transcript->begin = transcript->end;
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

static void decode(struct transcript *transcript, const char *bytes, size_t len)
{
	while (len) {
		uint32_t code;
		size_t used = utf8_char(bytes, len, &code);

		if (used) {
			put(transcript, bytes, used);
		} else {
			used = wrong(bytes, len);
			put(transcript, REPLACEMENT, sizeof(REPLACEMENT) - 1);
		}
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
		rest = n < 4 ? utf8_split(joined, n) : 0;
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

static bool continues(char byte)
{
	return ((unsigned char)byte & 0xc0) == 0x80;
}

/* The offset of character INDEX of TEXT, at most LEN. */
static size_t offset_of(const char *text, size_t len, int64_t index)
{
	size_t at = 0;

	for (; index > 0 && at < len; index--) {
		at++;
		while (at < len && continues(text[at]))
			at++;
	}
	return at;
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
			size_t from = offset_of(chunk->bytes, chunk->len, next - at);
			int64_t chars = behind - next < max_chars ? behind - next : max_chars;

			buf_add(out, chunk->bytes + from,
				offset_of(chunk->bytes + from, chunk->len - from, chars));
			next += chars;
			max_chars -= chars;
		}
		at = behind;
	}
	return next;
}
