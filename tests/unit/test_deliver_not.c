/*
 * test_deliver_not.c - where our agent cannot be brought, or not at once; nothing of it may be left
 * then.
 */
#include <errno.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/utsname.h>
#include <unistd.h>

#include "tests/unit/cmocka_all.h"

#include "deliver_fixture.h"
#include "peer.h"

/*
 * Where it cannot be
 */

static void test_never(void **state)
{
	struct line_vm vm = { 0 };
	struct guest *guest;
	struct error err = { 0 };

	(void)state;
	need_vm(&vm, NULL);
	guest = line_vm_guest(&vm, LONG, GUEST_AGENT_NEVER);
	assert_int_equal(hello(guest, &err), 0);
	expect_line(guest, "agent=never");
	assert_int_equal(line_vm_count(&vm, "extract_archive"), 0);
	guest_unref(guest);
	line_vm_stop(&vm);
}

static void test_no_file(void **state)
{
	struct line_vm vm = { 0 };
	struct guest *guest;
	struct error err = { 0 };

	(void)state;
	need_vm(&vm, NULL);
	setenv("VSOCKFS_AGENT_DIR", vm.ports, 1);
	guest = line_vm_guest(&vm, LONG, GUEST_AGENT_AUTO);
	assert_int_equal(hello(guest, &err), 0);
	expect_line(guest, "is installed");
	guest_unref(guest);
	line_vm_stop(&vm);
}

static void test_no_room_to_run(void **state)
{
	static const char *const small[] = { "--size",   "65536",   "--tmpfs",  "/run",   "--size",
					     "65536",    "--tmpfs", "/dev/shm", "--size", "65536",
					     "--tmpfs",  "/tmp",    "--size",   "65536",  "--tmpfs",
					     "/var/tmp", NULL };
	struct line_vm vm = { 0 };
	struct guest *guest;
	struct error err = { 0 };

	(void)state;
	need_vm(&vm, small);
	guest = line_vm_guest(&vm, LONG, GUEST_AGENT_AUTO);
	assert_int_equal(hello(guest, &err), 0);
	expect_line(guest, "no place to run");
	guest_unref(guest);
	line_vm_stop(&vm);
}

static void test_no_room_to_upload(void **state)
{
	static const char *const small[] = { "--size", "65536", "--tmpfs", "/workspace", NULL };
	struct line_vm vm = { 0 };
	struct guest *guest;
	struct error err = { 0 };

	(void)state;
	need_vm(&vm, small);
	guest = line_vm_guest(&vm, LONG, GUEST_AGENT_AUTO);
	assert_int_equal(hello(guest, &err), 0);
	expect_line(guest, "did not take");
	guest_unref(guest);
	line_vm_stop(&vm);
}

static void test_upload_refused(void **state)
{
	static const char *const fixed[] = { "--remount-ro", "/workspace", NULL };
	struct line_vm vm = { 0 };
	struct guest *guest;
	struct error err = { 0 };

	(void)state;
	need_vm(&vm, fixed);
	guest = line_vm_guest(&vm, LONG, GUEST_AGENT_AUTO);
	assert_int_equal(hello(guest, &err), 0);
	expect_line(guest, "did not take vsockfs's agent: ");
	expect_line(guest, strerror(EROFS));
	guest_unref(guest);
	line_vm_stop(&vm);
}

/* A guest of a machine for which there is no agent; its uname says so. */
static void test_another_machine(void **state)
{
	char uname[] = "/tmp/test-uname-XXXXXX";
	const char *more[] = { "--ro-bind", uname, "/usr/bin/uname", NULL };
	static const char script[] = "#!/bin/sh\necho pdp11\n";
	struct line_vm vm = { 0 };
	struct guest *guest;
	struct error err = { 0 };
	int fd = mkstemp(uname);

	(void)state;
	assert_int_equal(write(fd, script, strlen(script)), strlen(script));
	assert_int_equal(fchmod(fd, 0755), 0);
	close(fd);
	if (!line_vm_start(&vm, NULL, more)) {
		unlink(uname);
		skip();
	}
	guest = line_vm_guest(&vm, LONG, GUEST_AGENT_AUTO);
	assert_int_equal(hello(guest, &err), 0);
	expect_line(guest, "no vsockfs-agent for the machine 'pdp11'");
	assert_int_equal(line_vm_count(&vm, "extract_archive"), 0);
	guest_unref(guest);
	line_vm_stop(&vm);
	assert_int_equal(unlink(uname), 0);
}

