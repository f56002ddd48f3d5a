/*
 * test_link_live.c - the session with the bundled agent, and what becomes of it when that ends or
 * stands still.
 */
#include <errno.h>
#include <signal.h>
#include <string.h>
#include <sys/utsname.h>
#include <unistd.h>

#include "tests/unit/cmocka_all.h"

#include "bundled_agent.h"
#include "guest_fixture.h"
#include "protocol/session/frame.h"
#include "protocol/session/link.h"

static int stat_root(struct guest *guest, double seconds, uint64_t *generation, struct error *err)
{
	autobuf struct buf args = BUF_INIT(64), reply = BUF_INIT(4096);
	struct call call = call_within(seconds, NULL);
	int rc;

	pack_text(&args, "");
	rc = link_call(guest_link(guest), &call, OP_STAT, &args, &reply, generation, err);
	if (rc == 0)
		assert_int_equal(reply.len, OPS_ATTR_SIZE);
	return rc;
}

static int hello(struct guest *guest, struct error *err)
{
	struct call call = call_within(LONG, NULL);

	return guest_hello(guest, &call, err);
}

static struct link_info info_of(struct guest *guest)
{
	struct link_info info;

	link_get_info(guest_link(guest), &info);
	return info;
}

/* That much was asked of KIND. */
static void counted(struct guest *guest, enum traffic_kind kind, unsigned requests,
		    unsigned retries)
{
	struct traffic_count count = traffic_get(guest_traffic(guest), kind);

	assert_int_equal(count.requests, requests);
	assert_int_equal(count.retries, retries);
	assert_int_equal(count.bytes_sent > 0, requests > 0);
	assert_int_equal(count.bytes_received > 0, requests > 0);
}

static void breathe(void)
{
	struct call call = call_within(1, NULL);

	call_sleep(&call, 0.002);
}

/* The bundled agent, started with MORE (or NULL), and a guest on its socket. */
static struct guest *begin(struct bundled_agent *agent, const char *more, double timeout)
{
	bundled_agent_open(agent);
	bundled_agent_start(agent, more);
	return make_guest("unix:", agent->socket, timeout);
}

static void end(struct guest *guest, struct bundled_agent *agent)
{
	guest_unref(guest);
	bundled_agent_close(agent);
}

static void test_session(void **state)
{
	struct bundled_agent agent;
	struct guest *guest;
	struct error err = { 0 };
	enum dialect dialect;
	struct call call = call_within(LONG, NULL);
	uint64_t first = 0, second = 0;
	struct utsname here;

	(void)state;
	guest = begin(&agent, NULL, LONG);
	if (hello(guest, &err))
		fail_msg("%s", err.text);
	assert_int_equal(status_of(guest).traffic.requests, 1);
	assert_int_equal(status_of(guest).state, GUEST_UP);
	assert_true(status_of(guest).round_trip > 0);

	assert_int_equal(link_dialect(guest_link(guest), &call, &dialect, NULL), 0);
	assert_int_equal(dialect, DIALECT_SESSION);
	assert_string_equal(info_of(guest).agent, "vsockfs-agent " VSOCKFS_VERSION);
	assert_int_equal(strlen(info_of(guest).build), 40);
	assert_false(info_of(guest).delivered);
	uname(&here);
	assert_string_equal(status_of(guest).machine, here.machine);
	assert_string_equal(info_of(guest).why_line, "");
	assert_int_equal(status_of(guest).traffic.requests, 1);

	assert_int_equal(stat_root(guest, LONG, &first, &err), 0);
	assert_int_equal(stat_root(guest, LONG, &second, &err), 0);
	assert_int_equal(first, second);
	assert_int_equal(status_of(guest).traffic.requests, 3);
	counted(guest, TRAFFIC_HELLO, 1, 0);
	counted(guest, TRAFFIC_STAT, 2, 0);
	assert_int_equal(traffic_get(guest_traffic(guest), TRAFFIC_STAT).bytes_received,
			 2 * (FRAME_HEADER + OPS_ATTR_SIZE));

	/* whoever asks anew asks the session that there is */
	assert_int_equal(hello(guest, &err), 0);
	counted(guest, TRAFFIC_HELLO, 2, 0);
	assert_int_equal(stat_root(guest, LONG, &second, &err), 0);
	assert_int_equal(first, second);
	end(guest, &agent);
}

static void test_session_is_remade(void **state)
{
	struct bundled_agent agent;
	struct guest *guest;
	struct error err = { 0 };
	uint64_t first = 0, second = 0;

	(void)state;
	guest = begin(&agent, NULL, LONG);
	assert_int_equal(stat_root(guest, LONG, &first, &err), 0);
	bundled_agent_kill(&agent);
	bundled_agent_start(&agent, NULL);
	if (stat_root(guest, LONG, &second, &err))
		fail_msg("%s", err.text);
	assert_int_not_equal(first, second);
	counted(guest, TRAFFIC_STAT, 2, 1);
	counted(guest, TRAFFIC_HELLO, 2, 0);
	end(guest, &agent);
}

