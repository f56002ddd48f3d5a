/*
 * test_local.c - the local: sandbox with the real agent in it, where bubblewrap can run.
 *
 * The program of the agent comes with VSOCKFS_AGENT from the build.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

#include "protocol/cleanup.h"
#include "protocol/local.h"
#include "protocol/local_bwrap.h"

struct place {
	char top[64];
	char dir[128]; /* with everything in its name that a word splitter could trip over */
};

static int setup(void **state)
{
	struct place *place = calloc(1, sizeof(*place));

	snprintf(place->top, sizeof(place->top), "/tmp/test-local-XXXXXX");
	assert_non_null(mkdtemp(place->top));
	snprintf(place->dir, sizeof(place->dir), "%s/a b,c:d'e\n", place->top);
	assert_int_equal(mkdir(place->dir, 0755), 0);
	setenv("XDG_RUNTIME_DIR", place->top, 1); /* what a killed one leaves goes with it */
	*state = place;
	return 0;
}

static int teardown(void **state)
{
	struct place *place = *state;
	char command[128];

	snprintf(command, sizeof(command), "rm -rf %s", place->top);
	assert_int_equal(system(command), 0);
	free(place);
	return 0;
}

static struct local *start(struct place *place, bool network)
{
	struct call call = call_within(20, NULL);
	struct local *local = NULL;
	struct error err = { 0 };
	int rc = local_start(place->dir, network, &call, &local, &err);

	if (rc == -EPERM || (rc == -ENOENT && strstr(err.text, "apt install"))) {
		print_message("%s\n", err.text);
		skip();
	}
	if (rc)
		fail_msg("%s", err.text);
	return local;
}

/* One exec by hand: the reply's text. */
static void ask(struct local *local, const char *command, char reply[static 8192])
{
	struct sockaddr_un address = { .sun_family = AF_UNIX };
	autoclose int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
	char request[4096];
	size_t len = 0;
	ssize_t got;

	snprintf(address.sun_path, sizeof(address.sun_path), "%s", local_socket(local));
	assert_int_equal(connect(fd, (struct sockaddr *)&address, sizeof(address)), 0);
	snprintf(request, sizeof(request),
		 "{\"command\": \"%s\", \"timeout_seconds\": 10, \"env\": null}\n", command);
	assert_int_equal(write(fd, request, strlen(request)), (ssize_t)strlen(request));
	while ((got = read(fd, reply + len, 8191 - len)) > 0)
		len += (size_t)got;
	reply[len] = '\0';
}

#define assert_says(reply, text)                                                                   \
	do {                                                                                       \
		if (!strstr(reply, text))                                                          \
			fail_msg("no '%s' in %s", text, reply);                                    \
	} while (0)

static void test_is_a_guest(void **state)
{
	struct place *place = *state;
	struct local *local = start(place, false);
	char reply[8192], path[256];
	struct stat st;

	ask(local, "echo made >/workspace/file; id -u; pwd; cat /proc/1/comm", reply);
	assert_says(reply, "0\\n/\\nsh\\n");
	snprintf(path, sizeof(path), "%s/file", place->dir);
	assert_int_equal(stat(path, &st), 0);
	assert_int_equal(st.st_size, 5);
	assert_int_equal(st.st_uid, geteuid());
	/* Nothing of the host's that is not meant for it; no network but its own loopback. */
	ask(local, "ls -d /home /etc/shadow /sys; tail -n +3 /proc/net/dev | wc -l; env | sort",
	    reply);
	assert_says(reply, "cannot access '/home'");
	assert_says(reply, "cannot access '/etc/shadow'");
	assert_says(reply, "1\\nHOME=/root\\n");
	local_free(local);
}

