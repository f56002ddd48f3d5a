/*
 * test_line_service.c - services: what is sent, what is understood, what is refused.
 */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "protocol/line/line.h"
#include "script.h"

#define SERVICE(more)                                                                              \
	"{\"service_name\": \"app\", \"command\": \"echo ok\", \"cwd\": \"/workspace\", "          \
	"\"started_at\": 1.0, \"ready_at\": 2.0, \"pid\": 42, \"readiness\": "                     \
	"{\"type\": \"file\", \"path\": \"/workspace/.ready\"}, " more "}"

static const struct line_service_start starting = {
	.name = "app",
	.command = "echo ok",
	.cwd = "/workspace",
	.readiness = { LINE_READY_FILE, "/workspace/.ready" },
	.ready_timeout_seconds = 30,
	.ready_interval_ms = 500,
};

static void expect_service(const struct line_service *service, const char *state)
{
	assert_string_equal(service->name, "app");
	assert_string_equal(service->command.data, "echo ok");
	assert_string_equal(service->cwd.data, "/workspace");
	assert_string_equal(service->state, state);
	assert_true(service->started_at == 1.0);
	assert_true(service->ready_at == 2.0);
	assert_int_equal(service->pid, 42);
	assert_int_equal(service->readiness, LINE_READY_FILE);
	assert_string_equal(service->readiness_value.data, "/workspace/.ready");
}

/* The protocol's vector 5, one request after the other. */
static void test_vector_5_service(void **state)
{
	struct script *script = *state;
	struct guest *guest = script_guest(script);
	struct line_service service;

	script_reply(script, SERVICE("\"state\": \"running\", \"ended_at\": null, "
				     "\"exit_code\": null, \"stop_reason\": null"));
	assert_int_equal(line_start_service(guest, script_call(script), &starting, &service,
					    script_error(script)),
			 0);
	script_expect(script,
		      "{\"action\": \"start_service\", \"service_name\": \"app\", \"command\": "
		      "\"echo ok\", \"cwd\": \"/workspace\", \"readiness\": {\"type\": \"file\", "
		      "\"path\": \"/workspace/.ready\"}, \"ready_timeout_seconds\": 30, "
		      "\"ready_interval_ms\": 500, \"env\": {}}\n");
	expect_service(&service, "running");
	assert_false(service.has_exit_code);
	assert_true(service.ended_at == 0);
	assert_string_equal(service.stop_reason, "");
	line_service_free(&service);

	script_reply(script, SERVICE("\"state\": \"running\""));
	assert_int_equal(line_status_service(guest, script_call(script), "app", &service,
					     script_error(script)),
			 0);
	script_expect(script, "{\"action\": \"status_service\", \"service_name\": \"app\"}\n");
	expect_service(&service, "running");
	line_service_free(&service);

	script_reply(script, SERVICE("\"state\": \"running\", \"stdout\": \"ok\\n\", \"stderr\": "
				     "\"\", \"tail_lines\": 200, \"truncated\": false"));
	assert_int_equal(line_logs_service(guest, script_call(script), "app", 200, &service,
					   script_error(script)),
			 0);
	script_expect(script, "{\"action\": \"logs_service\", \"service_name\": \"app\", "
			      "\"tail_lines\": 200}\n");
	assert_string_equal(service.out.data, "ok\n");
	assert_string_equal(service.err.data, "");
	assert_int_equal(service.tail_lines, 200);
	assert_false(service.truncated);
	line_service_free(&service);

	script_reply(script, SERVICE("\"state\": \"stopped\", \"ended_at\": 3.0, \"exit_code\": "
				     "-15, \"stop_reason\": \"sigterm\""));
	assert_int_equal(line_stop_service(guest, script_call(script), "app", &service,
					   script_error(script)),
			 0);
	script_expect(script, "{\"action\": \"stop_service\", \"service_name\": \"app\"}\n");
	expect_service(&service, "stopped");
	assert_true(service.ended_at == 3.0);
	assert_true(service.has_exit_code);
	assert_int_equal(service.exit_code, -15);
	assert_string_equal(service.stop_reason, "sigterm");
	line_service_free(&service);
}

static void test_every_readiness_there_and_back(void **state)
{
	static const struct {
		struct line_readiness readiness;
		const char *wire;
	} all[] = {
		{ { LINE_READY_NONE, NULL }, "null" },
		{ { LINE_READY_FILE, "/workspace/r" },
		  "{\"type\": \"file\", \"path\": \"/workspace/r\"}" },
		{ { LINE_READY_TCP, "127.0.0.1:80" },
		  "{\"type\": \"tcp\", \"address\": \"127.0.0.1:80\"}" },
		{ { LINE_READY_HTTP, "http://127.0.0.1/" },
		  "{\"type\": \"http\", \"url\": \"http://127.0.0.1/\"}" },
		{ { LINE_READY_COMMAND, "test -e r" },
		  "{\"type\": \"command\", \"command\": \"test -e r\"}" },
	};
	struct line_service_start in = starting;
	struct script *script = *state;
	struct line_service service;
	char text[512];

	for (size_t i = 0; i < sizeof(all) / sizeof(all[0]); i++) {
		const char *value = all[i].readiness.value ? all[i].readiness.value : "";

		in.readiness = all[i].readiness;
		snprintf(text, sizeof(text), "{\"readiness\": %s}", all[i].wire);
		script_reply(script, text);
		assert_int_equal(line_start_service(script_guest(script), script_call(script), &in,
						    &service, script_error(script)),
				 0);
		snprintf(
			text, sizeof(text),
			"{\"action\": \"start_service\", \"service_name\": \"app\", \"command\": "
			"\"echo ok\", \"cwd\": \"/workspace\", \"readiness\": %s, "
			"\"ready_timeout_seconds\": 30, \"ready_interval_ms\": 500, \"env\": {}}\n",
			all[i].wire);
		script_expect(script, text);
		assert_int_equal(service.readiness, all[i].readiness.kind);
		assert_string_equal(service.readiness_value.data, value);
		line_service_free(&service);
	}
}

