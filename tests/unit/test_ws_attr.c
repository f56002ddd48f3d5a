/*
 * test_ws_attr.c - attributes: what stat prints, and modes, owners, sizes and times that are set.
 */
#include "ws_fixture.h"

static int parses(const char *text, struct ws_record *record)
{
	const char *at = text;
	int rc = ws_parse_record(&at, text + strlen(text), record);

	assert_true(rc || at == text + strlen(text));
	return rc;
}

#define STAMP "2026-11-24 05:52:03.893522260 +0000"

static void test_parse(void **state)
{
	struct ws_record record;

	(void)state;
	assert_int_equal(
		parses("/w/a\nb 1//81a4 9978406 1 2 3 4 5 0 0 65024 " STAMP
		       "|1969-12-31 23:59:59.500000000 +0000|2000-02-29 00:00:00.000000001 +0000\n",
		       &record),
		0);
	assert_int_equal(record.name_len, 8);
	assert_int_equal(record.attr.mode, 0100644);
	assert_int_equal(record.attr.ino, 9978406);
	assert_int_equal(record.attr.dev, 65024);
	assert_int_equal(record.attr.nlink, 1);
	assert_int_equal(record.attr.uid, 2);
	assert_int_equal(record.attr.gid, 3);
	assert_int_equal(record.attr.size, 4);
	assert_int_equal(record.attr.blocks, 5);
	assert_int_equal(record.attr.atime.tv_sec, 1795499523);
	assert_int_equal(record.attr.atime.tv_nsec, 893522260);
	assert_int_equal(record.attr.mtime.tv_sec, -1);
	assert_int_equal(record.attr.mtime.tv_nsec, 500000000);
	assert_int_equal(record.attr.ctime.tv_sec, 951782400);
	assert_int_equal(record.attr.ctime.tv_nsec, 1);
	assert_int_equal(
		parses("/dev/x//21b0 1 1 0 0 0 0 5 10 1 " STAMP "|" STAMP "|" STAMP "\n", &record),
		0);
	assert_int_equal(record.attr.rdev, 5 * 256 + 16);
}

static void test_parse_hostile(void **state)
{
	static const char *const bad[] = {
		"",
		"/w/a",
		"/w/a//",
		"/w/a//81a4 1 1 0 0 0 0 0 0 1 " STAMP "|" STAMP "|" STAMP, /* no newline */
		"/w/a//81a4 1 1 0 0 -1 0 0 0 1 " STAMP "|" STAMP "|" STAMP "\n",
		"/w/a//81a4 1 1 0 0 99999999999999999999 0 0 0 1 " STAMP "|" STAMP "|" STAMP "\n",
		"/w/a//81a4 1 1 0 0 9999999999999999999 0 0 0 1 " STAMP "|" STAMP "|" STAMP "\n",
		"/w/a//81a4 1 1 0 0 0 0 0 0 1 " STAMP "|" STAMP "\n",
		"/w/a//81a4 1 1 0 0 0 0 0 0 1 2026-13-24 05:52:03.0 +0000|" STAMP "|" STAMP "\n",
		"/w/a//81a4 1 1 0 0 0 0 0 0 1 2026-11-24 05:52:03.1000000000 +0000|" STAMP "|" STAMP
		"\n",
		"/w/a//81a4 1 1 0 0 0 0 0 0 1 99999999999-11-24 05:52:03.1 +0000|" STAMP "|" STAMP
		"\n",
		"/w/a//81a4 1 1 0 0 0 0 0 0 1 2026-11-24 05:52:03.1 +0100|" STAMP "|" STAMP "\n",
	};
	struct ws_record record;

	(void)state;
	for (size_t i = 0; i < sizeof(bad) / sizeof(*bad); i++)
		assert_int_equal(parses(bad[i], &record), -EPROTO);
}

static int set(struct fixture *f, const char *path, unsigned mask, const struct ws_attr *in)
{
	return lws_setattr(f->ws, &f->call, path, NULL, mask, in, &f->attr, &f->err);
}

static void test_mode_and_size(void **state)
{
	FIXTURE;
	struct ws_attr in = { .mode = 0751, .size = 3 };
	struct stat st;

	ws_put(f, "f", "12345");
	mkdir(ws_real(f, "d"), 0755);
	assert_int_equal(chmod(ws_real(f, "d"), 02755), 0);
	assert_int_equal(symlink("f", ws_real(f, "l")), 0);
	ok(f, set(f, "f", WS_SET_MODE | WS_SET_SIZE, &in));
	assert_int_equal(f->attr.mode, S_IFREG | 0751);
	assert_int_equal(f->attr.size, 3);
	ws_has(f, "f", "123");
	in.size = 6;
	ok(f, set(f, "f", WS_SET_SIZE, &in));
	stat(ws_real(f, "f"), &st);
	assert_int_equal(st.st_size, 6);
	ok(f, set(f, "d", WS_SET_MODE, &in)); /* the setgid bit goes */
	assert_int_equal(f->attr.mode, S_IFDIR | 0751);
	assert_int_equal(f->guest->execs, 3);
	assert_int_equal(set(f, "d", WS_SET_SIZE, &in), -EISDIR);
	assert_int_equal(set(f, "l", WS_SET_SIZE, &in), -EINVAL);
	assert_int_equal(set(f, "l", WS_SET_MODE, &in), -EOPNOTSUPP);
	assert_int_equal(set(f, "none", WS_SET_MODE, &in), -ENOENT);
	in.size = -1;
	assert_int_equal(set(f, "f", WS_SET_SIZE, &in), -EINVAL);
}

