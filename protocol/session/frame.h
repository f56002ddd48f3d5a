/*
 * frame.h - the session dialect's frames (docs/protocol.md, part 2).
 *
 * A frame is a header of 12 bytes, little-endian, and a body:
 *
 *     0  u32  size of the body, at most FRAME_BODY_MAX
 *     4  u32  id of the call it belongs to; never 0
 *     8  u8   kind
 *     9  u8   flags (DATA: FRAME_END), else 0
 *    10  u16  code (CALL: the operation; DONE: the errno), else 0
 *
 * Pure functions over bytes; both ends use them.
 */
#ifndef VSOCKFS_SESSION_FRAME_H
#define VSOCKFS_SESSION_FRAME_H

#include <stddef.h>
#include <stdint.h>

#include "protocol/error.h"

#define FRAME_HEADER 12
/* Room for the contents of one kernel request and its envelope. */
#define FRAME_BODY_MAX ((128u << 10) + 4096)

enum frame_kind {
	FRAME_CALL = 1,   /* client: begins a call; body: u32 deadline in ms (0: none), arguments */
	FRAME_DONE = 2,   /* agent: ends it; body: the result, or with a code the sentence */
	FRAME_DATA = 3,   /* either: a piece of the call's stream; FRAME_END: the last */
	FRAME_CREDIT = 4, /* either: u32, so many more bytes of DATA may be sent */
	FRAME_CANCEL = 5, /* client: the call is to end soon; DONE still comes */
};

#define FRAME_END 1

struct frame {
	uint32_t size;
	uint32_t id;
	uint8_t kind;
	uint8_t flags;
	uint16_t code;
};

void frame_encode(const struct frame *frame, unsigned char header[FRAME_HEADER]);

/*
 * Decodes and judges a header: unknown kind, size over the cap, id 0, a body of the wrong size for
 * CALL, CREDIT or CANCEL, DATA without a byte that is not the last, undefined flags, a code where
 * none belongs.  -EPROTO with a sentence.
 */
int frame_decode(const unsigned char header[FRAME_HEADER], struct frame *out, struct error *err);

#endif
