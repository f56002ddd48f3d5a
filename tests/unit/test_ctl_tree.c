/*
 * test_ctl_tree.c - the tree's shape, the rules that hold everywhere, the root and the guests.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "protocol/address.h"
#include "protocol/cleanup.h"
#include "tests/unit/cmocka_all.h"
#include "tests/unit/ctl_world.h"
#include "tests/unit/fake_host.h"

static void lists(struct vnode *top, const char *path, const char *names)
{
	autofree char *got = fake_ls(top, path);

	assert_non_null(got);
	assert_string_equal(got, names);
}

static void test_shape(void **state)
{
	struct vnode *top = world_root(state);

	lists(top, "", "ctl dev error metrics status two version");
	lists(top, "dev", "ctl error events exec services shells status workspace");
	lists(top, "dev/services", "");
	lists(top, "dev/shells", "clone");
	lists(top, "dev/exec", "clone");
	assert_int_equal(fake_mkdir(top, "dev/services/a"), 0);
	assert_int_equal(fake_mkdir(top, "dev/shells/b"), 0);
	assert_int_equal(fake_mkdir(top, "dev/exec/c"), 0);
	lists(top, "dev/services/a", "ctl error status stderr stdout wait");
	lists(top, "dev/shells/b", "cons ctl error output status text wait");
	lists(top, "dev/exec/c", "ctl error exit_code status stderr stdin stdout wait");
	lists(top, "dev/exec", "c clone");
	lists(top, "two/exec", "clone");
}

static void test_attributes(void **state)
{
	struct vnode *top = world_root(state);
	struct call call = call_within(5, NULL);
	struct vn_attr first, second, file;
	struct vnode *node;
	int rc;

	node = fake_walk(top, "dev/services", &rc);
	assert_int_equal(node->ops->getattr(node, &call, NULL, &first), 0);
	assert_true(S_ISDIR(first.st.st_mode));
	assert_true(first.st.st_ino >> 63);
	assert_int_equal(first.st.st_uid, 4321);
	assert_int_equal(first.st.st_gid, 1234);
	vn_unref(node);
	/* The same number at every lookup, another one for every other node. */
	node = fake_walk(top, "dev/services", &rc);
	assert_int_equal(node->ops->getattr(node, &call, NULL, &second), 0);
	assert_true(first.st.st_ino == second.st.st_ino);
	vn_unref(node);
	node = fake_walk(top, "dev/ctl", &rc);
	assert_int_equal(node->ops->getattr(node, &call, NULL, &file), 0);
	assert_true(S_ISREG(file.st.st_mode));
	assert_int_equal(file.st.st_mode & 07777, 0600);
	assert_true(file.st.st_ino != first.st.st_ino);
	vn_unref(node);
	assert_int_equal(fake_size(top, "version"), strlen("vsockfs " VSOCKFS_VERSION "\n"));
}

/* Writers must not meet in the kernel's lock of one inode: what vnode.h asks for that. */
static void test_what_takes_verbs_is_another_file_each_time(void **state)
{
	static const char *const paths[] = { "ctl",
					     "dev/ctl",
					     "dev/shells/clone",
					     "dev/exec/clone",
					     "dev/services/a/ctl",
					     "dev/shells/b/ctl",
					     "dev/shells/b/cons",
					     "dev/exec/c/ctl" };
	struct vnode *top = world_root(state);
	struct call call = call_within(5, NULL);

	assert_int_equal(fake_mkdir(top, "dev/services/a"), 0);
	assert_int_equal(fake_mkdir(top, "dev/shells/b"), 0);
	assert_int_equal(fake_mkdir(top, "dev/exec/c"), 0);
	for (size_t i = 0; i < sizeof(paths) / sizeof(paths[0]); i++) {
		struct vn_attr attr;
		int rc;
		struct vnode *node = fake_walk(top, paths[i], &rc);

		assert_non_null(node);
		assert_int_equal(node->ops->getattr(node, &call, NULL, &attr), 0);
		assert_true(node->ops->write && !node->ops->lookup && attr.valid == 0);
		vn_unref(node);
	}
}