/* busybox's touch knows whole seconds; python3, where the guest has it, sets the rest. */
static bool has_nanoseconds(void)
{
	return ws_fixture_tools == FAKE_COREUTILS;
}

static void sets_time(struct fixture *f, const char *path, int64_t sec, long nsec)
{
	struct ws_attr in = { .mtime = { .tv_sec = sec, .tv_nsec = nsec },
			      .atime = { .tv_sec = 77, .tv_nsec = 0 } };
	struct stat st;

	ok(f, set(f, path, WS_SET_MTIME | WS_SET_ATIME, &in));
	assert_int_equal(lstat(ws_real(f, path), &st), 0);
	assert_int_equal(st.st_atim.tv_sec, 77);
	assert_int_equal(f->attr.mtime.tv_sec, st.st_mtim.tv_sec);
	assert_int_equal(f->attr.mtime.tv_nsec, st.st_mtim.tv_nsec);
	if (has_nanoseconds() || !nsec) {
		assert_int_equal(st.st_mtim.tv_sec, sec);
		assert_int_equal(st.st_mtim.tv_nsec, nsec);
	} else {
		assert_int_equal(st.st_mtim.tv_sec, sec); /* whole seconds, downwards */
		assert_int_equal(st.st_mtim.tv_nsec, 0);
	}
}

static void test_times(void **state)
{
	FIXTURE;
	struct ws_attr in = { .mtime.tv_nsec = UTIME_NOW };
	struct stat st;

	ws_put(f, "f", "");
	mkdir(ws_real(f, "d"), 0755);
	assert_int_equal(symlink("nowhere", ws_real(f, "l")), 0);
	sets_time(f, "f", 1234567890, 123456789);
	sets_time(f, "f", 1234567890, 1);
	sets_time(f, "d", 5, 999999999);
	sets_time(f, "f", 0, 0);
	if (has_nanoseconds()) {
		sets_time(f, "f", -1, 0); /* to busybox that is no time */
		sets_time(f, "f", -1, 500000000);
	}
	sets_time(f, "f", -100, 0);
	sets_time(f, "l", 1234567890, 0);
	sets_time(f, "f", -100, 500000000);
	sets_time(f, "f", -2, 1);
	sets_time(f, "f", 4294967296, 5);
	ok(f, set(f, "f", WS_SET_MTIME, &in));
	stat(ws_real(f, "f"), &st);
	assert_in_range(st.st_mtim.tv_sec, time(NULL) - 100, time(NULL) + 1);
	assert_int_equal(st.st_atim.tv_sec, 77);
	in.mtime.tv_nsec = 1000000000;
	assert_int_equal(set(f, "f", WS_SET_MTIME, &in), -EINVAL);
	in.mtime.tv_nsec = 0;
	assert_int_equal(set(f, "none", WS_SET_MTIME, &in), -ENOENT);
}

/* A mode and times that are set before close come after the data: one request for all. */
static void test_with_unsent(void **state)
{
	FIXTURE;
	struct lws_file *file = ws_must_open(f, "f", O_RDWR | O_CREAT, 0600);
	struct ws_attr in = { .mode = 0444, .mtime = { .tv_sec = 1000 } };
	struct stat st;

	ws_must_write(f, file, 0, "data");
	ok(f, set(f, "f", WS_SET_MODE | WS_SET_MTIME, &in));
	assert_int_equal(f->attr.size, 4);
	ws_must_close(f, file);
	assert_int_equal(f->guest->execs, 2);
	ws_has(f, "f", "data");
	stat(ws_real(f, "f"), &st);
	assert_int_equal(st.st_mode, S_IFREG | 0444);
	assert_int_equal(st.st_mtim.tv_sec, 1000);
}

static void test_owner(void **state)
{
	FIXTURE;
	struct ws_attr in = { .uid = 4242, .gid = 4343 };

	if (geteuid() != 0)
		skip();
	ws_put(f, "f", "");
	ok(f, set(f, "f", WS_SET_UID, &in));
	assert_int_equal(f->attr.uid, 4242);
	assert_int_equal(f->attr.gid, 0);
	ok(f, set(f, "f", WS_SET_GID, &in));
	assert_int_equal(f->attr.gid, 4343);
	in.uid = 0;
	in.gid = 0;
	ok(f, set(f, "f", WS_SET_UID | WS_SET_GID, &in));
	assert_int_equal(f->attr.uid + f->attr.gid, 0);
}

static void test_statfs(void **state)
{
	FIXTURE;
	struct ws_statfs fs;

	ok(f, lws_statfs(f->ws, &f->call, &fs, &f->err));
	assert_true(fs.block_size >= 512);
	assert_true(fs.blocks >= fs.blocks_free);
	assert_int_equal(fs.name_max, 255);
}

static const struct CMUnitTest tests[] = {
	cmocka_unit_test(test_parse), cmocka_unit_test(test_parse_hostile),
	ws_test(test_mode_and_size),  ws_test(test_times),
	ws_test(test_with_unsent),    ws_test(test_owner),
	ws_test(test_statfs),
};

WS_MAIN
