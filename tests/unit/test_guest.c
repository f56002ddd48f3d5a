/*
 * test_guest.c - a guest's life: hello, health and probes, what hangs on it, and its end.
 */
#include <errno.h>
#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "fake_rooms.h"
#include "guest_fixture.h"

static const struct peer_step good[] = { P_LINE, P_SAY(ANSWER), P_CLOSE };
static const struct peer_step slow[] = { P_LINE, P_PAUSE, P_SAY(ANSWER), P_CLOSE };

#define PROBE "{\"command\": \":\", \"timeout_seconds\": 5}\n"

static void test_made_and_dropped(void **state)
{
	struct guest *guest = make_guest("here=unix:", "some/where", 7);
	char want[PATH_MAX + 32];

	(void)state;
	assert_true(getcwd(want, PATH_MAX) != NULL);
	snprintf(want + strlen(want), sizeof(want) - strlen(want), "/some/where");
	assert_string_equal(guest_address(guest)->path, want); /* survives a chdir */
	assert_string_equal(guest_address(guest)->name, "here");
	assert_int_equal(strlen(guest_token(guest)), 16);
	assert_int_equal(strspn(guest_token(guest), "0123456789abcdef"), 16);
	assert_true(guest_options(guest)->timeout == 7);
	assert_true(guest_workspace(guest) != NULL && guest_proc(guest) != NULL);
	assert_int_equal(fake_rooms.workspaces, 1);
	assert_int_equal(fake_rooms.procs, 1);
	assert_int_equal(status_of(guest).state, GUEST_NEW);
	assert_string_equal(status_of(guest).transport, "unix");
	assert_string_equal(status_of(guest).machine, "");

	assert_ptr_equal(guest_ref(guest), guest);
	guest_unref(guest);
	assert_int_equal(fake_rooms.workspaces, 1);
	guest_unref(guest);
	assert_int_equal(fake_rooms.workspaces, 0);
	assert_int_equal(fake_rooms.procs, 0);
	guest_unref(NULL);
}

static void test_local(void **state)
{
	const struct peer_step *scripts[] = { good };
	struct peer *peer = peer_start(scripts, 1, false);
	struct guest_options options = { .timeout = LONG, .max_connections = 1 };
	struct address address;
	struct guest *guest = NULL;
	struct error err = { 0 };

	(void)state;
	assert_int_equal(address_parse("local:/tmp", &address, NULL), 0);
	assert_int_equal(guest_new_with(&address, &options, &no_vsock_ops, &guest, &err), -EPERM);
	expect_text(&err, "no sandbox");
	assert_null(guest);
	assert_int_equal(fake_rooms.workspaces, 0);

	fake_rooms.local_socket = peer_path(peer);
	assert_int_equal(guest_new_with(&address, &options, &no_vsock_ops, &guest, &err), 0);
	assert_int_equal(run(guest, LONG, NULL), 0);
	assert_int_equal(guest_address(guest)->kind, ADDRESS_LOCAL);
	assert_int_equal(fake_rooms.locals, 1);
	guest_unref(guest);
	assert_int_equal(fake_rooms.locals, 0);
	fake_rooms.local_socket = NULL;
	peer_stop(peer);
}

/* What hello gets to read: BEFORE, our line with the guest's own token, BEHIND. */
static int hello(const char *before, const char *line, const char *behind, struct error *err,
		 char *machine)
{
	static char reply[1024];
	const struct peer_step script[] = { P_LINE, P_SAY(reply), P_CLOSE };
	const struct peer_step *scripts[] = { script };
	struct peer *peer = peer_start(scripts, 1, false);
	struct guest *guest = make_guest("unix:", peer_path(peer), LONG);
	struct call call = guest_call(guest, NULL);
	int rc;

	snprintf(reply, sizeof(reply),
		 "{\"stdout\": \"%s\\nvsockfs-hello %s %s\\n%s\", \"stderr\": \"sh: no\"}", before,
		 guest_token(guest), line, behind);
	rc = guest_hello(guest, &call, err);
	assert_non_null(strstr(peer_received(peer, 0), guest_token(guest)));
	assert_null(strstr(peer_received(peer, 0), "\"timeout_seconds\": 0"));
	memcpy(machine, status_of(guest).machine, 64);
	guest_unref(guest);
	peer_stop(peer);
	return rc;
}

static void test_hello(void **state)
{
	struct error err = { 0 };
	char machine[64];

	(void)state;
	assert_int_equal(hello("", "yes x86_64", "", &err, machine), 0);
	assert_string_equal(machine, "x86_64");
	assert_int_equal(
		hello("Welcome!\\nvsockfs-hello 0 no m\\n", "yes aarch64", "bye\\n", &err, machine),
		0);
	assert_string_equal(machine, "aarch64");
	assert_int_equal(hello("", "yes \\u001b[2Jevil\\u009b", "", &err, machine), 0);
	assert_string_equal(machine, "");
	assert_int_equal(hello("",
			       "yes aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa"
			       "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa",
			       "", &err, machine),
			 0);
	assert_int_equal(strlen(machine), 63);

	assert_int_equal(hello("", "no x86_64", "", &err, machine), -ENOENT);
	expect_text(&err, "/workspace");
	assert_int_equal(hello("", "maybe", "", &err, machine), -EPROTO);
	expect_text(&err, "sh: no");
}

