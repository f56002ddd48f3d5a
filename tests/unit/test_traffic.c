/*
 * test_traffic.c - what is counted of the line dialect's requests, and the counters themselves.
 *
 * Of the session dialect: test_mux.c, test_link_live.c, test_sws_break.c.
 */
#include <errno.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>

#include "tests/unit/cmocka_all.h"

#include "guest_fixture.h"
#include "protocol/line/line.h"

enum { THREADS = 4, ROUNDS = 20000 };

static void test_kinds_have_names(void **state)
{
	(void)state;
	assert_string_equal(traffic_kind_name(TRAFFIC_UNSAID), "");
	for (int i = 1; i < TRAFFIC_KINDS; i++) {
		const char *name = traffic_kind_name((enum traffic_kind)i);

		assert_true(*name);
		assert_int_equal(strspn(name, "abcdefghijklmnopqrstuvwxyz"), strlen(name));
		for (int k = 1; k < i; k++)
			assert_string_not_equal(name, traffic_kind_name((enum traffic_kind)k));
	}
}

static void *add_all(void *arg)
{
	const struct traffic_count more = { 1, 2, 3, 4 };

	for (int i = 0; i < ROUNDS; i++)
		traffic_add(arg, i % 2 ? TRAFFIC_READ : TRAFFIC_EXEC, &more);
	return NULL;
}

static void test_many_threads_add(void **state)
{
	struct traffic traffic = { 0 };
	struct traffic_count total, half;
	pthread_t threads[THREADS];

	(void)state;
	for (int i = 0; i < THREADS; i++)
		assert_int_equal(pthread_create(&threads[i], NULL, add_all, &traffic), 0);
	for (int i = 0; i < THREADS; i++)
		pthread_join(threads[i], NULL);
	total = traffic_total(&traffic);
	half = traffic_get(&traffic, TRAFFIC_READ);
	assert_int_equal(total.requests, THREADS * ROUNDS);
	assert_int_equal(total.retries, THREADS * ROUNDS * 2);
	assert_int_equal(total.bytes_sent, THREADS * ROUNDS * 3);
	assert_int_equal(total.bytes_received, THREADS * ROUNDS * 4);
	assert_int_equal(half.bytes_received, THREADS * ROUNDS / 2 * 4);
}

/* All that was counted is of KIND, and is what PEER saw of its first connections. */
static void expect_counted(struct guest *guest, struct peer *peer, enum traffic_kind kind,
			   int connections, size_t received)
{
	struct traffic_count one = traffic_get(guest_traffic(guest), kind);
	struct traffic_count total = traffic_total(guest_traffic(guest));
	int64_t sent = 0;

	for (int i = 0; i < connections; i++)
		sent += peer_received_len(peer, i);
	assert_memory_equal(&one, &total, sizeof(one));
	assert_int_equal(one.requests, connections);
	assert_int_equal(one.bytes_sent, sent);
	assert_int_equal(one.bytes_received, received);
}

static int sink(void *arg, const void *bytes, size_t len)
{
	(void)arg;
	(void)bytes;
	(void)len;
	return 0;
}

static int ask_exec(struct guest *guest, const struct call *call)
{
	struct line_exec exec = { .command = "true", .timeout_seconds = 1 };
	struct line_exec_reply reply = { 0 };
	int rc = line_exec(guest, call, &exec, &reply, NULL);

	line_exec_reply_free(&reply);
	return rc;
}

static int ask_import(struct guest *guest, const struct call *call)
{
	struct line_archive_reply reply = { 0 };
	struct line_payload payload;
	int rc = line_payload_from_memory(&payload, "an archive", 10, NULL);

	if (rc == 0)
		rc = line_extract_archive(guest, call, "/workspace", payload, &reply, NULL);
	line_archive_reply_free(&reply);
	return rc;
}

static int ask_export(struct guest *guest, const struct call *call)
{
	struct line_archive_reply reply = { 0 };
	int rc = line_export_archive(guest, call, "/workspace", 100, sink, NULL, &reply, NULL);

	line_archive_reply_free(&reply);
	return rc;
}

static int ask_list(struct guest *guest, const struct call *call)
{
	struct line_listing listing = { 0 };
	int rc = line_list_workspace(guest, call, "/workspace", false, &listing, NULL);

	line_listing_free(&listing);
	return rc;
}

static int ask_read(struct guest *guest, const struct call *call)
{
	struct line_file_reply reply = { 0 };
	int rc = line_read_file(guest, call, "/workspace/f", 10, &reply, NULL);

	line_file_reply_free(&reply);
	return rc;
}

