/* local_fixture.c - see local_fixture.h. */
#include "tests/unit/local_fixture.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include "protocol/cleanup.h"
#include "tests/unit/cmocka_all.h"

int local_setup(void **state)
{
	struct place *place = calloc(1, sizeof(*place));
	const char *agent = getenv("VSOCKFS_AGENT"), *path = getenv("PATH");

	assert_non_null(agent);
	assert_non_null(path);
	snprintf(place->agent, sizeof(place->agent), "%s", agent);
	snprintf(place->path, sizeof(place->path), "%s", path);
	snprintf(place->top, sizeof(place->top), "/tmp/test-local-XXXXXX");
	assert_non_null(mkdtemp(place->top));
	snprintf(place->dir, sizeof(place->dir), "%s/a b,c:d'e\n", place->top);
	assert_int_equal(mkdir(place->dir, 0755), 0);
	setenv("XDG_RUNTIME_DIR", place->top, 1); /* what a killed one leaves goes with it */
	*state = place;
	return 0;
}

int local_teardown(void **state)
{
	struct place *place = *state;
	char command[128];

	setenv("VSOCKFS_AGENT", place->agent, 1);
	setenv("PATH", place->path, 1);
	snprintf(command, sizeof(command), "rm -rf %s", place->top);
	assert_int_equal(system(command), 0);
	free(place);
	return 0;
}

struct local *local_begin(struct place *place, bool network)
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

void local_ask(struct local *local, const char *command, char reply[static REPLY_SIZE])
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
	while ((got = read(fd, reply + len, REPLY_SIZE - 1 - len)) > 0)
		len += (size_t)got;
	reply[len] = '\0';
}

void local_program(struct place *place, const char *name, const char *script)
{
	char path[PATH_MAX + 128];
	FILE *file;

	snprintf(path, sizeof(path), "%s/bin", place->top);
	assert_true(mkdir(path, 0755) == 0 || errno == EEXIST);
	snprintf(path, sizeof(path), "%s/bin/%s", place->top, name);
	file = fopen(path, "we");
	assert_non_null(file);
	assert_true(fputs("#!/bin/sh\n", file) >= 0 && fputs(script, file) >= 0);
	assert_int_equal(fchmod(fileno(file), 0755), 0);
	assert_int_equal(fclose(file), 0);
	snprintf(path, sizeof(path), "%s/bin:%s", place->top, place->path);
	setenv("PATH", path, 1);
}

void local_agent(struct place *place, const char *script)
{
	char text[PATH_MAX + 1024];

	snprintf(text, sizeof(text), "[ \"$1\" = --guard ] && exec '%s' \"$@\"\n%s", place->agent,
		 script);
	local_program(place, "agent", text);
	snprintf(text, sizeof(text), "%s/bin/agent", place->top);
	setenv("VSOCKFS_AGENT", text, 1);
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

void local_assert_gone(struct place *place)
{
	struct call call = call_within(20, NULL);

	while (process_with(place->top))
		if (call_sleep(&call, 0.02))
			fail_msg("a process of the sandbox is left");
}
