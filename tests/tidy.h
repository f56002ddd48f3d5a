/*
 * tidy.h - what clang-tidy cannot see in another file; included first, for it alone.
 *
 * `return error_set(err, EIO, ...)` is how a failure leaves.  That its result is negative is
 * said in words in error.h; without knowing, the analyzer follows every failure as a success.
 */
#ifndef VSOCKFS_TIDY_H
#define VSOCKFS_TIDY_H

#include "protocol/error.h"

#define error_set(...)                                                                             \
	__extension__({                                                                            \
		int tidy_rc_ = (error_set)(__VA_ARGS__);                                           \
		__builtin_assume(tidy_rc_ < 0);                                                    \
		tidy_rc_;                                                                          \
	})

#endif
