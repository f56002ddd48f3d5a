/*
 * buf.h - a growing run of bytes with a ceiling.
 *
 * The ceiling is given once, at buf_init; whatever would go over it, and an
 * allocation that fails, latches `overflow` and adds nothing.  Builders test
 * the latch once at the end.  data is NUL-terminated behind len whenever it is
 * not NULL.
 */
#ifndef VSOCKFS_BUF_H
#define VSOCKFS_BUF_H

#include <stdbool.h>
#include <stddef.h>

struct buf {
	char *data; /* owned; NULL while empty */
	size_t len;
	size_t room;
	size_t max;
	bool overflow;
};

#define BUF_INIT(limit)                                                                            \
	{                                                                                          \
		.max = (limit)                                                                     \
	}
#define autobuf __attribute__((cleanup(buf_free)))

void buf_init(struct buf *buf, size_t max);
void buf_free(struct buf *buf); /* back to empty, with the same ceiling */
void buf_add(struct buf *buf, const void *bytes, size_t len);
void buf_adds(struct buf *buf, const char *text);
void buf_addf(struct buf *buf, const char *format, ...) __attribute__((format(printf, 2, 3)));

/* LEN writable bytes behind the end, or NULL; buf_commit says how many were used. */
char *buf_reserve(struct buf *buf, size_t len);
void buf_commit(struct buf *buf, size_t len);

/* Drops the first LEN bytes. */
void buf_consume(struct buf *buf, size_t len);

/* "" instead of NULL. */
const char *buf_str(const struct buf *buf);

/* Gives the bytes away (free); the buf is empty afterwards. */
char *buf_steal(struct buf *buf);

#endif
