/*
 * require.h - what a fuzz target holds to be so: if it is not, that is a finding.
 */
#ifndef VSOCKFS_TESTS_FUZZ_REQUIRE_H
#define VSOCKFS_TESTS_FUZZ_REQUIRE_H

#include <stdlib.h>

#define REQUIRE(condition)                                                                         \
	do {                                                                                       \
		if (!(condition))                                                                  \
			abort();                                                                   \
	} while (0)

#endif
