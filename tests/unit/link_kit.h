/*
 * link_kit.h - what the tests of a guest's link share: calls over it, and what it tells of itself.
 */
#ifndef VSOCKFS_TESTS_LINK_KIT_H
#define VSOCKFS_TESTS_LINK_KIT_H

#include <stdint.h>

#include "protocol/guest.h"
#include "protocol/session/link.h"

/* An OP_STAT of the root, whose answer's size is asserted. */
int link_kit_stat_root(struct guest *guest, double seconds, uint64_t *generation,
		       struct error *err);
/* A call of OP without arguments, to a scripted agent. */
int link_kit_ask(struct guest *guest, enum session_op op, struct error *err);
int link_kit_hello(struct guest *guest, struct error *err);
struct link_info link_kit_info_of(struct guest *guest);
/* Two milliseconds, between two looks at something that is waited for. */
void link_kit_breathe(void);

#endif
