/*
 * test_ws_files.c - open, read, write, flush and close through the workspace.
 */
#include "ws_fixture.h"

/* Create, a small write and close are two requests, and the file is as it was made. */
static void test_create(void **state)
{
	FIXTURE;
	struct ws_attr attr;
	struct lws_file *file;
	struct stat st;

	ok(f, lws_open(f->ws, &f->call, "new", O_WRONLY | O_CREAT | O_EXCL, 0640, &file, &attr,
		       &f->err));
	assert_int_equal(attr.mode, S_IFREG | 0640);
	assert_int_equal(attr.size, 0);
	assert_int_equal(attr.nlink, 1);
	ws_must_write(f, file, 0, "hello");
	ws_must_write(f, file, 5, " world\n");
	assert_int_equal(f->guest->execs, 1);
	ws_must_close(f, file);
	assert_int_equal(f->guest->execs, 2);
	assert_int_equal(f->guest->uploads, 0);
	ws_has(f, "new", "hello world\n");
	assert_int_equal(stat(ws_real(f, "new"), &st), 0);
	assert_int_equal(st.st_mode, S_IFREG | 0640);
	ok(f, lws_stat(f->ws, &f->call, "new", &attr, &f->err));
	assert_int_equal(attr.ino, st.st_ino);
	assert_int_equal(attr.dev, st.st_dev);
	assert_int_equal(attr.mtime.tv_sec, st.st_mtim.tv_sec);
	assert_int_equal(attr.mtime.tv_nsec, st.st_mtim.tv_nsec);
	assert_int_equal(attr.size, 12);
}

static void test_create_modes(void **state)
{
	FIXTURE;
	static const mode_t modes[] = { 0, 0444, 0755, 0666, 0200, 01777, 06755 };
	struct stat st;

	for (size_t i = 0; i < sizeof(modes) / sizeof(*modes); i++) {
		struct lws_file *file;
		char name[20];

		snprintf(name, sizeof(name), "m%zu", i);
		file = ws_must_open(f, name, O_RDWR | O_CREAT, modes[i]);
		ws_must_write(f, file, 0, "x");
		ws_must_close(f, file);
		assert_int_equal(stat(ws_real(f, name), &st), 0);
		/* a write takes setuid and setgid away from who is not root: no promise */
		assert_int_equal(st.st_mode & 01777, modes[i] & 01777);
		assert_int_equal(chmod(ws_real(f, name), 0600), 0);
		ws_has(f, name, "x");
	}
}

/* Open, read to the end and close of a small file are one request. */
static void test_read_small(void **state)
{
	FIXTURE;
	struct lws_file *file, *again;

	ws_put(f, "small", "one");
	file = ws_must_open(f, "small", O_RDONLY, 0);
	ws_reads(f, file, 0, "one");
	ws_reads(f, file, 3, "");
	assert_int_equal(f->guest->execs, 1);

	/* Each open sees what is there then. */
	ws_put(f, "small", "another");
	again = ws_must_open(f, "small", O_RDONLY, 0);
	ws_reads(f, again, 0, "another");
	ws_reads(f, file, 0, "another");
	assert_int_equal(f->guest->execs, 2);
	ws_must_close(f, again);
	ws_must_close(f, file);
	assert_int_equal(f->guest->execs, 2);
}

/* An open for reading takes nothing from who writes the file. */
static void test_read_beside_a_writer(void **state)
{
	FIXTURE;
	struct lws_file *writer, *reader;

	ws_put(f, "both", "old contents");
	writer = ws_must_open(f, "both", O_WRONLY, 0);
	ws_must_write(f, writer, 0, "NEW");
	reader = ws_must_open(f, "both", O_RDONLY, 0);
	ws_reads(f, reader, 0, "NEW contents");
	ok(f, lws_flush(writer, &f->call, &f->err));
	ws_reads(f, reader, 0, "NEW contents");
	ws_must_close(f, reader);
	reader = ws_must_open(f, "both", O_RDONLY, 0);
	ws_must_write(f, writer, 3, "ER");
	ws_reads(f, reader, 0, "NEWERontents");
	ws_must_close(f, writer);
	ws_reads(f, reader, 0, "NEWERontents");
	ws_must_close(f, reader);
}

static int opens(struct fixture *f, const char *path, int flags)
{
	struct lws_file *file;
	struct ws_attr attr;
	int rc = lws_open(f->ws, &f->call, path, flags, 0644, &file, &attr, &f->err);

	if (!rc)
		ws_must_close(f, file);
	return rc;
}