static void test_setattr(void **state)
{
	struct vnode *top = world_root(state);
	struct call call = call_within(5, NULL);
	struct stat in = { 0 };
	struct vn_attr attr;
	int rc;
	struct vnode *node = fake_walk(top, "dev/ctl", &rc);

	assert_int_equal(node->ops->setattr(node, &call, NULL, VN_SET_SIZE, &in, &attr), 0);
	assert_int_equal(
		node->ops->setattr(node, &call, NULL, VN_SET_SIZE | VN_SET_MTIME, &in, &attr), 0);
	assert_int_equal(node->ops->setattr(node, &call, NULL, VN_SET_MODE, &in, &attr), -EPERM);
	assert_int_equal(node->ops->setattr(node, &call, NULL, VN_SET_MTIME, &in, &attr), -EPERM);
	vn_unref(node);
	assert_int_equal(fake_echo(top, "dev/status", "x"), -EACCES);
}

static void test_mkdir_and_names(void **state)
{
	struct vnode *top = world_root(state);
	char name[128] = "dev/exec/";

	assert_int_equal(fake_mkdir(top, "new"), -EPERM);
	world_has(top, "error", "mkdir new: guests come and go with the verbs attach and detach");
	assert_int_equal(fake_mkdir(top, "dev/new"), -EPERM);
	world_has(top, "dev/error", "mkdir new: directories are made and removed in services");
	assert_int_equal(fake_rmdir(top, "dev"), -EPERM);
	assert_int_equal(fake_rmdir(top, "dev/exec"), -EPERM);
	assert_int_equal(fake_mkdir(top, "dev/exec/clone"), -EEXIST);
	assert_int_equal(fake_mkdir(top, "dev/exec/.hidden"), -EINVAL);
	world_has(top, "dev/error", "mkdir exec/.hidden");
	assert_int_equal(fake_mkdir(top, "dev/exec/a b"), -EINVAL);
	memset(name + 9, 'a', 65);
	assert_int_equal(fake_mkdir(top, name), -EINVAL);
	name[9 + 64] = '\0';
	assert_int_equal(fake_mkdir(top, name), 0);
	assert_int_equal(fake_mkdir(top, name), -EEXIST);
	assert_int_equal(fake_rmdir(top, name), 0);
	assert_int_equal(fake_rmdir(top, name), -ENOENT);
	assert_int_equal(fake_rmdir(top, "dev/exec/clone"), -ENOTDIR);
}

static void test_clone(void **state)
{
	struct vnode *top = world_root(state);
	struct fake_file first, second;
	char *text = NULL;

	assert_int_equal(fake_mkdir(top, "dev/exec/1"), 0);
	assert_int_equal(fake_open(top, "dev/exec/clone", O_RDWR, &first), 0);
	assert_int_equal(fake_open(top, "dev/exec/clone", O_RDWR, &second), 0);
	assert_int_equal(fake_finish(fake_read(&first, 0, 10), &text), 2);
	assert_string_equal(text, "0\n");
	free(text);
	assert_int_equal(fake_finish(fake_read(&second, 0, 10), &text), 2);
	assert_string_equal(text, "2\n");
	free(text);
	assert_int_equal(fake_finish(fake_read(&second, 2, 10), NULL), 0);
	/* The open file is that directory's ctl. */
	assert_int_equal(fake_write(&second, "cwd /tmp\n"), 9);
	world_holds(top, "dev/exec/2/ctl", "cwd /tmp\ntimeout 0\n");
	assert_int_equal(fake_write(&second, "frob\n"), -EINVAL);
	world_has(top, "dev/exec/2/error", "line 2: unknown verb 'frob'");
	assert_int_equal(fake_close(&first), 0);
	assert_int_equal(fake_close(&second), 0);
	/* It stays, and a number that is free again is used again. */
	lists(top, "dev/exec", "0 1 2 clone");
	assert_int_equal(fake_rmdir(top, "dev/exec/0"), 0);
	free(fake_cat(top, "dev/exec/clone"));
	lists(top, "dev/exec", "0 1 2 clone");
}

