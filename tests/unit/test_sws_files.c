/*
 * test_sws_files.c - the workspace over a session: what each operation does, and how many calls it
 * takes.
 */
#include "sws_world.h"

#define WORLD                                                                                      \
	struct world *w = *state;                                                                  \
	const struct call *call = &w->call;                                                        \
	struct error *err = &w->err

static void test_questions(void **state)
{
	WORLD;
	struct ws_statfs fs;
	char target[100];

	world_put(w, "a", "hello");
	assert_int_equal(symlink("to where", world_real(w, "l")), 0);
	world_count(w);
	ok(w, sws_stat(w->ws, call, "a", &w->attr, err));
	assert_int_equal(w->attr.size, 5);
	assert_true(S_ISREG(w->attr.mode));
	ok(w, sws_stat(w->ws, call, "", &w->attr, err));
	assert_true(S_ISDIR(w->attr.mode));
	ok(w, sws_readlink(w->ws, call, "l", target, sizeof(target), err));
	assert_string_equal(target, "to where");
	ok(w, sws_statfs(w->ws, call, &fs, err));
	assert_int_equal(fs.name_max, 255);
	world_counted_all(w, 4);
	assert_int_equal(sws_stat(w->ws, call, "none", &w->attr, err), -ENOENT);
	assert_int_equal(sws_readlink(w->ws, call, "a", target, sizeof(target), err), -EINVAL);
	assert_int_equal(sws_readlink(w->ws, call, "l", target, 8, err), -ENAMETOOLONG);
}

static void test_paths_are_checked_here(void **state)
{
	WORLD;
	char name[LIMIT_NAME + 2];

	memset(name, 'x', sizeof(name) - 1);
	name[sizeof(name) - 1] = '\0';
	assert_int_equal(sws_stat(w->ws, call, "a/../b", &w->attr, err), -EINVAL);
	assert_int_equal(sws_stat(w->ws, call, "/a", &w->attr, err), -EINVAL);
	assert_int_equal(sws_stat(w->ws, call, name, &w->attr, err), -ENAMETOOLONG);
	assert_int_equal(sws_stat(w->ws, call, ".vsockfs-x", &w->attr, err), -ENOENT);
	assert_int_equal(sws_mkdir(w->ws, call, ".vsockfs-x", 0755, &w->attr, err), -EPERM);
	assert_int_equal(sws_mkdir(w->ws, call, "", 0755, &w->attr, err), -EEXIST);
	assert_int_equal(sws_rename(w->ws, call, "a", ".vsockfs-x", 0, err), -EPERM);
	assert_int_equal(sws_unlink(w->ws, call, "", err), -EISDIR);
	assert_int_equal(sws_rmdir(w->ws, call, "", err), -EBUSY);
	assert_int_equal(sws_mknod(w->ws, call, "n", S_IFBLK | 0600, &w->attr, err), -EPERM);
	world_counted_all(w, 0);
}

static void test_names(void **state)
{
	WORLD;

	ok(w, sws_mkdir(w->ws, call, "d", 01750, &w->attr, err));
	assert_int_equal(w->attr.mode, S_IFDIR | 01750);
	ok(w, sws_symlink(w->ws, call, "x\n", "d/l", &w->attr, err));
	assert_true(S_ISLNK(w->attr.mode));
	ok(w, sws_mknod(w->ws, call, "d/fifo", S_IFIFO | 0640, &w->attr, err));
	assert_int_equal(w->attr.mode, S_IFIFO | 0640);
	ok(w, sws_mknod(w->ws, call, "d/sock", S_IFSOCK | 0600, &w->attr, err));
	assert_int_equal(w->attr.mode, S_IFSOCK | 0600);
	ok(w, sws_unlink(w->ws, call, "d/sock", err));
	ok(w, sws_mknod(w->ws, call, "d/file", 0604, &w->attr, err));
	assert_int_equal(w->attr.mode, S_IFREG | 0604);
	ok(w, sws_link(w->ws, call, "d/file", "file2", &w->attr, err));
	assert_int_equal(w->attr.nlink, 2);
	ok(w, sws_rename(w->ws, call, "file2", "file3", RENAME_NOREPLACE, err));
	assert_int_equal(sws_rename(w->ws, call, "d", "file3", RENAME_NOREPLACE, err), -EEXIST);
	ok(w, sws_rename(w->ws, call, "d", "file3", RENAME_EXCHANGE, err));
	ok(w, sws_unlink(w->ws, call, "d", err));
	world_counted_all(w, 11);
	assert_int_equal(sws_rmdir(w->ws, call, "file3", err), -ENOTEMPTY);
	assert_int_equal(sws_unlink(w->ws, call, "file3", err), -EISDIR);
	assert_int_equal(sws_rename(w->ws, call, "file3", "file3/x", 0, err), -EINVAL);
	assert_int_equal(sws_mkdir(w->ws, call, "file3/file/x", 0755, &w->attr, err), -ENOTDIR);
}

