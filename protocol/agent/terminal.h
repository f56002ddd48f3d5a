/* terminal.h - pseudo-terminals. */
#ifndef VSOCKFS_AGENT_TERMINAL_H
#define VSOCKFS_AGENT_TERMINAL_H

#include "protocol/error.h"

/* Both sides, the master's non-blocking; the caller closes them. */
int terminal_open(int cols, int rows, int *master, int *slave, struct error *err);

/* Signals the process group in the foreground; -ESRCH if there is none. */
int terminal_signal_foreground(int master, int signal);

#endif
