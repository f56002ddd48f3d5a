/*
 * agent_client.h - an agent inside the test, and scripted clients of its sessions.
 *
 * Each client is one end of a socketpair; a thread serves the other as the agent serves a
 * connection. The test writes what it likes: whole calls, single frames, or bytes. Nothing sleeps
 * for time: whoever reads waits for a frame and fails the test when none comes for long.
 */
#ifndef VSOCKFS_TESTS_AGENT_CLIENT_H
#define VSOCKFS_TESTS_AGENT_CLIENT_H

#include <pthread.h>
#include <stdbool.h>
#include <stdint.h>

#include "protocol/agent/agent.h"
#include "protocol/buf.h"
#include "protocol/session/frame.h"
#include "protocol/session/ops.h"
#include "tests/unit/cmocka_all.h"

struct agent_world {
	char top[64];
	char workspace[80]; /* TOP/workspace */
	char outside[80];   /* TOP/outside, which no operation may touch */
	int dir;            /* the workspace */
	struct agent *agent;
};

void agent_world_open(struct agent_world *world);
/* All clients are closed. */
void agent_world_close(struct agent_world *world);
/* cmocka's setup and teardown, for a world with the file "file" that has "contents". */
int agent_world_setup(void **state);
int agent_world_teardown(void **state);

/* Makes and reads files of the workspace behind the agent's back. */
void agent_world_write(struct agent_world *world, const char *path, const char *text);
void agent_world_run(struct agent_world *world, const char *command); /* sh, in the workspace */

struct agent_client {
	int fd;     /* ours */
	int served; /* the agent's end; closed by the thread */
	struct agent *agent;
	pthread_t thread;
	uint32_t id;     /* of the last call */
	struct buf data; /* the DATA of the last client_call */
	char *hello;     /* the line that answered */
};

/* Connects and says nothing. */
void client_connect(struct agent_client *client, struct agent_world *world);
/* Connects and enters a session. */
void client_open(struct agent_client *client, struct agent_world *world);
/* Closes our end and waits until the agent is done with the other. */
void client_close(struct agent_client *client);

void client_raw(struct agent_client *client, const void *bytes, size_t len);
void client_frame(struct agent_client *client, uint8_t kind, uint32_t id, uint8_t flags,
		  uint16_t code, const void *body, size_t len);
/* Begins a call, with a deadline in ms (0: none), and returns its id. */
uint32_t client_begin(struct agent_client *client, unsigned op, const struct buf *args,
		      uint32_t deadline_ms);
void client_credit(struct agent_client *client, uint32_t id, uint32_t bytes);

struct got {
	struct frame frame;
	unsigned char body[FRAME_BODY_MAX + 1]; /* with a NUL behind */
};
void client_get(struct agent_client *client, struct got *got);
/*
 * Reads up to the DONE of ID; other calls' frames fail the test, DATA is kept and given credit for.
 */
void client_finish(struct agent_client *client, uint32_t id, struct got *got);
/* Waits until the agent has closed; whatever comes before is dropped. */
void client_expect_end(struct agent_client *client);
/* A line, without its newline; free() it. */
char *client_line(struct agent_client *client);

/*
 * One call. ARGS is used up. Returns the errno; the result (RESULT, not NULL) replaces what it
 * held.
 */
int client_call(struct agent_client *client, unsigned op, struct buf *args, struct buf *result);

/* Arguments: a buf that grows to anything a frame may be, filled by a printf-like description: */
/*   s text, b u8, h u16, w u32, q u64, r rest (pointer, size_t) */
struct buf args_of(const char *fields, ...);
/* The same as a call; expects the errno CODE. */
#define expect_call(client, code, result, op, ...)                                                 \
	do {                                                                                       \
		struct buf args_ = args_of(__VA_ARGS__);                                           \
		assert_int_equal(client_call((client), (op), &args_, (result)), (code));           \
	} while (0)

/* ATTR off the front of RESULT. */
struct ws_attr attr_of(const struct buf *result);

#endif
