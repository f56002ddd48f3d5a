/*
 * sws_relay.h - what stands between the client and the agent in sws_world.h: it counts calls, and
 * cuts.
 */
#ifndef VSOCKFS_TESTS_SWS_RELAY_H
#define VSOCKFS_TESTS_SWS_RELAY_H

#include "sws_world.h"

/*
 * Passes frames on between the sockets, which it takes over, until one is closed or it is told to
 * cut.
 */
struct relay *relay_new(struct world *w, int client, int agent);
/* Whether it was cut by CUT_LATE and not released; false for NULL. */
bool relay_is_late(struct relay *relay);
/* NULL is allowed.  Waits until both are at their ends: the agent has carried out what it had. */
void relay_free(struct relay *relay);
/* All of BYTES; false when they do not get there. */
bool relay_send(int fd, const void *bytes, size_t len);

#endif
