/*
 * utf8.h - UTF-8, strictly: no overlong forms, no surrogates, nothing over U+10FFFF.
 */
#ifndef VSOCKFS_UTF8_H
#define VSOCKFS_UTF8_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/*
 * The length of the character that BYTES begin with and its code point; 0 if they begin with none.
 */
size_t utf8_char(const char *bytes, size_t len, uint32_t *code);

/*
 * The same for a character that a terminal shows and does nothing else with: 0 as well for control
 * characters, U+0080 to U+009F among them, and for those that break lines or turn the direction of
 * text.
 */
size_t utf8_visible(const char *bytes, size_t len);

/* Makes '?' of each byte of TEXT that is not of such a character. */
void utf8_mask(char *text);

bool utf8_valid(const char *bytes, size_t len);

/*
 * How many bytes at the end are the beginning of a character that further
 * bytes could complete: 0..3.  A stream is cut that much earlier.
 */
size_t utf8_split(const char *bytes, size_t len);

/* Writes CODE (at most U+10FFFF); returns 1..4. */
size_t utf8_put(char out[static 4], uint32_t code);

#endif
