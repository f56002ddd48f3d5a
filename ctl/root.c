/*
 * root.c - the mount's own directory: MOUNT/{ctl,status,metrics,version,error} and the guests.
 */
#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "ctl/ctl.h"
#include "ctl/ctlfile.h"
#include "ctl/guest.h"
#include "ctl/text.h"
#include "ctl/tree_internal.h"
#include "protocol/cleanup.h"
#include "protocol/thread.h"

struct ctl {
	struct object object; /* the root directory */
	struct vn_host host;
	_Atomic uint64_t next_inode;
	int64_t started; /* CLOCK_MONOTONIC, nanoseconds */

	pthread_cond_t let_go; /* with object.lock */
	unsigned leaving;      /* object.lock; guests that did not answer and are taken down */
};

struct leaving {
	struct ctl *ctl;
	struct guest *guest;
};

static const struct object_type root_type;

const struct vn_host *ctl_host(struct ctl *ctl)
{
	return &ctl->host;
}

uint64_t ctl_new_inodes(struct ctl *ctl, size_t count)
{
	return atomic_fetch_add(&ctl->next_inode, count);
}

struct object *ctl_object(struct ctl *ctl)
{
	return &ctl->object;
}

static struct ctl *self(struct object *object)
{
	return (struct ctl *)object;
}

/* Files */

static int by_name(const void *one, const void *other)
{
	return strcmp((*(struct object *const *)one)->name, (*(struct object *const *)other)->name);
}

/* Calls EACH for every guest, in the order of their names. */
static int each_guest(struct object *root, struct buf *out,
		      void (*each)(struct cguest *guest, const struct guest_status *status,
				   struct buf *out))
{
	autofree struct object **guests = NULL;
	size_t count = 0;
	int rc = tree_members(root, &guests, &count);

	if (count)
		qsort(guests, count, sizeof(struct object *), by_name);
	for (size_t i = 0; i < count; i++) {
		struct cguest *guest = (struct cguest *)guests[i];
		struct guest_status status;

		guest_get_status(guest->guest, &status);
		each(guest, &status, out);
		tree_unref(guests[i]);
	}
	return rc;
}

static void status_line(struct cguest *guest, const struct guest_status *status, struct buf *out)
{
	buf_addf(out, "guest.%s %s\n", guest->object.name, cguest_state_name(status->state));
}

static int status_text(struct object *object, const struct call *call, struct buf *out,
		       struct error *err)
{
	struct ctl *ctl = self(object);
	size_t guests;

	(void)call;
	(void)err;
	pthread_mutex_lock(&object->lock);
	guests = object->member_count;
	pthread_mutex_unlock(&object->lock);
	text_str(out, "version", VSOCKFS_VERSION);
	text_int(out, "uptime_seconds", (call_now() - ctl->started) / 1000000000);
	text_int(out, "guests", (int64_t)guests);
	return each_guest(object, out, status_line);
}

/* Of a kind that was never asked for there is nothing to say. */
static void kind_lines(const char *name, const char *kind, const struct traffic_count *count,
		       struct buf *out)
{
	const struct {
		const char *name;
		uint64_t value;
	} metrics[] = {
		{ "requests", count->requests },
		{ "retries", count->retries },
		{ "sent_bytes", count->bytes_sent },
		{ "received_bytes", count->bytes_received },
	};

	if (!count->requests && !count->retries)
		return;
	for (size_t i = 0; i < sizeof(metrics) / sizeof(metrics[0]); i++)
		buf_addf(out, "vsockfs_guest_kind_%s_total{guest=\"%s\",kind=\"%s\"} %" PRIu64 "\n",
			 metrics[i].name, name, kind, metrics[i].value);
}

