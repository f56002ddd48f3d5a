/*
 * deliver_fixture.h - guests to which an agent is brought, and what is to be seen of it.
 *
 * The agent is $VSOCKFS_AGENT, and the tests skip where it is no static program.
 */
#ifndef VSOCKFS_TESTS_DELIVER_FIXTURE_H
#define VSOCKFS_TESTS_DELIVER_FIXTURE_H

#include "line_vm.h"
#include "protocol/session/agent_file.h"
#include "protocol/session/link.h"

#define LONG 60.0 /* seconds: a test that waits so long has failed */

/* What prints nothing when a delivery has ended, however it did. */
#define LOOK "ls -a /workspace /run /dev/shm /tmp /var/tmp | grep vsockfs; exit 0"
#define KILL_AGENT                                                                                 \
	"for p in /proc/[0-9]*; do case `readlink $p/exe` in */.vsockfs-*) kill -9 ${p#/proc/};; " \
	"esac; done"
#define COUNT_AGENTS                                                                               \
	"n=0; for p in /proc/[0-9]*; do case `readlink $p/exe` in */.vsockfs-*) n=$((n+1));; "     \
	"esac; done; echo $n"

/* cmocka's, of a group. */
int deliver_setup(void **state);
int deliver_teardown(void **state);

/* Skips where there is no agent to be brought. */
void need_agent(void);
/* Skips where there is no agent to be brought, or no sandbox. */
void need_vm(struct line_vm *vm, const char *const *more);
/* The directory with the agent that fits. */
const char *agent_directory(void);

int hello_or(struct guest *guest, struct cancel *cancel, struct error *err);
int hello(struct guest *guest, struct error *err);
int stat_root(struct guest *guest, uint64_t *generation, struct error *err);

void expect_part(const char *text, const char *part);
void expect_delivered(struct guest *guest);
/* It is the line dialect for the reason WHY, and nothing is left in the guest. */
void expect_line(struct guest *guest, const char *why);

/* guest_hello on a thread of its own. */
struct caller {
	pthread_t thread;
	struct guest *guest;
	struct cancel cancel;
	int rc;
	struct error err;
};
void *say_hello(void *caller);

#endif
