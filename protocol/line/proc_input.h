/*
 * proc_input.h - how a command's input gets into the guest.  Internal to proc_command.c.
 *
 * Little input travels inside the request that starts the command, in base64.  More of it is
 * uploaded as a plain name into the staging directory, from where the start script moves it.
 */
#ifndef VSOCKFS_LINE_PROC_INPUT_H
#define VSOCKFS_LINE_PROC_INPUT_H

#include <stdint.h>

#include "protocol/buf.h"
#include "protocol/call.h"
#include "protocol/error.h"

#define PROC_INPUT_INLINE (24u << 10)

struct guest;

/* Adds the LEN bytes of FD (from offset 0) to OUT in base64. */
int proc_input_inline(int fd, int64_t len, struct buf *out, struct error *err);

/* Uploads them as NAME into STAGE (absolute, below /workspace).  Waits longer for more bytes. */
int proc_input_upload(struct guest *guest, const struct call *call, const char *stage,
		      const char *name, int fd, int64_t len, struct error *err);

#endif