static void metric_lines(struct cguest *guest, const struct guest_status *status, struct buf *out)
{
	const struct traffic *traffic = guest_traffic(guest->guest);
	const struct {
		const char *name;
		uint64_t value;
	} metrics[] = {
		{ "up", status->state == GUEST_UP },
		{ "requests_total", status->traffic.requests },
		{ "connect_retries_total", status->traffic.retries },
		{ "sent_bytes_total", status->traffic.bytes_sent },
		{ "received_bytes_total", status->traffic.bytes_received },
		{ "abandoned_replies", status->abandoned },
	};
	const char *name = guest->object.name;

	for (size_t i = 0; i < sizeof(metrics) / sizeof(metrics[0]); i++)
		buf_addf(out, "vsockfs_guest_%s{guest=\"%s\"} %" PRIu64 "\n", metrics[i].name, name,
			 metrics[i].value);
	buf_addf(out, "vsockfs_guest_round_trip_seconds{guest=\"%s\"} %.6f\n", name,
		 status->round_trip);
	for (int kind = TRAFFIC_UNSAID + 1; kind < TRAFFIC_KINDS; kind++) {
		struct traffic_count count = traffic_get(traffic, (enum traffic_kind)kind);

		kind_lines(name, traffic_kind_name((enum traffic_kind)kind), &count, out);
	}
}

static int metrics_text(struct object *object, const struct call *call, struct buf *out,
			struct error *err)
{
	(void)call;
	(void)err;
	return each_guest(object, out, metric_lines);
}

static int version_text(struct object *object, const struct call *call, struct buf *out,
			struct error *err)
{
	(void)object;
	(void)call;
	(void)err;
	buf_adds(out, "vsockfs " VSOCKFS_VERSION "\n");
	return 0;
}

static void attach_line(struct cguest *guest, const struct guest_status *status, struct buf *out)
{
	autobuf struct buf source = BUF_INIT(PATH_MAX + 256);
	char text[PATH_MAX + 64];

	(void)status;
	address_format(guest_address(guest->guest), text, sizeof(text));
	buf_addf(&source, "%s=%s", guest->object.name, text);
	buf_adds(out, "attach ");
	cmd_quote(out, buf_str(&source));
	buf_adds(out, "\n");
}

static int ctl_text(struct object *object, const struct call *call, struct buf *out,
		    struct error *err)
{
	(void)call;
	(void)err;
	return each_guest(object, out, attach_line);
}

/* Verbs */

static int check_new_name(struct object *root, const char *name, struct error *err)
{
	struct object *member;
	int rc = address_check_name(name, err);

	if (rc == 0)
		rc = tree_check_name(root, name, err);
	if (rc < 0)
		return rc;
	member = tree_member(root, name);
	if (!member)
		return 0;
	tree_unref(member);
	return error_set(err, EEXIST, "there is a guest named '%s' already", name);
}

static void let_go(void *arg)
{
	struct leaving *leaving = arg;
	struct ctl *ctl = leaving->ctl;

	guest_unref(leaving->guest);
	free(leaving);
	pthread_mutex_lock(&ctl->object.lock);
	ctl->leaving--;
	pthread_cond_broadcast(&ctl->let_go);
	pthread_mutex_unlock(&ctl->object.lock);
}

/*
 * Whoever has waited for a guest in vain need not wait again until it has finished what it was
 * asked, if it ever does.  Takes the reference.
 */
static void let_go_behind(struct ctl *ctl, struct guest *guest)
{
	struct leaving *leaving = malloc(sizeof(*leaving));

	if (!leaving) {
		guest_unref(guest);
		return;
	}
	*leaving = (struct leaving){ .ctl = ctl, .guest = guest };
	pthread_mutex_lock(&ctl->object.lock);
	ctl->leaving++;
	pthread_mutex_unlock(&ctl->object.lock);
	if (thread_detach(let_go, leaving) < 0)
		let_go(leaving);
}

static void wait_for_the_leaving(struct ctl *ctl)
{
	pthread_mutex_lock(&ctl->object.lock);
	while (ctl->leaving)
		pthread_cond_wait(&ctl->let_go, &ctl->object.lock);
	pthread_mutex_unlock(&ctl->object.lock);
}

int ctl_attach(struct ctl *ctl, const struct call *call, const struct address *address,
	       struct error *err)
{
	struct object *object = NULL;
	struct guest *guest = NULL;
	int rc = check_new_name(&ctl->object, address->name, err);

	if (rc == 0)
		rc = guest_new(address, ctl->host.guest_options, &guest, err);
	if (rc < 0)
		return rc;
	rc = guest_hello(guest, call, err);
	if (rc < 0) {
		let_go_behind(ctl, guest);
		return rc;
	}
	rc = cguest_new(ctl, guest, address->name, &object, err);
	guest_unref(guest);
	if (rc < 0)
		return rc;
	rc = tree_add(&ctl->object, object, err);
	if (rc < 0) {
		cguest_retire(object, ENOENT);
		tree_discard(object);
	}
	return rc;
}