static void test_lines(void **state)
{
	struct vnode *top = world_root(state);
	struct fake_file file;

	assert_int_equal(fake_mkdir(top, "dev/exec/x"), 0);
	/* Several lines, blank ones, and one without its newline. */
	assert_int_equal(fake_echo(top, "dev/exec/x/ctl", "cwd /a\n\n  \nenv A=1\nenv B=2"), 0);
	world_holds(top, "dev/exec/x/ctl", "cwd /a\nenv A=1\nenv B=2\ntimeout 0\n");
	/* A line over three writes; nothing runs before it is whole. */
	assert_int_equal(fake_open(top, "dev/exec/x/ctl", O_WRONLY | O_APPEND, &file), 0);
	assert_int_equal(fake_write(&file, "timeo"), 5);
	assert_int_equal(fake_write(&file, "ut "), 3);
	world_holds(top, "dev/exec/x/ctl", "cwd /a\nenv A=1\nenv B=2\ntimeout 0\n");
	assert_int_equal(fake_write(&file, "5\ncwd /b"), 8);
	world_holds(top, "dev/exec/x/ctl", "cwd /a\nenv A=1\nenv B=2\ntimeout 5\n");
	assert_int_equal(fake_close(&file), 0);
	world_holds(top, "dev/exec/x/ctl", "cwd /b\nenv A=1\nenv B=2\ntimeout 5\n");
}

static void test_first_bad_line_stops(void **state)
{
	struct vnode *top = world_root(state);
	struct fake_file file;

	assert_int_equal(fake_mkdir(top, "dev/exec/x"), 0);
	world_holds(top, "dev/exec/x/error", "");
	assert_int_equal(fake_echo(top, "dev/exec/x/ctl", "cwd /a\ncwd rel\ncwd /c\n"), -EINVAL);
	world_holds(top, "dev/exec/x/ctl", "cwd /a\ntimeout 0\n");
	world_has(top, "dev/exec/x/error", "line 2: cwd: 'rel'");
	/* A later write that works clears it. */
	assert_int_equal(fake_echo(top, "dev/exec/x/ctl", "cwd /b\n"), 0);
	world_holds(top, "dev/exec/x/error", "");
	/* The error of a last line without its newline comes from close. */
	assert_int_equal(fake_open(top, "dev/exec/x/ctl", O_WRONLY, &file), 0);
	assert_int_equal(fake_write(&file, "bogus"), 5);
	assert_int_equal(fake_close(&file), -EINVAL);
	world_has(top, "dev/exec/x/error", "line 1: unknown verb 'bogus'");
}

static void test_a_line_that_is_too_long(void **state)
{
	struct vnode *top = world_root(state);
	size_t len = LIMIT_CTL_LINE + 10;
	autofree char *line = malloc(len + 1);

	memset(line, 'x', len);
	line[len] = '\0';
	assert_int_equal(fake_mkdir(top, "dev/exec/x"), 0);
	assert_int_equal(fake_echo(top, "dev/exec/x/ctl", line), -EINVAL);
	world_has(top, "dev/exec/x/error", "longer than 65536 bytes");
}

static void test_root_files(void **state)
{
	struct vnode *top = world_root(state);

	world_holds(top, "version", "vsockfs " VSOCKFS_VERSION "\n");
	world_has(top, "status", "guests 2\n");
	world_has(top, "status", "guest.dev up\n");
	world_has(top, "metrics", "vsockfs_guest_requests_total{guest=\"dev\"} 7\n");
	world_has(top, "metrics",
		  "vsockfs_guest_kind_requests_total{guest=\"dev\",kind=\"read\"} 3\n"
		  "vsockfs_guest_kind_retries_total{guest=\"dev\",kind=\"read\"} 1\n"
		  "vsockfs_guest_kind_sent_bytes_total{guest=\"dev\",kind=\"read\"} 40\n"
		  "vsockfs_guest_kind_received_bytes_total{guest=\"dev\",kind=\"read\"} 160\n");
	world_has(top, "ctl", "attach dev=unix:/run/dev.sock\n");
	world_has(top, "dev/status", "state up\n");
	world_has(top, "dev/status", "address unix:/run/dev.sock\n");
	world_has(top, "dev/status", "round_trip_ms 2.500\n");
	world_has(top, "dev/status", "machine x86_64\n");
	world_has(top, "dev/status", "dialect line\n");
}

