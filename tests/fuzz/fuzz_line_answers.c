/*
 * fuzz_line_answers.c - a guest of the line dialect whose answers are arbitrary: what the calls on
 * files and processes make of what its shell prints. Each is either refused with a sentence or
 * gives values that may all be used.
 *
 * The exchange is replaced: it answers each request with the next record of the input, u8 kind, u16
 * length and bytes. Most are what a script printed, put into the frame that a script's answer has;
 * others are what the exec printed, a whole reply object, or a request that failed. Behind the last
 * one the guest is gone. The input's first byte says with which call to begin.
 */
#include <errno.h>
#include <fcntl.h>
#include <math.h>
#include <stdint.h>
#include <string.h>

#include "protocol/base64.h"
#include "protocol/guest.h"
#include "protocol/line/exchange.h"
#include "protocol/line/lproc.h"
#include "protocol/line/lws.h"
#include "protocol/line/proc_room.h"
#include "protocol/line/proc_undo.h"
#include "protocol/line/request.h"
#include "protocol/wire.h"
#include "tests/fuzz/answers.h"
#include "tests/fuzz/require.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

#define TOKEN "0123456789abcdef"
#define RECORD_HEADER 3
#define LARGE 150000

static const struct call soon = { .deadline = INT64_MAX };

struct guest {
	const uint8_t *at, *end; /* what it is still to say */
	struct lproc_room *room;
	struct guest_options options;
};

/*
 * The guest
 */

const char *guest_token(struct guest *guest)
{
	(void)guest;
	return TOKEN;
}

const struct guest_options *guest_options(struct guest *guest)
{
	return &guest->options;
}

struct call guest_call(struct guest *guest, struct cancel *cancel)
{
	(void)guest;
	(void)cancel;
	return soon;
}

struct lproc_room *lproc_of(struct guest *guest)
{
	return guest->room;
}

/* Behind the caller's back: nothing that an answer is of interest to. */
void proc_undo(struct lproc_room *room, struct buf *script)
{
	(void)room;
	buf_free(script);
}

void proc_undo_by(struct lproc_room *room, proc_undo_fn fn, const char *name)
{
	(void)room;
	(void)fn;
	(void)name;
}

void proc_undo_stop(struct lproc_room *room)
{
	(void)room;
}

static json_t *exec_reply(const char *text, size_t len, int code)
{
	json_t *object = json_object();

	json_object_set_new(object, "stdout", wire_string(text, len));
	json_object_set_new(object, "stderr", json_string("words\n"));
	json_object_set_new(object, "exit_code", json_integer(code));
	return object;
}

/* As a script's frame brings it: output, messages and status in base64 behind the marker. */
static json_t *framed(const uint8_t *bytes, size_t len, bool large, unsigned status)
{
	static const char marker[] = "profile\n-----vsockfs " TOKEN "-----\n";
	struct buf raw = BUF_INIT(1 << 20), text = BUF_INIT(1 << 20);
	json_t *object;
	char *room;

	buf_add(&raw, bytes, len);
	if (large) {
		memset(buf_reserve(&raw, LARGE), 'x', LARGE);
		buf_commit(&raw, LARGE);
	}
	/* The input may have its own messages: a NUL begins them. */
	if (!len || !memchr(bytes, 0, len))
		buf_add(&raw, "\0rm: x: No such file or directory", 34);
	buf_addf(&raw, "%c%u%c", 0, status, 0);
	buf_adds(&text, marker);
	room = buf_reserve(&text, base64_encoded_len(raw.len) + 1);
	REQUIRE(room);
	base64_encode(raw.data, raw.len, room);
	buf_commit(&text, base64_encoded_len(raw.len));
	object = exec_reply(text.data, text.len, 0);
	buf_free(&raw);
	buf_free(&text);
	return object;
}

static json_t *answer(uint8_t kind, const uint8_t *bytes, size_t len, struct error *err)
{
	json_t *object;

	switch (kind & 7) {
	case 4:
		return exec_reply((const char *)bytes, len, kind >> 3);
	case 5:
		object = wire_parse((const char *)bytes, len, NULL);
		if (!object)
			error_set(err, EPROTO, "what the guest answered is no object");
		return object;
	case 6:
		error_set(err, EREMOTEIO, "%.*s ", (int)len, (const char *)bytes);
		return NULL;
	case 7:
		error_set(err, kind & 8 ? ETIMEDOUT : EINTR, "not in time");
		return NULL;
	case 2:
		return framed(bytes, len, true, 0);
	default: /* the status of a script: 0 mostly */
		return framed(bytes, len, false, kind & 7 ? kind >> 3 : 0);
	}
}