static void test_open_errors(void **state)
{
	FIXTURE;

	ws_put(f, "file", "x");
	assert_int_equal(mkdir(ws_real(f, "dir"), 0755), 0);
	assert_int_equal(symlink("file", ws_real(f, "link")), 0);
	assert_int_equal(symlink("nowhere", ws_real(f, "dangling")), 0);
	assert_int_equal(mkfifo(ws_real(f, "fifo"), 0644), 0);
	assert_int_equal(opens(f, "none", O_RDONLY), -ENOENT);
	assert_int_equal(opens(f, "none/x", O_RDWR | O_CREAT), -ENOENT);
	assert_int_equal(opens(f, "file/x", O_RDWR | O_CREAT), -ENOTDIR);
	assert_int_equal(opens(f, "file/x", O_RDONLY), -ENOTDIR);
	assert_int_equal(opens(f, "file", O_RDWR | O_CREAT | O_EXCL), -EEXIST);
	assert_int_equal(opens(f, "dangling", O_RDWR | O_CREAT | O_EXCL), -EEXIST);
	assert_int_equal(opens(f, "dangling", O_RDWR | O_CREAT), -ELOOP);
	assert_int_equal(opens(f, "link", O_RDONLY), -ELOOP);
	assert_int_equal(opens(f, "dir", O_RDWR), -EISDIR);
	assert_int_equal(opens(f, "dir", O_RDWR | O_CREAT), -EISDIR);
	assert_int_equal(opens(f, "dir", O_RDWR | O_CREAT | O_EXCL), -EEXIST);
	assert_int_equal(opens(f, "fifo", O_RDONLY), -ENXIO);
	assert_int_equal(opens(f, "", O_RDWR | O_CREAT), -EISDIR);
	assert_int_equal(opens(f, ".vsockfs-x", O_RDWR | O_CREAT), -EPERM);
	assert_int_equal(opens(f, ".vsockfs-x", O_RDWR), -ENOENT);
	assert_int_equal(opens(f, "../x", O_RDWR), -EINVAL);
	assert_int_equal(opens(f, "file", O_RDWR | O_CREAT), 0);
	ws_has(f, "file", "x");
	assert_int_equal(opens(f, "file", O_WRONLY | O_TRUNC), 0);
	ws_has(f, "file", "");
}

/* In place: same inode, the rest of the file untouched, holes stay holes. */
static void test_write_in_place(void **state)
{
	FIXTURE;
	struct lws_file *file;
	struct ws_attr attr;
	struct stat before, after;

	ws_put(f, "f", "0123456789");
	stat(ws_real(f, "f"), &before);
	file = ws_must_open(f, "f", O_RDWR, 0);
	ws_must_write(f, file, 2, "ab");
	ws_must_write(f, file, 7, "c");
	ws_must_write(f, file, 3, "B");
	ws_reads(f, file, 0, "01aB456c89");
	ws_must_write(f, file, 12, "end");
	ok(f, lws_fstat(file, &f->call, &attr, &f->err));
	assert_int_equal(attr.size, 15);
	ok(f, lws_stat(f->ws, &f->call, "f", &attr, &f->err));
	assert_int_equal(attr.size, 15);
	ws_has(f, "f", "0123456789");
	ok(f, lws_fsync(file, &f->call, false, &f->err));
	stat(ws_real(f, "f"), &after);
	assert_int_equal(before.st_ino, after.st_ino);
	assert_int_equal(after.st_size, 15);
	ws_has(f, "f", "01aB456c89");
	ws_must_close(f, file);
}

static void test_append(void **state)
{
	FIXTURE;
	struct lws_file *file, *placed;

	ws_put(f, "log", "one\n");
	file = ws_must_open(f, "log", O_WRONLY | O_APPEND, 0);
	ws_must_write(f, file, 4, "two\n");
	ws_put(f, "log", "one\nguest\n"); /* the guest appends too */
	ws_must_write(f, file, 8, "three\n");
	ok(f, lws_flush(file, &f->call, &f->err));
	ws_has(f, "log", "one\nguest\ntwo\nthree\n");

	/* a placed write of another handle comes after what was appended before it */
	placed = ws_must_open(f, "log", O_RDWR, 0);
	ws_must_write(f, file, 0, "four\n");
	ws_reads(f, placed, 14, "three\nfour\n");
	ws_must_write(f, placed, 0, "ONE");
	ws_must_write(f, file, 0, "five\n");
	ws_must_close(f, file);
	ws_must_close(f, placed);
	ws_has(f, "log", "ONE\nguest\ntwo\nthree\nfour\nfive\n");
}

