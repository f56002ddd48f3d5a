/* kin.c - see kin.h. */
#include "protocol/agent/kin.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "protocol/cleanup.h"

/* A guest with more processes than this is not looked through to its end. */
#define MAX_PROCESSES 65536

/* As much of an environment as a mark is looked for in: the agent puts it there early. */
#define ENVIRONMENT_BYTES (32u << 10)

struct process {
	pid_t pid, parent, group, session;
	unsigned long long started;
	bool zombie;
	bool ours;
};

static ssize_t read_proc(pid_t pid, const char *name, char *bytes, size_t size)
{
	char path[64];
	autoclose int fd = -1;
	ssize_t n;

	snprintf(path, sizeof(path), "/proc/%d/%s", pid, name);
	fd = open(path, O_RDONLY | O_CLOEXEC);
	if (fd < 0)
		return -errno;
	n = read(fd, bytes, size - 1);
	if (n < 0)
		return -errno;
	bytes[n] = '\0';
	return n;
}

static bool read_process(pid_t pid, struct process *process)
{
	char text[1024], state;
	const char *after;

	*process = (struct process){ .pid = pid };
	if (read_proc(pid, "stat", text, sizeof(text)) < 0)
		return false;
	/* The name before it may contain anything, parentheses too. */
	after = strrchr(text, ')');
	if (!after || sscanf(after + 1,
			     " %c %d %d %d %*d %*d %*u %*u %*u %*u %*u %*u %*u %*d %*d %*d %*d "
			     "%*d %*d %llu",
			     &state, &process->parent, &process->group, &process->session,
			     &process->started) != 5)
		return false;
	process->zombie = state == 'Z' || state == 'X';
	return true;
}

static bool has_mark(pid_t pid, const char *mark)
{
	autofree char *text = malloc(ENVIRONMENT_BYTES);
	ssize_t len = text ? read_proc(pid, "environ", text, ENVIRONMENT_BYTES) : -1;

	for (const char *item = text; len > 0 && item < text + len; item += strlen(item) + 1) {
		if (!strcmp(item, mark))
			return true;
	}
	return false;
}

static struct process *read_all(size_t *count)
{
	struct process *all = NULL;
	size_t room = 0;
	DIR *proc = opendir("/proc");
	const struct dirent *entry;

	*count = 0;
	while (proc && (entry = readdir(proc)) != NULL && *count < MAX_PROCESSES) {
		pid_t pid = (pid_t)strtol(entry->d_name, NULL, 10);

		if (pid <= 0)
			continue;
		if (*count == room) {
			struct process *grown;

			room = room ? 2 * room : 256;
			grown = realloc(all, room * sizeof(*all));
			if (!grown)
				break;
			all = grown;
		}
		if (read_process(pid, &all[*count]) && !all[*count].zombie)
			++*count;
	}
	if (proc)
		closedir(proc);
	return all;
}

static int compare(const void *left, const void *right)
{
	const struct process *a = left, *b = right;

	return (a->pid > b->pid) - (a->pid < b->pid);
}

/* Descendants of those that are ours, until no more are found. */
static void mark_descendants(struct process *all, size_t count)
{
	bool found;

	qsort(all, count, sizeof(*all), compare);
	do {
		found = false;
		for (size_t i = 0; i < count; i++) {
			struct process key = { .pid = all[i].parent };
			const struct process *parent = bsearch(&key, all, count, sizeof(*all),
							       compare);

			if (!all[i].ours && parent && parent->ours)
				all[i].ours = found = true;
		}
	} while (found);
}

/* Signals those that are ours. */
static size_t signal_ours(struct process *all, size_t count, int signal)
{
	size_t hit = 0;

	mark_descendants(all, count);
	for (size_t i = 0; i < count; i++) {
		if (all[i].ours && all[i].pid != getpid() && kill(all[i].pid, signal) == 0)
			hit++;
	}
	return hit;
}

size_t kin_signal(pid_t leader, const char *mark, int signal)
{
	size_t count;
	autofree struct process *all = read_all(&count);
	pid_t self = getpid();

	if (!count)
		return leader > 0 && kill(-leader, signal) == 0;
	for (size_t i = 0; i < count; i++) {
		struct process *process = &all[i];

		process->ours = process->pid != self &&
				((leader > 0 &&
				  (process->session == leader || process->group == leader)) ||
				 (mark && has_mark(process->pid, mark)));
	}
	return signal_ours(all, count, signal);
}

size_t kin_signal_descendants(int signal)
{
	size_t count;
	autofree struct process *all = read_all(&count);

	for (size_t i = 0; i < count; i++)
		all[i].ours = all[i].pid == getpid();
	return signal_ours(all, count, signal);
}

size_t kin_signal_children(int signal)
{
	DIR *proc = opendir("/proc");
	const struct dirent *entry;
	size_t hit = 0;

	while (proc && (entry = readdir(proc)) != NULL) {
		pid_t pid = (pid_t)strtol(entry->d_name, NULL, 10);
		struct process process;

		if (pid > 0 && read_process(pid, &process) && process.parent == getpid())
			hit += kill(pid, signal) == 0;
	}
	if (proc)
		closedir(proc);
	return hit;
}

unsigned long long kin_start_time(pid_t pid)
{
	struct process process;

	return read_process(pid, &process) && !process.zombie ? process.started : 0;
}
