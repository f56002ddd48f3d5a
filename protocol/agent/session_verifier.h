/*
 * session_verifier.h - what tells a client that data may be lost which it had written and not yet
 * synced.
 *
 * As NFS does it (RFC 1813, COMMIT): two hellos that were answered with the same verifier have
 * nothing of that kind between them.  It is the guest's boot id, until an fsync or a sync fails:
 * the kernel tells of a page that it could not write once, and the answer that told so may have
 * been lost with its session.
 */
#ifndef VSOCKFS_AGENT_SESSION_VERIFIER_H
#define VSOCKFS_AGENT_SESSION_VERIFIER_H

#include <stdatomic.h>

#define SESS_ID_SIZE 40
#define SESS_VERIFIER_SIZE (2 * SESS_ID_SIZE + 16)

struct sess_verifier {
	char boot_id[SESS_ID_SIZE];  /* the kernel's; "" where it cannot be read */
	char instance[SESS_ID_SIZE]; /* random: this agent, since it was started */
	atomic_uint failures;        /* of fsync and sync */
};

/* -EIO where there are no random numbers. */
int sess_verifier_init(struct sess_verifier *verifier);
/* An fsync or a sync has failed. */
void sess_verifier_fail(struct sess_verifier *verifier);
void sess_verifier_get(const struct sess_verifier *verifier, char out[static SESS_VERIFIER_SIZE]);

#endif