/* It runs, but cannot listen. */
static void test_ends_at_once(void **state)
{
	struct line_vm vm = { .more = " --listen unix:/none/agent.sock" };
	struct guest *guest;
	struct error err = { 0 };

	(void)state;
	need_vm(&vm, NULL);
	guest = line_vm_guest(&vm, LONG, GUEST_AGENT_AUTO);
	assert_int_equal(hello(guest, &err), 0);
	expect_line(guest, "agent ended in the guest: vsockfs-agent: ");
	expect_line(guest, "/none/agent.sock");
	guest_unref(guest);
	line_vm_stop(&vm);
}

static void test_another_place(void **state)
{
	static const char *const small[] = { "--size", "65536", "--tmpfs", "/run", NULL };
	struct line_vm vm = { 0 };
	struct guest *guest;
	struct error err = { 0 };

	(void)state;
	need_vm(&vm, small);
	guest = line_vm_guest(&vm, LONG, GUEST_AGENT_AUTO);
	assert_int_equal(hello(guest, &err), 0);
	expect_delivered(guest);
	assert_string_equal(line_vm_ask(guest, LOOK), "");
	guest_unref(guest);
	line_vm_stop(&vm);
}

static void test_noexec(void **state)
{
	char place[] = "/tmp/test-noexec-XXXXXX";
	const char *more[] = { "--bind", place, "/run", NULL };
	struct line_vm vm = { 0 };
	struct guest *guest;
	struct error err = { 0 };

	(void)state;
	need_agent();
	assert_non_null(mkdtemp(place));
	if (!line_vm_start(&vm, place, more)) {
		rmdir(place);
		skip();
	}
	setenv("VSOCKFS_AGENT_DIR", agent_directory(), 1);
	guest = line_vm_guest(&vm, LONG, GUEST_AGENT_AUTO);
	assert_int_equal(hello(guest, &err), 0);
	expect_delivered(guest);
	expect_part(line_vm_ask(guest, "readlink /proc/[0-9]*/exe | grep .vsockfs-"), "/dev/shm/");
	assert_string_equal(line_vm_ask(guest, LOOK), "");
	guest_unref(guest);
	line_vm_stop(&vm);
	assert_int_equal(rmdir(place), 0);
}

/*
 * Strangers, and guests that stand still
 */

/* The port that this build's agent is looked for at first. */
static uint32_t first_port(void)
{
	struct agent_file file;
	struct utsname here;
	char digits[9] = "";

	uname(&here);
	assert_int_equal(agent_file_find(here.machine, &file, NULL), 0);
	memcpy(digits, file.build, 8);
	agent_file_close(&file);
	return 52000 + (uint32_t)(strtoul(digits, NULL, 16) % 9000);
}

static void test_strangers(void **state)
{
	static const struct peer_step session[] = {
		P_LINE, P_SAY("{\"dialect\": \"session/1\", \"build\": \"b0\"}\n"), P_BYTES(1),
		P_CLOSE
	};
	static const struct peer_step nonsense[] = { P_LINE, P_SAY("HTTP/1.1 400\n"), P_CLOSE };
	static const struct peer_step *scripts[] = { session, nonsense };
	struct peer *peers[2];
	struct line_vm vm = { 0 };
	struct guest *guest;
	struct error err = { 0 };
	char path[128];

	(void)state;
	need_vm(&vm, NULL);
	for (unsigned i = 0; i < 2; i++) {
		snprintf(path, sizeof(path), "%s/%u.sock", vm.ports, first_port() + i);
		peers[i] = peer_start_at(path, &scripts[i], 1, true);
	}
	guest = line_vm_guest(&vm, LONG, GUEST_AGENT_AUTO);
	assert_int_equal(hello(guest, &err), 0);
	expect_delivered(guest);
	snprintf(path, sizeof(path), "%s/%u.sock", vm.ports, first_port() + 2);
	assert_int_equal(access(path, F_OK), 0);
	guest_unref(guest);
	for (unsigned i = 0; i < 2; i++)
		peer_stop(peers[i]);
	line_vm_stop(&vm);
}

