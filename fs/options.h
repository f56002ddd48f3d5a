/*
 * options.h - the command line.
 *
 *   vsockfs [-o OPT[,OPT...]] [-f] [-d] SOURCE... MOUNTPOINT
 *
 * Options may stand anywhere, as mount(8) and fstab put them behind the arguments; what mount(8)
 * adds for itself is taken and ignored.
 */
#ifndef VSOCKFS_OPTIONS_H
#define VSOCKFS_OPTIONS_H

#include <stdbool.h>
#include <stddef.h>

#include "protocol/address.h"
#include "protocol/error.h"

enum options_action { OPTIONS_MOUNT, OPTIONS_HELP, OPTIONS_VERSION };

struct options {
	enum options_action action;
	struct address *sources; /* owned; each has a name, no two the same; absolute paths */
	size_t source_count;
	char *mountpoint;    /* owned; as given */
	char *fsname;        /* owned; what mount(8) shows as the source */
	double timeout;      /* seconds; 10 */
	double attr_timeout; /* seconds; 1 */
	int max_connections; /* 1 */
	unsigned uid, gid;   /* whom the files belong to; the caller's */
	bool raw_symlinks, guest_ids, sync_write, local_net, no_agent;
	bool read_only, no_exec, no_atime;
	bool allow_other, allow_root, default_permissions;
	bool nonempty, foreground, debug;
};

/* Fills OUT, to be given to options_free, also after an error.  -EINVAL with a sentence. */
int options_parse(int argc, char *const argv[], struct options *out, struct error *err);
void options_free(struct options *options);

/* What -h prints. */
extern const char options_help[];

#endif
