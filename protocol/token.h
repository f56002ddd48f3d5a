/*
 * token.h - names that nobody else has or guesses: of clients, mounts, marks and files.
 */
#ifndef VSOCKFS_TOKEN_H
#define VSOCKFS_TOKEN_H

#include <stddef.h>

/* Hexadecimal digits of one, at least: 64 random bits. */
#define TOKEN_DIGITS 16

/*
 * DIGITS (a multiple of TOKEN_DIGITS) and a NUL into OUT.  -EIO where the kernel gives no random
 * bytes.
 */
int token_make(char *out, size_t digits);

#endif
