/*
 * host.c - the host's side of vnode.h.
 */
#include "fs/host.h"

#include <unistd.h>

static int make_mirror(void *arg, struct guest *guest, struct vnode **root)
{
	struct host *host = arg;

	return mirror_new(&host->mirrors, guest, &host->mirror_options, root);
}

/* One node that the kernel may have believed something of. */
static void forget_node(void *arg, const struct mirror_place *place)
{
	struct host *host = arg;
	struct node_table *nodes = host->nodes;
	uint64_t id = node_id(nodes, place->node);
	uint64_t parent = place->dir ? node_id(nodes, place->dir) : 0;

	if (parent)
		notify_entry(host->notify, parent, place->name, place->is_dir);
	if (id)
		notify_inode(host->notify, id, !place->is_dir);
}

static void invalidate(void *arg, struct vnode *mirror, const char *path)
{
	struct host *host = arg;

	if (!host->nodes)
		return;
	mirror_each_told(mirror, path, forget_node, host);
	notify_wait(host->notify);
}

static void entry_changed(void *arg, struct vnode *dir, const char *name)
{
	struct host *host = arg;
	struct node_table *nodes = host->nodes;
	uint64_t id = nodes ? node_id(nodes, dir) : 0;

	if (!id)
		return;
	notify_entry(host->notify, id, name, false);
	notify_wait(host->notify);
}

void host_init(struct host *host, const struct options *options, struct notify *notify)
{
	host->notify = notify;
	host->nodes = NULL;
	host->guest_options = (struct guest_options){
		.timeout = options->timeout,
		.max_connections = options->max_connections,
		.local_net = options->local_net,
		.agent = options->no_agent ? GUEST_AGENT_NEVER : GUEST_AGENT_AUTO,
	};
	host->mirror_options = (struct mirror_options){
		.attr_timeout = options->attr_timeout,
		.raw_symlinks = options->raw_symlinks,
		.guest_ids = options->guest_ids,
		.sync_write = options->sync_write,
		.read_only = options->read_only,
		.uid = options->uid,
		.gid = options->gid,
	};
	host->api = (struct vn_host){
		.arg = host,
		.mirror = make_mirror,
		.invalidate = invalidate,
		.entry_changed = entry_changed,
		.guest_options = &host->guest_options,
		.uid = options->uid,
		.gid = options->gid,
	};
	mirror_set_init(&host->mirrors);
}

void host_destroy(struct host *host)
{
	mirror_set_destroy(&host->mirrors);
}
