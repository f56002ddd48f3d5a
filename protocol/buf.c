/*
 * buf.c - the growing run of bytes of buf.h.
 */
#include "protocol/buf.h"

#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "protocol/cleanup.h"

#define FIRST_ROOM 256

void buf_init(struct buf *buf, size_t max)
{
	*buf = (struct buf)BUF_INIT(max);
}

void buf_free(struct buf *buf)
{
	size_t max = buf->max;

	cleanup_free(&buf->data);
	buf_init(buf, max);
}

char *buf_reserve(struct buf *buf, size_t len)
{
	if (buf->overflow)
		return NULL;
	if (buf->len > buf->max || len > buf->max - buf->len || len > SIZE_MAX / 2 - buf->len - 1) {
		buf->overflow = true;
		return NULL;
	}

	size_t need = buf->len + len + 1; /* the NUL */

	if (need > buf->room) {
		size_t room = buf->room ? buf->room : FIRST_ROOM;

		while (room < need)
			room *= 2;
		if (room - 1 > buf->max)
			room = buf->max + 1;

		char *grown = realloc(buf->data, room);

		if (!grown) {
			buf->overflow = true;
			return NULL;
		}
		buf->data = grown;
		buf->room = room;
	}
	buf->data[buf->len] = '\0';
	return buf->data + buf->len;
}

void buf_commit(struct buf *buf, size_t len)
{
	if (!len)
		return;
	buf->len += len;
	buf->data[buf->len] = '\0';
}

void buf_add(struct buf *buf, const void *bytes, size_t len)
{
	char *room = buf_reserve(buf, len);

	if (!room)
		return;
	if (len)
		memcpy(room, bytes, len);
	buf_commit(buf, len);
}

void buf_adds(struct buf *buf, const char *text)
{
	buf_add(buf, text, strlen(text));
}

void buf_addf(struct buf *buf, const char *format, ...)
{
	va_list args;
	char *room;
	int len;

	va_start(args, format);
	len = vsnprintf(NULL, 0, format, args);
	va_end(args);
	if (len < 0) {
		buf->overflow = true;
		return;
	}
	room = buf_reserve(buf, (size_t)len);
	if (!room)
		return;
	va_start(args, format);
	vsnprintf(room, (size_t)len + 1, format, args);
	va_end(args);
	buf_commit(buf, (size_t)len);
}

void buf_consume(struct buf *buf, size_t len)
{
	if (!len)
		return;
	if (len > buf->len)
		len = buf->len;
	buf->len -= len;
	memmove(buf->data, buf->data + len, buf->len + 1);
}

const char *buf_str(const struct buf *buf)
{
	return buf->data ? buf->data : "";
}

char *buf_steal(struct buf *buf)
{
	char *data = move_ptr(buf->data);

	buf_init(buf, buf->max);
	return data;
}
