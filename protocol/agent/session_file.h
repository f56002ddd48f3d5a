/*
 * session_file.h - the open file that an operation's arguments name.
 */
#ifndef VSOCKFS_AGENT_SESSION_FILE_H
#define VSOCKFS_AGENT_SESSION_FILE_H

#include "protocol/agent/session_call.h"
#include "protocol/agent/session_handle.h"

/* NUMBER, or what OPS_HANDLE_LAST stands for in the batch. */
uint32_t sess_handle_number(const struct sess_call *call, uint32_t number);

/* Until sess_handles_put; NULL (EBADF in ERR) where there is none. */
struct sess_file *sess_handle_get(struct sess_call *call, uint32_t number, struct error *err);

int sess_handle_fail(struct error *err, int code);

#endif
