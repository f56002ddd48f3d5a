/* test_beneath.c - opening below a directory and nowhere else. */
#include <errno.h>
#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <linux/filter.h>
#include <linux/seccomp.h>

#include <cmocka.h>

#include "archive_fixture.h"
#include "protocol/beneath.h"

static void test_beneath_clean(void **state)
{
	char out[16];

	(void)state;
	assert_int_equal(beneath_clean("./a//b/./c/", out, sizeof(out)), 0);
	assert_string_equal(out, "a/b/c");
	assert_int_equal(beneath_clean("", out, sizeof(out)), 0);
	assert_string_equal(out, "");
	assert_int_equal(beneath_clean("...", out, sizeof(out)), 0);
	assert_int_equal(beneath_clean("a/..", out, sizeof(out)), -EXDEV);
	assert_int_equal(beneath_clean("/a", out, sizeof(out)), -EXDEV);
	assert_int_equal(beneath_clean("123456789012345", out, sizeof(out)), 0);
	assert_int_equal(beneath_clean("1234567890123456", out, sizeof(out)), -ENAMETOOLONG);
}

static void test_beneath_open_follows_only_inside(void **state)
{
	struct place_fixture *f = *state;
	int fd;

	assert_int_equal(mkdirat(f->root, "d", 0755), 0);
	assert_int_equal(symlinkat("d", f->root, "in"), 0);
	assert_int_equal(symlinkat("../victim", f->root, "out"), 0);
	assert_int_equal(symlinkat(f->dir, f->root, "abs"), 0);
	fd = beneath_open(f->root, "in", O_RDONLY | O_DIRECTORY, 0, BENEATH_FOLLOW);
	assert_true(fd >= 0);
	close(fd);
	assert_int_equal(beneath_open(f->root, "in", O_RDONLY, 0, BENEATH_NO_LINKS), -ELOOP);
	assert_int_equal(beneath_open(f->root, "out", O_RDONLY, 0, BENEATH_FOLLOW), -EXDEV);
	assert_int_equal(beneath_open(f->root, "abs/victim", O_RDONLY, 0, BENEATH_FOLLOW), -EXDEV);
	assert_int_equal(beneath_open(f->root, "../victim", O_RDONLY, 0, BENEATH_FOLLOW), -EXDEV);
}

/* The kernel says from here on that it does not know openat2, as old ones and sandboxes do. */
static void forbid_openat2(void)
{
	struct sock_filter filter[] = {
		BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, nr)),
		BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, SYS_openat2, 0, 1),
		BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ERRNO | EPERM),
		BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW),
	};
	struct sock_fprog program = { .len = 4, .filter = filter };

	assert_int_equal(prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0), 0);
	assert_int_equal(prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &program), 0);
}

/* Where the kernel does not help: nothing leads outside, links are not followed at all. */
static void test_beneath_open_by_hand(void **state)
{
	struct place_fixture *f = *state;
	int status;
	pid_t pid;

	assert_int_equal(mkdirat(f->root, "d", 0755), 0);
	assert_int_equal(mkdirat(f->root, "d/e", 0755), 0);
	assert_int_equal(symlinkat("d", f->root, "in"), 0);
	assert_int_equal(symlinkat("../victim", f->root, "out"), 0);
	pid = fork();
	if (pid == 0) {
		const char *name;

		forbid_openat2();
		assert_true(beneath_open(f->root, "d/e", O_RDONLY, 0, BENEATH_NO_LINKS) >= 0);
		assert_true(beneath_open(f->root, "", O_RDONLY, 0, BENEATH_NO_LINKS) >= 0);
		assert_true(beneath_open(f->root, "d/f", O_RDWR | O_CREAT, 0600,
					 BENEATH_NO_LINKS) >= 0);
		assert_true(beneath_open_parent(f->root, "d/x", BENEATH_NO_LINKS, &name) >= 0);
		assert_int_equal(beneath_open(f->root, "in", O_RDONLY, 0, BENEATH_FOLLOW), -ELOOP);
		assert_int_equal(beneath_open(f->root, "in/e", O_RDONLY, 0, BENEATH_FOLLOW),
				 -ELOOP);
		assert_int_equal(beneath_open(f->root, "out/x", O_RDONLY, 0, BENEATH_FOLLOW),
				 -ELOOP);
		assert_int_equal(beneath_open(f->root, "d/f/x", O_RDONLY, 0, BENEATH_FOLLOW),
				 -ENOTDIR);
		assert_int_equal(beneath_open(f->root, "../victim", O_RDONLY, 0, BENEATH_FOLLOW),
				 -EXDEV);
		_exit(0);
	}
	assert_int_equal(waitpid(pid, &status, 0), pid);
	assert_int_equal(status, 0);
}

#define TEST(function) cmocka_unit_test_setup_teardown(function, place_setup, place_teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(test_beneath_clean),
		TEST(test_beneath_open_follows_only_inside),
		TEST(test_beneath_open_by_hand),
	};

	return cmocka_run_group_tests_name("beneath", tests, NULL, NULL);
}