/* What does not fit into a script goes by an upload and comes back in growing chunks. */
static void test_large(void **state)
{
	FIXTURE;
	size_t size = 3 << 20;
	char *bytes = malloc(size), *back = malloc(size);
	struct lws_file *file = ws_must_open(f, "big", O_RDWR | O_CREAT, 0600);
	ssize_t got;

	for (size_t i = 0; i < size; i++)
		bytes[i] = (char)(i * 7 + i / 251);
	for (size_t at = 0; at < size; at += 65536)
		ok(f, lws_write(file, &f->call, (int64_t)at, bytes + at, 65536, &f->err));
	ok(f, lws_flush(file, &f->call, &f->err));
	assert_int_equal(f->guest->uploads, 1);
	for (size_t at = 0; at < size; at += (size_t)got) {
		got = lws_read(file, &f->call, (int64_t)at, back + at, 131072, &f->err);
		ok(f, got - 1);
	}
	assert_memory_equal(bytes, back, size);
	assert_in_range(f->guest->execs, 1, 12); /* chunks grow */
	ws_must_close(f, file);
	free(bytes);
	free(back);
}

/* More than one upload should hold goes in several. */
static void test_huge(void **state)
{
	FIXTURE;
	size_t chunk = 1 << 20;
	int chunks = 36;
	char *bytes = malloc(chunk), *back = malloc(chunk);
	struct lws_file *file = ws_must_open(f, "huge", O_WRONLY | O_CREAT, 0600);
	int fd;

	for (int i = 0; i < chunks; i++) {
		memset(bytes, i + 1, chunk);
		ok(f,
		   lws_write(file, &f->call, (int64_t)i * (int64_t)chunk, bytes, chunk, &f->err));
	}
	ws_must_close(f, file);
	assert_int_equal(f->guest->uploads, 3);
	fd = open(ws_real(f, "huge"), O_RDONLY);
	for (int i = 0; i < chunks; i++) {
		memset(bytes, i + 1, chunk);
		assert_int_equal(read(fd, back, chunk), chunk);
		assert_memory_equal(bytes, back, chunk);
	}
	assert_int_equal(read(fd, back, 1), 0);
	close(fd);
	free(bytes);
	free(back);
}

static void test_scattered(void **state)
{
	FIXTURE;
	struct lws_file *file = ws_must_open(f, "db", O_RDWR | O_CREAT, 0600);
	struct stat st;

	for (int i = 2999; i >= 0; i--)
		ws_must_write(f, file, (int64_t)i * 10, "page");
	ws_must_close(f, file);
	assert_int_equal(stat(ws_real(f, "db"), &st), 0);
	assert_int_equal(st.st_size, 29994);
	file = ws_must_open(f, "db", O_RDONLY, 0);
	ws_reads(f, file, 29980, "page"); /* then a hole of zeros */
	ws_reads(f, file, 29990, "page");
	ws_must_close(f, file);
}

static void test_unlinked(void **state)
{
	FIXTURE;
	struct lws_file *file;
	struct ws_attr attr;

	file = ws_must_open(f, "tmp", O_RDWR | O_CREAT, 0600);
	ws_must_write(f, file, 0, "before");
	ok(f, lws_unlink(f->ws, &f->call, "tmp", &f->err));
	assert_int_equal(lws_stat(f->ws, &f->call, "tmp", &attr, &f->err), -ENOENT);
	ws_must_write(f, file, 6, " after");
	ok(f, lws_flush(file, &f->call, &f->err));
	ws_reads(f, file, 0, "before after");
	ok(f, lws_fstat(file, &f->call, &attr, &f->err));
	assert_int_equal(attr.nlink, 0);
	assert_int_equal(attr.size, 12);
	attr.size = 6;
	ok(f, lws_setattr(f->ws, &f->call, "tmp", file, WS_SET_SIZE, &attr, &attr, &f->err));
	ws_reads(f, file, 0, "before");
	ws_must_close(f, file);
}

static void test_renamed(void **state)
{
	FIXTURE;
	struct lws_file *file, *old;
	struct ws_attr attr;

	ok(f, lws_mkdir(f->ws, &f->call, "d", 0755, &attr, &f->err));
	file = ws_must_open(f, "d/a", O_RDWR | O_CREAT, 0600);
	ws_put(f, "target", "old");
	old = ws_must_open(f, "target", O_RDONLY, 0);
	ws_must_write(f, file, 0, "moved");
	ok(f, lws_rename(f->ws, &f->call, "d", "e", 0, &f->err));
	ok(f, lws_rename(f->ws, &f->call, "e/a", "target", 0, &f->err));
	ws_reads(f, old, 0, "old");
	ws_must_close(f, file);
	ws_has(f, "target", "moved");
	ws_must_close(f, old);
}

/* The path has become another file by the guest's own doing. */
static void test_stale(void **state)
{
	FIXTURE;
	struct lws_file *file;
	char byte;

	ws_put(f, "f", "mine");
	file = ws_must_open(f, "f", O_RDWR, 0);
	ws_must_write(f, file, 0, "MINE");
	ws_put(f, "other", "other");
	assert_int_equal(rename(ws_real(f, "other"), ws_real(f, "f")), 0);
	assert_int_equal(lws_flush(file, &f->call, &f->err), -ESTALE);
	assert_int_equal(lws_read(file, &f->call, 4, &byte, 1, &f->err), -ESTALE);
	ws_has(f, "f", "other");
	ok(f, lws_close(file, &f->call, &f->err)); /* it had been told */
}

