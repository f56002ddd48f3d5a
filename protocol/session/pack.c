/*
 * pack.c - fields of bodies to and from bytes.
 */
#include "protocol/session/pack.h"

#include <errno.h>
#include <string.h>

#include "protocol/session/number.h"

void pack_u8(struct buf *buf, uint8_t value)
{
	buf_add(buf, &value, 1);
}

void pack_u16(struct buf *buf, uint16_t value)
{
	unsigned char bytes[2];

	put16(bytes, value);
	buf_add(buf, bytes, sizeof(bytes));
}

void pack_u32(struct buf *buf, uint32_t value)
{
	unsigned char bytes[4];

	put32(bytes, value);
	buf_add(buf, bytes, sizeof(bytes));
}

void pack_u64(struct buf *buf, uint64_t value)
{
	unsigned char bytes[8];

	put64(bytes, value);
	buf_add(buf, bytes, sizeof(bytes));
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

const unsigned char *unpack_take(struct unpack *in, size_t len)
{
	const unsigned char *at = in->at;

	if (in->failed || len > (size_t)(in->end - at)) {
		in->failed = true;
		return NULL;
	}
	in->at += len;
	return at;
}

uint8_t unpack_u8(struct unpack *in)
{
	const unsigned char *at = unpack_take(in, 1);

	return at ? at[0] : 0;
}

uint16_t unpack_u16(struct unpack *in)
{
	const unsigned char *at = unpack_take(in, 2);

	return at ? get16(at) : 0;
}

uint32_t unpack_u32(struct unpack *in)
{
	const unsigned char *at = unpack_take(in, 4);

	return at ? get32(at) : 0;
}

uint64_t unpack_u64(struct unpack *in)
{
	const unsigned char *at = unpack_take(in, 8);

	return at ? get64(at) : 0;
}

const void *unpack_bytes(struct unpack *in, size_t max, size_t *len)
{
	uint32_t size = unpack_u32(in);
	const unsigned char *at;

	if (size > max)
		in->failed = true;
	at = unpack_take(in, size);
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
	return *len ? unpack_take(in, *len) : (const unsigned char *)"";
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
