/*
 * kit.c - see kit.h.
 */
#include <errno.h>
#include <fcntl.h>
#include <ftw.h>
#include <signal.h>
#include <spawn.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

#include "tests/bench/kit.h"

void bench_die(const char *what, const char *why)
{
	fprintf(stderr, "%s: %s: %s\n", program_invocation_short_name, what, why);
	exit(1);
}

static void make_dirs(struct bench_agent *agent)
{
	snprintf(agent->dir, sizeof(agent->dir), "/tmp/vsockfs-bench-XXXXXX");
	if (!mkdtemp(agent->dir))
		bench_die(agent->dir, strerror(errno));
	snprintf(agent->work, sizeof(agent->work), "%s/workspace", agent->dir);
	snprintf(agent->run, sizeof(agent->run), "%s/run", agent->dir);
	snprintf(agent->socket, sizeof(agent->socket), "%s/agent", agent->dir);
	if (mkdir(agent->work, 0755) < 0 || mkdir(agent->run, 0700) < 0)
		bench_die(agent->dir, strerror(errno));
}

void bench_agent_start(struct bench_agent *agent, const char *path)
{
	char listen[100], ready[16], lifeline[16];
	char *argv[] = { "vsockfs-agent", "--listen",   listen,     "--workspace",
			 agent->work,     "--run-dir",  agent->run, "--ready-fd",
			 ready,           "--lifeline", lifeline,   NULL };
	int pipe_fd[2], life[2], rc;
	char byte;

	make_dirs(agent);
	snprintf(listen, sizeof(listen), "unix:%s", agent->socket);
	if (pipe(pipe_fd) < 0 || pipe(life) < 0)
		bench_die("pipe", strerror(errno));
	fcntl(pipe_fd[0], F_SETFD, FD_CLOEXEC);
	/* It ends with us, however that is. */
	fcntl(life[1], F_SETFD, FD_CLOEXEC);
	snprintf(lifeline, sizeof(lifeline), "%d", life[0]);
	snprintf(ready, sizeof(ready), "%d", pipe_fd[1]);
	rc = posix_spawn(&agent->pid, path, NULL, NULL, argv, environ);
	if (rc)
		bench_die(path, strerror(rc));
	close(pipe_fd[1]);
	close(life[0]);
	if (read(pipe_fd[0], &byte, 1) != 1)
		bench_die(path, "the agent did not start");
	close(pipe_fd[0]);
}

static int remove_one(const char *path, const struct stat *st, int type, struct FTW *ftw)
{
	(void)st;
	(void)type;
	(void)ftw;
	return remove(path);
}

void bench_agent_end(struct bench_agent *agent)
{
	kill(agent->pid, SIGTERM);
	waitpid(agent->pid, NULL, 0);
	nftw(agent->dir, remove_one, 16, FTW_DEPTH | FTW_PHYS);
}

struct mux *bench_session(const struct bench_agent *agent)
{
	static const char hello[] = "{\"action\": \"hello\", \"dialects\": [\"session/1\"]}\n";
	struct sockaddr_un address = { .sun_family = AF_UNIX };
	struct error err = { 0 };
	struct mux *mux;
	int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
	char byte = '\0';

	snprintf(address.sun_path, sizeof(address.sun_path), "%s", agent->socket);
	if (fd < 0 || connect(fd, (struct sockaddr *)&address, sizeof(address)) < 0)
		bench_die(agent->socket, strerror(errno));
	if (send(fd, hello, sizeof(hello) - 1, 0) < 0)
		bench_die("hello", strerror(errno));
	while (byte != '\n') {
		if (recv(fd, &byte, 1, 0) != 1)
			bench_die("hello", "the agent went away");
	}
	if (mux_new(fd, NULL, NULL, NULL, &mux, &err) < 0)
		bench_die("mux", err.text);
	return mux;
}

static int compare(const void *a, const void *b)
{
	double x = *(const double *)a, y = *(const double *)b;

	return (x > y) - (x < y);
}

double bench_percentile(double *values, size_t count, double percent)
{
	size_t at = (size_t)((double)count * percent / 100);

	qsort(values, count, sizeof(*values), compare);
	return values[at < count ? at : count - 1];
}
