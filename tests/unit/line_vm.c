/*
 * line_vm.c - see line_vm.h.
 */
#include "line_vm.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "protocol/line/line.h"
#include "tests/unit/cmocka_all.h"

#define MAX_ARGS 80

/* Of the VM that runs: transport_ops have no argument. */
static char listen_dir[96];
static const char *listen_more;

static bool no_vsock(void)
{
	return false;
}

static int never_connect(uint32_t cid, uint32_t port)
{
	fail_msg("CID %u port %u was dialled", cid, port);
	return -EIO;
}

static void agent_listen(uint32_t port, char *text, size_t size)
{
	snprintf(text, size, "unix:%s/%u.sock%s", listen_dir, port, listen_more);
}

static const struct transport_ops ops = { no_vsock, never_connect, agent_listen };

static void wait_for(const char *path, pid_t pid)
{
	struct call call = call_within(60, NULL);

	while (access(path, F_OK) < 0) {
		assert_int_equal(waitpid(pid, NULL, WNOHANG), 0);
		assert_int_equal(call_sleep(&call, 0.01), 0);
	}
}

static pid_t start(char *const *args)
{
	pid_t pid = fork();

	if (pid == 0) {
		prctl(PR_SET_PDEATHSIG, SIGKILL); /* a test that fails stops nothing */
		execvp(args[0], args);
		_exit(127);
	}
	return pid;
}

struct args {
	char *list[MAX_ARGS];
	size_t count;
};

static void add(struct args *args, const char *text)
{
	assert_true(args->count + 1 < MAX_ARGS);
	args->list[args->count] = strdup(text);
	assert_non_null(args->list[args->count++]);
}

static void add_all(struct args *args, const char *const *texts)
{
	while (texts && *texts)
		add(args, *texts++);
}

static void free_args(struct args *args)
{
	while (args->count)
		free(args->list[--args->count]);
}

/* The root as it is here: links into /usr, or directories. */
static void add_root(struct args *args)
{
	static const char *const names[] = { "/bin", "/sbin", "/lib", "/lib32", "/lib64" };

	for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++) {
		char target[64];
		ssize_t len = readlink(names[i], target, sizeof(target) - 1);

		if (len > 0) {
			target[len] = '\0';
			add_all(args, (const char *[]){ "--symlink", target, names[i], NULL });
		} else if (access(names[i], F_OK) == 0) {
			add_all(args, (const char *[]){ "--ro-bind", names[i], names[i], NULL });
		}
	}
}

static void start_agent(struct line_vm *vm, const char *noexec, const char *const *more)
{
	const char *peers = getenv("LINE_VM_PEERS");
	char program[256], listen[160], socket[128];
	struct args args = { 0 };

	snprintf(program, sizeof(program), "%s/reference_agent.py", peers);
	snprintf(socket, sizeof(socket), "%s/5005.sock", vm->ports);
	snprintf(listen, sizeof(listen), "unix:%s", socket);
	if (noexec)
		add_all(&args, (const char *[]){ "unshare", "-m", "sh", "-c",
						 "mount -t tmpfs -o noexec none $0 && exec \"$@\"",
						 noexec, NULL });
	add_all(&args, (const char *[]){
			       "bwrap",     "--unshare-pid", "--unshare-ipc", "--die-with-parent",
			       "--ro-bind", "/usr",          "/usr",          "--ro-bind",
			       "/etc",      "/etc",          "--proc",        "/proc",
			       "--dev",     "/dev",          "--tmpfs",       "/run",
			       "--tmpfs",   "/tmp",          "--tmpfs",       "/var/tmp",
			       NULL });
	add_root(&args);
	add_all(&args, (const char *[]){ "--bind", vm->workspace, "/workspace", NULL });
	add_all(&args, more); /* which may hide where our own directory is */
	add_all(&args, (const char *[]){ "--ro-bind", peers, peers, "--bind", vm->top, vm->top,
					 "--chdir", "/", "--", "python3", program, "--listen",
					 listen, "--log", vm->log, "--hold", vm->hold, NULL });
	vm->agent = start(args.list);
	free_args(&args);
	wait_for(socket, vm->agent);
}

