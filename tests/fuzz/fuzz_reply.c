/*
 * fuzz_reply.c - every action's reply, made of arbitrary JSON objects: each is either
 * refused with a sentence or gives a struct whose every field may be used.
 *
 * The exchange is replaced: it answers each request with the fuzzer's object.
 */
#include <errno.h>
#include <math.h>
#include <stdint.h>
#include <string.h>

#include "protocol/line/exchange.h"
#include "protocol/line/request.h"
#include "protocol/wire.h"
#include "tests/fuzz/require.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int exchange_run(struct guest *guest, const struct call *call, struct exchange_request *request,
		 json_t **reply, struct error *err)
{
	(void)call;
	(void)err;
	json_decref(request->object);
	line_payload_destroy(&request->payload);
	*reply = json_incref((json_t *)guest);
	return 0;
}

int exchange_run_export(struct guest *guest, const struct call *call,
			struct exchange_request *request, int64_t max_size,
			int (*sink)(void *arg, const void *bytes, size_t len), void *arg,
			json_t **header, struct error *err)
{
	(void)max_size;
	(void)sink;
	(void)arg;
	return exchange_run(guest, call, request, header, err);
}

static void text_is_whole(const struct line_text *text)
{
	REQUIRE(text->data && text->data[text->len] == '\0');
}

static void word_is_whole(const char *word, size_t size)
{
	size_t len = strnlen(word, size);

	REQUIRE(len < size);
	REQUIRE(strcspn(word, " \t\r\n\x1b") == len);
}

static void time_is_whole(double seconds)
{
	REQUIRE(isfinite(seconds) && seconds >= 0 && seconds < 1e12);
}

/* Whether there is a reply to look at; a refusal needs its sentence. */
static bool taken(int rc, const struct error *err)
{
	if (rc == 0)
		return true;
	REQUIRE(rc == -EPROTO && err->code == EPROTO && err->text[0] != '\0');
	return false;
}

static void try_exec(struct guest *guest, const struct call *call)
{
	const struct line_exec in = { .command = "true", .timeout_seconds = 1 };
	struct line_exec_reply reply;
	struct error err = { 0 };

	if (taken(line_exec(guest, call, &in, &reply, &err), &err)) {
		text_is_whole(&reply.out);
		text_is_whole(&reply.err);
		REQUIRE(reply.duration_ms >= 0);
	}
	line_exec_reply_free(&reply);
}

static void try_archives(struct guest *guest, const struct call *call)
{
	struct line_archive_reply reply;
	struct line_payload payload;
	struct error err = { 0 };

	REQUIRE(line_payload_from_memory(&payload, "x", 1, &err) == 0);
	if (taken(line_extract_archive(guest, call, "/workspace", payload, &reply, &err), &err)) {
		text_is_whole(&reply.path);
		REQUIRE(reply.entry_count >= 0 && reply.bytes_written >= 0);
	}
	line_archive_reply_free(&reply);
	if (taken(line_export_archive(guest, call, "/workspace", 1, NULL, NULL, &reply, &err),
		  &err)) {
		text_is_whole(&reply.path);
		word_is_whole(reply.artifact_type, sizeof(reply.artifact_type));
		REQUIRE(reply.archive_size >= 0 && reply.archive_size <= LIMIT_ARCHIVE_SIZE);
	}
	line_archive_reply_free(&reply);
}

static void try_files(struct guest *guest, const struct call *call)
{
	struct line_listing list;
	struct line_file_reply reply;
	struct error err = { 0 };

	if (taken(line_list_workspace(guest, call, "/workspace", true, &list, &err), &err)) {
		text_is_whole(&list.path);
		for (size_t i = 0; i < list.count; i++) {
			text_is_whole(&list.entries[i].path);
			text_is_whole(&list.entries[i].link_target);
			REQUIRE(list.entries[i].size_bytes >= 0);
		}
	}
	line_listing_free(&list);
	if (taken(line_read_file(guest, call, "/workspace/a", 100, &reply, &err), &err)) {
		text_is_whole(&reply.content);
		REQUIRE(reply.size_bytes <= 100 && (size_t)reply.size_bytes == reply.content.len);
	}
	line_file_reply_free(&reply);
	if (taken(line_write_file(guest, call, "/workspace/a", "x", 1, &reply, &err), &err))
		text_is_whole(&reply.path);
	line_file_reply_free(&reply);
}

static void try_shell(struct guest *guest, const struct call *call)
{
	struct line_shell shell;
	struct error err = { 0 };

	if (taken(line_read_shell(guest, call, "a", 5, 100, &shell, &err), &err)) {
		word_is_whole(shell.shell_id, sizeof(shell.shell_id));
		word_is_whole(shell.state, sizeof(shell.state));
		text_is_whole(&shell.cwd);
		text_is_whole(&shell.output);
		time_is_whole(shell.started_at);
		time_is_whole(shell.ended_at);
		REQUIRE(shell.cursor >= 0 && shell.next_cursor >= 0);
	}
	line_shell_free(&shell);
}

static void try_service(struct guest *guest, const struct call *call)
{
	struct line_service service;
	struct error err = { 0 };

	if (taken(line_logs_service(guest, call, "a", 5, &service, &err), &err)) {
		word_is_whole(service.name, sizeof(service.name));
		word_is_whole(service.state, sizeof(service.state));
		word_is_whole(service.stop_reason, sizeof(service.stop_reason));
		text_is_whole(&service.command);
		text_is_whole(&service.cwd);
		text_is_whole(&service.readiness_value);
		text_is_whole(&service.out);
		text_is_whole(&service.err);
		time_is_whole(service.started_at);
		time_is_whole(service.ready_at);
		time_is_whole(service.ended_at);
		REQUIRE(service.pid >= 0 && service.tail_lines >= -1);
	}
	line_service_free(&service);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	const struct call call = { .deadline = INT64_MAX };
	json_t *object = wire_parse((const char *)data, size, NULL);

	if (!object)
		return 0;
	try_exec((struct guest *)object, &call);
	try_archives((struct guest *)object, &call);
	try_files((struct guest *)object, &call);
	try_shell((struct guest *)object, &call);
	try_service((struct guest *)object, &call);
	json_decref(object);
	return 0;
}
