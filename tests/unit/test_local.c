/*
 * test_local.c - the local: sandbox with the real agent in it, where bubblewrap can run.
 *
 * The program of the agent comes with VSOCKFS_AGENT from the build.
 */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "protocol/cleanup.h"
#include "protocol/local_bwrap.h"
#include "tests/unit/cmocka_all.h"
#include "tests/unit/local_fixture.h"

#define assert_says(reply, text)                                                                   \
	do {                                                                                       \
		if (!strstr(reply, text))                                                          \
			fail_msg("no '%s' in %s", text, reply);                                    \
	} while (0)

static void test_is_a_guest(void **state)
{
	struct place *place = *state;
	struct local *local = local_begin(place, false);
	char reply[REPLY_SIZE], path[256];
	struct stat st;

	local_ask(local, "echo made >/workspace/file; id -u; pwd; cat /proc/1/comm", reply);
	assert_says(reply, "0\\n/\\nsh\\n");
	snprintf(path, sizeof(path), "%s/file", place->dir);
	assert_int_equal(stat(path, &st), 0);
	assert_int_equal(st.st_size, 5);
	assert_int_equal(st.st_uid, geteuid());
	/* Nothing of the host's that is not meant for it; no network but its own loopback. */
	local_ask(local,
		  "ls -d /home /etc/shadow /sys; tail -n +3 /proc/net/dev | wc -l; env | sort",
		  reply);
	assert_says(reply, "cannot access '/home'");
	assert_says(reply, "cannot access '/etc/shadow'");
	assert_says(reply, "1\\nHOME=/root\\n");
	local_free(local);
}

/* Root's sandbox must not be able to change the host through what /proc lets an owner write. */
static void test_kernel_is_covered(void **state)
{
	struct local *local = local_begin(*state, false);
	char reply[REPLY_SIZE];

	local_ask(local,
		  "for f in /proc/sys/kernel/core_pattern /proc/sysrq-trigger "
		  "/proc/sys/kernel/hostname; "
		  "do [ -w $f ] && echo WRITABLE $f; done; [ -w /usr ] && echo WRITABLE; mount -t "
		  "tmpfs "
		  "x "
		  "/workspace && echo MOUNTED; echo done",
		  reply);
	assert_says(reply, "\"done\\n\"");
	local_free(local);
}

/* How many entries the place of private directories has, besides the guest's own. */
static int private_entries(struct place *place)
{
	DIR *dir = opendir(place->top);
	struct dirent *entry;
	int count = 0;

	while ((entry = readdir(dir)))
		count += strncmp(entry->d_name, "vsockfs-", 8) == 0;
	closedir(dir);
	return count;
}

/* The socket is where nobody inside can reach it, and has no name that could be left behind. */
static void test_socket_is_out_of_reach(void **state)
{
	struct place *place = *state;
	struct local *local = local_begin(place, false);
	char reply[REPLY_SIZE];

	assert_int_equal(private_entries(place), 0);
	local_ask(local, "ls -A /.vsockfs/run; touch /.vsockfs/run/x && echo TOUCHED", reply);
	assert_says(reply, "\"stdout\": \"\"");
	local_ask(local, "echo again", reply);
	assert_says(reply, "again");
	local_free(local);
}

static void test_errors(void **state)
{
	struct place *place = *state;
	struct call call = call_within(20, NULL);
	struct local *local = NULL;
	struct error err = { 0 };
	char path[256];

	snprintf(path, sizeof(path), "%s/none", place->top);
	assert_int_equal(local_start(path, false, &call, &local, &err), -ENOENT);
	assert_says(err.text, "none: No such file");
	close(open(path, O_CREAT | O_WRONLY | O_CLOEXEC, 0600));
	assert_int_equal(local_start(path, false, &call, &local, &err), -ENOTDIR);
	assert_says(err.text, "is not a directory");
	assert_int_equal(local_bwrap_error("bwrap: setting up uid map: Permission denied\nx", &err),
			 -EPERM);
	assert_says(err.text, "cannot make a sandbox here (bwrap: setting up uid map: Permission "
			      "denied); ");
	assert_int_equal(local_bwrap_error("vsockfs-agent: bad option\n", &err), -EIO);
	assert_says(err.text, "bad option");
	assert_int_equal(local_bwrap_error("", &err), -EIO);
	assert_null(local);
}

/* Whatever the program is, it did not say that it listens. */
static void test_agent_that_fails(void **state)
{
	struct place *place = *state;
	struct call call = call_within(20, NULL);
	struct local *local = NULL;
	struct error err = { 0 };
	int rc;

	local_free(local_begin(place, false));
	local_agent(place, "exec ls \"$@\"\n");
	rc = local_start(place->dir, false, &call, &local, &err);
	setenv("VSOCKFS_AGENT", "/nonexistent", 1);
	assert_int_equal(rc, -EIO);
	assert_says(err.text, "unrecognized option '--listen'");
	assert_int_equal(local_start(place->dir, false, &call, &local, &err), -ENOENT);
	assert_says(err.text, "VSOCKFS_AGENT");
	local_assert_gone(place);
}

static void test_cancelled(void **state)
{
	struct place *place = *state;
	struct cancel cancel;
	struct call call = call_within(20, &cancel);
	struct local *local = NULL;
	struct error err = { 0 };

	local_free(local_begin(place, false));
	cancel_init(&cancel);
	cancel_fire(&cancel);
	assert_int_equal(local_start(place->dir, false, &call, &local, &err), -EINTR);
	assert_null(local);
	cancel_destroy(&cancel);
	call = call_within(0, NULL);
	assert_int_equal(local_start(place->dir, false, &call, &local, &err), -ETIMEDOUT);
	local_assert_gone(place);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
#define TEST(name) cmocka_unit_test_setup_teardown(test_##name, local_setup, local_teardown)
		TEST(is_a_guest), TEST(kernel_is_covered), TEST(socket_is_out_of_reach),
		TEST(errors),     TEST(agent_that_fails),  TEST(cancelled),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
