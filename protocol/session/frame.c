/*
 * frame.c - headers of frames to and from bytes, and what makes one unacceptable.
 */
#include "protocol/session/frame.h"

#include <errno.h>

#include "protocol/session/number.h"

#define DEADLINE_SIZE 4 /* what a CALL's body begins with */
#define CREDIT_SIZE 4

void frame_encode(const struct frame *frame, unsigned char header[FRAME_HEADER])
{
	put32(header, frame->size);
	put32(header + 4, frame->id);
	header[8] = frame->kind;
	header[9] = frame->flags;
	put16(header + 10, frame->code);
}

/* What is wrong with the size of its body, NULL for nothing. */
static const char *bad_size(const struct frame *frame)
{
	switch (frame->kind) {
	case FRAME_CALL:
		return frame->size < DEADLINE_SIZE ? "a call without a deadline" : NULL;
	case FRAME_DATA:
		/* It would cost no credit: a peer could send them for ever. */
		return !frame->size && !(frame->flags & FRAME_END) ? "data without a byte" : NULL;
	case FRAME_CREDIT:
		return frame->size != CREDIT_SIZE ? "credit that is not a number" : NULL;
	case FRAME_CANCEL:
		return frame->size ? "a cancel with a body" : NULL;
	default:
		return NULL;
	}
}

int frame_decode(const unsigned char header[FRAME_HEADER], struct frame *out, struct error *err)
{
	struct frame frame = {
		.size = get32(header),
		.id = get32(header + 4),
		.kind = header[8],
		.flags = header[9],
		.code = get16(header + 10),
	};
	const char *bad;

	if (frame.kind < FRAME_CALL || frame.kind > FRAME_CANCEL)
		return error_set(err, EPROTO, "a frame of the unknown kind %u", frame.kind);
	if (frame.size > FRAME_BODY_MAX)
		return error_set(err, EPROTO, "a frame of %u bytes: more than %u", frame.size,
				 FRAME_BODY_MAX);
	if (!frame.id)
		return error_set(err, EPROTO, "a frame of the call 0");
	if (frame.flags & ~(frame.kind == FRAME_DATA ? FRAME_END : 0))
		return error_set(err, EPROTO, "a frame of kind %u with the flags %u", frame.kind,
				 frame.flags);
	if (frame.code && frame.kind != FRAME_CALL && frame.kind != FRAME_DONE)
		return error_set(err, EPROTO, "a frame of kind %u with the code %u", frame.kind,
				 frame.code);
	bad = bad_size(&frame);
	if (bad)
		return error_set(err, EPROTO, "%s", bad);
	*out = frame;
	return 0;
}
