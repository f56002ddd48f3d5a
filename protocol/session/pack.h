/*
 * pack.h - bodies of frames, field by field: little-endian integers, and bytes
 * behind a u32 length.
 *
 * Packing goes into a struct buf (whose ceiling latches).  Unpacking latches too: after the first
 * field that is not there every further one reads as 0 or "", and unpack_done tells once at the
 * end.  Bytes that are unpacked point into the body.
 */
#ifndef VSOCKFS_SESSION_PACK_H
#define VSOCKFS_SESSION_PACK_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "protocol/buf.h"
#include "protocol/error.h"

void pack_u8(struct buf *buf, uint8_t value);
void pack_u16(struct buf *buf, uint16_t value);
void pack_u32(struct buf *buf, uint32_t value);
void pack_u64(struct buf *buf, uint64_t value);
void pack_bytes(struct buf *buf, const void *bytes, size_t len);
void pack_text(struct buf *buf, const char *text);

struct unpack {
	const unsigned char *at, *end;
	bool failed;
};

struct unpack unpack_from(const void *bytes, size_t len);
/* LEN bytes off the front; NULL, and failed, where there are not so many. */
const unsigned char *unpack_take(struct unpack *in, size_t len);
uint8_t unpack_u8(struct unpack *in);
uint16_t unpack_u16(struct unpack *in);
uint32_t unpack_u32(struct unpack *in);
uint64_t unpack_u64(struct unpack *in);
/* At most MAX bytes, else failed. */
const void *unpack_bytes(struct unpack *in, size_t max, size_t *len);
/* The same, copied to OUT with a NUL behind; a NUL within is a failure.  SIZE counts the NUL. */
bool unpack_text(struct unpack *in, char *out, size_t size);
/* What is left, all of it. */
const void *unpack_rest(struct unpack *in, size_t *len);
/* 0 if every field was there and nothing is left, else -EPROTO naming WHAT. */
int unpack_done(const struct unpack *in, const char *what, struct error *err);

#endif
