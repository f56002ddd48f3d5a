/*
 * traffic.c - see traffic.h.
 */
#include "protocol/traffic.h"

static const char *const names[TRAFFIC_KINDS] = {
	[TRAFFIC_UNSAID] = "",     [TRAFFIC_HELLO] = "hello",     [TRAFFIC_DELIVER] = "deliver",
	[TRAFFIC_STAT] = "stat",   [TRAFFIC_LIST] = "list",       [TRAFFIC_OPEN] = "open",
	[TRAFFIC_READ] = "read",   [TRAFFIC_WRITE] = "write",     [TRAFFIC_CHANGE] = "change",
	[TRAFFIC_BATCH] = "batch", [TRAFFIC_EXPORT] = "export",   [TRAFFIC_IMPORT] = "import",
	[TRAFFIC_WATCH] = "watch", [TRAFFIC_SERVICE] = "service", [TRAFFIC_SHELL] = "shell",
	[TRAFFIC_EXEC] = "exec",   [TRAFFIC_OUTPUT] = "output",   [TRAFFIC_WAIT] = "wait",
};

const char *traffic_kind_name(enum traffic_kind kind)
{
	return names[kind];
}

static void add(_Atomic uint64_t *count, uint64_t more)
{
	if (more)
		atomic_fetch_add_explicit(count, more, memory_order_relaxed);
}

static uint64_t get(const _Atomic uint64_t *count)
{
	return atomic_load_explicit(count, memory_order_relaxed);
}

void traffic_add(struct traffic *traffic, enum traffic_kind kind, const struct traffic_count *more)
{
	add(&traffic->kinds[kind].requests, more->requests);
	add(&traffic->kinds[kind].retries, more->retries);
	add(&traffic->kinds[kind].bytes_sent, more->bytes_sent);
	add(&traffic->kinds[kind].bytes_received, more->bytes_received);
}

struct traffic_count traffic_get(const struct traffic *traffic, enum traffic_kind kind)
{
	return (struct traffic_count){
		.requests = get(&traffic->kinds[kind].requests),
		.retries = get(&traffic->kinds[kind].retries),
		.bytes_sent = get(&traffic->kinds[kind].bytes_sent),
		.bytes_received = get(&traffic->kinds[kind].bytes_received),
	};
}

struct traffic_count traffic_total(const struct traffic *traffic)
{
	struct traffic_count total = { 0 };

	for (int kind = 0; kind < TRAFFIC_KINDS; kind++) {
		struct traffic_count one = traffic_get(traffic, (enum traffic_kind)kind);

		total.requests += one.requests;
		total.retries += one.retries;
		total.bytes_sent += one.bytes_sent;
		total.bytes_received += one.bytes_received;
	}
	return total;
}
