/*
 * ctl.h - the control tree, as fs/main.c sees it.
 *
 *   MOUNT/{ctl,status,metrics,version,GUEST/...}   (docs/control-files.md)
 *
 * ctl_new makes the root directory; guests are attached before or after the mount is up.
 */
#ifndef VSOCKFS_CTL_H
#define VSOCKFS_CTL_H

#include "fs/vnode.h"
#include "protocol/address.h"
#include "protocol/error.h"

struct ctl;

int ctl_new(const struct vn_host *host, struct ctl **out, struct error *err);

/* The root directory; a reference of its own. */
struct vnode *ctl_root(struct ctl *ctl);

/*
 * Makes the guest, asks it who it is (guest_hello) and shows it as
 * address->name.  Blocks within CALL.  -EEXIST for a name in use.  A guest that does not answer is
 * taken down behind the caller's back, for which ctl_shutdown waits.
 */
int ctl_attach(struct ctl *ctl, const struct call *call, const struct address *address,
	       struct error *err);

/*
 * Detaches every guest: stops pollers, finishes parked reads with -ENOTCONN, closes shells, forgets
 * commands.
 */
void ctl_shutdown(struct ctl *ctl, const struct call *call);
void ctl_free(struct ctl *ctl);

#endif
