/*
 * agent_file.h - the agent that can be brought to a guest: a file on this host.
 *
 * It must be an ELF program for the guest's machine that is linked statically (a guest may have no
 * C library, or another one) and has a build id.  Looked for, in this order:
 *
 *   $VSOCKFS_AGENT_DIR, and nowhere else if that is set
 *   ../libexec/vsockfs, seen from the directory of the running program
 *   that directory itself
 *   ../protocol/agent, where a build has it
 *
 * and in each under the names vsockfs-agent.MACHINE and vsockfs-agent.
 */
#ifndef VSOCKFS_SESSION_AGENT_FILE_H
#define VSOCKFS_SESSION_AGENT_FILE_H

#include <limits.h>
#include <stdint.h>

#include "protocol/build_id.h"
#include "protocol/error.h"

struct agent_file {
	int fd; /* owned */
	int64_t size;
	char path[PATH_MAX];
	char build[BUILD_ID_SIZE];
};

/* MACHINE as uname -m gives it.  -EOPNOTSUPP with a sentence where there is none. */
int agent_file_find(const char *machine, struct agent_file *out, struct error *err);
void agent_file_close(struct agent_file *file);

#endif