static void test_a_readiness_of_an_unknown_type_counts_as_none(void **state)
{
	struct script *script = *state;
	struct line_service service;

	script_reply(script,
		     "{\"state\": \"running\", \"readiness\": {\"type\": \"odd\", \"x\": 1}}");
	assert_int_equal(line_status_service(script_guest(script), script_call(script), "app",
					     &service, script_error(script)),
			 0);
	assert_int_equal(service.readiness, LINE_READY_NONE);
	assert_string_equal(service.readiness_value.data, "");
	line_service_free(&service);
}

static void test_logs_of_everything(void **state)
{
	struct script *script = *state;
	struct line_service service;

	script_reply(script, "{\"stdout\": \"a\\u0000\\ufffd\", \"tail_lines\": null}");
	assert_int_equal(line_logs_service(script_guest(script), script_call(script), "app", -1,
					   &service, script_error(script)),
			 0);
	script_expect(script, "{\"action\": \"logs_service\", \"service_name\": \"app\", "
			      "\"tail_lines\": null}\n");
	assert_int_equal(service.out.len, 5);
	assert_memory_equal(service.out.data, "a\0\xef\xbf\xbd", 5);
	assert_int_equal(service.tail_lines, -1);
	line_service_free(&service);
}

static void test_missing_fields_have_defaults(void **state)
{
	struct script *script = *state;
	struct line_service service;

	script_reply(script, "{}");
	assert_int_equal(line_status_service(script_guest(script), script_call(script), "app",
					     &service, script_error(script)),
			 0);
	assert_string_equal(service.name, "");
	assert_string_equal(service.command.data, "");
	assert_string_equal(service.state, "stopped");
	assert_string_equal(service.stop_reason, "");
	assert_string_equal(service.out.data, "");
	assert_int_equal(service.pid, 0);
	assert_false(service.has_exit_code);
	assert_int_equal(service.readiness, LINE_READY_NONE);
	line_service_free(&service);
}

static void test_bad_arguments_are_never_sent(void **state)
{
	struct line_service_start in;
	struct script *script = *state;
	struct guest *guest = script_guest(script);
	const struct call *call = script_call(script);
	struct line_service service;

	script_reply(script, "{}");
	assert_int_equal(
		line_status_service(guest, call, "no such name", &service, script_error(script)),
		-EINVAL);
	script_expect_error(script, "service_name 'no such name'");
	in = starting;
	in.ready_timeout_seconds = -1;
	assert_int_equal(line_start_service(guest, call, &in, &service, script_error(script)),
			 -EINVAL);
	script_expect_error(script, "ready_timeout_seconds");
	in = starting;
	in.ready_interval_ms = 0;
	assert_int_equal(line_start_service(guest, call, &in, &service, script_error(script)),
			 -EINVAL);
	script_expect_error(script, "ready_interval_ms");
	in = starting;
	in.readiness = (struct line_readiness){ LINE_READY_TCP, NULL };
	assert_int_equal(line_start_service(guest, call, &in, &service, script_error(script)),
			 -EINVAL);
	script_expect_error(script, "readiness needs HOST:PORT");
	in.readiness = (struct line_readiness){ (enum line_readiness_kind)99, "x" };
	assert_int_equal(line_start_service(guest, call, &in, &service, script_error(script)),
			 -EINVAL);
	script_expect_nothing(script);
}

static void test_wrong_fields_are_named(void **state)
{
	static const char *const wrong[][2] = {
		{ "{\"service_name\": \"a b\"}", "service_name must be a word" },
		{ "{\"command\": null, \"cwd\": 1}", "cwd must be a string" },
		{ "{\"state\": \"\\n\"}", "state must be a word" },
		{ "{\"ready_at\": true}", "ready_at must be a number" },
		{ "{\"pid\": 4294967296}", "pid is 4294967296" },
		{ "{\"pid\": -1}", "pid is -1" },
		{ "{\"readiness\": \"file\"}", "readiness must be an object" },
		{ "{\"readiness\": {\"type\": 1}}", "type must be a string" },
		{ "{\"readiness\": {\"type\": \"tcp\", \"address\": 80}}",
		  "address must be a string" },
		{ "{\"stop_reason\": \"a stop\"}", "stop_reason must be a word" },
		{ "{\"stdout\": 1}", "stdout must be a string" },
		{ "{\"stderr\": 1}", "stderr must be a string" },
		{ "{\"tail_lines\": -2}", "tail_lines is -2" },
		{ "{\"truncated\": []}", "truncated must be true or false" },
	};
	struct script *script = *state;
	struct line_service service;

	for (size_t i = 0; i < sizeof(wrong) / sizeof(wrong[0]); i++) {
		script_reply(script, wrong[i][0]);
		assert_int_equal(line_logs_service(script_guest(script), script_call(script), "a",
						   1, &service, script_error(script)),
				 -EPROTO);
		script_expect_error(script, wrong[i][1]);
		line_service_free(&service);
	}
}

#define SCRIPTED(test) cmocka_unit_test_setup_teardown(test, script_setup, script_teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		SCRIPTED(test_vector_5_service),
		SCRIPTED(test_every_readiness_there_and_back),
		SCRIPTED(test_a_readiness_of_an_unknown_type_counts_as_none),
		SCRIPTED(test_logs_of_everything),
		SCRIPTED(test_missing_fields_have_defaults),
		SCRIPTED(test_bad_arguments_are_never_sent),
		SCRIPTED(test_wrong_fields_are_named),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
