/*
 * deliver_steps.h - what a delivery does in the guest, one request a step.  Internal to deliver.c.
 *
 * Whatever was left by a step that failed, or of which nothing was heard, deliver_sweep removes.
 */
#ifndef VSOCKFS_SESSION_DELIVER_STEPS_H
#define VSOCKFS_SESSION_DELIVER_STEPS_H

#include "protocol/session/agent_file.h"
#include "protocol/session/deliver.h"

/* The agent's file, into a staging directory of this guest's below /workspace. */
int deliver_upload(const struct delivery *delivery, const struct agent_file *file,
		   struct error *err);

enum delivered {
	DELIVERED,       /* it listens; nothing is left */
	DELIVERED_ENDED, /* it ended at once, as ERR says; nothing is left */
	DELIVERED_NOT,   /* there was no place to run it from; nothing is left */
};

/*
 * Moves the file out of the workspace and runs it, listening on LISTEN.  A negative errno: nothing
 * is known.
 */
int deliver_start(const struct delivery *delivery, const char *listen, enum delivered *out,
		  struct error *err);

void deliver_sweep(const struct delivery *delivery);

#endif
