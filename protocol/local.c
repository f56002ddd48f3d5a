/*
 * local.c - starts the bundled agent in a bubblewrap sandbox and ends it.
 *
 * The handle holds one end of a socket pair, the lifeline; the agent holds the other and ends when
 * it is closed, by us or by our death.  That is up to the agent, though, and to what runs beside it
 * in the sandbox; and while it starts there is no agent.  So bubblewrap runs under a guard, another
 * process of the agent's program (agent/guard.h): it sees the lifeline's end as well, and kills
 * whatever is left some seconds later.
 *
 * What runs in the sandbox may do anything to a directory that it shares with the host, so it
 * shares none: once the agent listens, before anything else has run in there, we keep its socket as
 * a descriptor and remove its name and the directory.  Nobody inside can put a link in its place
 * for us to follow, and nothing is left when we are killed.
 */
#include "protocol/local.h"

#include <fcntl.h>
#include <limits.h>
#include <poll.h>
#include <signal.h>
#include <spawn.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/pidfd.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "protocol/cleanup.h"
#include "protocol/local_bwrap.h"

#define SAID_SIZE 4096    /* of bubblewrap's and the agent's stderr, kept for an error */
#define END_SECONDS 10    /* for a guard whose lifeline is closed, which is given up then */
#define POLL_SLICE_MS 100 /* how late a cancelled start notices */

struct local {
	char socket[32]; /* a path that leads to socket_fd */
	int socket_fd;   /* O_PATH */
	int lifeline;
	pid_t guard; /* to be reaped; 0 for none */
	int said;    /* memory file that takes the sandbox's stderr */
};

const char *local_socket(const struct local *local)
{
	return local->socket;
}

/* Whether the LEN characters of DIR and then TAIL are the path of a program; PATH has it then. */
static bool try_program(char path[static PATH_MAX], const char *dir, size_t len, const char *tail)
{
	int size = snprintf(path, PATH_MAX, "%.*s%s", (int)len, dir, tail);
	struct stat st;

	return size > 0 && size < PATH_MAX && stat(path, &st) == 0 && S_ISREG(st.st_mode) &&
	       access(path, X_OK) == 0;
}

/* Looks NAME up in $PATH and, since mount(8) may have cut that down, in the usual places. */
static bool find_program(const char *name, char path[static PATH_MAX])
{
	static const char usual[] = "/usr/local/bin:/usr/bin:/bin";
	const char *lists[] = { getenv("PATH"), usual };
	char tail[64];

	snprintf(tail, sizeof(tail), "/%s", name);
	for (size_t i = 0; i < 2; i++) {
		for (const char *item = lists[i]; item && *item;) {
			size_t len = strcspn(item, ":");

			if (item[0] == '/' && try_program(path, item, len, tail))
				return true;
			item += len + (item[len] == ':');
		}
	}
	return false;
}

static int find_agent(char path[static PATH_MAX], struct error *err)
{
	/* Where it may be, seen from the directory of the running program. */
	static const char *const places[] = { "/vsockfs-agent", "/../libexec/vsockfs/vsockfs-agent",
					      "/../protocol/agent/vsockfs-agent" };
	const char *chosen = getenv("VSOCKFS_AGENT");
	char self[PATH_MAX];
	ssize_t len;

	if (chosen && *chosen) {
		if (try_program(path, chosen, strlen(chosen), ""))
			return 0;
		return error_set(err, ENOENT, "VSOCKFS_AGENT names no program: %s", chosen);
	}
	len = readlink("/proc/self/exe", self, sizeof(self));
	for (size_t i = 0; len > 0 && i < sizeof(places) / sizeof(*places); i++) {
		const char *slash = memrchr(self, '/', (size_t)len);

		if (slash && try_program(path, self, (size_t)(slash - self), places[i]))
			return 0;
	}
	if (find_program("vsockfs-agent", path))
		return 0;
	return error_set(
		err, ENOENT,
		"vsockfs-agent was not found beside vsockfs or in PATH: install it, or set "
		"VSOCKFS_AGENT to its path");
}

static int check_dir(const char *dir, struct error *err)
{
	struct stat st;

	if (stat(dir, &st) < 0)
		return error_set(err, errno, "local:%s: %s", dir, strerror(errno));
	if (!S_ISDIR(st.st_mode))
		return error_set(err, ENOTDIR, "local:%s is not a directory", dir);
	return 0;
}

/* Makes a private directory for the agent to make its socket in. */
static int make_directory(char dir[static PATH_MAX], struct error *err)
{
	const char *bases[] = { getenv("XDG_RUNTIME_DIR"), "/tmp" };

	for (size_t i = 0; i < 2; i++) {
		if (!bases[i] || bases[i][0] != '/')
			continue;
		snprintf(dir, PATH_MAX, "%s/vsockfs-XXXXXX", bases[i]);
		if (mkdtemp(dir))
			return 0;
	}
	return error_set(err, errno, "no private directory could be made in /tmp: %s",
			 strerror(errno));
}

