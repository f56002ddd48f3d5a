/* main.c - the command line of vsockfs-agent, and its end. */
#include <errno.h>
#include <fcntl.h>
#include <getopt.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/signalfd.h>
#include <sys/stat.h>
#include <unistd.h>

#include "protocol/agent/agent.h"
#include "protocol/agent/guard.h"
#include "protocol/agent/listen.h"
#include "protocol/agent/server.h"
#include "protocol/agent/session_hello.h"
#include "protocol/build_id.h"

#define MAX_IDLE_SECONDS (366L * 24 * 3600)

static const char usage[] =
	"usage: vsockfs-agent --listen ADDRESS [--listen ADDRESS...] [options]\n"
	"\n"
	"Serves this machine's /workspace, shells, commands and services to vsockfs.\n"
	"\n"
	"  --listen vsock:PORT               on AF_VSOCK; only the host (CID 2) may connect\n"
	"  --listen unix:PATH                on a Unix socket\n"
	"  --listen firecracker:PATH[:PORT]  on a Unix socket, with a VMM's CONNECT handshake\n"
	"  --workspace DIR   serve DIR as /workspace, over the session dialect; commands\n"
	"                    see it under its own name (for anything else, bind it to\n"
	"                    /workspace); made if it is missing\n"
	"  --run-dir DIR     for services' outputs and secrets (default /run, else under /tmp)\n"
	"  --any-peer        let any vsock peer connect\n"
	"  --no-session      speak the line dialect only\n"
	"  --idle-exit SECONDS  end after so long without a connection, unless a service runs\n"
	"  --lifeline FD     end, with everything started, when this pipe is closed\n"
	"  --ready-fd FD     write one byte there when listening\n"
	"  --guard FD PATH [ARGUMENT...]  (alone) serve nothing: run the program at PATH, and end\n"
	"                    everything that came of it when it ends or this pipe is closed\n"
	"  -h, --help        this text\n"
	"  -V, --version     the version\n"
	"  --build-id        which build this is\n"
	"\n"
	"On SIGTERM shells and commands end; services go on unless there is a lifeline.\n";

struct settings {
	struct agent_options agent;
	const char *listen[LIMIT_AGENT_LISTENERS];
	size_t count;
	int lifeline, ready; /* -1: none */
	int signals;
};

static bool parse_fd(const char *text, int *fd)
{
	char *end;
	long value = strtol(text, &end, 10);

	if (end == text || *end || value < 0 || value > 1 << 20 || fcntl((int)value, F_GETFD) < 0)
		return false;
	*fd = (int)value;
	return fcntl(*fd, F_SETFD, FD_CLOEXEC) == 0;
}

static int complain(const char *option, const char *value)
{
	fprintf(stderr, "vsockfs-agent: %s %s: no such descriptor is open\n", option, value);
	return 2;
}

/* --guard FD PATH [ARGUMENT...] stands alone. */
static int guard(int argc, char **argv)
{
	int lifeline;

	if (argc < 4) {
		fputs(usage, stderr);
		return 2;
	}
	return parse_fd(argv[2], &lifeline) ? guard_run(lifeline, argv + 3) :
					      complain(argv[1], argv[2]);
}

static bool parse_seconds(const char *text, int *seconds)
{
	char *end;
	long value = strtol(text, &end, 10);

	if (end == text || *end || value < 1 || value > MAX_IDLE_SECONDS)
		return false;
	*seconds = (int)value;
	return true;
}

/* -1 to go on, else the exit code. */
static int parse(int argc, char **argv, struct settings *settings)
{
	enum {
		LISTEN = 256,
		WORKSPACE,
		RUN_DIR,
		ANY_PEER,
		NO_SESSION,
		IDLE_EXIT,
		LIFELINE,
		READY,
		BUILD_ID,
	};
	static const struct option options[] = {
		{ "listen", required_argument, NULL, LISTEN },
		{ "workspace", required_argument, NULL, WORKSPACE },
		{ "run-dir", required_argument, NULL, RUN_DIR },
		{ "any-peer", no_argument, NULL, ANY_PEER },
		{ "no-session", no_argument, NULL, NO_SESSION },
		{ "idle-exit", required_argument, NULL, IDLE_EXIT },
		{ "lifeline", required_argument, NULL, LIFELINE },
		{ "ready-fd", required_argument, NULL, READY },
		{ "help", no_argument, NULL, 'h' },
		{ "version", no_argument, NULL, 'V' },
		{ "build-id", no_argument, NULL, BUILD_ID },
		{ 0 },
	};
	char build[BUILD_ID_SIZE];
	int option;

	while ((option = getopt_long(argc, argv, "hV", options, NULL)) != -1) {
		switch (option) {
		case LISTEN:
			if (settings->count == LIMIT_AGENT_LISTENERS) {
				fprintf(stderr, "vsockfs-agent: --listen: at most %d times\n",
					LIMIT_AGENT_LISTENERS);
				return 2;
			}
			settings->listen[settings->count++] = optarg;
			break;
		case WORKSPACE:
			settings->agent.workspace = optarg;
			break;
		case RUN_DIR:
			settings->agent.run_dir = optarg;
			break;
		case ANY_PEER:
			settings->agent.any_peer = true;
			break;
		case NO_SESSION:
			settings->agent.no_session = true;
			break;
		case IDLE_EXIT:
			if (!parse_seconds(optarg, &settings->agent.idle_exit_seconds)) {
				fprintf(stderr, "vsockfs-agent: --idle-exit %s: 1 to %ld\n", optarg,
					MAX_IDLE_SECONDS);
				return 2;
			}
			break;
		case LIFELINE:
			if (!parse_fd(optarg, &settings->lifeline))
				return complain("--lifeline", optarg);
			settings->agent.lifeline = true;
			break;
		case READY:
			if (!parse_fd(optarg, &settings->ready))
				return complain("--ready-fd", optarg);
			break;
		case 'h':
			fputs(usage, stdout);
			return 0;
		case 'V':
			puts("vsockfs-agent " VSOCKFS_VERSION);
			return 0;
		case BUILD_ID:
			puts(agent_build_id(build));
			return 0;
		default:
			fputs("Try 'vsockfs-agent --help'.\n", stderr);
			return 2;
		}
	}
	if (optind < argc || !settings->count) {
		if (optind < argc)
			fprintf(stderr, "vsockfs-agent: '%s' is no option\n", argv[optind]);
		else
			fputs("vsockfs-agent: --listen is missing, as in --listen vsock:5005\n",
			      stderr);
		fputs("Try 'vsockfs-agent --help'.\n", stderr);
		return 2;
	}
	return -1;
}

