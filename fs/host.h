/*
 * host.h - what this room does for ctl/: mirrors of workspaces, and telling the kernel.
 */
#ifndef VSOCKFS_HOST_H
#define VSOCKFS_HOST_H

#include "fs/mirror.h"
#include "fs/node.h"
#include "fs/notify.h"
#include "fs/options.h"
#include "protocol/guest.h"

struct host {
	struct vn_host api; /* what ctl/ sees; api.arg is this struct */
	struct guest_options guest_options;
	struct mirror_options mirror_options;
	struct mirror_set mirrors;
	struct notify *notify;
	_Atomic(struct node_table *) nodes; /* NULL while there is no mount */
};

void host_init(struct host *host, const struct options *options, struct notify *notify);

/* No mirror is left by then. */
void host_destroy(struct host *host);

#endif
