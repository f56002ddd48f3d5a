/*
 * guest_fixture.c - see guest_fixture.h.
 */
#include "guest_fixture.h"

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

static bool no_vsock(void)
{
	return false;
}

static int never_connect(uint32_t cid, uint32_t port)
{
	fail_msg("CID %u port %u was dialled", cid, port);
	return -EIO;
}

const struct transport_ops no_vsock_ops = { no_vsock, never_connect, NULL };

struct guest *make_guest(const char *scheme, const char *path, double timeout)
{
	struct guest_options options = { .timeout = timeout, .max_connections = 1 };
	struct address address;
	struct guest *guest = NULL;
	struct error err;
	char text[PATH_MAX];

	snprintf(text, sizeof(text), "%s%s", scheme, path);
	if (address_parse(text, &address, &err) != 0 ||
	    guest_new_with(&address, &options, &no_vsock_ops, &guest, &err) != 0)
		fail_msg("%s", err.text);
	return guest;
}

struct exchange_request make_request(const char *command, bool repeatable)
{
	return (struct exchange_request){
		.object = json_pack("{s:s, s:i}", "command", command, "timeout_seconds", 30),
		.repeatable = repeatable,
	};
}

int run_cancellable(struct guest *guest, double seconds, struct cancel *cancel, struct error *err)
{
	struct exchange_request request = make_request("echo ok", false);
	struct call call = call_within(seconds, cancel);
	json_t *reply = NULL;
	int rc = exchange_run(guest, &call, &request, &reply, err);

	assert_null(request.object);
	if (rc == 0)
		assert_true(json_is_object(reply));
	else
		assert_null(reply);
	json_decref(reply);
	return rc;
}

int run(struct guest *guest, double seconds, struct error *err)
{
	return run_cancellable(guest, seconds, NULL, err);
}

struct guest_status status_of(struct guest *guest)
{
	struct guest_status status;

	guest_get_status(guest, &status);
	return status;
}

static void breathe(void)
{
	struct call call = call_within(1, NULL);

	call_sleep(&call, 0.001);
}

void wait_state(struct guest *guest, enum guest_state state)
{
	while (status_of(guest).state != state)
		breathe();
}

void wait_abandoned(struct guest *guest, uint64_t count)
{
	while (status_of(guest).abandoned != count)
		breathe();
}

void wait_retries(struct guest *guest, uint64_t count)
{
	while (status_of(guest).traffic.retries < count)
		breathe();
}

void expect_text(const struct error *err, const char *part)
{
	if (!strstr(err->text, part))
		fail_msg("'%s' does not have '%s'", err->text, part);
}
