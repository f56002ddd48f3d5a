/*
 * rundir.h - where services' outputs, secrets and spooled exports live.
 *
 *   RUN/pyro-services/NAME.stdout, NAME.stderr, NAME.json
 *   RUN/pyro-secrets/...
 *   RUN/pyro-commands/... (command.h)
 */
#ifndef VSOCKFS_AGENT_RUNDIR_H
#define VSOCKFS_AGENT_RUNDIR_H

#include "protocol/error.h"

#define RUNDIR_SERVICES "pyro-services"
#define RUNDIR_SECRETS "pyro-secrets"
#define RUNDIR_COMMANDS "pyro-commands"

/*
 * The directory to use: WANTED (made if it is missing) or, where that is NULL, /run if we may
 * write there, else a private one of ours under /tmp.  *OUT is owned by the caller.
 */
int rundir_find(const char *wanted, char **out, struct error *err);

/* Opens the directory NAME in RUN, making it with MODE; a descriptor or a negative errno. */
int rundir_open(const char *run, const char *name, unsigned mode, struct error *err);

/* An unlinked file for SIZE-unknown bytes, in /tmp or in RUN; a descriptor or a negative errno. */
int rundir_spool(const char *run, struct error *err);

#endif