/* Other builds on all ports that ours would have. */
static void test_strangers_everywhere(void **state)
{
	enum { PORTS = 8 };
	static const struct peer_step session[] = {
		P_LINE, P_SAY("{\"dialect\": \"session/1\", \"build\": \"b0\"}\n"), P_BYTES(1),
		P_CLOSE
	};
	static const struct peer_step *scripts[] = { session };
	struct peer *peers[PORTS];
	struct line_vm vm = { 0 };
	struct guest *guest;
	struct error err = { 0 };
	char path[128];

	(void)state;
	need_vm(&vm, NULL);
	for (unsigned i = 0; i < PORTS; i++) {
		snprintf(path, sizeof(path), "%s/%u.sock", vm.ports,
			 52000 + (first_port() - 52000 + i) % 9000);
		peers[i] = peer_start_at(path, scripts, 1, true);
	}
	guest = line_vm_guest(&vm, LONG, GUEST_AGENT_AUTO);
	assert_int_equal(hello(guest, &err), 0);
	expect_line(guest, "strangers listen on the ports");
	assert_int_equal(line_vm_count(&vm, "extract_archive"), 0);
	guest_unref(guest);
	for (unsigned i = 0; i < PORTS; i++)
		peer_stop(peers[i]);
	line_vm_stop(&vm);
}

static bool is_clean(const struct line_vm *vm)
{
	char command[160];

	snprintf(command, sizeof(command), "ls -a %s | grep -q vsockfs", vm->workspace);
	return system(command) != 0;
}

/* Given up in the middle: what was uploaded goes when the guest's agent goes on. */
static void test_detached_half_way(void **state)
{
	struct call nap = call_within(LONG, NULL);
	struct caller caller = { .rc = 0 };
	struct guest *other;
	struct line_vm vm = { 0 };

	(void)state;
	need_vm(&vm, NULL);
	cancel_init(&caller.cancel);
	caller.guest = line_vm_guest(&vm, 2, GUEST_AGENT_AUTO);
	pthread_create(&caller.thread, NULL, say_hello, &caller);
	while (line_vm_count(&vm, "extract_archive") < 1)
		call_sleep(&nap, 0.001);
	line_vm_hold(&vm, true);
	cancel_fire(&caller.cancel);
	pthread_join(caller.thread, NULL);
	assert_int_equal(caller.rc, -EINTR);
	guest_unref(caller.guest);
	line_vm_hold(&vm, false);
	while (!is_clean(&vm))
		call_sleep(&nap, 0.01);
	other = line_vm_guest(&vm, LONG, GUEST_AGENT_NEVER);
	assert_string_equal(line_vm_ask(other, LOOK), "");
	assert_string_equal(line_vm_ask(other, COUNT_AGENTS), "0\n");
	guest_unref(other);
	cancel_destroy(&caller.cancel);
	line_vm_stop(&vm);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_never),          cmocka_unit_test(test_no_file),
		cmocka_unit_test(test_no_room_to_run), cmocka_unit_test(test_no_room_to_upload),
		cmocka_unit_test(test_another_place),  cmocka_unit_test(test_noexec),
		cmocka_unit_test(test_strangers),      cmocka_unit_test(test_detached_half_way),
		cmocka_unit_test(test_upload_refused), cmocka_unit_test(test_another_machine),
		cmocka_unit_test(test_ends_at_once),   cmocka_unit_test(test_strangers_everywhere),
	};

	return cmocka_run_group_tests(tests, deliver_setup, deliver_teardown);
}
