/*
 * proc_client.h - on top of agent_client.h: calls with JSON, and several at once.
 */
#ifndef VSOCKFS_TESTS_PROC_CLIENT_H
#define VSOCKFS_TESTS_PROC_CLIENT_H

#include <jansson.h>

#include "tests/unit/agent_client.h"

/* A call under way, and what has come of it. */
struct flow {
	uint32_t id;
	struct buf data; /* DATA, and a result that is no object */
	bool held;       /* DATA gets no credit */
	bool done;
	unsigned code;
	char why[200];  /* with a code */
	json_t *result; /* without */
};

/* ARGS is a format of JSON in which ' stands for ". */
struct flow *flow_begin(struct agent_client *client, unsigned op, const char *args, ...)
	__attribute__((format(printf, 3, 4)));
/* Takes one frame in, whosever it is. */
void flow_pump(struct agent_client *client);
/* Until it is done; until its data ends with, or has, TEXT. */
void flow_finish(struct agent_client *client, struct flow *flow);
void flow_await(struct agent_client *client, struct flow *flow, const char *text);
void flow_free(struct flow *flow);
/* Forgets those of a test that failed. */
void flow_reset(void);

/* One call; its result, which must be one. */
json_t *proc_call(struct agent_client *client, unsigned op, const char *args, ...)
	__attribute__((format(printf, 3, 4)));
/* One call that fails with CODE. */
void proc_refused(struct agent_client *client, unsigned code, unsigned op, const char *args, ...)
	__attribute__((format(printf, 4, 5)));

/* Assert what is in an object. */
void proc_text(const json_t *object, const char *key, const char *text);
void proc_int(const json_t *object, const char *key, int64_t value);
void proc_null(const json_t *object, const char *key);
int64_t proc_get(const json_t *object, const char *key);

/* Waits for READY or END; the status object. */
json_t *proc_wait(struct agent_client *client, const char *kind, const char *name,
		  const char *what);
/* All output up to the present end. */
char *proc_output(struct agent_client *client, const char *kind, const char *name, int stream);
void proc_expect_output(struct agent_client *client, const char *kind, const char *name, int stream,
			const char *text);

/* What was taken of the input, or a negative errno. */
int proc_type(struct agent_client *client, const char *shell, const char *bytes, size_t len);
/* All of it was. */
void proc_say(struct agent_client *client, const char *shell, const char *text);

#endif