static void test_attach(void **state)
{
	struct vnode *top = world_root(state);

	assert_int_equal(fake_echo(top, "ctl", "attach new=unix:/run/x y.sock\n"), 0);
	lists(top, "", "ctl dev error metrics new status two version");
	world_has(top, "ctl", "attach new=unix:/run/x y.sock\n");
	assert_non_null(strstr(fake_log_take(), "entry new"));
	assert_int_equal(fake_echo(top, "ctl", "attach new=unix:/a\n"), -EEXIST);
	world_has(top, "error", "line 1: attach: there is a guest named 'new' already");
	assert_int_equal(fake_echo(top, "ctl", "attach unix:/a\n"), -EINVAL);
	world_has(top, "error", "attach NAME=ADDRESS");
	assert_int_equal(fake_echo(top, "ctl", "attach x=unix:run/x.sock\n"), -EINVAL);
	world_has(top, "error", "'run/x.sock' is a relative path");
	assert_int_equal(fake_echo(top, "ctl", "attach x=tcp:1.2.3.4\n"), -EINVAL);
	world_hello_fails(ECONNREFUSED);
	assert_int_equal(fake_echo(top, "ctl", "attach x=unix:/a\n"), -ECONNREFUSED);
	world_has(top, "error", "nobody answers there");
	lists(top, "", "ctl dev error metrics new status two version");
}

/* No guest in the place of a file, whichever files there are. */
static void test_attach_in_the_place_of_a_file(void **state)
{
	struct vnode *top = world_root(state);
	char *at, *name;

	assert_int_equal(fake_echo(top, "ctl", "detach dev\n"), 0);
	assert_int_equal(fake_echo(top, "ctl", "detach two\n"), 0);
	autofree char *names = fake_ls(top, "");

	for (name = strtok_r(names, " ", &at); name; name = strtok_r(NULL, " ", &at)) {
		char line[64], sentence[128];

		assert_int_equal(address_check_name(name, NULL), -EINVAL);
		snprintf(line, sizeof(line), "attach %s=unix:/a\n", name);
		assert_int_equal(fake_echo(top, "ctl", line), -EINVAL);
		snprintf(sentence, sizeof(sentence),
			 "'%s' cannot name a guest: the mount has a file of that name", name);
		world_has(top, "error", sentence);
	}
	lists(top, "", "ctl error metrics status version");
}

static void test_detach(void **state)
{
	struct vnode *top = world_root(state);
	struct fake_file events, wait, ctl;
	struct vn_req *read_events, *read_wait;
	int rc;

	assert_int_equal(fake_mkdir(top, "dev/exec/x"), 0);
	assert_int_equal(fake_open(top, "dev/exec/x/ctl", O_RDWR, &ctl), 0);
	assert_int_equal(fake_write(&ctl, "start sleep 1000\n"), 17);
	assert_int_equal(fake_open(top, "dev/exec/x/wait", O_RDONLY, &wait), 0);
	assert_int_equal(fake_open(top, "dev/events", O_RDONLY, &events), 0);
	fake_finish(fake_read(&events, 0, 4096), NULL);
	read_wait = fake_read(&wait, 0, 10);
	read_events = fake_read(&events, 0, 10);
	assert_true(fake_parked(read_wait) && fake_parked(read_events));
	assert_int_equal(fake_echo(top, "ctl", "detach nobody\n"), -ENOENT);
	assert_int_equal(fake_echo(top, "ctl", "detach dev\n"), 0);
	assert_int_equal(fake_finish(read_wait, NULL), -ENOTCONN);
	assert_int_equal(fake_finish(read_events, NULL), -ENOTCONN);
	assert_int_equal(fake_write(&ctl, "kill\n"), -ENOTCONN);
	assert_int_equal(world_commands_alive(), 0);
	lists(top, "", "ctl error metrics status two version");
	assert_null(fake_walk(top, "dev", &rc));
	assert_int_equal(rc, -ENOENT);
	fake_close(&ctl);
	fake_close(&wait);
	fake_close(&events);
	/* The name is free again. */
	assert_int_equal(fake_echo(top, "ctl", "attach dev=unix:/a\n"), 0);
}

