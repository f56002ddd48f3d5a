/*
 * test_deliver.c - our agent in a guest that has only a line-dialect one.
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

#include "line_vm.h"
#include "peer.h"
#include "protocol/session/agent_file.h"
#include "protocol/session/link.h"

#define LONG 60.0

/* What must be empty when a delivery has ended, however it did. */
#define LOOK "ls -a /workspace /run /dev/shm /tmp /var/tmp | grep vsockfs; exit 0"
#define KILL_AGENT                                                                                 \
	"for p in /proc/[0-9]*; do case `readlink $p/exe` in */.vsockfs-*) kill -9 ${p#/proc/};; " \
	"esac; done"
#define COUNT_AGENTS                                                                               \
	"n=0; for p in /proc/[0-9]*; do case `readlink $p/exe` in */.vsockfs-*) n=$((n+1));; "     \
	"esac; done; echo $n"

static const char *agent_dir; /* with the static agent of this machine; NULL: it is none */

static struct link_info info_of(struct guest *guest)
{
	struct link_info info;

	link_get_info(guest_link(guest), &info);
	return info;
}

static int hello_or(struct guest *guest, struct cancel *cancel, struct error *err)
{
	struct call call = call_within(LONG, cancel);

	return guest_hello(guest, &call, err);
}

static int hello(struct guest *guest, struct error *err)
{
	return hello_or(guest, NULL, err);
}

static int stat_root(struct guest *guest, uint64_t *generation, struct error *err)
{
	autobuf struct buf args = BUF_INIT(64), reply = BUF_INIT(4096);
	struct call call = call_within(LONG, NULL);

	pack_text(&args, "");
	return link_call(guest_link(guest), &call, OP_STAT, &args, &reply, generation, err);
}

static void expect_part(const char *text, const char *part)
{
	if (!strstr(text, part))
		fail_msg("'%s' does not have '%s'", text, part);
}

/* Skips where there is no agent to be brought, or no sandbox. */
static void need_vm(struct line_vm *vm, const char *const *more)
{
	if (!agent_dir || !line_vm_start(vm, NULL, more))
		skip();
	setenv("VSOCKFS_AGENT_DIR", agent_dir, 1);
}

static void expect_delivered(struct guest *guest)
{
	struct error err = { 0 };
	struct link_info info = info_of(guest);

	if (info.dialect != DIALECT_SESSION)
		fail_msg("%s", info.why_line);
	assert_true(info.delivered);
	assert_string_equal(info.agent, "vsockfs-agent " VSOCKFS_VERSION);
	if (stat_root(guest, NULL, &err))
		fail_msg("%s", err.text);
}

static void expect_line(struct guest *guest, const char *why)
{
	struct link_info info = info_of(guest);

	assert_int_equal(info.dialect, DIALECT_LINE);
	expect_part(info.why_line, why);
	assert_string_equal(line_vm_ask(guest, LOOK), "");
	assert_string_equal(line_vm_ask(guest, COUNT_AGENTS), "0\n");
}

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
	if (!agent_dir)
		skip();
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
	struct line_vm vm;
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

struct caller {
	pthread_t thread;
	struct guest *guest;
	struct cancel cancel;
	int rc;
	struct error err;
};

static void *say_hello(void *arg)
{
	struct caller *caller = arg;

	caller->rc = hello_or(caller->guest, &caller->cancel, &caller->err);
	return NULL;
}

static void test_two_at_once(void **state)
{
	struct caller callers[3];
	struct line_vm vm;

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
	struct line_vm vm;
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

/*
 * Where it cannot be
 */

static void test_never(void **state)
{
	struct line_vm vm;
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
	struct line_vm vm;
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
	struct line_vm vm;
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
	struct line_vm vm;
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

static void test_another_place(void **state)
{
	static const char *const small[] = { "--size", "65536", "--tmpfs", "/run", NULL };
	struct line_vm vm;
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
	struct line_vm vm;
	struct guest *guest;
	struct error err = { 0 };

	(void)state;
	if (!agent_dir)
		skip();
	assert_non_null(mkdtemp(place));
	if (!line_vm_start(&vm, place, more)) {
		rmdir(place);
		skip();
	}
	setenv("VSOCKFS_AGENT_DIR", agent_dir, 1);
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
	struct line_vm vm;
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
	struct line_vm vm;

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

static int find_agent(void **state)
{
	static char dir[] = "/tmp/test-agent-dir-XXXXXX";
	char path[64];
	struct agent_file file;
	struct utsname here;

	(void)state;
	uname(&here);
	if (!mkdtemp(dir))
		return -1;
	snprintf(path, sizeof(path), "%s/vsockfs-agent", dir);
	if (symlink(getenv("VSOCKFS_AGENT"), path) < 0)
		return -1;
	setenv("VSOCKFS_AGENT_DIR", dir, 1);
	if (agent_file_find(here.machine, &file, NULL) == 0) {
		agent_file_close(&file);
		agent_dir = dir;
	}
	return 0;
}

static int drop_agent(void **state)
{
	char path[64];

	(void)state;
	snprintf(path, sizeof(path), "%s/vsockfs-agent", agent_dir ? agent_dir : "");
	unlink(path);
	return agent_dir ? rmdir(agent_dir) : 0;
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_which_file),     cmocka_unit_test(test_delivered),
		cmocka_unit_test(test_two_at_once),    cmocka_unit_test(test_delivered_again),
		cmocka_unit_test(test_never),          cmocka_unit_test(test_no_file),
		cmocka_unit_test(test_no_room_to_run), cmocka_unit_test(test_no_room_to_upload),
		cmocka_unit_test(test_another_place),  cmocka_unit_test(test_noexec),
		cmocka_unit_test(test_strangers),      cmocka_unit_test(test_detached_half_way),
	};

	return cmocka_run_group_tests(tests, find_agent, drop_agent);
}
