/*
 * ctl_world.h - a made-up guest behind guest.h, workspace.h and process.h, for
 * the tests of ctl/.  The tests say what its programs do.
 *
 * Everything is one world: guests of any name share services, shells and commands.
 */
#ifndef VSOCKFS_TESTS_CTL_WORLD_H
#define VSOCKFS_TESTS_CTL_WORLD_H

#include <stdbool.h>
#include <stdint.h>

#include "ctl/ctl.h"

/* A mount with the guests "dev" and "two"; the root with a reference. */
struct world {
	struct ctl *ctl;
	struct vnode *root;
};

/* cmocka's setup and teardown; teardown shuts down, frees, and checks that nothing is left. */
int world_setup(void **state);
int world_teardown(void **state);

/* What the tests look at: the root of the mount, and what the files below TOP have. */
struct vnode *world_root(void **state);
void world_holds(struct vnode *top, const char *path, const char *text); /* exactly TEXT */
void world_has(struct vnode *top, const char *path, const char *part);
void world_key_is(struct vnode *top, const char *path, const char *key, const char *value);

/* The guest does not answer (every call: -ENOTCONN at once), or does again. */
void world_gone(bool gone);
/* The guest is another one now: it knows nothing of what ran there. */
void world_restarts(void);
/* ws_sync fails with this errno; 0: works. */
void world_sync_fails(int error);
/* guest_hello of new guests fails with this errno. */
void world_hello_fails(int error);

/*
 * Services.  A command "fail" ends at once with code 3 and the stderr that was set; "never" is
 * never ready; "slow" starts when world_go is called; anything else runs.
 */
void world_service_stderr(const char *text);
void world_service_stdout(const char *name, const char *text);
void world_service_end(const char *name, int code);
/* One that somebody else started. */
void world_service_foreign(const char *name);
bool world_service_known(const char *name);
void world_go(void);
/* Whether a "slow" start is under way. */
bool world_starting(void);

/* Shells: the one that was opened last.  What is typed is recorded. */
void world_shell_says(const char *text);
void world_shell_ends(int code);
const char *world_shell_typed(void);
int world_shells_open(void);

/* Commands: the one that was started last. */
void world_command_says(int stream, const char *text);
void world_command_ends(int code);
const char *world_command_input(void);
const char *world_command_settings(void); /* "cwd|A=1|B=2|timeout" */
int world_commands_alive(void);

/* Requests that process.h got. */
int world_requests(void);

#endif
