/*
 * bundled_agent.c - see bundled_agent.h.
 */
#include "bundled_agent.h"

#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "tests/unit/cmocka_all.h"

void bundled_agent_open(struct bundled_agent *agent)
{
	*agent = (struct bundled_agent){ .top = "/tmp/test-agent-XXXXXX" };
	assert_non_null(mkdtemp(agent->top));
	snprintf(agent->socket, sizeof(agent->socket), "%s/socket", agent->top);
	snprintf(agent->workspace, sizeof(agent->workspace), "%s/workspace", agent->top);
	assert_int_equal(mkdir(agent->workspace, 0755), 0);
}

void bundled_agent_start(struct bundled_agent *agent, const char *more)
{
	const char *program = getenv("VSOCKFS_AGENT");
	char listen[128], run[128], number[16], byte = 0;
	int ready[2];

	assert_non_null(program);
	assert_int_equal(pipe(ready), 0);
	snprintf(listen, sizeof(listen), "unix:%s", agent->socket);
	snprintf(run, sizeof(run), "%s/run", agent->top);
	snprintf(number, sizeof(number), "%d", ready[1]);
	agent->pid = fork();
	if (agent->pid == 0) {
		prctl(PR_SET_PDEATHSIG, SIGKILL); /* a test that fails stops nothing */
		close(ready[0]);
		execl(program ? program : "", "vsockfs-agent", "--listen", listen, "--workspace",
		      agent->workspace, "--run-dir", run, "--ready-fd", number, more, NULL);
		_exit(127);
	}
	close(ready[1]);
	assert_int_equal(read(ready[0], &byte, 1), 1);
	close(ready[0]);
}

void bundled_agent_stop(struct bundled_agent *agent)
{
	kill(agent->pid, SIGSTOP);
	assert_int_equal(waitpid(agent->pid, NULL, WUNTRACED), agent->pid);
}

void bundled_agent_kill(struct bundled_agent *agent)
{
	kill(agent->pid, SIGKILL);
	assert_int_equal(waitpid(agent->pid, NULL, 0), agent->pid);
	agent->pid = 0;
}

void bundled_agent_close(struct bundled_agent *agent)
{
	char command[128];

	if (agent->pid)
		bundled_agent_kill(agent);
	snprintf(command, sizeof(command), "rm -rf %s", agent->top);
	assert_int_equal(system(command), 0);
}
