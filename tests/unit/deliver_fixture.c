/*
 * deliver_fixture.c - see deliver_fixture.h.
 */
#include "deliver_fixture.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/utsname.h>
#include <unistd.h>

#include "tests/unit/cmocka_all.h"

static char agent_dir[] = "/tmp/test-agent-dir-XXXXXX"; /* with this machine's agent */
static bool agent_fits;                                 /* it is static */

const char *agent_directory(void)
{
	return agent_dir;
}

void need_agent(void)
{
	if (!agent_fits)
		skip();
}

static struct link_info info_of(struct guest *guest)
{
	struct link_info info;

	link_get_info(guest_link(guest), &info);
	return info;
}

int hello_or(struct guest *guest, struct cancel *cancel, struct error *err)
{
	struct call call = call_within(LONG, cancel);

	return guest_hello(guest, &call, err);
}

int hello(struct guest *guest, struct error *err)
{
	return hello_or(guest, NULL, err);
}

int stat_root(struct guest *guest, uint64_t *generation, struct error *err)
{
	autobuf struct buf args = BUF_INIT(64), reply = BUF_INIT(4096);
	struct call call = call_within(LONG, NULL);

	pack_text(&args, "");
	return link_call(guest_link(guest), &call, OP_STAT, &args, &reply, generation, err);
}

void expect_part(const char *text, const char *part)
{
	if (!strstr(text, part))
		fail_msg("'%s' does not have '%s'", text, part);
}

/* Skips where there is no agent to be brought, or no sandbox. */
void need_vm(struct line_vm *vm, const char *const *more)
{
	if (!agent_fits || !line_vm_start(vm, NULL, more))
		skip();
	setenv("VSOCKFS_AGENT_DIR", agent_dir, 1);
}

void expect_delivered(struct guest *guest)
{
	struct error err = { 0 };
	struct link_info info = info_of(guest);

	if (info.dialect != DIALECT_SESSION)
		fail_msg("%s", info.why_line);
	assert_true(info.delivered);
	assert_string_equal(info.agent, "vsockfs-agent " VSOCKFS_VERSION);
	if (stat_root(guest, NULL, &err))
		fail_msg("%s", err.text);
}

void expect_line(struct guest *guest, const char *why)
{
	struct link_info info = info_of(guest);

	assert_int_equal(info.dialect, DIALECT_LINE);
	expect_part(info.why_line, why);
	assert_string_equal(line_vm_ask(guest, LOOK), "");
	assert_string_equal(line_vm_ask(guest, COUNT_AGENTS), "0\n");
}

void *say_hello(void *arg)
{
	struct caller *caller = arg;

	caller->rc = hello_or(caller->guest, &caller->cancel, &caller->err);
	return NULL;
}

int deliver_setup(void **state)
{
	const char *agent = getenv("VSOCKFS_AGENT");
	struct agent_file file;
	struct utsname here;
	char path[64];

	(void)state;
	uname(&here);
	if (!agent || !mkdtemp(agent_dir))
		return -1;
	snprintf(path, sizeof(path), "%s/vsockfs-agent", agent_dir);
	if (symlink(agent, path) < 0)
		return -1;
	setenv("VSOCKFS_AGENT_DIR", agent_dir, 1);
	agent_fits = agent_file_find(here.machine, &file, NULL) == 0;
	if (agent_fits)
		agent_file_close(&file);
	return 0;
}

int deliver_teardown(void **state)
{
	char path[64];

	(void)state;
	snprintf(path, sizeof(path), "%s/vsockfs-agent", agent_dir);
	unlink(path);
	return rmdir(agent_dir);
}