static void start_bridge(struct line_vm *vm)
{
	char program[256];
	struct args args = { 0 };

	snprintf(program, sizeof(program), "%s/bridge.py", getenv("LINE_VM_PEERS"));
	add_all(&args, (const char *[]){ "python3", program, "--listen", vm->bridge, "--ports",
					 vm->ports, "--pause", vm->pause ? vm->pause : "0", NULL });
	vm->forwarder = start(args.list);
	free_args(&args);
	wait_for(vm->bridge, vm->forwarder);
}

bool line_vm_start(struct line_vm *vm, const char *noexec, const char *const *more)
{
	if (noexec && system("unshare -m mount -t tmpfs none /tmp 2>/dev/null") != 0)
		return false;
	if (system("bwrap --unshare-pid --ro-bind / / --proc /proc true 2>/dev/null") != 0)
		return false;
	*vm = (struct line_vm){ .pause = vm->pause,
				.more = vm->more,
				.top = "/tmp/test-vm-XXXXXX" };
	assert_non_null(mkdtemp(vm->top));
	snprintf(vm->bridge, sizeof(vm->bridge), "%s/bridge", vm->top);
	snprintf(vm->ports, sizeof(vm->ports), "%s/ports", vm->top);
	snprintf(vm->workspace, sizeof(vm->workspace), "%s/workspace", vm->top);
	snprintf(vm->log, sizeof(vm->log), "%s/log", vm->top);
	snprintf(vm->hold, sizeof(vm->hold), "%s/hold", vm->top);
	assert_int_equal(mkdir(vm->ports, 0755), 0);
	assert_int_equal(mkdir(vm->workspace, 0755), 0);
	memcpy(listen_dir, vm->ports, sizeof(listen_dir));
	listen_more = vm->more ? vm->more : "";
	start_agent(vm, noexec, more);
	start_bridge(vm);
	return true;
}

void line_vm_stop(struct line_vm *vm)
{
	pid_t pids[] = { vm->agent, vm->forwarder };
	char command[128];

	for (int i = 0; i < 2; i++) {
		kill(pids[i], SIGKILL);
		waitpid(pids[i], NULL, 0);
	}
	snprintf(command, sizeof(command), "rm -rf %s", vm->top);
	assert_int_equal(system(command), 0);
}

struct guest *line_vm_guest(const struct line_vm *vm, double timeout, enum guest_agent agent)
{
	struct guest_options options = { .timeout = timeout, .max_connections = 1, .agent = agent };
	struct address address;
	struct guest *guest = NULL;
	struct error err;
	char text[128];

	snprintf(text, sizeof(text), "firecracker:%s", vm->bridge);
	if (address_parse(text, &address, &err) ||
	    guest_new_with(&address, &options, &ops, &guest, &err))
		fail_msg("%s", err.text);
	return guest;
}

void line_vm_hold(const struct line_vm *vm, bool hold)
{
	if (hold)
		close(open(vm->hold, O_CREAT | O_WRONLY | O_CLOEXEC, 0644));
	else
		unlink(vm->hold);
}

int line_vm_count(const struct line_vm *vm, const char *text)
{
	FILE *log = fopen(vm->log, "re");
	char *line = NULL;
	size_t room = 0;
	int count = 0;

	while (log && getline(&line, &room, log) > 0)
		count += strstr(line, text) != NULL;
	free(line);
	if (log)
		fclose(log);
	return count;
}

const char *line_vm_ask(struct guest *guest, const char *command)
{
	static char text[4096];
	struct line_exec exec = { .command = command, .timeout_seconds = 20 };
	struct line_exec_reply reply = { 0 };
	struct call call = call_within(30, NULL);
	struct error err = { 0 };

	if (line_exec(guest, &call, &exec, &reply, &err))
		fail_msg("%s: %s", command, err.text);
	snprintf(text, sizeof(text), "%s", reply.out.data);
	line_exec_reply_free(&reply);
	return text;
}
