/* archive_fixture.c - see archive_fixture.h. */
#include "archive_fixture.h"

#include <errno.h>
#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include <cmocka.h>

#include "protocol/agent/tree.h"
#include "protocol/limits.h"

int place_setup(void **state)
{
	struct place_fixture *f = calloc(1, sizeof(*f));

	strcpy(f->dir, "/tmp/archive-test-XXXXXX");
	assert_non_null(mkdtemp(f->dir));
	f->outside = open(f->dir, O_RDONLY | O_DIRECTORY);
	assert_int_equal(mkdirat(f->outside, "root", 0755), 0);
	assert_int_equal(mkdirat(f->outside, "victim", 0755), 0);
	f->root = openat(f->outside, "root", O_RDONLY | O_DIRECTORY);
	buf_init(&f->tar, 64 << 20);
	budget_init(&f->room, LIMIT_AGENT_UPLOADS);
	*state = f;
	return 0;
}

int place_teardown(void **state)
{
	struct place_fixture *f = *state;

	close(f->root);
	close(f->outside);
	assert_int_equal(tree_remove(AT_FDCWD, f->dir), 0);
	buf_free(&f->tar);
	free(f);
	return 0;
}

ssize_t place_give(void *arg, void *bytes, size_t len)
{
	struct place_fixture *f = arg;
	size_t left = f->tar.len - f->given;

	len = len > 777 ? 777 : len;
	len = len > left ? left : len;
	if (len)
		memcpy(bytes, f->tar.data + f->given, len);
	f->given += len;
	return (ssize_t)len;
}

int place_extract(struct place_fixture *f)
{
	tar_finish(&f->tar);
	f->given = 0;
	memset(&f->err, 0, sizeof(f->err));
	return archive_extract(f->root, place_give, f, &f->room, &f->counts, &f->err);
}

void place_expect_refused(struct place_fixture *f, const char *name, const char *why)
{
	assert_int_equal(place_extract(f), -EPERM);
	assert_int_equal(f->err.code, EPERM);
	if (!strstr(f->err.text, name) || !strstr(f->err.text, why))
		fail_msg("'%s' does not name '%s' and '%s'", f->err.text, name, why);
	buf_free(&f->tar);
}

void place_expect_text(struct place_fixture *f, const char *path, const char *text)
{
	int fd = openat(f->root, path, O_RDONLY | O_NOFOLLOW);
	char bytes[256];
	ssize_t n = read(fd, bytes, sizeof(bytes));

	assert_int_equal(n, strlen(text));
	assert_memory_equal(bytes, text, strlen(text));
	close(fd);
}

struct stat place_look(struct place_fixture *f, const char *path)
{
	struct stat st = { 0 };

	if (fstatat(f->root, path, &st, AT_SYMLINK_NOFOLLOW) < 0)
		fail_msg("%s: %s", path, strerror(errno));
	return st;
}
