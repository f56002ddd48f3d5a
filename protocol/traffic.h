/*
 * traffic.h - what a guest was asked, counted by kind of request, whatever the dialect.
 *
 * A kind says what somebody here wanted of the guest, not how it was asked: over the line dialect
 * nearly all of it is an exec of a script.  Counters only grow.  Any thread adds, without a lock;
 * who reads them all may see one that was added to a moment after another.
 */
#ifndef VSOCKFS_TRAFFIC_H
#define VSOCKFS_TRAFFIC_H

#include <stdatomic.h>
#include <stdint.h>

enum traffic_kind {
	TRAFFIC_UNSAID, /* no kind: what is asked tells which it is */
	TRAFFIC_HELLO,  /* what the guest is, and whether it is there */
	TRAFFIC_DELIVER,
	TRAFFIC_STAT,
	TRAFFIC_LIST,
	TRAFFIC_OPEN, /* and close */
	TRAFFIC_READ,
	TRAFFIC_WRITE,  /* contents, until they are where they shall be */
	TRAFFIC_CHANGE, /* of names and attributes */
	TRAFFIC_BATCH,  /* several of the above in one */
	TRAFFIC_EXPORT,
	TRAFFIC_IMPORT,
	TRAFFIC_WATCH,
	TRAFFIC_SERVICE,
	TRAFFIC_SHELL,
	TRAFFIC_EXEC,
	TRAFFIC_OUTPUT, /* of services, shells and commands */
	TRAFFIC_WAIT,   /* that something is ready, or ends */
	TRAFFIC_KINDS,
};

/* As MOUNT/metrics has it (docs/control-files.md); "" for TRAFFIC_UNSAID. */
const char *traffic_kind_name(enum traffic_kind kind);

struct traffic_count {
	uint64_t requests; /* sent to the guest */
	uint64_t retries;  /* asked again: of a busy agent, after a break, in a new session */
	uint64_t bytes_sent, bytes_received;
};

/* Zeroed is ready. */
struct traffic {
	struct {
		_Atomic uint64_t requests, retries, bytes_sent, bytes_received;
	} kinds[TRAFFIC_KINDS];
};

void traffic_add(struct traffic *traffic, enum traffic_kind kind, const struct traffic_count *more);
struct traffic_count traffic_get(const struct traffic *traffic, enum traffic_kind kind);
/* Of all kinds together. */
struct traffic_count traffic_total(const struct traffic *traffic);

#endif