static int ask_write(struct guest *guest, const struct call *call)
{
	struct line_file_reply reply = { 0 };
	int rc = line_write_file(guest, call, "/workspace/f", "x", 1, &reply, NULL);

	line_file_reply_free(&reply);
	return rc;
}

static int ask_change(struct guest *guest, const struct call *call)
{
	struct line_file_reply reply = { 0 };
	int rc = line_delete_path(guest, call, "/workspace/f", &reply, NULL);

	line_file_reply_free(&reply);
	return rc;
}

static int ask_shell(struct guest *guest, const struct call *call)
{
	struct line_shell reply = { 0 };
	int rc = line_close_shell(guest, call, "one", &reply, NULL);

	line_shell_free(&reply);
	return rc;
}

static int ask_output(struct guest *guest, const struct call *call)
{
	struct line_shell reply = { 0 };
	int rc = line_read_shell(guest, call, "one", 0, 10, &reply, NULL);

	line_shell_free(&reply);
	return rc;
}

static int ask_service(struct guest *guest, const struct call *call)
{
	struct line_service reply = { 0 };
	int rc = line_status_service(guest, call, "one", &reply, NULL);

	line_service_free(&reply);
	return rc;
}

static const struct {
	enum traffic_kind kind;
	int (*ask)(struct guest *guest, const struct call *call);
	int payload;
	const char *answer;
} asks[] = {
	{ TRAFFIC_EXEC, ask_exec, 0, ANSWER },
	{ TRAFFIC_IMPORT, ask_import, 10, "{}" },
	{ TRAFFIC_EXPORT, ask_export, 0, "{\"archive_size\": 4}\n1234" },
	{ TRAFFIC_LIST, ask_list, 0, "{}" },
	{ TRAFFIC_READ, ask_read, 0, "{\"content_b64\": \"\"}" },
	{ TRAFFIC_WRITE, ask_write, 0, "{}" },
	{ TRAFFIC_CHANGE, ask_change, 0, "{}" },
	{ TRAFFIC_SHELL, ask_shell, 0, "{}" },
	{ TRAFFIC_OUTPUT, ask_output, 0, "{\"output\": \"\\u00e9\"}" },
	{ TRAFFIC_SERVICE, ask_service, 0, "{}" },
};

static void test_actions_are_counted_by_kind(void **state)
{
	(void)state;
	for (size_t i = 0; i < sizeof(asks) / sizeof(asks[0]); i++) {
		const struct peer_step script[] = { P_LINE, P_BYTES(asks[i].payload),
						    P_SAY(asks[i].answer), P_CLOSE };
		const struct peer_step *scripts[] = { script };
		struct peer *peer = peer_start(scripts, 1, true);
		struct guest *guest = make_guest("unix:", peer_path(peer), LONG);
		struct call call = call_within(LONG, NULL);

		for (int turn = 1; turn <= 2; turn++) {
			assert_int_equal(asks[i].ask(guest, &call), 0);
			peer_wait_served(peer, turn);
			expect_counted(guest, peer, asks[i].kind, turn,
				       (size_t)turn * strlen(asks[i].answer));
		}
		guest_unref(guest);
		peer_stop(peer);
	}
}

static void test_the_caller_may_say_what_it_is_for(void **state)
{
	static const struct peer_step script[] = { P_LINE, P_SAY(ANSWER), P_CLOSE };
	const struct peer_step *scripts[] = { script };
	struct peer *peer = peer_start(scripts, 1, true);
	struct guest *guest = make_guest("unix:", peer_path(peer), LONG);
	struct call call = call_within(LONG, NULL), same = call_as(&call, TRAFFIC_DELIVER);
	struct call longer = call_extend(&same, LONG);

	(void)state;
	assert_int_equal(ask_exec(guest, &longer), 0);
	peer_wait_served(peer, 1);
	expect_counted(guest, peer, TRAFFIC_DELIVER, 1, strlen(ANSWER));
	guest_unref(guest);
	peer_stop(peer);
}

