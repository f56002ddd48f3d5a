/*
 * guest_files.c - GUEST/{ctl,status,error,events,workspace,services,shells,exec}.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "ctl/blocking.h"
#include "ctl/ctlfile.h"
#include "ctl/guest.h"
#include "ctl/text.h"
#include "ctl/tree_internal.h"
#include "protocol/cleanup.h"
#include "protocol/session/link.h"
#include "protocol/workspace.h"

static struct cguest *self(struct object *object)
{
	return (struct cguest *)object;
}

const char *cguest_state_name(enum guest_state state)
{
	switch (state) {
	case GUEST_NEW:
		return "new";
	case GUEST_UP:
		return "up";
	case GUEST_GONE:
		return "gone";
	case GUEST_STUCK:
		return "stuck";
	}
	return "unknown";
}

/* status */

/* NULL while it is not settled: our agent may be on its way. */
static const char *dialect_name(const struct link_info *link)
{
	if (!link->decided)
		return NULL;
	return link->dialect == DIALECT_SESSION ? "session/1" : "line";
}

static int status_text(struct object *object, const struct call *call, struct buf *out,
		       struct error *err)
{
	struct cguest *guest = self(object);
	char address[PATH_MAX + 64];
	struct guest_status status;
	struct link_info link;

	(void)call;
	(void)err;
	cguest_notice(guest);
	guest_get_status(guest->guest, &status);
	link_get_info(guest_link(guest->guest), &link);
	address_format(guest_address(guest->guest), address, sizeof(address));
	text_str(out, "state", cguest_state_name(status.state));
	text_str(out, "address", address);
	text_str(out, "transport", status.transport);
	text_str(out, "dialect", dialect_name(&link));
	text_str(out, "agent", link.agent[0] ? link.agent : NULL);
	text_str(out, "agent_build", link.build[0] ? link.build : NULL);
	text_str(out, "agent_delivered", link.delivered ? "yes" : "no");
	text_str(out, "line_reason", link.why_line[0] ? link.why_line : NULL);
	text_str(out, "machine", status.machine[0] ? status.machine : NULL);
	if (status.round_trip > 0)
		buf_addf(out, "round_trip_ms %.3f\n", status.round_trip * 1e3);
	else
		text_null(out, "round_trip_ms");
	text_int(out, "requests", (int64_t)status.traffic.requests);
	text_int(out, "retries", (int64_t)status.traffic.retries);
	text_int(out, "abandoned", (int64_t)status.abandoned);
	text_int(out, "bytes_sent", (int64_t)status.traffic.bytes_sent);
	text_int(out, "bytes_received", (int64_t)status.traffic.bytes_received);
	text_str(out, "last_error", status.last_error.code ? status.last_error.text : NULL);
	return 0;
}

/* ctl: a guest has no settings that lines would make again. */
static int ctl_text(struct object *object, const struct call *call, struct buf *out,
		    struct error *err)
{
	(void)object;
	(void)call;
	(void)out;
	(void)err;
	return 0;
}

static int verb_sync(struct object *object, const struct call *call, const struct cmd *cmd,
		     struct error *err)
{
	/* The verb's flags have done it. */
	(void)object;
	(void)call;
	(void)cmd;
	(void)err;
	return 0;
}

/* PATH as a user may write it becomes one below the workspace, in place: "" is the root. */
static int clean_path(char *path, struct error *err)
{
	char *from = path, *to = path, *rest = NULL;

	if (strncmp(path, "/workspace", 10) == 0 && (path[10] == '/' || !path[10]))
		from += 10;
	else if (path[0] == '/')
		return error_set(err, EINVAL, "'%.80s' is not below /workspace", path);
	for (char *part = strtok_r(from, "/", &rest); part; part = strtok_r(NULL, "/", &rest)) {
		size_t len = strlen(part);

		if (strcmp(part, ".") == 0)
			continue;
		if (strcmp(part, "..") == 0)
			return error_set(err, EINVAL, "there is no '..' in a path to refresh");
		if (to != path)
			*to++ = '/';
		memmove(to, part, len);
		to += len;
	}
	*to = '\0';
	return 0;
}

static int verb_refresh(struct object *object, const struct call *call, const struct cmd *cmd,
			struct error *err)
{
	autofree char *path = strdup(cmd->argc ? cmd->argv[0] : "");
	int rc;

	(void)call;
	if (!path)
		return error_set(err, ENOMEM, "out of memory");
	rc = clean_path(path, err);
	if (rc == 0)
		cguest_changed(self(object), *path ? path : NULL);
	return rc;
}

static int verb_reconnect(struct object *object, const struct call *call, const struct cmd *cmd,
			  struct error *err)
{
	struct cguest *guest = self(object);
	struct call within = cguest_call(guest, call->cancel);
	int rc;

	(void)cmd;
	guest_reconnect(guest->guest);
	rc = guest_hello(guest->guest, &within, err);
	cguest_notice(guest);
	return rc;
}

