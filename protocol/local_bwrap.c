/*
 * local_bwrap.c - what bubblewrap is told, and what its refusals mean.
 *
 * The sandbox has to hold for a caller who is root as well: uid 0 inside is then uid 0
 * outside, and the files of /proc that only ask for the owner (sysctls, sysrq-trigger) would
 * be writable without any capability.  Hence the read-only covers over /proc.
 */
#include "protocol/local_bwrap.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "protocol/cleanup.h"

struct args {
	char **items; /* NULL-terminated */
	size_t count, room;
	bool failed;
};

static void args_add(struct args *args, const char *text)
{
	if (args->failed)
		return;
	if (args->count + 2 > args->room) {
		size_t room = args->room ? 2 * args->room : 64;
		char **items = reallocarray(args->items, room, sizeof(*items));

		if (!items) {
			args->failed = true;
			return;
		}
		args->items = items;
		args->room = room;
	}
	args->items[args->count] = strdup(text);
	args->failed = !args->items[args->count];
	if (!args->failed)
		args->items[++args->count] = NULL;
}

static void args_add_list(struct args *args, const char *const *list)
{
	for (; *list; list++)
		args_add(args, *list);
}

#define args_adds(args, ...) args_add_list(args, (const char *const[]){ __VA_ARGS__, NULL })

/* The host's programs: /usr, and /bin and the like as links into it where the host has them so. */
static void add_programs(struct args *args)
{
	static const char *const tops[] = {
		"/bin", "/sbin", "/lib", "/lib32", "/lib64", "/libx32"
	};
	char target[256];

	args_adds(args, "--ro-bind", "/usr", "/usr");
	for (size_t i = 0; i < sizeof(tops) / sizeof(*tops); i++) {
		ssize_t len = readlink(tops[i], target, sizeof(target) - 1);

		if (len < 0) {
			args_adds(args, "--ro-bind-try", tops[i], tops[i]);
			continue;
		}
		target[len] = '\0';
		args_adds(args, "--symlink", target, tops[i]);
	}
}

static void add_configuration(struct args *args)
{
	static const char *const files[] = {
		"passwd",       "group",           "ld.so.cache", "ld.so.conf",
		"ld.so.conf.d", "profile",         "profile.d",   "alternatives",
		"bash.bashrc",  "nsswitch.conf",   "resolv.conf", "hosts",
		"ssl",          "services",        "protocols",   "localtime",
		"os-release",   "ca-certificates", "pki",
	};
	char path[64];

	for (size_t i = 0; i < sizeof(files) / sizeof(*files); i++) {
		snprintf(path, sizeof(path), "/etc/%s", files[i]);
		args_adds(args, "--ro-bind-try", path, path);
	}
}

static void add_kernel(struct args *args)
{
	/* In here without a capability, root still owns these. */
	static const char *const covered[] = {
		"/proc/sys", "/proc/sysrq-trigger", "/proc/fs",   "/proc/irq",
		"/proc/bus", "/proc/mtrr",          "/proc/acpi", "/proc/scsi",
	};

	args_adds(args, "--proc", "/proc", "--dev", "/dev");
	for (size_t i = 0; i < sizeof(covered) / sizeof(*covered); i++)
		args_adds(args, "--ro-bind-try", covered[i], covered[i]);
}

/* What a root of one user's files may do: nothing here reaches beyond the sandbox's own mounts. */
static void add_privileges(struct args *args)
{
	static const char *const kept[] = {
		"CAP_CHOWN", "CAP_DAC_OVERRIDE", "CAP_FOWNER", "CAP_FSETID",
		"CAP_KILL",  "CAP_SETGID",       "CAP_SETUID", "CAP_NET_BIND_SERVICE",
	};

	args_adds(args, "--cap-drop", "ALL");
	for (size_t i = 0; i < sizeof(kept) / sizeof(*kept); i++)
		args_adds(args, "--cap-add", kept[i]);
}

static void add_environment(struct args *args)
{
	args_adds(args, "--clearenv", "--setenv", "PATH",
		  "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin", "--setenv",
		  "HOME", "/root", "--setenv", "USER", "root", "--setenv", "LOGNAME", "root",
		  "--setenv", "LANG", "C.UTF-8");
}

