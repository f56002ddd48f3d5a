/*
 * guest.c - a guest's life: made, asked who it is, shared, taken down.
 */
#include "protocol/guest.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "protocol/cleanup.h"
#include "protocol/guest_internal.h"
#include "protocol/local.h"
#include "protocol/process.h"
#include "protocol/session/link.h"
#include "protocol/token.h"
#include "protocol/workspace.h"

#define NSEC_PER_SEC INT64_C(1000000000)
#define LOCAL_START_SECONDS 15

/* So that it means the same after the daemon has changed to the root directory. */
static int make_absolute(struct address *address, struct error *err)
{
	char path[2 * PATH_MAX];

	if (!address->path[0] || address->path[0] == '/')
		return 0;
	if (!getcwd(path, PATH_MAX))
		return error_set(err, errno, "cannot tell the current directory: %s",
				 strerror(errno));

	size_t len = strlen(path);

	snprintf(path + len, sizeof(path) - len, "/%s", address->path);
	if (strlen(path) >= sizeof(address->path))
		return error_set(err, ENAMETOOLONG, "the path %s is too long", path);
	memcpy(address->path, path, strlen(path) + 1);
	return 0;
}

static void init_locks(struct guest *guest)
{
	pthread_condattr_t attr;

	pthread_mutex_init(&guest->lock, NULL);
	pthread_condattr_init(&attr);
	pthread_condattr_setclock(&attr, CLOCK_MONOTONIC);
	pthread_cond_init(&guest->quiet, &attr);
	pthread_condattr_destroy(&attr);
	gate_init(&guest->gate,
		  guest->options.max_connections > 0 ? guest->options.max_connections : 1);
}

/* What is to be connected to: for local: the socket of the sandbox's agent. */
static int make_dial_address(struct guest *guest, struct error *err)
{
	struct call call = call_within(LOCAL_START_SECONDS, NULL);
	const char *socket;
	int rc;

	guest->dial = guest->address;
	if (guest->address.kind != ADDRESS_LOCAL)
		return 0;
	rc = local_start(guest->address.path, guest->options.local_net, &call, &guest->local, err);
	if (rc < 0)
		return rc;
	guest->dial.kind = ADDRESS_UNIX;
	socket = local_socket(guest->local);
	if (strlen(socket) >= sizeof(guest->dial.path))
		return error_set(err, ENAMETOOLONG, "the sandbox's socket has too long a name");
	memcpy(guest->dial.path, socket, strlen(socket) + 1);
	return 0;
}

static int furnish(struct guest *guest, struct error *err)
{
	int rc;

	if (token_make(guest->token, GUEST_TOKEN_DIGITS) < 0)
		return error_set(err, EIO, "the kernel gives no random bytes");
	rc = make_absolute(&guest->address, err);
	if (rc == 0)
		rc = make_dial_address(guest, err);
	if (rc < 0)
		return rc;
	guest->status.transport = transport_name(transport_choose(&guest->ops, &guest->dial));
	rc = link_new(guest, &guest->link);
	if (rc < 0)
		return error_set(err, -rc, "cannot make a guest: %s", strerror(-rc));
	rc = ws_new(guest, &guest->workspace, err);
	if (rc == 0)
		rc = proc_room_new(guest, &guest->proc, err);
	return rc;
}

int guest_new_with(const struct address *address, const struct guest_options *options,
		   const struct transport_ops *ops, struct guest **out, struct error *err)
{
	struct guest *guest = calloc(1, sizeof(*guest));
	int rc;

	if (!guest)
		return error_set(err, ENOMEM, "out of memory for a guest");
	guest->address = *address;
	guest->options = *options;
	guest->ops = *ops;
	guest->refs = 1;
	guest->holds = 1;
	init_locks(guest);
	rc = furnish(guest, err);
	if (rc < 0) {
		guest_unref(guest);
		return rc;
	}
	*out = guest;
	return 0;
}

int guest_new(const struct address *address, const struct guest_options *options,
	      struct guest **out, struct error *err)
{
	return guest_new_with(address, options, &transport_system, out, err);
}

void guest_hold(struct guest *guest)
{
	pthread_mutex_lock(&guest->lock);
	guest->holds++;
	pthread_mutex_unlock(&guest->lock);
}

void guest_release(struct guest *guest)
{
	bool last;

	pthread_mutex_lock(&guest->lock);
	last = --guest->holds == 0;
	pthread_mutex_unlock(&guest->lock);
	if (!last)
		return;
	link_free(guest->link);
	gate_destroy(&guest->gate);
	pthread_cond_destroy(&guest->quiet);
	pthread_mutex_destroy(&guest->lock);
	free(guest);
}

/* Waits, at most `timeout`, for what still goes on behind the callers' backs. */
static void wait_until_quiet(struct guest *guest)
{
	struct call call = guest_call(guest, NULL);
	struct timespec until = {
		.tv_sec = call.deadline / NSEC_PER_SEC,
		.tv_nsec = call.deadline % NSEC_PER_SEC,
	};
	int rc = 0;

	pthread_mutex_lock(&guest->lock);
	while (guest->pending > 0 && rc == 0)
		rc = pthread_cond_timedwait(&guest->quiet, &guest->lock, &until);
	pthread_mutex_unlock(&guest->lock);
}

/* The rooms first: they still send what removes their files from the guest. */
static void take_down(struct guest *guest)
{
	if (guest->proc)
		proc_room_free(guest->proc);
	if (guest->workspace)
		ws_free(guest->workspace);
	if (guest->link)
		link_end(guest->link);
	wait_until_quiet(guest);
	if (guest->local)
		local_free(guest->local);
	guest_release(guest);
}

struct guest *guest_ref(struct guest *guest)
{
	pthread_mutex_lock(&guest->lock);
	guest->refs++;
	pthread_mutex_unlock(&guest->lock);
	return guest;
}

void guest_unref(struct guest *guest)
{
	bool last;

	if (!guest)
		return;
	pthread_mutex_lock(&guest->lock);
	/* While it is taken down, the rooms may take references and drop them. */
	last = --guest->refs == 0 && !guest->ending;
	guest->ending |= last;
	pthread_mutex_unlock(&guest->lock);
	if (last)
		take_down(guest);
}

int guest_hello(struct guest *guest, const struct call *call, struct error *err)
{
	guest_reconnect(guest); /* whoever says hello wants to know how it is now */
	return link_hello(guest->link, call, err);
}

struct call guest_call(struct guest *guest, struct cancel *cancel)
{
	return call_within(guest->options.timeout, cancel);
}

const struct address *guest_address(struct guest *guest)
{
	return &guest->address;
}

struct workspace *guest_workspace(struct guest *guest)
{
	return guest->workspace;
}

struct proc_room *guest_proc(struct guest *guest)
{
	return guest->proc;
}

struct link *guest_link(struct guest *guest)
{
	return guest->link;
}

const struct traffic *guest_traffic(struct guest *guest)
{
	return &guest->traffic;
}

const char *guest_token(struct guest *guest)
{
	return guest->token;
}

const struct guest_options *guest_options(struct guest *guest)
{
	return &guest->options;
}