static const struct cmd_verb verbs[] = {
	{ "sync", CMD_PLAIN, 0, 0, CMD_REACHES, "sync", verb_sync, NULL },
	{ "refresh", CMD_ONE, 0, 1, 0, "refresh [PATH]", verb_refresh, NULL },
	{ "reconnect", CMD_PLAIN, 0, 0, CMD_CHANGES, "reconnect", verb_reconnect, NULL },
};

/* events */

static struct waitq *events_queue(struct object *object)
{
	return &self(object)->events.queue;
}

static const struct blocking_type events_type = {
	.queue = events_queue,
	.stream = true,
	.asks = true,
};

/*
 * While somebody reads events: says when the guest is gone or back.  A guest that is gone is
 * asked something, or nobody would learn that it is back; the others cost no traffic.
 */
static enum poller_news poll_guest(struct object *object, const struct call *call)
{
	struct cguest *guest = self(object);
	struct guest_status status;
	struct ws_attr attr;

	guest_get_status(guest->guest, &status);
	if (status.state == GUEST_GONE)
		ws_stat(guest_workspace(guest->guest), call, "", &attr, NULL);
	cguest_notice(guest);
	return waitq_wanted(&guest->events.queue) ? POLLER_QUIET : POLLER_DONE;
}

/* What stands in the directory's other places. */

static struct vnode *place_workspace(struct object *object)
{
	return vn_ref(self(object)->mirror);
}

/* The collection that SLOT of the guest points to, as long as the guest has it. */
static struct vnode *place_collection(struct object *object, struct object **slot)
{
	struct object *collection;
	struct vnode *vnode;

	pthread_mutex_lock(&object->lock);
	collection = *slot ? tree_ref(*slot) : NULL;
	pthread_mutex_unlock(&object->lock);
	if (!collection)
		return NULL;
	vnode = tree_get(&collection->nodes[0].vnode);
	tree_unref(collection);
	return vnode;
}

static struct vnode *place_services(struct object *object)
{
	return place_collection(object, &self(object)->services);
}

static struct vnode *place_shells(struct object *object)
{
	return place_collection(object, &self(object)->shells);
}

static struct vnode *place_execs(struct object *object)
{
	return place_collection(object, &self(object)->execs);
}

static const struct file_type files[] = {
	{ .name = "ctl", .mode = S_IFREG | 0600, .ops = &ctl_ops, .text = ctl_text },
	{ .name = "status", .mode = S_IFREG | 0444, .ops = &text_ops, .text = status_text },
	{ .name = "error", .mode = S_IFREG | 0400, .ops = &text_ops, .text = text_error_file },
	{ .name = "events",
	  .mode = S_IFREG | 0400,
	  .ops = &blocking_ops,
	  .blocking = &events_type },
	{ .name = "workspace", .mode = S_IFDIR | 0755, .ops = &text_ops, .place = place_workspace },
	{ .name = "services", .mode = S_IFDIR | 0755, .ops = &text_ops, .place = place_services },
	{ .name = "shells", .mode = S_IFDIR | 0755, .ops = &text_ops, .place = place_shells },
	{ .name = "exec", .mode = S_IFDIR | 0755, .ops = &text_ops, .place = place_execs },
};

/* Life */

/*
 * Ends the collection that SLOT points to and everything in it.  The collections
 * hold the guest: letting go of them here, not when the guest is freed, breaks the circle.
 */
static void retire_collection(struct object *guest, struct object **slot, int gone)
{
	struct object *collection, *member;

	pthread_mutex_lock(&guest->lock);
	collection = move_ptr(*slot);
	pthread_mutex_unlock(&guest->lock);
	if (!collection)
		return;
	/* First the directory, so that nothing new comes in. */
	tree_retire(collection, gone);
	while ((member = tree_any_member(collection))) {
		tree_retire(member, gone);
		tree_unref(member);
	}
	tree_unref(collection);
}

void cguest_retire(struct object *object, int gone)
{
	struct cguest *guest = self(object);

	poller_stop(&guest->poller);
	retire_collection(object, &guest->execs, gone);
	retire_collection(object, &guest->shells, gone);
	retire_collection(object, &guest->services, gone);
	waitq_close(&guest->events.queue, gone);
}

static void free_guest(struct object *object)
{
	struct cguest *guest = self(object);

	/* The mirror first: it may still have something to say to its guest. */
	if (guest->mirror)
		vn_unref(guest->mirror);
	poller_destroy(&guest->poller);
	events_destroy(&guest->events);
	guest_unref(guest->guest);
	free(guest);
}

const struct object_type cguest_type = {
	.what = "guest",
	.files = files,
	.count = sizeof(files) / sizeof(files[0]),
	.verbs = verbs,
	.verb_count = sizeof(verbs) / sizeof(verbs[0]),
	.poll = poll_guest,
	.retire = cguest_retire,
	.free = free_guest,
};
