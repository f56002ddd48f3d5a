/*
 * wire.c - what the session dialect costs, side by side with the least that it could cost.
 *
 *     bench_wire AGENT
 *
 * starts the vsockfs-agent AGENT on a Unix socket, with a workspace of its own, and prints
 *
 *   round trip   one caller's OP_STATFS, beside an echo of as many bytes between two C processes that do
 *                nothing else, each with a blocking send and recv
 *   listing      OP_LIST of 100,000 files, beside `find -printf` of the same through the line dialect's exec
 *
 * The two of a pair are measured in turns, and the medians compared, so that a busy machine is
 * unfair to both. What a wake-up costs depends on where the scheduler has put whom, far more than
 * on who is woken: so round trips are measured with both ends pinned to one processor, and to two.
 */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "protocol/address.h"
#include "protocol/call.h"
#include "protocol/guest.h"
#include "protocol/line/line.h"
#include "protocol/session/frame.h"
#include "protocol/session/mux.h"
#include "tests/bench/kit.h"

#define TURNS 21
#define ROUND_TRIPS 2000
#define DIRECTORIES 100u
#define FILES 1000u /* in each */
#define ENTRIES ((size_t)DIRECTORIES * (FILES + 1))
#define LISTINGS 5

/* The frames of an OP_STATFS and of its answer. */
#define ASK (FRAME_HEADER + 4)
#define ANSWER (FRAME_HEADER + 7 * 8)

struct bench {
	struct bench_agent agent;
	pid_t echo;
	int echo_fd;
	struct mux *mux;
	struct guest *guest;
	struct cancel cancel; /* ends the watch */
};

static double seconds(void)
{
	return (double)call_now() / 1e9;
}

static double median(double *values, size_t count)
{
	return bench_percentile(values, count, 50);
}

static void open_line(struct bench *bench)
{
	struct guest_options options = { .timeout = 60, .max_connections = 1 };
	struct address address;
	struct error err = { 0 };
	char source[100];

	snprintf(source, sizeof(source), "unix:%s", bench->agent.socket);
	if (address_parse(source, &address, &err) < 0 ||
	    guest_new(&address, &options, &bench->guest, &err) < 0)
		bench_die(source, err.text);
}

/*
 * Round trips
 */

static void echo(int fd)
{
	static const char answer[ANSWER];
	char ask[ASK];

	while (recv(fd, ask, sizeof(ask), 0) == sizeof(ask)) {
		if (send(fd, answer, sizeof(answer), MSG_NOSIGNAL) < 0)
			break;
	}
	_exit(0);
}

static void start_echo(struct bench *bench)
{
	int pair[2];

	if (socketpair(AF_UNIX, SOCK_STREAM, 0, pair) < 0)
		bench_die("socketpair", strerror(errno));
	bench->echo = fork();
	if (bench->echo < 0)
		bench_die("fork", strerror(errno));
	if (bench->echo == 0) {
		close(pair[0]);
		echo(pair[1]);
	}
	close(pair[1]);
	bench->echo_fd = pair[0];
}

static double time_echo(struct bench *bench)
{
	static const char ask[ASK];
	char answer[ANSWER];
	double start = seconds();

	for (int i = 0; i < ROUND_TRIPS; i++) {
		if (send(bench->echo_fd, ask, sizeof(ask), 0) < 0 ||
		    recv(bench->echo_fd, answer, sizeof(answer), MSG_WAITALL) != sizeof(answer))
			bench_die("echo", strerror(errno));
	}
	return (seconds() - start) / ROUND_TRIPS;
}

static double time_statfs(struct bench *bench)
{
	struct buf reply = BUF_INIT(ANSWER);
	struct error err = { 0 };
	double start = seconds();

	for (int i = 0; i < ROUND_TRIPS; i++) {
		struct call call = call_within(10, NULL);

		if (mux_call(bench->mux, &call, OP_STATFS, NULL, &reply, NULL, &err) < 0)
			bench_die("statfs", err.text);
	}
	buf_free(&reply);
	return (seconds() - start) / ROUND_TRIPS;
}

static int drop_events(void *arg, const void *bytes, size_t len)
{
	(void)arg;
	(void)bytes;
	(void)len;
	return 0;
}

/* As the mount has one open all the time: it must not make the calls beside it dearer. */
static void *watch(void *arg)
{
	struct bench *bench = arg;
	struct call call = call_within(600, &bench->cancel);
	struct buf args = BUF_INIT(8);

	pack_u64(&args, 0);
	mux_download(bench->mux, &call, OP_WATCH, &args, true, drop_events, NULL, NULL, NULL);
	buf_free(&args);
	return NULL;
}

/* All threads of PID to CPU. */
static void pin(pid_t pid, int cpu)
{
	struct dirent *entry;
	cpu_set_t set;
	char name[40];
	DIR *tasks;

	CPU_ZERO(&set);
	CPU_SET(cpu, &set);
	snprintf(name, sizeof(name), "/proc/%d/task", (int)pid);
	tasks = opendir(name);
	if (!tasks)
		bench_die(name, strerror(errno));
	while ((entry = readdir(tasks))) {
		pid_t task = (pid_t)strtol(entry->d_name, NULL, 10);

		if (task > 0 && sched_setaffinity(task, sizeof(set), &set) < 0)
			bench_die("sched_setaffinity", strerror(errno));
	}
	closedir(tasks);
}

