/*
 * pack.c - fields of bodies to and from bytes.
 */
#include "protocol/session/pack.h"

#include <errno.h>
#include <string.h>

static void pack_number(struct buf *buf, uint64_t value, size_t size)
{
	char bytes[8];

	for (size_t i = 0; i < size; i++)
		bytes[i] = (char)(value >> 8 * i);
	buf_add(buf, bytes, size);
}

void pack_u8(struct buf *buf, uint8_t value)
{
	pack_number(buf, value, 1);
}

void pack_u16(struct buf *buf, uint16_t value)
{
	pack_number(buf, value, 2);
}

void pack_u32(struct buf *buf, uint32_t value)
{
	pack_number(buf, value, 4);
}

void pack_u64(struct buf *buf, uint64_t value)
{
	pack_number(buf, value, 8);
}

void pack_bytes(struct buf *buf, const void *bytes, size_t len)
{
	if (len > UINT32_MAX) {
		buf->overflow = true;
		return;
	}
	pack_u32(buf, (uint32_t)len);
	buf_add(buf, bytes, len);
}

void pack_text(struct buf *buf, const char *text)
{
	pack_bytes(buf, text, strlen(text));
}

struct unpack unpack_from(const void *bytes, size_t len)
{
	/* A pointer that may be added to, also where there is nothing. */
	const unsigned char *at = len ? bytes : (const unsigned char *)"";

	return (struct unpack){ .at = at, .end = at + len };
}

/* LEN bytes off the front, or NULL and the latch. */
static const unsigned char *take(struct unpack *in, size_t len)
{
	const unsigned char *at = in->at;

	if (in->failed || len > (size_t)(in->end - at)) {
		in->failed = true;
		return NULL;
	}
	in->at += len;
	return at;
}

static uint64_t unpack_number(struct unpack *in, size_t size)
{
	const unsigned char *at = take(in, size);
	uint64_t value = 0;

	for (size_t i = 0; at && i < size; i++)
		value |= (uint64_t)at[i] << 8 * i;
	return value;
}

uint8_t unpack_u8(struct unpack *in)
{
	return (uint8_t)unpack_number(in, 1);
}

uint16_t unpack_u16(struct unpack *in)
{
	return (uint16_t)unpack_number(in, 2);
}

uint32_t unpack_u32(struct unpack *in)
{
	return (uint32_t)unpack_number(in, 4);
}

uint64_t unpack_u64(struct unpack *in)
{
	return unpack_number(in, 8);
}

const void *unpack_bytes(struct unpack *in, size_t max, size_t *len)
{
	uint32_t size = unpack_u32(in);
	const unsigned char *at;

	if (size > max)
		in->failed = true;
	at = take(in, size);
	*len = at ? size : 0;
	return at ? at : (const unsigned char *)"";
}

bool unpack_text(struct unpack *in, char *out, size_t size)
{
	size_t len;
	const char *bytes = unpack_bytes(in, size - 1, &len);

	if (memchr(bytes, '\0', len)) {
		in->failed = true;
		len = 0;
	}
	memcpy(out, bytes, len);
	out[len] = '\0';
	return !in->failed;
}

const void *unpack_rest(struct unpack *in, size_t *len)
{
	*len = in->failed ? 0 : (size_t)(in->end - in->at);
	return *len ? take(in, *len) : (const unsigned char *)"";
}

int unpack_done(const struct unpack *in, const char *what, struct error *err)
{
	if (in->failed)
		return error_set(err, EPROTO, "%s is cut short or has a field out of its bounds",
				 what);
	if (in->at != in->end)
		return error_set(err, EPROTO, "%s has %zu bytes too many", what,
				 (size_t)(in->end - in->at));
	return 0;
}