/* An error is an answer, too. */
static void test_errors_are_counted(void **state)
{
	static const char answer[] = "{\"error\": \"no\"}";
	static const struct peer_step script[] = { P_LINE, P_SAY(answer), P_CLOSE };
	const struct peer_step *scripts[] = { script };
	struct peer *peer = peer_start(scripts, 1, true);
	struct guest *guest = make_guest("unix:", peer_path(peer), LONG);
	struct call call = call_within(LONG, NULL);

	(void)state;
	assert_int_equal(ask_list(guest, &call), -EREMOTEIO);
	peer_wait_served(peer, 1);
	expect_counted(guest, peer, TRAFFIC_LIST, 1, strlen(answer));
	guest_unref(guest);
	peer_stop(peer);
}

struct asker {
	pthread_t thread;
	struct guest *guest;
	int rc;
};

static void *list(void *arg)
{
	struct call call = call_within(LONG, NULL);
	struct asker *asker = arg;

	asker->rc = ask_list(asker->guest, &call);
	return NULL;
}

/*
 * An agent that refuses for a while: what waits for it is asked again, and only that is counted so.
 */
static void test_a_busy_agent_is_asked_again(void **state)
{
	static const struct peer_step script[] = { P_LINE, P_SAY("{}"), P_CLOSE };
	const struct peer_step *scripts[] = { script };
	struct peer *before = peer_start(scripts, 1, false), *after;
	struct asker asker = { .guest = make_guest("unix:", peer_path(before), LONG) };
	const struct traffic *traffic = guest_traffic(asker.guest);
	struct call call = call_within(LONG, NULL);

	(void)state;
	assert_int_equal(ask_service(asker.guest, &call), 0);
	peer_wait_served(before, 1);
	assert_int_equal(pthread_create(&asker.thread, NULL, list, &asker), 0);
	wait_retries(asker.guest, 2);
	after = peer_start_at(peer_path(before), scripts, 1, false);
	pthread_join(asker.thread, NULL);
	assert_int_equal(asker.rc, 0);
	assert_true(traffic_get(traffic, TRAFFIC_LIST).retries >= 2);
	assert_int_equal(traffic_get(traffic, TRAFFIC_LIST).requests, 1);
	assert_int_equal(traffic_get(traffic, TRAFFIC_SERVICE).retries, 0);
	guest_unref(asker.guest);
	peer_stop(after);
	peer_stop(before);
}

/* A connection that breaks: what may be asked again counts twice, with the bytes of both. */
static void test_a_broken_answer_is_asked_for_again(void **state)
{
	static const struct peer_step breaks[] = { P_LINE, P_CLOSE };
	static const struct peer_step answers[] = { P_LINE, P_SAY("{}\n"), P_CLOSE };
	const struct peer_step *scripts[] = { answers, breaks, answers };
	struct peer *peer = peer_start(scripts, 3, false);
	struct guest *guest = make_guest("unix:", peer_path(peer), LONG);
	struct call call = call_within(LONG, NULL);

	(void)state;
	for (int i = 0; i < 2; i++)
		assert_int_equal(ask_export(guest, &call), 0);
	peer_wait_served(peer, 3);
	expect_counted(guest, peer, TRAFFIC_EXPORT, 3, 6);
	assert_int_equal(traffic_get(guest_traffic(guest), TRAFFIC_EXPORT).retries, 1);
	guest_unref(guest);
	peer_stop(peer);
}

/* What a caller has given up is counted when it has come to its end. */
static void test_given_up_is_counted(void **state)
{
	static const struct peer_step script[] = { P_LINE, P_PAUSE, P_SAY(ANSWER), P_CLOSE };
	const struct peer_step *scripts[] = { script };
	struct peer *peer = peer_start(scripts, 1, true);
	struct guest *guest = make_guest("unix:", peer_path(peer), LONG);
	struct call call = call_within(0.05, NULL);

	(void)state;
	assert_int_equal(ask_exec(guest, &call), -ETIMEDOUT);
	peer_wait_paused(peer);
	peer_go(peer);
	wait_abandoned(guest, 0);
	peer_wait_served(peer, 1);
	expect_counted(guest, peer, TRAFFIC_EXEC, 1, strlen(ANSWER));
	guest_unref(guest);
	peer_stop(peer);
}

int main(void)
{
	static const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_kinds_have_names),
		cmocka_unit_test(test_many_threads_add),
		cmocka_unit_test(test_actions_are_counted_by_kind),
		cmocka_unit_test(test_the_caller_may_say_what_it_is_for),
		cmocka_unit_test(test_errors_are_counted),
		cmocka_unit_test(test_a_busy_agent_is_asked_again),
		cmocka_unit_test(test_a_broken_answer_is_asked_for_again),
		cmocka_unit_test(test_given_up_is_counted),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