/* A file in memory that takes SAID_SIZE bytes and then refuses: nobody blocks on it, ever. */
static int make_said(void)
{
	autoclose int fd = memfd_create("vsockfs-local", MFD_CLOEXEC | MFD_ALLOW_SEALING);

	if (fd < 0 || ftruncate(fd, SAID_SIZE) < 0 ||
	    fcntl(fd, F_ADD_SEALS, F_SEAL_GROW | F_SEAL_SHRINK | F_SEAL_SEAL) < 0)
		return -1;
	return move_fd(fd);
}

/* FDS become 3 and 4 of the child; it gets nothing else that is open here. */
static int spawn(struct local *local, char **args, const int fds[static 2], struct error *err)
{
	posix_spawn_file_actions_t files;
	posix_spawnattr_t attr;
	sigset_t none, all;
	int rc;

	sigemptyset(&none);
	sigfillset(&all);
	if (posix_spawn_file_actions_init(&files))
		return error_set(err, ENOMEM, "out of memory");
	if (posix_spawnattr_init(&attr)) {
		posix_spawn_file_actions_destroy(&files);
		return error_set(err, ENOMEM, "out of memory");
	}
	/* Its own session: a Ctrl-C meant for us must not end the sandbox under the mount. */
	rc = posix_spawnattr_setflags(&attr, POSIX_SPAWN_SETSIGMASK | POSIX_SPAWN_SETSIGDEF |
						     POSIX_SPAWN_SETSID);
	rc = rc ? rc : posix_spawnattr_setsigmask(&attr, &none);
	rc = rc ? rc : posix_spawnattr_setsigdefault(&attr, &all);
	rc = rc ? rc : posix_spawn_file_actions_addopen(&files, 0, "/dev/null", O_RDONLY, 0);
	rc = rc ? rc : posix_spawn_file_actions_adddup2(&files, local->said, 1);
	rc = rc ? rc : posix_spawn_file_actions_adddup2(&files, local->said, 2);
	for (int i = 0; i < 2 && !rc; i++)
		rc = posix_spawn_file_actions_adddup2(&files, fds[i], LOCAL_FD_LIFELINE + i);
	rc = rc ? rc : posix_spawn_file_actions_addclosefrom_np(&files, LOCAL_FD_END);
	rc = rc ? rc : posix_spawn(&local->guard, args[0], &files, &attr, args, environ);
	posix_spawnattr_destroy(&attr);
	posix_spawn_file_actions_destroy(&files);
	if (rc) {
		local->guard = 0;
		return error_set(err, rc, "%s: %s", args[0], strerror(rc));
	}
	return 0;
}

/* Both ends closed on exec and above the numbers that spawn() deals out. */
static int make_pair(bool sockets, int pair[static 2])
{
	int low[2], rc = sockets ? socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, low) :
				   pipe2(low, O_CLOEXEC);

	if (rc < 0)
		return -errno;
	for (int i = 0; i < 2; i++) {
		pair[i] = fcntl(low[i], F_DUPFD_CLOEXEC, 16);
		close(low[i]);
	}
	return pair[0] < 0 || pair[1] < 0 ? -EMFILE : 0;
}

/* 0 once the agent has said that it listens, -EPIPE if it ended instead. */
static int await_ready(int fd, const struct call *call)
{
	for (;;) {
		struct pollfd poller = { .fd = fd, .events = POLLIN };
		int left = call_remaining_ms(call);
		char byte;

		if (call->cancel && cancel_fired(call->cancel))
			return -EINTR;
		if (left == 0)
			return -ETIMEDOUT;
		if (poll(&poller, 1, left < POLL_SLICE_MS ? left : POLL_SLICE_MS) <= 0)
			continue;
		return read(fd, &byte, 1) == 1 ? 0 : -EPIPE;
	}
}

/*
 * Ends what was started, by closing the lifeline: it takes a little where the agent ends by itself,
 * and GUARD_SECONDS where it does not.  A guard that outlives that has children that nothing can
 * kill, in a file system that hangs.
 */
static void end_sandbox(struct local *local)
{
	struct call call = call_within(END_SECONDS, NULL);
	struct pollfd poller = { .events = POLLIN };
	autoclose int guard = -1;
	int rc;

	cleanup_close(&local->lifeline);
	local->lifeline = -1;
	if (!local->guard)
		return;
	poller.fd = guard = pidfd_open(local->guard, 0);
	do
		rc = guard < 0 ? 0 : poll(&poller, 1, call_remaining_ms(&call));
	while (rc < 0 && errno == EINTR);
	if (rc != 1)
		kill(-local->guard, SIGKILL);
	while (waitpid(local->guard, NULL, 0) < 0 && errno == EINTR)
		continue;
	local->guard = 0;
}