/* Root's sandbox must not be able to change the host through what /proc lets an owner write. */
static void test_kernel_is_covered(void **state)
{
	struct local *local = start(*state, false);
	char reply[8192];

	ask(local,
	    "for f in /proc/sys/kernel/core_pattern /proc/sysrq-trigger /proc/sys/kernel/hostname; "
	    "do [ -w $f ] && echo WRITABLE $f; done; [ -w /usr ] && echo WRITABLE; mount -t tmpfs "
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
	struct local *local = start(place, false);
	char reply[8192];

	assert_int_equal(private_entries(place), 0);
	ask(local, "ls -A /.vsockfs/run; touch /.vsockfs/run/x && echo TOUCHED", reply);
	assert_says(reply, "\"stdout\": \"\"");
	ask(local, "echo again", reply);
	assert_says(reply, "again");
	local_free(local);
}

/* Processes of the sandbox hold the write end of a pipe: its end is theirs. */
static void end_with(struct place *place, void (*ender)(struct local *local))
{
	struct local *local = start(place, false);
	struct pollfd poller = { .events = POLLIN };
	char reply[8192], path[256], byte;

	snprintf(path, sizeof(path), "%s/fifo", place->dir);
	assert_int_equal(mkfifo(path, 0600), 0);
	poller.fd = open(path, O_RDONLY | O_NONBLOCK | O_CLOEXEC);
	ask(local, "(setsid sleep 100 >/workspace/fifo 2>&1 </dev/null &) ; echo >/workspace/fifo",
	    reply);
	assert_int_equal(poll(&poller, 1, 5000), 1);
	assert_int_equal(read(poller.fd, &byte, 1), 1);
	ender(local);
	assert_int_equal(poll(&poller, 1, 10000), 1);
	assert_int_equal(read(poller.fd, &byte, 1), 0);
	close(poller.fd);
}

static void test_free_ends_everything(void **state)
{
	end_with(*state, local_free);
}

/* In a child that starts a sandbox of its own and is killed. */
static void test_death_ends_everything(void **state)
{
	struct place *place = *state;
	struct pollfd poller = { .events = POLLIN };
	char path[256], reply[8192], byte;
	int status;
	pid_t pid;

	local_free(start(place, false)); /* skips where it cannot */
	snprintf(path, sizeof(path), "%s/fifo", place->dir);
	assert_int_equal(mkfifo(path, 0600), 0);
	poller.fd = open(path, O_RDONLY | O_NONBLOCK | O_CLOEXEC);
	pid = fork();
	if (pid == 0) {
		ask(start(place, false),
		    "(setsid sleep 100 >/workspace/fifo 2>&1 </dev/null &) ; echo >/workspace/fifo",
		    reply);
		kill(getpid(), SIGKILL);
	}
	assert_int_equal(waitpid(pid, &status, 0), pid);
	assert_true(WIFSIGNALED(status));
	assert_int_equal(poll(&poller, 1, 10000), 1);
	assert_int_equal(read(poller.fd, &byte, 1), 1);
	assert_int_equal(poll(&poller, 1, 10000), 1);
	assert_int_equal(read(poller.fd, &byte, 1), 0);
	close(poller.fd);
}

/* Whether any process was started with WORD in its arguments. */
static bool process_with(const char *word)
{
	DIR *proc = opendir("/proc");
	struct dirent *entry;
	bool found = false;

	while (proc && !found && (entry = readdir(proc))) {
		char path[300], args[16384];
		ssize_t len = -1;

		snprintf(path, sizeof(path), "/proc/%s/cmdline", entry->d_name);
		autoclose int fd = open(path, O_RDONLY | O_CLOEXEC);

		if (fd >= 0)
			len = read(fd, args, sizeof(args));
		found = len > 0 && memmem(args, (size_t)len, word, strlen(word));
	}
	if (proc)
		closedir(proc);
	return found;
}

/* Whatever a start came to, nothing of the sandbox is left. */
static void assert_gone(struct place *place)
{
	struct call call = call_within(20, NULL);

	while (process_with(place->top))
		if (call_sleep(&call, 0.02))
			fail_msg("a process of the sandbox is left");
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
	char agent[PATH_MAX];
	struct local *local = NULL;
	struct error err = { 0 };
	int rc;

	local_free(start(place, false));
	snprintf(agent, sizeof(agent), "%s",
		 getenv("VSOCKFS_AGENT") ? getenv("VSOCKFS_AGENT") : "");
	setenv("VSOCKFS_AGENT", "/bin/ls", 1);
	rc = local_start(place->dir, false, &call, &local, &err);
	setenv("VSOCKFS_AGENT", "/nonexistent", 1);
	assert_int_equal(rc, -EIO);
	assert_says(err.text, "unrecognized option '--listen'");
	assert_int_equal(local_start(place->dir, false, &call, &local, &err), -ENOENT);
	assert_says(err.text, "VSOCKFS_AGENT");
	assert_gone(place);
	setenv("VSOCKFS_AGENT", agent, 1);
}

static void test_cancelled(void **state)
{
	struct place *place = *state;
	struct cancel cancel;
	struct call call = call_within(20, &cancel);
	struct local *local = NULL;
	struct error err = { 0 };

	local_free(start(place, false));
	cancel_init(&cancel);
	cancel_fire(&cancel);
	assert_int_equal(local_start(place->dir, false, &call, &local, &err), -EINTR);
	assert_null(local);
	cancel_destroy(&cancel);
	call = call_within(0, NULL);
	assert_int_equal(local_start(place->dir, false, &call, &local, &err), -ETIMEDOUT);
	assert_gone(place);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
#define TEST(name) cmocka_unit_test_setup_teardown(test_##name, setup, teardown)
		TEST(is_a_guest),
		TEST(kernel_is_covered),
		TEST(socket_is_out_of_reach),
		TEST(free_ends_everything),
		TEST(death_ends_everything),
		TEST(errors),
		TEST(agent_that_fails),
		TEST(cancelled),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
