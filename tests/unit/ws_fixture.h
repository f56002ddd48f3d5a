/*
 * ws_fixture.h - a workspace in a temporary directory, for the tests of ws_*.c.
 *
 * Every test of a group runs with coreutils and with busybox: WS_MAIN makes a main()
 * that runs the array `tests` twice.  A test gets its fixture as *state.
 */
#ifndef VSOCKFS_TESTS_WS_FIXTURE_H
#define VSOCKFS_TESTS_WS_FIXTURE_H

/* cmocka.h needs these in front of it */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "fake_line.h"
#include "protocol/line/ws.h"

struct fixture {
	struct ws_attr attr; /* for answers that nobody looks at */
	struct guest *guest;
	struct lws *ws;
	struct call call;
	struct error err;
};

extern enum fake_tools ws_fixture_tools; /* of the group that runs */

int ws_fixture_setup(void **state);
int ws_fixture_teardown(void **state); /* also looks that nothing of ours is left */

/* The path on this machine of PATH in the guest, in one of a few static buffers. */
const char *ws_real(struct fixture *f, const char *path);

/* A file of the guest's, made or read behind the workspace's back. */
void ws_put(struct fixture *f, const char *path, const char *text);
void ws_has(struct fixture *f, const char *path, const char *text);

/* Opens or fails the test. */
struct lws_file *ws_must_open(struct fixture *f, const char *path, int flags, mode_t mode);
void ws_must_write(struct fixture *f, struct lws_file *file, int64_t offset, const char *text);
void ws_must_close(struct fixture *f, struct lws_file *file); /* as close(2): flush first */
void ws_reads(struct fixture *f, struct lws_file *file, int64_t offset, const char *text);

/* RC or the test fails with the sentence. */
#define ok(f, rc) ws_ok(f, rc, __FILE__, __LINE__)
void ws_ok(struct fixture *f, long long rc, const char *file, int line);

/* The first line of a test. */
#define FIXTURE                                                                                    \
	struct fixture *f = *state;                                                                \
	if (!f)                                                                                    \
	skip()

#define ws_test(name) cmocka_unit_test_setup_teardown(name, ws_fixture_setup, ws_fixture_teardown)

#define WS_MAIN                                                                                    \
	int main(void)                                                                             \
	{                                                                                          \
		int failed;                                                                        \
                                                                                                   \
		ws_fixture_tools = FAKE_COREUTILS;                                                 \
		failed = cmocka_run_group_tests_name("coreutils", tests, NULL, NULL);              \
		ws_fixture_tools = FAKE_BUSYBOX;                                                   \
		return failed + cmocka_run_group_tests_name("busybox", tests, NULL, NULL);         \
	}

#endif
