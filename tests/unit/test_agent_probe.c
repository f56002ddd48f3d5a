/* test_agent_probe.c - how the agent finds out that a service is ready, or is not. */
#include <arpa/inet.h>
#include <netinet/in.h>
#include <pthread.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cmocka.h>

#include "agent_services.h"

static bool is_null(const json_t *reply, const char *key)
{
	return json_is_null(json_object_get(reply, key));
}

static bool is_alive(pid_t pid)
{
	return kill(pid, 0) == 0;
}

/* A port nobody listens on, until somebody does. */
static int listen_somewhere(int *port)
{
	struct sockaddr_in address = { .sin_family = AF_INET,
				       .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
	socklen_t len = sizeof(address);
	int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);

	assert_int_equal(bind(fd, (struct sockaddr *)&address, sizeof(address)), 0);
	assert_int_equal(getsockname(fd, (struct sockaddr *)&address, &len), 0);
	*port = ntohs(address.sin_port);
	return fd;
}

static void test_tcp_probe(void **state)
{
	char readiness[128];
	int port, fd = listen_somewhere(&port);
	json_t *reply;

	snprintf(readiness, sizeof(readiness), "{\"type\": \"tcp\", \"address\": \"127.0.0.1:%d\"}",
		 port);
	reply = service_start(*state, "tcp", "exec sleep 1000", readiness, 1);
	agent_expect_text(reply, "stop_reason", "readiness_timeout");
	json_decref(reply);
	assert_int_equal(listen(fd, 5), 0);
	reply = service_start(*state, "tcp", "exec sleep 1000", readiness, 30);
	agent_expect_text(reply, "state", "running");
	json_decref(reply);
	json_decref(service_ask(*state, "stop_service", "tcp"));
	close(fd);
}

struct http {
	int fd;
	const char *answers[3]; /* one a connection */
	char request[1024];     /* the last one */
};

static void *serve_http(void *arg)
{
	struct http *http = arg;

	for (int i = 0; i < 3 && http->answers[i]; i++) {
		int fd = accept(http->fd, NULL, NULL);
		ssize_t n = recv(fd, http->request, sizeof(http->request) - 1, 0);

		http->request[n > 0 ? n : 0] = '\0';
		send(fd, http->answers[i], strlen(http->answers[i]), MSG_NOSIGNAL);
		close(fd);
	}
	return NULL;
}

static void test_http_probe(void **state)
{
	struct http http = { .answers = { "HTTP/1.1 503 Not yet\r\n\r\n", "garbage",
					  "HTTP/1.0 302 Found\r\n\r\n" } };
	char readiness[128], host[64];
	pthread_t thread;
	json_t *reply;
	int port;

	http.fd = listen_somewhere(&port);
	assert_int_equal(listen(http.fd, 5), 0);
	assert_int_equal(pthread_create(&thread, NULL, serve_http, &http), 0);
	snprintf(readiness, sizeof(readiness),
		 "{\"type\": \"http\", \"url\": \"http://localhost:%d/health?x=1#f\"}", port);
	reply = service_start(*state, "http", "exec sleep 1000", readiness, 30);
	agent_expect_text(reply, "state", "running");
	json_decref(reply);
	pthread_join(thread, NULL);
	assert_int_equal(strncmp(http.request, "GET /health?x=1 HTTP/1.0\r\n", 26), 0);
	snprintf(host, sizeof(host), "\r\nHost: localhost:%d\r\n", port);
	assert_non_null(strstr(http.request, host));
	json_decref(service_ask(*state, "stop_service", "http"));
	close(http.fd);
}

/* In the service's directory, with its environment; a failure is just not ready yet. */
static void test_command_probe(void **state)
{
	json_t *reply = service_start(
		*state, "cmd", "sleep 0.1; touch go; exec sleep 1000",
		"{\"type\": \"command\", \"command\": \"echo noise; test -e go\"}", 30);

	agent_expect_text(reply, "state", "running");
	json_decref(reply);
	json_decref(service_ask(*state, "stop_service", "cmd"));
	/* One that hangs does not outlast the time. */
	reply = service_start(*state, "cmd", "exec sleep 1000",
			      "{\"type\": \"command\", \"command\": \"sleep 500\"}", 1);
	agent_expect_text(reply, "stop_reason", "readiness_timeout");
	json_decref(reply);
}

static void test_never_ready(void **state)
{
	json_t *reply = service_start(*state, "never", "echo $$ >pid; exec sleep 1000",
				      "{\"type\": \"file\", \"path\": \"no\"}", 1);

	agent_expect_text(reply, "state", "failed");
	agent_expect_text(reply, "stop_reason", "readiness_timeout");
	agent_expect_int(reply, "exit_code", -15);
	json_decref(reply);
	assert_false(is_alive(service_read_pid(*state, "pid")));
}

static void test_end_before_ready(void **state)
{
	json_t *reply = service_start(*state, "dies", "exit 3",
				      "{\"type\": \"file\", \"path\": \"no\"}", 30);

	agent_expect_text(reply, "state", "failed");
	agent_expect_text(reply, "stop_reason", "process_exited_before_ready");
	agent_expect_int(reply, "exit_code", 3);
	assert_true(is_null(reply, "ready_at"));
	json_decref(reply);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_end_before_ready), cmocka_unit_test(test_never_ready),
		cmocka_unit_test(test_tcp_probe),        cmocka_unit_test(test_http_probe),
		cmocka_unit_test(test_command_probe),
	};

	return cmocka_run_group_tests_name("agent probe", tests, agent_setup, agent_teardown);
}