static int verb_attach(struct object *object, const struct call *call, const struct cmd *cmd,
		       struct error *err)
{
	struct ctl *ctl = self(object);
	autofree struct address *address = calloc(1, sizeof(*address));
	struct call within = call_within(ctl->host.guest_options->timeout, call->cancel);
	int rc;

	if (!address)
		return error_set(err, ENOMEM, "out of memory");
	rc = address_parse(cmd->argv[0], address, err);
	if (rc == 0 && !address->name[0])
		rc = error_set(err, EINVAL, "a name is missing; the usage is: %s",
			       cmd->verb->usage);
	if (rc == 0 && address->path[0] && address->path[0] != '/')
		rc = error_set(err, EINVAL,
			       "'%.80s' is a relative path: give it from / on, the daemon does "
			       "not know your directory",
			       address->path);
	if (rc == 0)
		rc = ctl_attach(ctl, &within, address, err);
	if (rc == 0)
		ctl->host.entry_changed(ctl->host.arg, &object->nodes[0].vnode, address->name);
	return rc;
}

static int verb_detach(struct object *object, const struct call *call, const struct cmd *cmd,
		       struct error *err)
{
	struct ctl *ctl = self(object);
	struct object *guest = tree_member(object, cmd->argv[0]);

	(void)call;
	if (!guest)
		return error_set(err, ENOENT, "there is no guest named '%.80s'", cmd->argv[0]);
	tree_retire(guest, ENOTCONN);
	ctl->host.entry_changed(ctl->host.arg, &object->nodes[0].vnode, guest->name);
	tree_unref(guest);
	return 0;
}

static const struct cmd_verb verbs[] = {
	{ "attach", CMD_ONE, 1, 1, 0, "attach NAME=ADDRESS", verb_attach, NULL },
	{ "detach", CMD_PLAIN, 1, 1, 0, "detach NAME", verb_detach, NULL },
};

static const struct file_type files[] = {
	{ .name = "ctl", .mode = S_IFREG | 0600, .ops = &ctl_ops, .text = ctl_text },
	{ .name = "status", .mode = S_IFREG | 0444, .ops = &text_ops, .text = status_text },
	{ .name = "metrics", .mode = S_IFREG | 0444, .ops = &text_ops, .text = metrics_text },
	{ .name = "version", .mode = S_IFREG | 0444, .ops = &text_ops, .text = version_text },
	{ .name = "error", .mode = S_IFREG | 0400, .ops = &text_ops, .text = text_error_file },
};

/* Life */

int ctl_new(const struct vn_host *host, struct ctl **out, struct error *err)
{
	struct ctl *ctl = calloc(1, sizeof(*ctl));

	if (!ctl)
		return error_set(err, ENOMEM, "out of memory");
	ctl->host = *host;
	ctl->started = call_now();
	atomic_init(&ctl->next_inode, 1);
	if (tree_object_init(&ctl->object, &root_type, ctl, NULL, "") < 0) {
		free(ctl);
		return error_set(err, ENOMEM, "out of memory");
	}
	pthread_cond_init(&ctl->let_go, NULL);
	tree_ref(&ctl->object);
	*out = ctl;
	return 0;
}

struct vnode *ctl_root(struct ctl *ctl)
{
	return vn_ref(&ctl->object.nodes[0].vnode);
}

void ctl_shutdown(struct ctl *ctl, const struct call *call)
{
	struct object *guest;

	(void)call;
	while ((guest = tree_any_member(&ctl->object))) {
		tree_retire(guest, ENOTCONN);
		tree_unref(guest);
	}
	wait_for_the_leaving(ctl);
}

void ctl_free(struct ctl *ctl)
{
	if (!ctl)
		return;
	tree_retire(&ctl->object, ENOTCONN);
	tree_unref(&ctl->object);
}

static void free_root(struct object *object)
{
	pthread_cond_destroy(&self(object)->let_go);
	free(object);
}

static const struct object_type root_type = {
	.what = "mount",
	.files = files,
	.count = sizeof(files) / sizeof(files[0]),
	.verbs = verbs,
	.verb_count = sizeof(verbs) / sizeof(verbs[0]),
	.free = free_root,
};
