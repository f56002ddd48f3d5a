/*
 * line_vm.h - a VM without a VM: the agent of the field in a sandbox, behind a bridge that reaches
 * whatever else listens in there.
 *
 * $LINE_VM_PEERS is the directory of reference_agent.py and bridge.py.  Guest port P is the socket
 * TOP/ports/P.sock; that an agent is told so, instead of vsock:P, is the one thing that differs
 * from a VM.
 */
#ifndef VSOCKFS_TESTS_LINE_VM_H
#define VSOCKFS_TESTS_LINE_VM_H

#include <sys/types.h>

#include "protocol/guest_internal.h"

struct line_vm {
	const char *pause; /* set before the start, or NULL: bridge.py's */
	const char
		*more; /* likewise: arguments of an agent that is brought, with a blank in front */
	char top[64];  /* a private directory: all of the following is in it */
	char bridge[96], ports[96], workspace[96], log[96], hold[96];
	pid_t agent, forwarder;
};

/*
 * Starts both.  MORE (or NULL) are further arguments of bwrap.  NOEXEC (or NULL) is a directory
 * that is mounted so, for the sandbox to bind.  False where this machine makes no sandboxes, or no
 * mounts.
 */
bool line_vm_start(struct line_vm *vm, const char *noexec, const char *const *more);
void line_vm_stop(struct line_vm *vm);

/* A guest on it; several are several daemons. */
struct guest *line_vm_guest(const struct line_vm *vm, double timeout, enum guest_agent agent);

/* While it is held no request of the field's agent is answered, though done. */
void line_vm_hold(const struct line_vm *vm, bool hold);
/* How often TEXT is in the log of what the field's agent was asked. */
int line_vm_count(const struct line_vm *vm, const char *text);
/* What the guest's sh prints for COMMAND. */
const char *line_vm_ask(struct guest *guest, const char *command);

#endif
