/*
 * agent_fixture.h - a real agent in a process of its own, and a client for it.
 *
 * The agent runs the code of vsockfs-agent in a forked child, listens on sockets in a fresh
 * directory and ends when the test does.  A leak, a data error or a crash in it is an
 * exit status that agent_stop asserts.
 */
#ifndef AGENT_FIXTURE_H
#define AGENT_FIXTURE_H

#include <jansson.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

struct agent_fixture {
	char dir[64];
	char socket[96], bridge[96]; /* unix: and firecracker:...:5005 */
	char workspace[96], run[96];
	pid_t pid;
	int lifeline;
	bool services_end; /* with the agent; set it before agent_start */
};

/* Makes the directories and starts an agent; both fail the test where they fail. */
void agent_make(struct agent_fixture *fixture);
void agent_start(struct agent_fixture *fixture);
/* Ends the agent and asserts that it ended well. */
void agent_stop(struct agent_fixture *fixture);
/* Removes the directories. */
void agent_remove(struct agent_fixture *fixture);

/* cmocka's setup and teardown: *state is a struct agent_fixture with an agent. */
int agent_setup(void **state);
int agent_teardown(void **state);

int agent_connect(const struct agent_fixture *fixture);
void agent_send(int fd, const void *bytes, size_t len);

/* Everything up to the end of the stream, NUL-terminated; the caller frees it. */
char *agent_receive(int fd, size_t *len);

/* One request (a format of its JSON, without newline) and its reply, which must be an object. */
json_t *agent_call(const struct agent_fixture *fixture, const char *format, ...)
	__attribute__((format(printf, 2, 3)));
/* Likewise with a payload behind the line. */
json_t *agent_upload(const struct agent_fixture *fixture, const char *line, const void *payload,
		     size_t len);

/* Asserts that KEY of REPLY is that string, or that integer. */
void agent_expect_text(const json_t *reply, const char *key, const char *text);
void agent_expect_int(const json_t *reply, const char *key, int64_t value);
/* Asserts that REPLY is an error whose text contains PART. */
void agent_expect_error(json_t *reply, const char *part);
/* Asserts that REPLY's keys are those of KEYS, separated by spaces, in that order. */
void agent_expect_keys(const json_t *reply, const char *keys);

/* Asserts that the process ends: it may be another's to reap when its agent is gone. */
void agent_expect_gone(pid_t pid);

/* The most memory that the agent has had, in KiB. */
long agent_peak_kib(const struct agent_fixture *fixture);

/* Makes the file PATH below the workspace; removes what is in the way. */
void agent_put_file(const struct agent_fixture *fixture, const char *path, const char *text);
bool agent_has(const struct agent_fixture *fixture, const char *path);

#endif
