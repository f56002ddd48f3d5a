/* token.c - see token.h. */
#include "protocol/token.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <sys/random.h>

int token_make(char *out, size_t digits)
{
	for (size_t at = 0; at < digits; at += TOKEN_DIGITS) {
		uint64_t random;

		if (getrandom(&random, sizeof(random), 0) != (ssize_t)sizeof(random))
			return -EIO;
		snprintf(out + at, TOKEN_DIGITS + 1, "%016" PRIx64, random);
	}
	return 0;
}