static void test_hello_without_our_line(void **state)
{
	const struct peer_step *scripts[] = { good };
	struct peer *peer = peer_start(scripts, 1, false);
	struct guest *guest = make_guest("unix:", peer_path(peer), LONG);
	struct call call = guest_call(guest, NULL);
	struct error err = { 0 };

	(void)state;
	assert_int_equal(guest_hello(guest, &call, &err), -EPROTO);
	expect_text(&err, "/bin/sh");
	guest_unref(guest);
	peer_stop(peer);
}

/* Gone costs one caller; then everybody fails at once, until a probe has found it. */
static void test_probe_finds_it_again(void **state)
{
	static const struct peer_step *scripts[] = { good };
	struct peer *first = peer_start(scripts, 1, false), *second;
	struct guest *guest = make_guest("unix:", peer_path(first), LONG);
	struct call nap = call_within(LONG, NULL);
	struct error err = { 0 };

	(void)state;
	assert_int_equal(run(guest, LONG, NULL), 0);
	assert_int_equal(unlink(peer_path(first)), 0); /* the VM, with its socket, is away */
	assert_int_equal(run(guest, LONG, &err), -ENOTCONN);
	expect_text(&err, "no socket");
	assert_int_equal(status_of(guest).state, GUEST_GONE);
	assert_int_equal(run(guest, LONG, &err), -ENOTCONN);
	expect_text(&err, "the guest is gone: there is no socket");
	err = status_of(guest).last_error;
	expect_text(&err, "no socket");

	second = peer_start_at(peer_path(first), scripts, 1, true);
	while (run(guest, LONG, NULL) != 0) /* each at once; one a second probes */
		call_sleep(&nap, 0.005);
	assert_int_equal(status_of(guest).state, GUEST_UP);
	assert_string_equal(peer_received(second, 0), PROBE);
	guest_unref(guest);
	peer_stop(second);
	peer_stop(first);
}

/* However many ask, a probe goes out once a second. */
static void test_probes_are_rare(void **state)
{
	static const struct peer_step closes[] = { P_LINE, P_CLOSE };
	static const struct peer_step *scripts[] = { closes };
	struct peer *peer = peer_start(scripts, 1, true);
	struct guest *guest = make_guest("firecracker:", peer_path(peer), LONG);
	struct call nap = call_within(LONG, NULL);
	int64_t start;
	int accepted;

	(void)state;
	assert_int_equal(run(guest, LONG, NULL), -ENOTCONN); /* the bridge refuses */
	start = call_now();
	while (call_now() - start < INT64_C(1500000000)) {
		assert_int_equal(run(guest, LONG, NULL), -ENOTCONN);
		call_sleep(&nap, 0.002);
	}
	accepted = peer_accepted(peer);
	assert_true(accepted >= 2);
	assert_true(accepted <= 2 + (call_now() - start) / INT64_C(1000000000));
	guest_unref(guest);
	peer_stop(peer);
}

static void test_reconnect(void **state)
{
	static const struct peer_step *scripts[] = { good };
	char dir[] = "/tmp/guest-XXXXXX", path[32];
	struct guest *guest;
	struct peer *peer;
	struct error err = { 0 };

	(void)state;
	assert_non_null(mkdtemp(dir));
	snprintf(path, sizeof(path), "%s/sock", dir);
	guest = make_guest("unix:", path, LONG);
	assert_int_equal(run(guest, LONG, &err), -ENOTCONN);
	peer = peer_start_at(path, scripts, 1, true);
	guest_reconnect(guest);
	assert_int_equal(status_of(guest).state, GUEST_NEW);
	assert_int_equal(run(guest, LONG, NULL), 0);
	assert_int_equal(status_of(guest).state, GUEST_UP);
	guest_unref(guest);
	peer_stop(peer);
	rmdir(dir);
}

/* Refusals are waited out for `timeout` altogether, however short each caller's patience. */
static void test_refused_for_too_long(void **state)
{
	static const struct peer_step *scripts[] = { good };
	struct peer *peer = peer_start(scripts, 1, false);
	struct guest *guest = make_guest("unix:", peer_path(peer), 0.3);
	struct error err = { 0 };
	int64_t start;

	(void)state;
	assert_int_equal(run(guest, LONG, NULL), 0);
	peer_wait_served(peer, 1);
	start = call_now();
	assert_int_equal(run(guest, 0.1, &err), -ENOTCONN);
	assert_int_equal(status_of(guest).state, GUEST_UP);
	assert_int_equal(run(guest, LONG, &err), -ENOTCONN);
	assert_int_equal(status_of(guest).state, GUEST_GONE);
	assert_true(call_now() - start >= INT64_C(300000000));
	guest_unref(guest);
	peer_stop(peer);
}