struct listed {
	unsigned count, dirs;
	int rc;
};

static int each(void *arg, const char *name, const struct ws_attr *attr)
{
	struct listed *listed = arg;

	assert_non_null(name);
	listed->count++;
	listed->dirs += S_ISDIR(attr->mode);
	return listed->rc;
}

static void test_list(void **state)
{
	WORLD;
	struct listed listed = { 0 };

	assert_int_equal(mkdir(world_real(w, ".vsockfs-x"), 0755), 0);
	assert_int_equal(mkdir(world_real(w, "d"), 0755), 0);
	assert_int_equal(mkdir(world_real(w, "d/.vsockfs-x"), 0755), 0);
	for (int i = 0; i < 5000; i++) {
		char name[40];

		snprintf(name, sizeof(name), "d/a rather long name of %d", i);
		world_put(w, name, "");
	}
	world_count(w);
	ok(w, sws_list(w->ws, call, "", each, &listed, err));
	assert_int_equal(listed.count, 1);
	listed = (struct listed){ 0 };
	ok(w, sws_list(w->ws, call, "d", each, &listed, err));
	assert_int_equal(listed.count, 5001);
	assert_int_equal(listed.dirs, 1);
	world_counted_all(w, 2);
	listed = (struct listed){ .rc = -EXDEV };
	assert_int_equal(sws_list(w->ws, call, "d", each, &listed, err), -EXDEV);
	assert_int_equal(listed.count, 1);
	assert_int_equal(sws_list(w->ws, call, "none", each, &listed, err), -ENOENT);
}

static void test_open_write_read(void **state)
{
	WORLD;
	struct sws_file *file, *other;

	file = world_open(w, "f", O_RDWR | O_CREAT | O_EXCL, 0640);
	assert_int_equal(w->attr.mode, S_IFREG | 0640);
	assert_int_equal(
		sws_open(w->ws, call, "f", O_RDWR | O_CREAT | O_EXCL, 0640, &other, &w->attr, err),
		-EEXIST);
	world_count(w);
	world_write(w, file, 0, "hello");
	world_write(w, file, 3, "LO world");
	/* seen at once, through any handle and name */
	world_reads(w, file, 1, "elLO world");
	ok(w, sws_stat(w->ws, call, "f", &w->attr, err));
	assert_int_equal(w->attr.size, 11);
	ok(w, sws_fstat(file, call, &w->attr, err));
	assert_int_equal(w->attr.size, 11);
	other = world_open(w, "f", O_RDONLY, 0);
	assert_int_equal(w->attr.size, 11);
	world_reads(w, other, 0, "helLO world");
	ok(w, sws_flush(file, call, err));
	world_has(w, "f", "helLO world");
	ok(w, sws_fsync(file, call, true, err));
	ok(w, sws_close(other, call, err));
	ok(w, sws_close(file, call, err));
	/* two writes, two reads, stat, fstat, open, fsync, two closes */
	ok(w, sws_stat(w->ws, call, "f", &w->attr, err)); /* behind the closes */
	world_counted_all(w, 11);
	world_counted(w, OP_CLOSE, 2);
	world_counted(w, OP_WRITE, 2);
}

static void test_access(void **state)
{
	WORLD;
	struct sws_file *file;
	char bytes[10];

	world_put(w, "f", "text");
	file = world_open(w, "f", O_RDONLY, 0);
	assert_int_equal(sws_write(file, call, 0, "x", 1, err), -EBADF);
	ok(w, sws_close(file, call, err));
	file = world_open(w, "f", O_WRONLY | O_TRUNC, 0);
	assert_int_equal(w->attr.size, 0);
	assert_int_equal(sws_read(file, call, 0, bytes, 10, err), -EBADF);
	assert_int_equal(sws_write(file, call, INT64_MAX - 1, "xx", 2, err), -EFBIG);
	ok(w, sws_close(file, call, err));
	assert_int_equal(sws_open(w->ws, call, "", O_RDONLY, 0, &file, &w->attr, err), -EISDIR);
	assert_int_equal(sws_open(w->ws, call, "", O_RDWR | O_CREAT, 0, &file, &w->attr, err),
			 -EISDIR);
	assert_int_equal(sws_open(w->ws, call, "f", O_ACCMODE, 0, &file, &w->attr, err), -EINVAL);
}