/* An agent that is away makes the guest gone, and it comes back by itself. */
static void test_gone_and_back(void **state)
{
	struct bundled_agent agent;
	struct guest *guest;
	struct error err = { 0 };
	int64_t began;

	(void)state;
	guest = begin(&agent, NULL, 0.5);
	assert_int_equal(stat_root(guest, 0.5, NULL, &err), 0);
	bundled_agent_kill(&agent);
	unlink(agent.socket);
	assert_int_equal(stat_root(guest, LONG, NULL, &err), -ENOTCONN);
	expect_text(&err, "no socket");
	began = call_now();
	assert_int_equal(stat_root(guest, LONG, NULL, &err), -ENOTCONN);
	expect_text(&err, "gone");
	assert_true(call_now() - began < 400 * INT64_C(1000000));

	bundled_agent_start(&agent, NULL);
	while (stat_root(guest, LONG, NULL, NULL))
		breathe();
	assert_int_equal(status_of(guest).state, GUEST_UP);
	end(guest, &agent);
}

/* One that stands still costs its first caller the deadline, and goes on with the same session. */
static void test_silent(void **state)
{
	struct bundled_agent agent;
	struct guest *guest;
	struct error err = { 0 };
	uint64_t first = 0, second = 0;
	int64_t began;

	(void)state;
	guest = begin(&agent, NULL, 0.5);
	assert_int_equal(stat_root(guest, 0.5, &first, &err), 0);
	bundled_agent_stop(&agent);
	assert_int_equal(stat_root(guest, 0.1, NULL, &err), -ETIMEDOUT);
	assert_int_equal(status_of(guest).state, GUEST_UP);
	assert_int_equal(stat_root(guest, 0.5, NULL, &err), -ETIMEDOUT);
	assert_int_equal(status_of(guest).state, GUEST_GONE);
	began = call_now();
	assert_int_equal(stat_root(guest, LONG, NULL, &err), -ENOTCONN);
	expect_text(&err, "not answered");
	assert_true(call_now() - began < 400 * INT64_C(1000000));
	kill(agent.pid, SIGCONT);
	while (stat_root(guest, LONG, &second, NULL))
		breathe();
	assert_true(status_of(guest).state == GUEST_UP);
	end(guest, &agent);
}

/* While it stands still, it is asked for a new session too: nobody is left to take that one. */
static void test_silent_to_a_hello(void **state)
{
	struct bundled_agent agent;
	struct guest *guest;
	struct error err = { 0 };

	(void)state;
	guest = begin(&agent, NULL, 0.5);
	assert_int_equal(stat_root(guest, 0.5, NULL, &err), 0);
	bundled_agent_stop(&agent);
	while (!status_of(guest).abandoned) {
		assert_int_not_equal(stat_root(guest, 0.5, NULL, &err), 0);
		breathe();
	}
	kill(agent.pid, SIGCONT);
	wait_abandoned(guest, 0);
	while (stat_root(guest, LONG, NULL, NULL))
		breathe();
	end(guest, &agent);
}

/* Those who call the mux itself need not tell: the next caller finds out. */
static void test_silent_to_mux(void **state)
{
	struct bundled_agent agent;
	struct call call = call_within(LONG, NULL), nap;
	struct mux_ticket *ticket;
	struct mux *mux, *other;
	struct guest *guest;
	struct error err = { 0 };

	(void)state;
	guest = begin(&agent, NULL, 0.5);
	assert_int_equal(link_mux(guest_link(guest), &call, &mux, &err), 0);
	bundled_agent_stop(&agent);
	assert_int_equal(mux_begin(mux, &call, OP_INFO, NULL, &ticket, &err), 0);
	nap = call_within(0.5, NULL);
	assert_int_equal(mux_wait(ticket, &nap, &err), -ETIMEDOUT);
	assert_int_equal(link_mux(guest_link(guest), &call, &other, &err), -ENOTCONN);
	assert_int_equal(status_of(guest).state, GUEST_GONE);
	kill(agent.pid, SIGCONT);
	assert_int_equal(mux_finish(ticket, &call, NULL, NULL, &err), 0); /* late, but an answer */
	assert_int_equal(status_of(guest).state, GUEST_UP);
	assert_int_equal(link_mux(guest_link(guest), &call, &other, &err), 0);
	mux_unref(mux);
	mux_unref(other);
	end(guest, &agent);
}

static void test_no_session_agent(void **state)
{
	struct bundled_agent agent;
	struct guest *guest;
	struct error err = { 0 };

	(void)state;
	guest = begin(&agent, "--no-session", LONG);
	/* It runs the command on this machine, which may have no /workspace. */
	assert_true(hello(guest, &err) == 0 || err.code == ENOENT);
	assert_int_equal(status_of(guest).traffic.requests, 1);
	assert_int_equal(info_of(guest).dialect, DIALECT_LINE);
	end(guest, &agent);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_session),          cmocka_unit_test(test_session_is_remade),
		cmocka_unit_test(test_gone_and_back),    cmocka_unit_test(test_silent),
		cmocka_unit_test(test_silent_to_mux),    cmocka_unit_test(test_silent_to_a_hello),
		cmocka_unit_test(test_no_session_agent),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
