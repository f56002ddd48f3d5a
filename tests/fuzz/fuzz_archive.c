/*
 * fuzz_archive.c - archive_extract on arbitrary bytes: nothing is made outside the directory
 * it was given.
 *
 * Each run has BASE/root to extract into, holding a few traps, beside BASE/outside. Whatever the
 * archive says, BASE has just these two afterwards and outside is as it was.
 */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <fts.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/stat.h>

#include "protocol/archive.h"
#include "protocol/cleanup.h"
#include "protocol/limits.h"
#include "tests/fuzz/require.h"

int LLVMFuzzerInitialize(int *argc, char ***argv);
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

#define FILE_SIZE_MAX (1u << 20) /* of what an archive may write, so that a bomb costs little */

struct input {
	const uint8_t *at;
	size_t left;
};

/* In small pieces, so that every edge is crossed. */
static ssize_t read_input(void *arg, void *bytes, size_t len)
{
	struct input *input = arg;

	if (len > 700)
		len = 700;
	if (len > input->left)
		len = input->left;
	memcpy(bytes, input->at, len);
	input->at += len;
	input->left -= len;
	return (ssize_t)len;
}

static void remove_tree(char *path)
{
	char *const paths[] = { path, NULL };
	FTS *fts = fts_open(paths, FTS_PHYSICAL | FTS_NOCHDIR, NULL);
	FTSENT *entry;

	REQUIRE(fts);
	while ((entry = fts_read(fts))) {
		if (entry->fts_info == FTS_D)
			chmod(entry->fts_accpath, 0700);
		else if (entry->fts_info == FTS_DP || entry->fts_info == FTS_DNR)
			rmdir(entry->fts_accpath);
		else
			unlink(entry->fts_accpath);
	}
	fts_close(fts);
}

static void make_file(int dir, const char *name, const char *text)
{
	int fd = openat(dir, name, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600);

	REQUIRE(fd >= 0 && write(fd, text, strlen(text)) == (ssize_t)strlen(text));
	close(fd);
}

static void check_outside(const char *base)
{
	int dir = open(base, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	int fd = openat(dir, "outside", O_RDONLY | O_NOFOLLOW | O_CLOEXEC);
	struct dirent *entry;
	struct stat st;
	char text[16];
	int names = 0;
	DIR *listing;

	REQUIRE(fd >= 0 && fstat(fd, &st) == 0);
	REQUIRE(S_ISREG(st.st_mode) && (st.st_mode & 07777) == 0600 && st.st_nlink == 1);
	REQUIRE(read(fd, text, sizeof(text)) == 6 && memcmp(text, "secret", 6) == 0);
	close(fd);
	listing = fdopendir(dir);
	REQUIRE(listing);
	while ((entry = readdir(listing)))
		names++;
	REQUIRE(names == 4); /* ., .., root, outside */
	closedir(listing);
}

int LLVMFuzzerInitialize(int *argc, char ***argv)
{
	const struct rlimit limit = { FILE_SIZE_MAX, FILE_SIZE_MAX };

	(void)argc;
	(void)argv;
	signal(SIGXFSZ, SIG_IGN);
	setrlimit(RLIMIT_FSIZE, &limit);
	return 0;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct input input = { data, size };
	struct archive_counts counts = { 0 };
	struct error err = { 0 };
	struct budget room;
	char base[] = "/tmp/fuzz-archive-XXXXXX";
	int base_fd, root_fd;

	REQUIRE(mkdtemp(base));
	base_fd = open(base, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	make_file(base_fd, "outside", "secret");
	REQUIRE(mkdirat(base_fd, "root", 0700) == 0);
	root_fd = openat(base_fd, "root", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	REQUIRE(symlinkat("..", root_fd, "up") == 0 &&
		symlinkat("../outside", root_fd, "out") == 0 && mkdirat(root_fd, "dir", 0700) == 0);
	make_file(root_fd, "file", "here");

	budget_init(&room, LIMIT_AGENT_UPLOADS);
	if (archive_extract(root_fd, read_input, &input, &room, &counts, &err) < 0)
		REQUIRE(err.code > 0 && err.text[0] != '\0');
	else
		REQUIRE(counts.entries >= 0 && counts.bytes >= 0);
	REQUIRE(atomic_load(&room.used) == 0);
	check_outside(base);
	close(root_fd);
	close(base_fd);
	remove_tree(base);
	return 0;
}