static void test_append(void **state)
{
	WORLD;
	struct sws_file *file = world_open(w, "f", O_WRONLY | O_CREAT | O_APPEND, 0644);

	world_write(w, file, 0, "one ");
	world_put(w, "other", "");
	ok(w, sws_flush(file, call, err));
	ok(w, truncate(world_real(w, "f"), 2));
	world_write(w, file, 77, "two");
	world_close(w, file);
	world_has(w, "f", "ontwo");
}

static char *pattern(size_t len)
{
	char *bytes = malloc(len);

	for (size_t i = 0; i < len; i++)
		bytes[i] = (char)(i * 7 + i / 251 + i / 65537);
	return bytes;
}

static void test_large(void **state)
{
	WORLD;
	const size_t len = (11u << 20) + 77;
	char *bytes = pattern(len), *got = malloc(len + 10);
	struct sws_file *file = world_open(w, "f", O_RDWR | O_CREAT, 0644);

	world_count(w);
	/* more than all windows hold */
	ok(w, sws_write(file, call, 0, bytes, len, err));
	assert_true(w->ws->bytes <= SWS_FILE_BYTES);
	assert_int_equal(sws_read(file, call, 0, got, len + 10, err), len);
	assert_memory_equal(bytes, got, len);
	assert_int_equal(sws_read(file, call, (int64_t)len - 5, got, 10, err), 5);
	assert_int_equal(sws_read(file, call, (int64_t)len, got, 10, err), 0);
	assert_int_equal(sws_read(file, call, INT64_MAX - 1, got, 10, err), 0);
	ok(w, sws_flush(file, call, err));
	world_counted(w, OP_WRITE, 89);
	ok(w, sws_close(file, call, err));
	free(bytes);
	free(got);
}

/* Many files with little in each: there are bounds for all of them together. */
static void test_many_writers(void **state)
{
	WORLD;
	enum { FILES = 40, WRITES = 30 };
	struct sws_file *files[FILES];
	char name[20];

	for (int i = 0; i < FILES; i++) {
		snprintf(name, sizeof(name), "f%d", i);
		files[i] = world_open(w, name, O_WRONLY | O_CREAT, 0644);
	}
	for (int j = 0; j < WRITES; j++) {
		for (int i = 0; i < FILES; i++)
			world_write(w, files[i], j, "x");
		assert_true(w->ws->count <= SWS_ALL_WRITES);
	}
	ok(w, sws_sync(w->ws, call, err));
	assert_int_equal(w->ws->count, 0);
	for (int i = 0; i < FILES; i++) {
		snprintf(name, sizeof(name), "f%d", i);
		world_has(w, name, "xxxxxxxxxxxxxxxxxxxxxxxxxxxxxx");
		ok(w, sws_close(files[i], call, err));
	}
}

static void test_unlinked_and_replaced(void **state)
{
	WORLD;
	struct sws_file *file = world_open(w, "f", O_RDWR | O_CREAT, 0644), *other;

	world_write(w, file, 0, "one");
	ok(w, sws_unlink(w->ws, call, "f", err));
	world_write(w, file, 3, " two");
	world_reads(w, file, 0, "one two");
	ok(w, sws_fstat(file, call, &w->attr, err));
	assert_int_equal(w->attr.nlink, 0);
	other = world_open(w, "f", O_RDWR | O_CREAT | O_EXCL, 0644);
	world_put(w, "g", "new");
	ok(w, sws_rename(w->ws, call, "g", "f", 0, err));
	world_write(w, other, 0, "old");
	world_reads(w, other, 0, "old");
	world_has(w, "f", "new");
	world_close(w, other);
	world_close(w, file);
}

