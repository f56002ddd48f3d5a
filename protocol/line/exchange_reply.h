/*
 * exchange_reply.h - what the bytes of a reply mean: an object up to EOF, or an
 * export's header and body.  Internal to line/exchange_io.c.
 *
 * Nothing is believed before it is checked: the reply grows up to its cap, an
 * announced size allocates nothing.
 */
#ifndef VSOCKFS_LINE_EXCHANGE_REPLY_H
#define VSOCKFS_LINE_EXCHANGE_REPLY_H

#include <stddef.h>

#include "protocol/error.h"

struct exchange;

/*
 * LEN bytes have come.  0, or a negative errno: the answer is this error, the rest is to be
 * drained.
 */
int reply_take(struct exchange *x, const char *bytes, size_t len, struct error *err);

/* EOF, or the errno CODE of recv(2).  0 if the reply is whole (x->object), or a negative errno. */
int reply_end(struct exchange *x, int code, struct error *err);

#endif