int exchange_run(struct guest *guest, const struct call *call, struct exchange_request *request,
		 json_t **reply, struct error *err)
{
	struct error why = { 0 };
	const uint8_t *bytes;
	uint8_t kind;
	size_t len;

	(void)call;
	json_decref(request->object);
	line_payload_destroy(&request->payload);
	if (guest->end - guest->at < RECORD_HEADER)
		return error_set(err, ENOTCONN, "the guest is gone");
	kind = guest->at[0];
	len = guest->at[1] | (size_t)guest->at[2] << 8;
	bytes = guest->at + RECORD_HEADER;
	if (len > (size_t)(guest->end - bytes))
		len = (size_t)(guest->end - bytes);
	guest->at = bytes + len;
	*reply = answer(kind, bytes, len, &why);
	return *reply ? 0 : error_copy(err, &why);
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

/*
 * The calls
 */

static void attr_is_sane(const struct ws_attr *attr)
{
	sizes_are_sane(attr);
	REQUIRE(attr->mtime.tv_nsec >= 0 && attr->mtime.tv_nsec < 1000000000);
}

static int each(void *arg, const char *name, const struct ws_attr *attr)
{
	size_t *count = arg;

	name_is_sane(name);
	attr_is_sane(attr);
	++*count;
	return 0;
}

static void try_names(struct lws *ws)
{
	char target[LIMIT_SYMLINK_TARGET + 1];
	struct ws_statfs statfs;
	struct error err = { 0 };
	struct ws_attr attr, set = { .mode = 0644 };
	size_t count = 0;

	if (taken(lws_stat(ws, &soon, "a/b", &attr, &err), &err))
		attr_is_sane(&attr);
	taken(lws_list(ws, &soon, "a", each, &count, &err), &err);
	if (taken(lws_readlink(ws, &soon, "l", target, sizeof(target), &err), &err))
		REQUIRE(strnlen(target, sizeof(target)) < sizeof(target));
	taken(lws_statfs(ws, &soon, &statfs, &err), &err);
	if (taken(lws_mkdir(ws, &soon, "d", 0755, &attr, &err), &err))
		attr_is_sane(&attr);
	if (taken(lws_setattr(ws, &soon, "a", NULL, WS_SET_MODE, &set, &attr, &err), &err))
		attr_is_sane(&attr);
	taken(lws_rename(ws, &soon, "d", "e", 0, &err), &err);
	taken(lws_unlink(ws, &soon, "e", &err), &err);
}

static void try_file(struct lws *ws)
{
	static char bytes[300000];
	struct lws_file *file;
	struct error err = { 0 };
	struct ws_attr attr;
	ssize_t n;

	if (!taken(lws_open(ws, &soon, "f", O_RDWR, 0, &file, &attr, &err), &err))
		return;
	attr_is_sane(&attr);
	n = lws_read(file, &soon, 5, bytes, sizeof(bytes), &err);
	REQUIRE(!taken(n, &err) || (size_t)n <= sizeof(bytes));
	taken(lws_write(file, &soon, 3, "x", 1, &err), &err);
	taken(lws_flush(file, &soon, &err), &err);
	if (taken(lws_fstat(file, &soon, &attr, &err), &err))
		attr_is_sane(&attr);
	taken(lws_rename(ws, &soon, "f", "g", 0, &err), &err);
	taken(lws_unlink(ws, &soon, "g", &err), &err);
	n = lws_read(file, &soon, 200000, bytes, 10, &err);
	REQUIRE(!taken(n, &err) || n <= 10);
	taken(lws_close(file, &soon, &err), &err);
}

static void try_service(struct guest *guest)
{
	static const struct proc_settings settings = { 0 };
	static const struct proc_readiness readiness = { PROC_READY_NONE, NULL, 1, 500 };
	struct proc_service service = { 0 };
	struct error err = { 0 };
	char bytes[100];
	ssize_t n;

	if (taken(lproc_service_status(guest, &soon, "s", &service, &err), &err)) {
		service_is_sane(&service);
	}
	proc_service_free(&service);
	n = lproc_service_read(guest, &soon, "s", 2, 7, bytes, sizeof(bytes), &err);
	REQUIRE(!taken(n, &err) || (size_t)n <= sizeof(bytes));
	service = (struct proc_service){ 0 };
	taken(lproc_service_start(guest, &soon, "s", "true", &settings, &readiness, &service, &err),
	      &err);
	proc_service_free(&service);
}

static void try_shell(struct guest *guest)
{
	/* What has ended is asked once more, a moment later: there is none. */
	const struct call over = { 0 };
	struct proc_shell shell = { 0 };
	struct error err = { 0 };
	char bytes[4096];
	ssize_t n = lproc_shell_read(guest, &over, "1", 9, bytes, sizeof(bytes), &shell, &err);

	if (taken(n, &err)) {
		REQUIRE((size_t)n <= sizeof(bytes) && shell.cursor >= 9);
		time_is_sane(shell.started_at);
		time_is_sane(shell.ended_at);
	}
	n = lproc_shell_write(guest, &soon, "1", "abc", 3, &err);
	REQUIRE(!taken(n, &err) || (n > 0 && n <= 3));
}

static void try_command(struct guest *guest)
{
	const struct proc_settings settings = { 0 };
	struct proc_command_status status = { 0 };
	struct lproc_command *command;
	struct error err = { 0 };
	char bytes[100];
	ssize_t n;

	if (!taken(lproc_command_start(guest, &soon, "true", &settings, -1, 0, 0, &command, &err),
		   &err))
		return;
	if (taken(lproc_command_status(command, &soon, &status, &err), &err))
		REQUIRE(status.pid > 1 && status.out_size >= 0 && status.err_size >= 0 &&
			status.exit_code >= 0 && status.exit_code <= 255);
	n = lproc_command_read(command, &soon, 1, 0, bytes, sizeof(bytes), &err);
	REQUIRE(!taken(n, &err) || (size_t)n <= sizeof(bytes));
	taken(lproc_command_kill(command, &soon, "TERM", &err), &err);
	lproc_command_free(command, &soon);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct guest guest = { .at = data + 1, .end = data + size, .options = { .timeout = 1 } };
	struct error err = { 0 };
	struct lws *ws;

	if (!size)
		return 0;
	REQUIRE(lws_new(&guest, &ws, &err) == 0);
	REQUIRE(lproc_room_new(&guest, &guest.room, &err) == 0);
	for (int i = 0; i < 5; i++) {
		switch ((data[0] + i) % 5) {
		case 0:
			try_names(ws);
			break;
		case 1:
			try_file(ws);
			break;
		case 2:
			try_service(&guest);
			break;
		case 3:
			try_shell(&guest);
			break;
		default:
			try_command(&guest);
		}
	}
	lproc_room_free(guest.room);
	lws_free(ws);
	return 0;
}