static void test_setattr(void **state)
{
	WORLD;
	struct ws_attr in = {
		.mode = 0604, .size = 3, .mtime = { 1234567, 891 }, .atime = { 0, 2000000000 }
	};
	struct sws_file *file = world_open(w, "f", O_RDWR | O_CREAT, 0444);

	world_write(w, file, 0, "hello");
	ok(w, sws_setattr(w->ws, call, "", file, WS_SET_SIZE, &in, &w->attr, err));
	assert_int_equal(w->attr.size, 3);
	world_write(w, file, 3, "p");
	ok(w, sws_setattr(w->ws, call, "f", NULL, WS_SET_MODE | WS_SET_MTIME, &in, &w->attr, err));
	assert_int_equal(w->attr.mode, S_IFREG | 0604);
	assert_int_equal(w->attr.size, 4);
	assert_int_equal(w->attr.mtime.tv_sec, 1234567);
	assert_int_equal(w->attr.mtime.tv_nsec, 891);
	assert_int_equal(sws_setattr(w->ws, call, "f", NULL, WS_SET_ATIME, &in, &w->attr, err),
			 -EINVAL);
	world_close(w, file);
	world_has(w, "f", "help");
	assert_int_equal(sws_setattr(w->ws, call, "none", NULL, WS_SET_MODE, &in, &w->attr, err),
			 -ENOENT);
}

/* An error of a write is told once, to the handle that wrote, by whatever comes next on it. */
static void test_write_errors(void **state)
{
	WORLD;
	struct sws_file *file = world_open(w, "f", O_RDWR | O_CREAT, 0644);
	struct sws_file *other = world_open(w, "f", O_RDWR, 0);
	const int64_t far = INT64_MAX - 100;

	ok(w, sws_write(file, call, far, "x", 1, err));
	ok(w, sws_flush(other, call, err));
	assert_int_equal(sws_sync(w->ws, call, err), -EFBIG);
	assert_int_equal(sws_write(file, call, 0, "x", 1, err), -EFBIG);
	ok(w, sws_write(file, call, 0, "y", 1, err));
	ok(w, sws_flush(file, call, err));
	world_has(w, "f", "y");

	ok(w, sws_write(file, call, far, "x", 1, err));
	ok(w, sws_write(file, call, far, "x", 1, err));
	assert_int_equal(sws_fsync(file, call, false, err), -EFBIG);
	ok(w, sws_fsync(file, call, false, err));

	ok(w, sws_write(file, call, far, "x", 1, err));
	assert_int_equal(sws_close(file, call, err), -EFBIG);

	ok(w, sws_write(other, call, far, "x", 1, err));
	assert_int_equal(sws_flush(other, call, err), -EFBIG);
	ok(w, sws_close(other, call, err));
}

/* Whoever stops waiting for a flush can wait again, and what it wrote is not lost. */
static void test_interrupted(void **state)
{
	WORLD;
	struct sws_file *file = world_open(w, "f", O_RDWR | O_CREAT, 0644);
	struct cancel cancel;
	struct call stopped;
	int rc;

	cancel_init(&cancel);
	cancel_fire(&cancel);
	stopped = call_within(60, &cancel);
	world_write(w, file, 0, "hello");
	assert_int_equal(sws_flush(file, &stopped, err), -EINTR);
	ok(w, sws_flush(file, call, err));
	world_has(w, "f", "hello");
	ok(w, sws_close(file, call, err));
	/* the agent opens it, nobody wants it any more, it is closed */
	assert_int_equal(sws_open(w->ws, &stopped, "f", O_RDONLY, 0, &file, &w->attr, err), -EINTR);
	ok(w, sws_stat(w->ws, call, "f", &w->attr, err));
	file = world_open(w, "f", O_RDWR, 0);
	world_write(w, file, 0, "J");
	rc = sws_close(file, &stopped, err);
	assert_true(!rc || rc == -EINTR); /* it may have been answered already */
	cancel_destroy(&cancel);
}

static const struct CMUnitTest tests[] = {
	world_test(test_questions),       world_test(test_paths_are_checked_here),
	world_test(test_names),           world_test(test_list),
	world_test(test_open_write_read), world_test(test_access),
	world_test(test_append),          world_test(test_large),
	world_test(test_many_writers),    world_test(test_unlinked_and_replaced),
	world_test(test_setattr),         world_test(test_write_errors),
	world_test(test_interrupted),
};

int main(void)
{
	return cmocka_run_group_tests(tests, NULL, NULL);
}
