/*
 * test_deliver.c - our agent in a guest that has only a line-dialect one: how it comes there.
 */
#include <elf.h>
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/utsname.h>
#include <unistd.h>

#include "tests/unit/cmocka_all.h"

#include "deliver_fixture.h"
#include "protocol/line/line.h"

/*
 * The files here
 */

static void copy(const char *from, const char *dir, const char *name, void (*change)(int fd))
{
	char command[512], path[256];
	int fd;

	snprintf(path, sizeof(path), "%s/%s", dir, name);
	snprintf(command, sizeof(command), "cp %s %s", from, path);
	assert_int_equal(system(command), 0);
	if (change) {
		fd = open(path, O_RDWR);
		change(fd);
		close(fd);
	}
}

static void make_alien(int fd)
{
	uint16_t machine = EM_SPARCV9;

	assert_int_equal(pwrite(fd, &machine, 2, offsetof(Elf64_Ehdr, e_machine)), 2);
}

static void cut(int fd)
{
	assert_int_equal(ftruncate(fd, 100), 0);
}

static void test_which_file(void **state)
{
	char dir[] = "/tmp/test-files-XXXXXX", command[64], named[64];
	struct agent_file file;
	struct error err = { 0 };
	struct utsname here;

	(void)state;
	need_agent();
	uname(&here);
	snprintf(named, sizeof(named), "vsockfs-agent.%.40s", here.machine);
	assert_non_null(mkdtemp(dir));
	setenv("VSOCKFS_AGENT_DIR", dir, 1);

	assert_int_equal(agent_file_find(here.machine, &file, &err), -EOPNOTSUPP);
	expect_part(err.text, "VSOCKFS_AGENT_DIR");
	copy("/bin/true", dir, "vsockfs-agent", NULL);
	assert_int_equal(agent_file_find(here.machine, &file, &err), -EOPNOTSUPP);
	expect_part(err.text, "not linked statically");
	copy(getenv("VSOCKFS_AGENT"), dir, "vsockfs-agent", make_alien);
	assert_int_equal(agent_file_find(here.machine, &file, &err), -EOPNOTSUPP);
	expect_part(err.text, "another machine");
	copy(getenv("VSOCKFS_AGENT"), dir, "vsockfs-agent", cut);
	assert_int_equal(agent_file_find(here.machine, &file, &err), -EOPNOTSUPP);
	copy("/etc/passwd", dir, "vsockfs-agent", NULL);
	assert_int_equal(agent_file_find(here.machine, &file, &err), -EOPNOTSUPP);
	expect_part(err.text, "no program");
	assert_int_equal(agent_file_find("unknown", &file, &err), -EOPNOTSUPP);
	assert_int_equal(agent_file_find("../x86_64", &file, &err), -EOPNOTSUPP);
	assert_int_equal(agent_file_find("", &file, &err), -EOPNOTSUPP);

	/* with the right one under the machine's own name the other does not matter */
	copy(getenv("VSOCKFS_AGENT"), dir, named, NULL);
	assert_int_equal(agent_file_find(here.machine, &file, &err), 0);
	expect_part(file.path, named);
	assert_int_equal(strlen(file.build), 40);
	agent_file_close(&file);
	snprintf(command, sizeof(command), "rm -r %s", dir);
	assert_int_equal(system(command), 0);
}

/*
 * The usual way
 */

static void test_delivered(void **state)
{
	struct line_vm vm = { 0 };
	struct guest *one, *two;
	struct error err = { 0 };

	(void)state;
	need_vm(&vm, NULL);
	one = line_vm_guest(&vm, LONG, GUEST_AGENT_AUTO);
	if (hello(one, &err))
		fail_msg("%s", err.text);
	expect_delivered(one);
	assert_string_equal(line_vm_ask(one, LOOK), "");
	assert_int_equal(line_vm_count(&vm, "extract_archive"), 1);

	/* another daemon, that has nothing to bring */
	two = line_vm_guest(&vm, LONG, GUEST_AGENT_AUTO);
	assert_int_equal(hello(two, &err), 0);
	expect_delivered(two);
	assert_int_equal(line_vm_count(&vm, "extract_archive"), 1);
	assert_string_equal(line_vm_ask(two, COUNT_AGENTS), "1\n");

	/* it stays when the one who brought it goes */
	guest_unref(one);
	assert_int_equal(stat_root(two, NULL, &err), 0);
	guest_unref(two);
	line_vm_stop(&vm);
}

static void test_two_at_once(void **state)
{
	struct caller callers[3];
	struct line_vm vm = { 0 };

	(void)state;
	need_vm(&vm, NULL);
	for (int i = 0; i < 3; i++) {
		callers[i].guest = line_vm_guest(&vm, LONG, GUEST_AGENT_AUTO);
		cancel_init(&callers[i].cancel);
		pthread_create(&callers[i].thread, NULL, say_hello, &callers[i]);
	}
	for (int i = 0; i < 3; i++) {
		pthread_join(callers[i].thread, NULL);
		if (callers[i].rc)
			fail_msg("%s", callers[i].err.text);
		expect_delivered(callers[i].guest);
	}
	assert_string_equal(line_vm_ask(callers[0].guest, LOOK), "");
	assert_string_equal(line_vm_ask(callers[0].guest, COUNT_AGENTS), "1\n");
	for (int i = 0; i < 3; i++) {
		guest_unref(callers[i].guest);
		cancel_destroy(&callers[i].cancel);
	}
	line_vm_stop(&vm);
}

