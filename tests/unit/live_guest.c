/*
 * live_guest.c - a whole guest for tests.  See live_guest.h.
 */
#include "live_guest.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>
#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "protocol/line/line.h"
#include "protocol/workspace.h"

/* These tests are about processes: the guest has no workspace of its own. */
__attribute__((weak)) int ws_new(struct guest *guest, struct workspace **out, struct error *err)
{
	(void)guest;
	(void)err;
	*out = NULL;
	return 0;
}

__attribute__((weak)) void ws_free(struct workspace *ws)
{
	(void)ws;
}

struct call live_call(double seconds)
{
	return call_within(seconds, NULL);
}

bool live_guest_is_reference(void)
{
	const char *agent = getenv("LIVE_AGENT");

	return !agent || strcmp(agent, "local") != 0;
}

static void path_of(const struct live_guest *live, const char *name, char path[static 128])
{
	snprintf(path, 128, "%s/%s", live->top, name);
}

/* 0 once the agent listens. */
static int start_reference(struct live_guest *live)
{
	struct call call = live_call(20);
	char listen[160], log[128], socket[128];

	path_of(live, "agent.sock", socket);
	path_of(live, "log", log);
	snprintf(listen, sizeof(listen), "unix:%s", socket);
	live->pid = fork();
	if (live->pid == 0) {
		execlp("python3", "python3", getenv("LIVE_AGENT"), "--listen", listen,
		       "--workspace", live->workspace, "--log", log, (char *)NULL);
		_exit(127);
	}
	while (access(socket, F_OK) < 0) {
		if (waitpid(live->pid, NULL, WNOHANG) != 0 || call_sleep(&call, 0.02)) {
			live->pid = 0;
			return -1;
		}
	}
	return 0;
}

/* No guest is a failure, unless this machine makes no sandboxes. */
static int without_guest(const char *why)
{
	print_message("no guest: %s\n", why);
	return system("bwrap --unshare-pid --ro-bind / / --proc /proc true 2>/dev/null") == 0 ? -1 :
												0;
}

int live_guest_setup(void **state)
{
	struct guest_options options = { .timeout = 10, .max_connections = 1 };
	struct live_guest *live = calloc(1, sizeof(*live));
	struct address address;
	struct error err = { 0 };
	char source[256], socket[128];

	*state = live;
	snprintf(live->top, sizeof(live->top), "/tmp/test-live-XXXXXX");
	if (!mkdtemp(live->top))
		return -1;
	snprintf(live->workspace, sizeof(live->workspace), "%s/w", live->top);
	mkdir(live->workspace, 0755);
	setenv("XDG_RUNTIME_DIR", live->top, 1);
	path_of(live, "agent.sock", socket);
	if (live_guest_is_reference() && start_reference(live))
		return without_guest("the reference agent did not start");
	if (live_guest_is_reference())
		snprintf(source, sizeof(source), "unix:%s", socket);
	else
		snprintf(source, sizeof(source), "local:%s", live->workspace);
	if (address_parse(source, &address, &err) ||
	    guest_new(&address, &options, &live->guest, &err))
		return without_guest(err.text);
	return 0;
}

int live_guest_teardown(void **state)
{
	struct live_guest *live = *state;
	char command[128];

	if (live->guest)
		guest_unref(live->guest);
	if (live->pid) {
		kill(live->pid, SIGKILL);
		waitpid(live->pid, NULL, 0);
	}
	snprintf(command, sizeof(command), "rm -rf %s", live->top);
	if (system(command) != 0)
		return -1;
	free(live);
	return 0;
}

struct live_guest *live_guest_need(void **state)
{
	struct live_guest *live = *state;

	if (!live->guest)
		skip();
	return live;
}

double live_guest_longest(const struct live_guest *live)
{
	char path[128], line[8192];
	double longest = 0;
	FILE *log;

	path_of(live, "log", path);
	log = fopen(path, "re");
	while (log && fgets(line, sizeof(line), log)) {
		const char *at = strstr(line, "\"seconds\": ");
		double seconds = at ? strtod(at + strlen("\"seconds\": "), NULL) : 0;

		if (seconds > longest)
			longest = seconds;
	}
	if (log)
		fclose(log);
	return longest;
}

const char *live_guest_ask(struct live_guest *live, const char *command)
{
	static char text[4096];
	struct line_exec exec = { .command = command, .timeout_seconds = 10 };
	struct line_exec_reply reply = { 0 };
	struct call call = live_call(15);
	struct error err = { 0 };

	if (line_exec(live->guest, &call, &exec, &reply, &err))
		fail_msg("%s: %s", command, err.text);
	snprintf(text, sizeof(text), "%s", reply.out.data);
	line_exec_reply_free(&reply);
	return text;
}
