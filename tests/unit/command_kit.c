/*
 * command_kit.c - what the tests of detached commands do again and again.  See command_kit.h.
 */
#include "command_kit.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "protocol/cleanup.h"
#include "protocol/line/line.h"
#include "protocol/line/lproc.h"

const struct proc_settings in_root = { .cwd = "/" };

char uploaded_to[4096];

/* In line.h's place: tar takes the upload apart. */
int line_extract_archive(struct guest *guest, const struct call *call, const char *destination,
			 struct line_payload payload, struct line_archive_reply *out,
			 struct error *err)
{
	char command[4200];
	int rc = 0;

	(void)guest;
	(void)call;
	(void)out;
	snprintf(uploaded_to, sizeof(uploaded_to), "%s", destination);
	snprintf(command, sizeof(command), "mkdir -p %s%s && tar xf - -C %s%s", fake_root(),
		 destination, fake_root(), destination);
	FILE *tar = popen(command, "w");

	for (int64_t left = payload.size; left > 0;) {
		char bytes[8192];
		ssize_t got = payload.read(payload.arg, bytes, left < 8192 ? (size_t)left : 8192);

		if (got <= 0) {
			rc = error_set(err, (int)-got, "payload");
			break;
		}
		fwrite(bytes, 1, (size_t)got, tar);
		left -= got;
	}
	payload.destroy(payload.arg);
	if (pclose(tar) != 0 && !rc)
		rc = error_set(err, EREMOTEIO, "not a tar");
	return rc;
}

void line_archive_reply_free(struct line_archive_reply *reply)
{
	(void)reply;
}

int command_setup(void **state)
{
	*state = fake_guest_new();
	return 0;
}

int command_teardown(void **state)
{
	struct guest *guest = *state;
	struct call call = fake_call();

	while (fake_processes(guest) && call_sleep(&call, 0.02) == 0)
		continue;
	assert_int_equal(fake_processes(guest), 0);
	fake_guest_free(guest);
	return 0;
}

void wait_until_clean(struct guest *guest)
{
	struct call call = fake_call();

	while ((fake_leftovers(guest) || fake_processes(guest)) && call_sleep(&call, 0.02) == 0)
		continue;
	assert_false(fake_leftovers(guest));
	assert_int_equal(fake_processes(guest), 0);
}

struct lproc_command *start_with(struct guest *guest, const char *command,
				 const struct proc_settings *settings, int fd, int64_t len,
				 double timeout)
{
	struct call call = fake_call();
	struct lproc_command *out = NULL;
	struct error err = { 0 };

	if (lproc_command_start(guest, &call, command, settings, fd, len, timeout, &out, &err))
		fail_msg("start: %s", err.text);
	return out;
}

struct lproc_command *start(struct guest *guest, const char *command)
{
	return start_with(guest, command, &in_root, -1, 0, 0);
}

struct proc_command_status status_of(struct lproc_command *command)
{
	struct call call = fake_call();
	struct proc_command_status out = { 0 };
	struct error err = { 0 };

	if (lproc_command_status(command, &call, &out, &err))
		fail_msg("status: %s", err.text);
	return out;
}

int wait_for_end(struct lproc_command *command)
{
	struct call call = call_within(20, NULL);
	struct proc_command_status status;

	for (;;) {
		status = status_of(command);
		if (status.ended)
			return status.exit_code;
		assert_int_equal(call_sleep(&call, 0.02), 0);
	}
}

/* Waits until the stream holds LEN bytes. */
void wait_for_output(struct lproc_command *command, int64_t len)
{
	struct call call = call_within(20, NULL);

	while (status_of(command).out_size < len)
		assert_int_equal(call_sleep(&call, 0.02), 0);
}

ssize_t read_at(struct lproc_command *command, int stream, int64_t offset, void *bytes, size_t len)
{
	struct call call = fake_call();
	struct error err = { 0 };
	ssize_t got = lproc_command_read(command, &call, stream, offset, bytes, len, &err);

	if (got < 0)
		fail_msg("read: %s", err.text);
	return got;
}

void assert_stream(struct lproc_command *command, int stream, const char *want, size_t len)
{
	autofree char *bytes = malloc(len + 100);

	assert_int_equal(read_at(command, stream, 0, bytes, len + 100), (ssize_t)len);
	assert_memory_equal(bytes, want, len);
}

void end(struct lproc_command *command)
{
	struct call call = fake_call();

	lproc_command_free(command, &call);
}