static void test_delivered_again(void **state)
{
	uint64_t first = 0, second = 0;
	struct line_vm vm = { 0 };
	struct guest *guest;
	struct error err = { 0 };

	(void)state;
	need_vm(&vm, NULL);
	guest = line_vm_guest(&vm, LONG, GUEST_AGENT_AUTO);
	assert_int_equal(stat_root(guest, &first, &err), 0);
	line_vm_ask(guest, KILL_AGENT);
	if (stat_root(guest, &second, &err))
		fail_msg("%s", err.text);
	assert_int_not_equal(first, second);
	assert_int_equal(line_vm_count(&vm, "extract_archive"), 2);
	assert_string_equal(line_vm_ask(guest, LOOK), "");
	assert_string_equal(line_vm_ask(guest, COUNT_AGENTS), "1\n");
	guest_unref(guest);
	line_vm_stop(&vm);
}

/* What moves counts: a guest that takes long for it is not given up. */
static void test_slow_guest(void **state)
{
	struct line_vm vm = { .pause = "0.05" };
	struct guest *guest;
	struct error err = { 0 };
	struct call call;
	enum dialect dialect;

	(void)state;
	need_vm(&vm, NULL);
	guest = line_vm_guest(&vm, 1, GUEST_AGENT_AUTO);
	call = guest_call(guest, NULL);
	if (link_dialect(guest_link(guest), &call, &dialect, &err))
		fail_msg("%s", err.text);
	assert_true(call_now() > call.deadline);
	expect_delivered(guest);
	guest_unref(guest);
	line_vm_stop(&vm);
}

/*
 * Without a host for a while it ends, and there is nothing of it; whoever comes then brings it
 * anew.
 */
static void test_ends_when_nobody_is_there(void **state)
{
	struct line_vm vm = { .more = " --idle-exit 1" };
	struct call nap = call_within(LONG, NULL);
	struct guest *one, *line;
	struct error err = { 0 };
	char command[160];

	(void)state;
	need_vm(&vm, NULL);
	snprintf(command, sizeof(command), "test $(ls %s | wc -l) = 1", vm.ports);
	one = line_vm_guest(&vm, LONG, GUEST_AGENT_AUTO);
	assert_int_equal(hello(one, &err), 0);
	expect_delivered(one);
	assert_string_equal(line_vm_ask(one, COUNT_AGENTS), "1\n");
	assert_int_not_equal(system(command), 0);
	guest_unref(one);

	line = line_vm_guest(&vm, LONG, GUEST_AGENT_NEVER);
	while (strcmp(line_vm_ask(line, COUNT_AGENTS), "0\n") != 0)
		assert_int_equal(call_sleep(&nap, 0.05), 0);
	assert_string_equal(line_vm_ask(line, LOOK), "");
	assert_int_equal(system(command), 0); /* its socket is gone, too */
	guest_unref(line);

	one = line_vm_guest(&vm, LONG, GUEST_AGENT_AUTO);
	assert_int_equal(hello(one, &err), 0);
	expect_delivered(one);
	assert_int_equal(line_vm_count(&vm, "extract_archive"), 2);
	guest_unref(one);
	line_vm_stop(&vm);
}

static const char *status_in_session(struct guest *guest, const char *name)
{
	static char text[4096];
	struct buf args = BUF_INIT(256), reply = BUF_INIT(sizeof(text) - 1);
	struct call call = call_within(LONG, NULL);
	struct error err = { 0 };

	buf_addf(&args, "{\"service_name\": \"%s\"}", name);
	if (link_call(guest_link(guest), &call, OP_SERVICE_STATUS, &args, &reply, NULL, &err))
		fail_msg("%s", err.text);
	snprintf(text, sizeof(text), "%.*s", (int)reply.len, buf_str(&reply));
	buf_free(&args);
	buf_free(&reply);
	return text;
}

/* A service is the guest's, whoever of the two agents started it. */
static void test_services_are_shared(void **state)
{
	struct line_service_start start = { .name = "one",
					    .command = "sleep 1000",
					    .cwd = "/workspace",
					    .ready_timeout_seconds = 5,
					    .ready_interval_ms = 100 };
	static const char two[] = "{\"service_name\": \"two\", \"command\": \"sleep 1000\"}";
	struct buf args = BUF_INIT(256), reply = BUF_INIT(4096);
	struct call call = call_within(LONG, NULL);
	struct line_vm vm = { 0 };
	struct line_service service;
	struct guest *guest;
	struct error err = { 0 };

	(void)state;
	need_vm(&vm, NULL);
	guest = line_vm_guest(&vm, LONG, GUEST_AGENT_AUTO);
	assert_int_equal(hello(guest, &err), 0);
	assert_int_equal(line_start_service(guest, &call, &start, &service, &err), 0);
	line_service_free(&service);
	expect_part(status_in_session(guest, "one"), "running");

	buf_adds(&args, two);
	if (link_call(guest_link(guest), &call, OP_SERVICE_START, &args, &reply, NULL, &err))
		fail_msg("%s", err.text);
	assert_int_equal(line_status_service(guest, &call, "two", &service, &err), 0);
	assert_string_equal(service.state, "running");
	line_service_free(&service);
	assert_int_equal(line_stop_service(guest, &call, "two", &service, &err), 0);
	line_service_free(&service);
	assert_null(strstr(status_in_session(guest, "two"), "running"));
	buf_free(&args);
	buf_free(&reply);
	guest_unref(guest);
	line_vm_stop(&vm);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_which_file),
		cmocka_unit_test(test_delivered),
		cmocka_unit_test(test_two_at_once),
		cmocka_unit_test(test_delivered_again),
		cmocka_unit_test(test_slow_guest),
		cmocka_unit_test(test_services_are_shared),
		cmocka_unit_test(test_ends_when_nobody_is_there),
	};

	return cmocka_run_group_tests(tests, deliver_setup, deliver_teardown);
}