/* Signals that end the agent, as a descriptor; blocked before any thread is made. */
static int open_signals(void)
{
	sigset_t set;

	sigemptyset(&set);
	sigaddset(&set, SIGTERM);
	sigaddset(&set, SIGINT);
	sigaddset(&set, SIGHUP);
	sigprocmask(SIG_BLOCK, &set, NULL);
	return signalfd(-1, &set, SFD_CLOEXEC | SFD_NONBLOCK);
}

/* Whether it is time to end: not for a byte that somebody wrote into the lifeline. */
static bool must_end(int signals, int lifeline)
{
	struct signalfd_siginfo info;
	char byte;

	if (read(signals, &info, sizeof(info)) > 0)
		return true;
	if (lifeline < 0)
		return false;
	return read(lifeline, &byte, 1) <= 0;
}

/* A reader that has gone is no reason to stop: the lifeline is there for that. */
static void say_ready(int fd)
{
	if (fd < 0)
		return;
	while (write(fd, "\n", 1) < 0 && errno == EINTR)
		;
	close(fd);
}

/* Opens everything that SETTINGS name and serves; *STUCK: some requests did not end. */
static int run(const struct settings *settings, struct agent *agent, bool *stuck, struct error *err)
{
	struct listener listeners[LIMIT_AGENT_LISTENERS];
	struct server *server = NULL;
	int stop[2] = { settings->signals, settings->lifeline };
	size_t open = 0;
	bool idle;
	int rc = 0;

	for (; rc == 0 && open < settings->count; open++) {
		rc = listener_open(settings->listen[open], &listeners[open], err);
		if (rc < 0)
			break;
	}
	if (rc == 0)
		rc = server_new(agent, listeners, open, &server, err);
	if (rc == 0) {
		say_ready(settings->ready);
		do
			idle = server_run(server, stop);
		while (!idle && !must_end(stop[0], stop[1]));
		*stuck = !server_free(server);
	}
	while (open)
		listener_close(&listeners[--open]);
	return rc;
}

/* A workspace that cannot be one is a mistake to be told at once, not with each request. */
static int make_workspace(const char *path, struct error *err)
{
	struct stat st;

	if (stat(path, &st) < 0 && mkdir(path, 0755) < 0)
		return error_set(err, errno, "there is no workspace %s, and it cannot be made: %s",
				 path, strerror(errno));
	if (stat(path, &st) < 0 || !S_ISDIR(st.st_mode))
		return error_set(err, ENOTDIR, "the workspace %s is not a directory", path);
	return 0;
}

int main(int argc, char **argv)
{
	struct settings settings = {
		.agent = { .workspace = "/workspace" },
		.lifeline = -1,
		.ready = -1,
		.signals = -1,
	};
	struct agent *agent = NULL;
	struct error err = { 0 };
	bool stuck = false;
	int rc;

	if (argc > 1 && !strcmp(argv[1], "--guard"))
		return guard(argc, argv);
	rc = parse(argc, argv, &settings);
	if (rc >= 0)
		return rc;
	settings.signals = open_signals();
	if (make_workspace(settings.agent.workspace, &err) < 0)
		rc = -err.code;
	else if (settings.signals < 0)
		rc = error_set(&err, errno, "cannot wait for signals: %s", strerror(errno));
	else
		rc = agent_new(&settings.agent, &agent, &err);
	if (rc == 0)
		rc = run(&settings, agent, &stuck, &err);
	if (rc < 0)
		fprintf(stderr, "vsockfs-agent: %s\n", err.text);
	/* A request that did not end still uses the agent: leave that to the kernel. */
	if (stuck) {
		agent_abandon(agent);
		_exit(1);
	}
	agent_free(agent);
	return rc < 0 ? 1 : 0;
}