static void test_guest_verbs(void **state)
{
	static const char *const elsewhere[] = { "/", "/etc", "/workspaces/a", NULL };
	struct vnode *top = world_root(state);

	fake_log_take();
	assert_int_equal(fake_echo(top, "dev/ctl", "sync\n"), 0);
	assert_string_equal(fake_log_take(), "sync");
	assert_int_equal(fake_echo(top, "dev/ctl", "refresh\n"), 0);
	assert_string_equal(fake_log_take(), "invalidate");
	assert_int_equal(fake_echo(top, "dev/ctl", "refresh /workspace/a b/./c//d/\n"), 0);
	assert_string_equal(fake_log_take(), "invalidate a b/c/d");
	assert_int_equal(fake_echo(top, "dev/ctl", "refresh src\nrefresh /workspace\n"), 0);
	assert_string_equal(fake_log_take(), "invalidate src, invalidate");
	assert_int_equal(fake_echo(top, "dev/ctl", "refresh a/../b\n"), -EINVAL);
	for (const char *const *path = elsewhere; *path; path++) {
		char line[64];

		snprintf(line, sizeof(line), "refresh %s\n", *path);
		assert_int_equal(fake_echo(top, "dev/ctl", line), -EINVAL);
		world_has(top, "dev/error", "is not below /workspace");
		assert_string_equal(fake_log_take(), "");
	}
	assert_int_equal(fake_echo(top, "dev/ctl", "reconnect\n"), 0);
	assert_string_equal(fake_log_take(), "reconnect, hello, invalidate");
	world_sync_fails(ENOSPC);
	assert_int_equal(fake_echo(top, "dev/ctl", "sync\n"), -ENOSPC);
	world_has(top, "dev/error", "the disk is full");
	world_gone(true);
	assert_int_equal(fake_echo(top, "dev/ctl", "reconnect\n"), -ENOTCONN);
	world_has(top, "dev/status", "state gone\n");
	world_has(top, "dev/status", "dialect null\n"); /* it was never asked */
}

static void test_events(void **state)
{
	struct vnode *top = world_root(state);
	struct fake_file first, second;
	struct vn_req *req;
	char *text = NULL;

	assert_int_equal(fake_open(top, "dev/events", O_RDONLY, &first), 0);
	req = fake_read(&first, 0, 4096);
	assert_true(fake_parked(req));
	assert_int_equal(fake_mkdir(top, "dev/exec/x"), 0);
	assert_int_equal(fake_echo(top, "dev/exec/x/ctl", "start sleep 5\n"), 0);
	assert_true(fake_finish(req, &text) > 0);
	assert_non_null(strstr(text, " exec x running\n"));
	free(text);
	req = fake_read(&first, 0, 4096);
	/* A guest that goes and comes back is told of, though nobody asks it anything. */
	world_gone(true);
	assert_true(fake_finish(req, &text) > 0);
	assert_non_null(strstr(text, " guest dev gone\n"));
	free(text);
	req = fake_read(&first, 0, 4096);
	world_gone(false);
	assert_true(fake_finish(req, &text) > 0);
	assert_non_null(strstr(text, " guest dev back\n"));
	free(text);
	/* Each open file has a cursor of its own, which begins with what was kept. */
	assert_int_equal(fake_open(top, "dev/events", O_RDONLY | O_NONBLOCK, &second), 0);
	assert_true(fake_finish(fake_read(&second, 0, 4096), &text) > 0);
	assert_non_null(strstr(text, " exec x running\n"));
	assert_non_null(strstr(text, " guest dev back\n"));
	free(text);
	assert_int_equal(fake_finish(fake_read(&second, 0, 4096), NULL), -EAGAIN);
	fake_close(&first);
	fake_close(&second);
}

static void test_shutdown_finishes_everything(void **state)
{
	struct world *world = *state;
	struct call call = call_within(5, NULL);
	struct fake_file file;
	struct vn_req *req;

	assert_int_equal(fake_mkdir(world->root, "dev/shells/s"), 0);
	assert_int_equal(fake_open(world->root, "dev/shells/s/cons", O_RDWR, &file), 0);
	req = fake_read(&file, 0, 10);
	assert_true(fake_parked(req));
	ctl_shutdown(world->ctl, &call);
	assert_int_equal(fake_finish(req, NULL), -ENOTCONN);
	assert_int_equal(fake_finish(fake_read(&file, 0, 10), NULL), -ENOTCONN);
	assert_int_equal(world_shells_open(), 0);
	fake_close(&file);
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, world_setup, world_teardown)
	const struct CMUnitTest tests[] = {
		TEST(test_shape),
		TEST(test_attributes),
		TEST(test_what_takes_verbs_is_another_file_each_time),
		TEST(test_setattr),
		TEST(test_mkdir_and_names),
		TEST(test_clone),
		TEST(test_lines),
		TEST(test_first_bad_line_stops),
		TEST(test_a_line_that_is_too_long),
		TEST(test_root_files),
		TEST(test_attach),
		TEST(test_attach_in_the_place_of_a_file),
		TEST(test_detach),
		TEST(test_guest_verbs),
		TEST(test_events),
		TEST(test_shutdown_finishes_everything),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