/*
 * A shell is pid 1: it reaps what loses its parent, and its end, which is
 * the agent's, takes everything in the sandbox with it.  (bubblewrap's own init would wait for
 * the last process.)
 */
static void add_program(struct args *args)
{
	static const char listen[] = LOCAL_LISTEN;
	char lifeline[16], ready[16];

	snprintf(lifeline, sizeof(lifeline), "%d", LOCAL_FD_LIFELINE);
	snprintf(ready, sizeof(ready), "%d", LOCAL_FD_READY);
	args_adds(args, "--as-pid-1", "/bin/sh", "-c", "\"$@\"; exit $?", "init");
	args_adds(args, "/.vsockfs/vsockfs-agent", "--listen", listen);
	args_adds(args, "--lifeline", lifeline, "--ready-fd", ready);
}

char **local_bwrap_args(const struct local_plan *plan)
{
	struct args args = { 0 };
	char lifeline[16];

	snprintf(lifeline, sizeof(lifeline), "%d", LOCAL_FD_LIFELINE);
	args_adds(&args, plan->agent, "--guard", lifeline, plan->bwrap);
	if (plan->user_namespace)
		args_adds(&args, "--unshare-user", "--uid", "0", "--gid", "0");
	args_adds(&args, "--unshare-pid", "--unshare-ipc", "--unshare-uts", "--unshare-cgroup-try",
		  "--hostname", "vsockfs", "--new-session", "--die-with-parent");
	if (!plan->network)
		args_add(&args, "--unshare-net");
	add_programs(&args);
	add_configuration(&args);
	add_kernel(&args);
	args_adds(&args, "--tmpfs", "/tmp", "--tmpfs", "/run", "--tmpfs", "/root", "--dir",
		  "/var/tmp", "--symlink", "/run", "/var/run", "--bind", plan->dir, "/workspace",
		  "--bind", plan->run_dir, "/.vsockfs/run", "--ro-bind", plan->agent,
		  "/.vsockfs/vsockfs-agent", "--chdir", "/");
	add_privileges(&args);
	add_environment(&args);
	add_program(&args);
	if (args.failed) {
		local_args_free(args.items);
		return NULL;
	}
	return args.items;
}

void local_args_free(char **args)
{
	for (size_t i = 0; args && args[i]; i++)
		free(args[i]);
	free(args);
}

/* Whether the number in the file of /proc/sys is VALUE. */
static bool sysctl_is(const char *path, const char *value)
{
	char text[32] = "";
	FILE *file = fopen(path, "re");

	if (!file)
		return false;
	if (!fgets(text, sizeof(text), file))
		text[0] = '\0';
	fclose(file);
	text[strcspn(text, "\n")] = '\0';
	return strcmp(text, value) == 0;
}

/* What this host forbids, as far as it can be told. */
static const char *advice(void)
{
	if (sysctl_is("/proc/sys/kernel/unprivileged_userns_clone", "0"))
		return "allow user namespaces: sysctl kernel.unprivileged_userns_clone=1";
	if (sysctl_is("/proc/sys/user/max_user_namespaces", "0"))
		return "allow user namespaces: sysctl user.max_user_namespaces=15000";
	if (sysctl_is("/proc/sys/kernel/apparmor_restrict_unprivileged_userns", "1"))
		return "AppArmor forbids user namespaces: install an AppArmor profile for bwrap, "
		       "or sysctl kernel.apparmor_restrict_unprivileged_userns=0";
	return "in a container, allow user namespaces and mounts (for example "
	       "--security-opt seccomp=unconfined --security-opt systempaths=unconfined)";
}

int local_bwrap_error(const char *said, struct error *err)
{
	static const char *const forbidden[] = { "Operation not permitted", "Permission denied",
						 "No permissions", "No space left on device",
						 "Creating new namespace failed" };
	size_t len = strcspn(said, "\n");

	if (len == 0)
		return error_set(err, EIO, "the local: sandbox ended before its agent listened");
	for (size_t i = 0; i < sizeof(forbidden) / sizeof(*forbidden); i++) {
		if (strstr(said, forbidden[i]))
			return error_set(err, EPERM,
					 "bubblewrap cannot make a sandbox here (%.*s); %s",
					 (int)len, said, advice());
	}
	return error_set(err, EIO, "the local: sandbox did not start: %.*s", (int)len, said);
}