/* The two processors that may be used; the same one twice where there is only one. */
static void find_cpus(int cpus[2])
{
	cpu_set_t set;
	int found = 0;

	if (sched_getaffinity(0, sizeof(set), &set) < 0)
		bench_die("sched_getaffinity", strerror(errno));
	for (int i = 0; i < CPU_SETSIZE && found < 2; i++) {
		if (CPU_ISSET(i, &set))
			cpus[found++] = i;
	}
	if (found < 2)
		cpus[1] = cpus[0];
}

static void round_trips(struct bench *bench, const char *where, int ours, int theirs)
{
	double bare[TURNS], session[TURNS];
	double least, most;

	start_echo(bench);
	pin(getpid(), ours);
	pin(bench->echo, theirs);
	pin(bench->agent.pid, theirs);
	time_echo(bench);
	time_statfs(bench);
	for (int i = 0; i < TURNS; i++) {
		bare[i] = time_echo(bench);
		session[i] = time_statfs(bench);
	}
	close(bench->echo_fd);
	waitpid(bench->echo, NULL, 0);

	least = median(bare, TURNS);
	most = median(session, TURNS);
	printf("round trip, %s   bare echo %8.2f us   session %8.2f us   ratio %.2f\n", where,
	       least * 1e6, most * 1e6, most / least);
}

/*
 * Listings
 */

static void make_files(struct bench *bench)
{
	char name[128];

	for (int d = 0; d < (int)DIRECTORIES; d++) {
		snprintf(name, sizeof(name), "%s/directory-%03d", bench->agent.work, d);
		if (mkdir(name, 0755) < 0)
			bench_die(name, strerror(errno));
		for (int f = 0; f < (int)FILES; f++) {
			int fd;

			snprintf(name, sizeof(name), "%s/directory-%03d/file-%04d.txt",
				 bench->agent.work, d, f);
			fd = open(name, O_WRONLY | O_CREAT | O_CLOEXEC, 0644);
			if (fd < 0)
				bench_die(name, strerror(errno));
			close(fd);
		}
	}
}

static int take_entries(void *arg, const void *bytes, size_t len)
{
	struct unpack in = unpack_from(bytes, len);
	struct ops_entry entry;
	size_t *count = arg;

	while (ops_unpack_entry(&in, &entry))
		++*count;
	return unpack_done(&in, "the listing", NULL);
}

static double time_list(struct bench *bench)
{
	struct call call = call_within(60, NULL);
	struct buf args = BUF_INIT(100);
	struct error err = { 0 };
	double start = seconds();
	size_t count = 0;

	pack_text(&args, "");
	pack_u8(&args, 255);
	pack_text(&args, "");
	pack_u32(&args, UINT32_MAX);
	if (mux_download(bench->mux, &call, OP_LIST, &args, false, take_entries, &count, NULL,
			 &err) < 0)
		bench_die("list", err.text);
	buf_free(&args);
	if (count != ENTRIES)
		bench_die("list", "not as many entries as there are files");
	return seconds() - start;
}

/* With what an entry of OP_LIST has. */
static double time_find(struct bench *bench)
{
	static const char format[] =
		"cd %s && find . -mindepth 1 -printf "
		"'%%i %%D %%s %%b %%m %%y %%n %%U %%G %%A@ %%T@ %%C@ %%P %%l\\n' "
		"</dev/null";
	struct call call = call_within(60, NULL);
	struct line_exec_reply reply = { 0 };
	struct error err = { 0 };
	char command[400];
	struct line_exec exec = { .command = command, .timeout_seconds = 50 };
	double start = seconds();
	size_t count = 0;

	snprintf(command, sizeof(command), format, bench->agent.work);
	if (line_exec(bench->guest, &call, &exec, &reply, &err) < 0)
		bench_die("find", err.text);
	for (const char *at = reply.out.data; (at = strchr(at, '\n')) != NULL; at++)
		count++;
	line_exec_reply_free(&reply);
	if (count != ENTRIES)
		bench_die("find", "not as many lines as there are files");
	return seconds() - start;
}

static void listings(struct bench *bench)
{
	double find[LISTINGS], list[LISTINGS];
	double theirs, ours;

	make_files(bench);
	time_list(bench);
	for (int i = 0; i < LISTINGS; i++) {
		find[i] = time_find(bench);
		list[i] = time_list(bench);
	}
	theirs = median(find, LISTINGS);
	ours = median(list, LISTINGS);
	printf("listing of %u files   find, exec %7.1f ms   session %8.1f ms   ratio %.2f\n",
	       DIRECTORIES * FILES, theirs * 1e3, ours * 1e3, ours / theirs);
}

int main(int argc, char **argv)
{
	struct bench bench = { 0 };
	pthread_t watcher;
	int cpus[2];

	if (argc != 2) {
		fputs("usage: bench_wire AGENT\n", stderr);
		return 2;
	}
	bench_agent_start(&bench.agent, argv[1]);
	bench.mux = bench_session(&bench.agent);
	open_line(&bench);

	listings(&bench); /* before anything is pinned */
	find_cpus(cpus);
	round_trips(&bench, "one processor ", cpus[0], cpus[0]);
	if (cpus[1] != cpus[0])
		round_trips(&bench, "two processors", cpus[0], cpus[1]);

	cancel_init(&bench.cancel);
	if (pthread_create(&watcher, NULL, watch, &bench) != 0)
		bench_die("watch", "no thread for it");
	round_trips(&bench, "with a watch  ", cpus[0], cpus[0]);
	cancel_fire(&bench.cancel);
	pthread_join(watcher, NULL);

	mux_unref(bench.mux);
	guest_unref(bench.guest);
	bench_agent_end(&bench.agent);
	return 0;
}
