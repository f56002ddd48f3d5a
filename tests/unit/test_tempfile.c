/*
 * test_tempfile.c - where temporary files go, on machines that lack this or that directory.
 */
#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "protocol/cleanup.h"
#include "protocol/tempfile.h"
#include "tests/unit/cmocka_all.h"

static void test_the_file_has_no_name(void **state)
{
	char dir[] = "/tmp/tempfile-XXXXXX";
	struct stat st;
	int fd;

	(void)state;
	assert_non_null(mkdtemp(dir));
	setenv("TMPDIR", dir, 1);
	fd = tempfile_open(NULL);
	assert_true(fd >= 0);
	/* Nothing in it: it can go. */
	assert_int_equal(rmdir(dir), 0);
	assert_int_equal(fstat(fd, &st), 0);
	assert_int_equal(st.st_nlink, 0);
	assert_int_equal(st.st_mode & 0777, 0600);
	assert_int_equal(fcntl(fd, F_GETFD) & FD_CLOEXEC, FD_CLOEXEC);
	close(fd);
	unsetenv("TMPDIR");
}

/*
 * What tempfile_open answered on a machine with an empty /var, and with or without a /tmp to write
 * to.
 */
struct answer {
	bool made; /* such a machine could be made here */
	int rc;
	dev_t device, tmp;
	struct error err;
};

static bool make_machine(const char *tmpdir, bool tmp)
{
	unsigned long locked = tmp ? 0 : MS_RDONLY;

	if (unshare(CLONE_NEWNS | (geteuid() ? CLONE_NEWUSER : 0)) < 0 ||
	    mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL) < 0 ||
	    mount("none", "/var", "tmpfs", 0, NULL) < 0 ||
	    mount("none", "/tmp", "tmpfs", locked, NULL) < 0)
		return false;
	return tmpdir ? setenv("TMPDIR", tmpdir, 1) == 0 : unsetenv("TMPDIR") == 0;
}

static struct answer ask(const char *tmpdir, bool tmp)
{
	struct answer answer = { 0 };
	int pipes[2];
	pid_t pid;

	assert_int_equal(pipe2(pipes, O_CLOEXEC), 0);
	pid = fork();
	if (pid == 0) {
		struct stat st = { 0 };

		answer.made = make_machine(tmpdir, tmp);
		answer.rc = tempfile_open(&answer.err);
		if (answer.rc >= 0 && fstat(answer.rc, &st) == 0)
			answer.device = st.st_dev;
		if (stat("/tmp", &st) == 0)
			answer.tmp = st.st_dev;
		_exit(write(pipes[1], &answer, sizeof(answer)) != sizeof(answer));
	}
	close(pipes[1]);
	assert_int_equal(read(pipes[0], &answer, sizeof(answer)), sizeof(answer));
	close(pipes[0]);
	assert_int_equal(waitpid(pid, NULL, 0), pid);
	if (!answer.made) {
		print_message("mount namespaces are not allowed here\n");
		skip();
	}
	return answer;
}

static void test_without_var_tmp(void **state)
{
	static const char *const tmpdirs[] = { NULL, "", "relative", "/none", "/etc/passwd" };

	(void)state;
	for (size_t i = 0; i < sizeof(tmpdirs) / sizeof(tmpdirs[0]); i++) {
		struct answer answer = ask(tmpdirs[i], true);

		if (answer.rc < 0)
			fail_msg("%s", answer.err.text);
		assert_true(answer.device == answer.tmp);
	}
}

static void test_without_any(void **state)
{
	struct answer answer = ask("/none", false);

	(void)state;
	assert_int_equal(answer.rc, -EIO);
	assert_string_equal(answer.err.text,
			    "there is no place for temporary files (/none: No such file or "
			    "directory, /var/tmp: No such file or directory, /tmp: Read-only file "
			    "system): set TMPDIR to a directory that vsockfs may write to");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_the_file_has_no_name),
		cmocka_unit_test(test_without_var_tmp),
		cmocka_unit_test(test_without_any),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