/* COUNT requests of KIND since the last time, and no others. */
static void asked(struct fixture *f, enum traffic_kind kind, int count)
{
	for (int i = 0; i < TRAFFIC_KINDS; i++) {
		assert_int_equal(f->guest->kinds[i], i == (int)kind ? count : 0);
		f->guest->kinds[i] = 0;
	}
}

static int ignore(void *arg, const char *name, const struct ws_attr *attr)
{
	(void)arg;
	(void)name;
	(void)attr;
	return 0;
}

/* Every request says what it is for. */
static void test_kinds(void **state)
{
	FIXTURE;
	const size_t large = 300 << 10;
	char *bytes = calloc(1, large);
	struct ws_attr attr = { .mode = 0600 };
	struct lws_file *file;
	struct ws_statfs fs;
	char target[10];

	ok(f, lws_mkdir(f->ws, &f->call, "d", 0755, &attr, &f->err));
	ok(f, lws_symlink(f->ws, &f->call, "f", "l", &attr, &f->err));
	ok(f, lws_setattr(f->ws, &f->call, "d", NULL, WS_SET_MODE, &attr, &attr, &f->err));
	ok(f, lws_rename(f->ws, &f->call, "d", "e", 0, &f->err));
	ok(f, lws_rmdir(f->ws, &f->call, "e", &f->err));
	asked(f, TRAFFIC_CHANGE, 5);
	ok(f, lws_stat(f->ws, &f->call, "l", &attr, &f->err));
	ok(f, lws_readlink(f->ws, &f->call, "l", target, sizeof(target), &f->err));
	ok(f, lws_statfs(f->ws, &f->call, &fs, &f->err));
	asked(f, TRAFFIC_STAT, 3);
	ok(f, lws_list(f->ws, &f->call, "", ignore, NULL, &f->err));
	asked(f, TRAFFIC_LIST, 1);
	file = ws_must_open(f, "f", O_RDWR | O_CREAT, 0644);
	asked(f, TRAFFIC_OPEN, 1);
	ws_must_write(f, file, 0, "small");
	ok(f, lws_flush(file, &f->call, &f->err));
	asked(f, TRAFFIC_WRITE, 1);
	/*
	 * too large to go inline: a staging directory, an upload, and the script that puts it in
	 * place
	 */
	ok(f, lws_write(file, &f->call, 0, bytes, large, &f->err));
	ok(f, lws_flush(file, &f->call, &f->err));
	asked(f, TRAFFIC_WRITE, 3);
	ok(f, lws_fstat(file, &f->call, &attr, &f->err));
	asked(f, TRAFFIC_STAT, 1);
	ws_must_close(f, file);
	asked(f, TRAFFIC_STAT, 0);
	file = ws_must_open(f, "f", O_RDWR, 0);
	asked(f, TRAFFIC_OPEN, 1);
	assert_int_equal(lws_read(file, &f->call, 0, bytes, 10, &f->err), 10);
	asked(f, TRAFFIC_READ, 1);
	ws_must_close(f, file);
	ok(f, lws_unlink(f->ws, &f->call, "f", &f->err));
	asked(f, TRAFFIC_CHANGE, 1);
	free(bytes);
}

/* A listing that does not fit into one answer is staged, which is no write. */
static void test_kind_of_a_large_listing(void **state)
{
	FIXTURE;

	f->ws->range = 4096;
	for (int i = 0; i < 100; i++) {
		char name[20];

		snprintf(name, sizeof(name), "f%d", i);
		ws_put(f, name, "");
	}
	ok(f, lws_list(f->ws, &f->call, "", ignore, NULL, &f->err));
	assert_true(f->guest->kinds[TRAFFIC_LIST] > 3);
	asked(f, TRAFFIC_LIST, f->guest->kinds[TRAFFIC_LIST]);
}

static const struct CMUnitTest tests[] = {
	ws_test(test_read_small),
	ws_test(test_read_beside_a_writer),
	ws_test(test_create),
	ws_test(test_create_modes),
	ws_test(test_open_errors),
	ws_test(test_write_in_place),
	ws_test(test_append),
	ws_test(test_large),
	ws_test(test_huge),
	ws_test(test_scattered),
	ws_test(test_unlinked),
	ws_test(test_renamed),
	ws_test(test_stale),
	ws_test(test_kinds),
	ws_test(test_kind_of_a_large_listing),
};

WS_MAIN
