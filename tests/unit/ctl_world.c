/*
 * ctl_world.c - the life of the made-up guest: guest.h and workspace.h.  Its programs
 * are in ctl_world_proc.c.
 */
#include "tests/unit/ctl_world.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "protocol/cleanup.h"
#include "protocol/guest.h"
#include "protocol/session/link.h"
#include "protocol/workspace.h"
#include "tests/unit/cmocka_all.h"
#include "tests/unit/ctl_world_internal.h"
#include "tests/unit/fake_host.h"

struct guest {
	struct address address;
	atomic_int refs;
};

static atomic_bool gone;
static atomic_int sync_error, hello_error, guests;
static const struct guest_options *shared_options;

void world_gone(bool is)
{
	atomic_store(&gone, is);
}

bool world_is_gone(void)
{
	return atomic_load(&gone);
}

void world_sync_fails(int error)
{
	atomic_store(&sync_error, error);
}

void world_hello_fails(int error)
{
	atomic_store(&hello_error, error);
}

/* guest.h */

int guest_new(const struct address *address, const struct guest_options *options,
	      struct guest **out, struct error *err)
{
	struct guest *guest = calloc(1, sizeof(*guest));

	(void)err;
	guest->address = *address;
	atomic_init(&guest->refs, 1);
	atomic_fetch_add(&guests, 1);
	shared_options = options;
	*out = guest;
	return 0;
}

struct guest *guest_ref(struct guest *guest)
{
	atomic_fetch_add(&guest->refs, 1);
	return guest;
}

void guest_unref(struct guest *guest)
{
	if (atomic_fetch_sub(&guest->refs, 1) != 1)
		return;
	free(guest);
	atomic_fetch_sub(&guests, 1);
}

int guest_hello(struct guest *guest, const struct call *call, struct error *err)
{
	int error = atomic_load(&hello_error);

	(void)guest;
	(void)call;
	if (world_is_gone())
		error = ENOTCONN;
	fake_log("hello");
	return error ? error_set(err, error, "nobody answers there") : 0;
}

struct call guest_call(struct guest *guest, struct cancel *cancel)
{
	(void)guest;
	return call_within(shared_options->timeout, cancel);
}

const struct address *guest_address(struct guest *guest)
{
	return &guest->address;
}

struct workspace *guest_workspace(struct guest *guest)
{
	return (struct workspace *)guest;
}

struct proc_room *guest_proc(struct guest *guest)
{
	(void)guest;
	return NULL;
}

const char *guest_token(struct guest *guest)
{
	(void)guest;
	return "0123456789abcdef";
}

const struct guest_options *guest_options(struct guest *guest)
{
	(void)guest;
	return shared_options;
}

void guest_reconnect(struct guest *guest)
{
	(void)guest;
	fake_log("reconnect");
}

struct link *guest_link(struct guest *guest)
{
	(void)guest;
	return NULL;
}

void link_get_info(struct link *link, struct link_info *out)
{
	(void)link;
	*out = (struct link_info){ .decided = !world_is_gone(), .dialect = DIALECT_LINE };
}

void guest_get_status(struct guest *guest, struct guest_status *out)
{
	(void)guest;
	*out = (struct guest_status){
		.state = world_is_gone() ? GUEST_GONE : GUEST_UP,
		.transport = "unix",
		.traffic = { .requests = 7, .bytes_sent = 100, .bytes_received = 200 },
		.round_trip = 0.0025,
		.machine = "x86_64",
	};
}

const struct traffic *guest_traffic(struct guest *guest)
{
	static struct traffic traffic = { .kinds[TRAFFIC_READ] = { 3, 1, 40, 160 } };

	(void)guest;
	return &traffic;
}

/* workspace.h */

int ws_sync(struct workspace *ws, const struct call *call, struct error *err)
{
	int error = atomic_load(&sync_error);

	(void)ws;
	(void)call;
	fake_log("sync");
	return error ? error_set(err, error, "the disk is full") : 0;
}

int ws_stat(struct workspace *ws, const struct call *call, const char *path, struct ws_attr *out,
	    struct error *err)
{
	(void)ws;
	(void)call;
	(void)path;
	*out = (struct ws_attr){ .mode = S_IFDIR | 0755 };
	return world_is_gone() ? error_set(err, ENOTCONN, "gone") : 0;
}

/* Setup */

static void attach(struct world *world, const char *source)
{
	struct call call = call_within(5, NULL);
	autofree struct address *address = calloc(1, sizeof(*address));
	struct error err = { 0 };

	assert_int_equal(address_parse(source, address, &err), 0);
	assert_int_equal(ctl_attach(world->ctl, &call, address, &err), 0);
}

int world_setup(void **state)
{
	struct world *world = calloc(1, sizeof(*world));
	struct vn_host host = fake_host();
	struct error err = { 0 };

	world_gone(false);
	world_sync_fails(0);
	world_hello_fails(0);
	world_proc_reset();
	assert_int_equal(ctl_new(&host, &world->ctl, &err), 0);
	world->root = ctl_root(world->ctl);
	attach(world, "dev=unix:/run/dev.sock");
	attach(world, "two=unix:/run/two.sock");
	fake_log_take();
	*state = world;
	return 0;
}

int world_teardown(void **state)
{
	struct world *world = *state;
	struct call call = call_within(5, NULL);

	ctl_shutdown(world->ctl, &call);
	vn_unref(world->root);
	ctl_free(world->ctl);
	free(world);
	assert_int_equal(atomic_load(&guests), 0);
	assert_int_equal(fake_mirrors_alive(), 0);
	world_proc_check_empty();
	return 0;
}

struct vnode *world_root(void **state)
{
	return ((struct world *)*state)->root;
}

void world_holds(struct vnode *top, const char *path, const char *text)
{
	autofree char *got = fake_cat(top, path);

	assert_non_null(got);
	assert_string_equal(got, text);
}

void world_has(struct vnode *top, const char *path, const char *part)
{
	autofree char *got = fake_cat(top, path);

	assert_non_null(got);
	if (!strstr(got, part))
		fail_msg("'%s' is not in %s: '%s'", part, path, got);
}

void world_key_is(struct vnode *top, const char *path, const char *key, const char *value)
{
	autofree char *got = fake_key(top, path, key);

	assert_non_null(got);
	assert_string_equal(got, value);
}
