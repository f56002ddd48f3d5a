/*
 * wire.h - JSON as both dialects write it: objects on one line, strings that are bytes.
 *
 * A string on the wire is a run of bytes.  What is UTF-8 travels as
 * text, every other byte B as the lone surrogate \udcB (PEP 383), as the reference agent
 * does it; both directions are lossless.  jansson refuses lone surrogates,
 * so inside a json_t such a byte is the private-use character U+10FF00+B, which wire_string and
 * wire_bytes put in and take out (a genuine character of that range is carried byte by byte).
 * Never read a string of a peer's with json_string_value where the bytes matter.
 */
#ifndef VSOCKFS_WIRE_H
#define VSOCKFS_WIRE_H

#include <jansson.h>
#include <stddef.h>

#include "protocol/error.h"

/*
 * Parses LEN bytes as one JSON object with nothing but white space after it, at most
 * LIMIT_REPLY_DEPTH levels deep.  Other lone surrogates become U+FFFD.  NULL and -EPROTO in err
 * ("... must be a JSON object") for anything else.
 */
json_t *wire_parse(const char *text, size_t len, struct error *err);
/* The same for a request, which is of fewer parts. */
json_t *wire_parse_request(const char *text, size_t len, struct error *err);

/*
 * One line without the newline, ", " and ": " between items, keys in the order of
 * insertion, ASCII only.  *LEN its length; free() it.  NULL when out of memory.
 */
char *wire_dump(const json_t *object, size_t *len);

/* A json string from any bytes; NULL when out of memory. */
json_t *wire_string(const char *bytes, size_t len);

/*
 * The bytes of a json string, owned, NUL-terminated (they may contain NULs: see *LEN).  NULL when
 * out of memory.
 */
char *wire_bytes(const json_t *string, size_t *len);

#endif
