/*
 * test_build_id.c - build ids of files, whole and damaged, and that of the program that asks.
 */
#include "tests/unit/cmocka_all.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "protocol/build_id.h"

static void test_self_and_file(void **state)
{
	char self[BUILD_ID_SIZE], file[BUILD_ID_SIZE];
	struct error err;

	(void)state;
	build_id_of_self(self);
	assert_int_equal(build_id_of_file("/proc/self/exe", file, &err), 0);
	assert_int_equal(strlen(file), 40);
	assert_int_equal(strspn(file, "0123456789abcdef"), 40);
	assert_string_equal(self, file);
}

/* Another program, which tells its own. */
static void test_agent(void **state)
{
	const char *agent = getenv("VSOCKFS_AGENT");
	char command[512], told[BUILD_ID_SIZE + 1] = "", file[BUILD_ID_SIZE];
	struct error err;
	FILE *pipe;

	(void)state;
	assert_non_null(agent);
	snprintf(command, sizeof(command), "'%s' --build-id", agent);
	pipe = popen(command, "r"); /* NOLINT(cert-env33-c): a path of the build */
	assert_non_null(pipe);
	assert_non_null(fgets(told, sizeof(told), pipe));
	assert_int_equal(pclose(pipe), 0);
	told[strcspn(told, "\n")] = '\0';
	assert_int_equal(build_id_of_file(agent, file, &err), 0);
	assert_string_equal(told, file);
}

static int id_of(const void *bytes, size_t len, char out[static BUILD_ID_SIZE])
{
	char name[] = "/tmp/test-build-id-XXXXXX";
	struct error err = { 0 };
	int fd = mkstemp(name), rc;

	assert_true(fd >= 0);
	assert_int_equal(write(fd, bytes, len), (ssize_t)len);
	close(fd);
	rc = build_id_of_file(name, out, &err);
	if (rc < 0) {
		assert_int_equal(err.code, -rc);
		assert_string_equal(out, "");
	}
	unlink(name);
	return rc;
}

static void test_damaged(void **state)
{
	static unsigned char good[4096], bad[4096];
	char id[BUILD_ID_SIZE];
	int fd = open("/proc/self/exe", O_RDONLY | O_CLOEXEC);

	(void)state;
	/* The headers and the notes are at the beginning. */
	assert_int_equal(read(fd, good, sizeof(good)), sizeof(good));
	close(fd);
	assert_int_equal(id_of(good, sizeof(good), id), 0);
	assert_int_equal(id_of(good, 0, id), -ENOEXEC);
	assert_int_equal(id_of(good, 63, id), -ENOEXEC);
	assert_int_equal(id_of(good, 64, id), -ENODATA);
	assert_int_equal(id_of("#!/bin/sh\n", 10, id), -ENOEXEC);
	for (size_t len = 0; len < 1200; len += 7)
		id_of(good, len, id);
	for (size_t at = 0; at < 1200; at++) {
		for (int value = 0; value < 256; value += 51) {
			memcpy(bad, good, sizeof(bad));
			bad[at] = (unsigned char)value;
			id_of(bad, sizeof(bad), id);
		}
	}
	assert_int_equal(build_id_of_file("/none", id, NULL), -ENOENT);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_self_and_file),
		cmocka_unit_test(test_agent),
		cmocka_unit_test(test_damaged),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