/* Starts bubblewrap once, with what PLAN says. */
static int try_start(struct local *local, const struct local_plan *plan, const struct call *call,
		     struct error *err)
{
	int lifeline[2] = { -1, -1 }, ready[2] = { -1, -1 };
	char **args = local_bwrap_args(plan);
	int rc = args ? 0 : -ENOMEM;

	rc = rc ? rc : make_pair(true, lifeline);
	rc = rc ? rc : make_pair(false, ready);
	if (rc)
		error_set(err, -rc, "the local: sandbox cannot be started: %s", strerror(-rc));
	else
		rc = spawn(local, args, (int[]){ lifeline[1], ready[1] }, err);
	local->lifeline = lifeline[0];
	cleanup_close(&lifeline[1]);
	cleanup_close(&ready[1]);
	if (!rc)
		rc = await_ready(ready[0], call);
	cleanup_close(&ready[0]);
	local_args_free(args);
	return rc;
}

/* The sentence for a start that failed with RC, after the sandbox has ended. */
static int start_error(struct local *local, int rc, struct error *err)
{
	char said[SAID_SIZE + 1] = "";

	if (rc == -ETIMEDOUT)
		return error_set(err, ETIMEDOUT,
				 "the agent in the local: sandbox did not listen in time");
	if (rc == -EINTR)
		return error_set(err, EINTR, "interrupted while the local: sandbox was starting");
	if (rc != -EPIPE)
		return rc; /* said already */
	if (pread(local->said, said, SAID_SIZE, 0) < 0)
		said[0] = '\0';
	return local_bwrap_error(said, err);
}

/* Takes the socket out of the guest's reach; see the top of this file. */
static int take_socket(struct local *local, const char *dir, struct error *err)
{
	autoclose int dir_fd = open(dir, O_PATH | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
	struct stat st;

	local->socket_fd = openat(dir_fd, LOCAL_SOCKET_NAME, O_PATH | O_NOFOLLOW | O_CLOEXEC);
	if (local->socket_fd < 0 || fstat(local->socket_fd, &st) < 0)
		return error_set(err, errno, "%s/" LOCAL_SOCKET_NAME ": %s", dir, strerror(errno));
	if (!S_ISSOCK(st.st_mode))
		return error_set(err, EIO, "%s: the agent made no socket", dir);
	snprintf(local->socket, sizeof(local->socket), "/proc/self/fd/%d", local->socket_fd);
	return 0;
}

/* The agent's own end may remove the name first. */
static void remove_directory(const char *dir)
{
	autoclose int dir_fd = open(dir, O_PATH | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);

	unlinkat(dir_fd, LOCAL_SOCKET_NAME, 0);
	rmdir(dir);
}

/* In a container root may have every namespace but the user's: then without. */
static int start_somehow(struct local *local, struct local_plan *plan, const struct call *call,
			 struct error *err)
{
	int rc = try_start(local, plan, call, err);

	if (rc != -EPIPE || geteuid() != 0)
		return rc;
	end_sandbox(local);
	plan->user_namespace = false;
	return try_start(local, plan, call, err);
}

int local_start(const char *dir, bool network, const struct call *call, struct local **out,
		struct error *err)
{
	char bwrap[PATH_MAX], agent[PATH_MAX], run[PATH_MAX];
	struct local_plan plan = { bwrap, agent, dir, run, network, true };
	struct local *local;
	int rc = check_dir(dir, err);

	if (rc)
		return rc;
	if (!find_program("bwrap", bwrap))
		return error_set(err, ENOENT,
				 "bubblewrap is not installed: apt install bubblewrap");
	rc = find_agent(agent, err);
	if (rc)
		return rc;
	local = calloc(1, sizeof(*local));
	if (!local)
		return error_set(err, ENOMEM, "out of memory");
	local->lifeline = local->socket_fd = -1;
	local->said = make_said();
	rc = local->said < 0 ? error_set(err, errno, "memfd_create: %s", strerror(errno)) : 0;
	rc = rc ? rc : make_directory(run, err);
	if (!rc) {
		rc = start_somehow(local, &plan, call, err);
		rc = rc ? start_error(local, rc, err) : take_socket(local, run, err);
		remove_directory(run);
	}
	if (rc) {
		local_free(local);
		return rc;
	}
	*out = local;
	return 0;
}

void local_free(struct local *local)
{
	if (!local)
		return;
	end_sandbox(local);
	cleanup_close(&local->socket_fd);
	cleanup_close(&local->said);
	free(local);
}