/* A failure that is this side's, or an answer that is nonsense, says nothing of the guest. */
static void test_what_does_not_make_it_gone(void **state)
{
	static const struct peer_step error[] = { P_LINE, P_SAY("{\"error\": \"no\"}"), P_CLOSE };
	static const struct peer_step garbage[] = { P_LINE, P_SAY("[]"), P_CLOSE };
	static const struct peer_step nothing[] = { P_LINE, P_CLOSE };
	static const struct peer_step *scripts[] = { error, garbage, nothing };
	struct peer *peer = peer_start(scripts, 3, false);
	struct guest *guest = make_guest("unix:", peer_path(peer), LONG);

	(void)state;
	assert_int_equal(run(guest, LONG, NULL), -EREMOTEIO);
	assert_int_equal(status_of(guest).state, GUEST_UP);
	assert_int_equal(run(guest, LONG, NULL), -EPROTO);
	assert_int_equal(run(guest, LONG, NULL), -EPROTO);
	assert_int_equal(status_of(guest).state, GUEST_UP);
	guest_unref(guest);
	peer_stop(peer);
}

/* One request that hangs, among others that are answered, is not the guest's silence. */
static void test_silence_of_one_among_many(void **state)
{
	struct guest *guest = make_guest("unix:", "/nowhere", LONG);
	int64_t before = call_now(), after;
	struct error why = { 0 };

	(void)state;
	error_set(&why, ETIMEDOUT, "silent");
	guest_health_ok(guest, 0.1);
	after = call_now();
	guest_health_silent(guest, before, &why);
	assert_int_equal(status_of(guest).state, GUEST_UP);
	guest_health_silent(guest, after, &why);
	assert_int_equal(status_of(guest).state, GUEST_GONE);
	guest_unref(guest);
}

struct end {
	pthread_t thread;
	struct guest *guest;
	int ended;
};

static void *drop(void *arg)
{
	struct end *end = arg;

	guest_unref(end->guest);
	__atomic_store_n(&end->ended, 1, __ATOMIC_SEQ_CST);
	return NULL;
}

/* The last reference waits for what is still read behind a caller's back. */
static void test_unref_waits(void **state)
{
	static const struct peer_step *scripts[] = { slow };
	struct peer *peer = peer_start(scripts, 1, false);
	struct end end = { .guest = make_guest("unix:", peer_path(peer), LONG) };
	struct call nap = call_within(LONG, NULL);

	(void)state;
	assert_int_equal(run(end.guest, 0.05, NULL), -ETIMEDOUT);
	peer_wait_paused(peer);
	assert_int_equal(pthread_create(&end.thread, NULL, drop, &end), 0);
	call_sleep(&nap, 0.05);
	assert_int_equal(__atomic_load_n(&end.ended, __ATOMIC_SEQ_CST), 0);
	peer_go(peer);
	assert_false(peer_left_early(peer, 0));
	pthread_join(end.thread, NULL);
	peer_stop(peer);
}

/* But no longer than `timeout`: the reaper goes on alone, and the guest's memory with it. */
static void test_unref_gives_up(void **state)
{
	static const struct peer_step *scripts[] = { slow };
	struct peer *peer = peer_start(scripts, 1, false);
	struct guest *guest = make_guest("unix:", peer_path(peer), 0.2);
	int64_t start;

	(void)state;
	assert_int_equal(run(guest, 0.05, NULL), -ETIMEDOUT);
	peer_wait_paused(peer);
	guest_hold(guest); /* to look at it afterwards */
	start = call_now();
	guest_unref(guest);
	assert_true(call_now() - start >= INT64_C(200000000));
	assert_int_equal(status_of(guest).abandoned, 1);
	peer_go(peer);
	assert_false(peer_left_early(peer, 0));
	wait_abandoned(guest, 0);
	guest_release(guest);
	peer_stop(peer);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_made_and_dropped),
		cmocka_unit_test(test_local),
		cmocka_unit_test(test_hello),
		cmocka_unit_test(test_hello_without_our_line),
		cmocka_unit_test(test_probe_finds_it_again),
		cmocka_unit_test(test_probes_are_rare),
		cmocka_unit_test(test_reconnect),
		cmocka_unit_test(test_refused_for_too_long),
		cmocka_unit_test(test_what_does_not_make_it_gone),
		cmocka_unit_test(test_silence_of_one_among_many),
		cmocka_unit_test(test_unref_waits),
		cmocka_unit_test(test_unref_gives_up),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
