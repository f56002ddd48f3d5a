/*
 * test_proc_input.c - how a command gets its input: inside the request, or by an upload.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "command_kit.h"
#include "protocol/cleanup.h"
#include "protocol/line/lproc.h"

static int memory_file(size_t len, char **copy)
{
	int fd = memfd_create("input", MFD_CLOEXEC);

	*copy = malloc(len);
	for (size_t i = 0; i < len; i++)
		(*copy)[i] = (char)(i * 7 + i / 251);
	assert_int_equal(write(fd, *copy, len), (ssize_t)len);
	return fd;
}

static void test_input_inline(void **state)
{
	autofree char *bytes = NULL;
	autoclose int fd = memory_file(24 << 10, &bytes);
	struct lproc_command *command = start_with(*state, "cat", &in_root, fd, 24 << 10, 0);

	assert_int_equal(wait_for_end(command), 0);
	assert_stream(command, 1, bytes, 24 << 10);
	end(command);
	command = start(*state, "cat; echo end");
	assert_int_equal(wait_for_end(command), 0);
	assert_output(command, 1, "end\n");
	end(command);
}

static void test_input_uploaded(void **state)
{
	const size_t len = 700001;
	struct guest *guest = *state;
	autofree char *bytes = NULL;
	autoclose int fd = memory_file(len, &bytes);
	struct lproc_command *command, *out = NULL;
	struct proc_settings nowhere = { .cwd = "/nonexistent" };
	struct call call = fake_call();
	bool made = mkdir("/workspace", 0755) == 0;
	char want[64];

	if (!*fake_root() && access("/workspace", W_OK) < 0)
		skip();
	command = start_with(guest, "cat", &in_root, fd, (int64_t)len, 0);
	snprintf(want, sizeof(want), "/workspace/.vsockfs-%s", guest_token(guest));
	assert_string_equal(uploaded_to, want);
	assert_int_equal(wait_for_end(command), 0);
	assert_stream(command, 1, bytes, len);
	end(command);
	assert_false(fake_leftovers(guest));
	assert_int_equal(
		lproc_command_start(guest, &call, "cat", &nowhere, fd, (int64_t)len, 0, &out, NULL),
		-ENOENT);
	assert_false(fake_leftovers(guest));
	if (made)
		rmdir("/workspace");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(test_input_inline, command_setup, command_teardown),
		cmocka_unit_test_setup_teardown(test_input_uploaded, command_setup,
						command_teardown),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
