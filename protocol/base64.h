/*
 * base64.h - base64 (RFC 4648, section 4), strictly: padded, no line breaks, no
 * other characters, unused bits zero.  Encoding and decoding are one to one.
 */
#ifndef VSOCKFS_BASE64_H
#define VSOCKFS_BASE64_H

#include <stddef.h>

/* Characters that LEN bytes take, without a NUL. */
size_t base64_encoded_len(size_t len);

/* Writes base64_encoded_len(LEN) characters and a NUL. */
void base64_encode(const void *bytes, size_t len, char *out);

/*
 * *OUT is owned by the caller and NUL-terminated.  -EILSEQ if TEXT is not strict
 * base64, -ENOMEM.
 */
int base64_decode(const char *text, size_t len, char **out, size_t *out_len);

#endif
