/*
 * test_agent_session_files.c - file operations of a session: each is the system call that it names,
 * with its errno and the attributes after it.
 */
#include "tests/unit/agent_client.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "protocol/session/pack.h"

struct place {
	struct agent_world world;
	struct agent_client client;
};

static int setup(void **state)
{
	static struct place place;

	agent_world_open(&place.world);
	client_open(&place.client, &place.world);
	*state = &place;
	return 0;
}

static int teardown(void **state)
{
	struct place *place = *state;

	client_close(&place->client);
	agent_world_close(&place->world);
	return 0;
}

static uint32_t open_file(struct place *place, const char *path, uint32_t flags, uint32_t mode)
{
	struct buf result = BUF_INIT(FRAME_BODY_MAX);
	struct unpack in;
	uint32_t number;

	expect_call(&place->client, 0, &result, OP_OPEN, "sww", path, flags, mode);
	in = unpack_from(result.data, result.len);
	number = unpack_u32(&in);
	assert_int_not_equal(number, 0);
	buf_free(&result);
	return number;
}

static void test_write_and_read(void **state)
{
	struct place *place = *state;
	struct agent_client *client = &place->client;
	struct buf result = BUF_INIT(FRAME_BODY_MAX);
	uint32_t file = open_file(place, "new", OPEN_READ | OPEN_WRITE | OPEN_CREATE, 0666);
	struct stat st;

	expect_call(client, 0, &result, OP_WRITE, "wqbr", file, (uint64_t)2, 0, "hello", (size_t)5);
	assert_int_equal(attr_of(&result).size, 7);
	expect_call(client, 0, &result, OP_READ, "wqw", file, (uint64_t)1, 100u);
	assert_int_equal(result.len, 6);
	assert_memory_equal(result.data, "\0hello", 6);
	expect_call(client, 0, &result, OP_READ, "wqw", file, (uint64_t)7, 100u);
	assert_int_equal(result.len, 0);
	/* The mode is exact, whatever the umask. */
	assert_int_equal(fstatat(place->world.dir, "new", &st, 0), 0);
	assert_int_equal(st.st_mode, S_IFREG | 0666);
	assert_int_equal(st.st_size, 7);
	/* It goes on working without its name. */
	expect_call(client, 0, NULL, OP_UNLINK, "s", "new");
	expect_call(client, 0, &result, OP_FSTAT, "w", file);
	assert_int_equal(attr_of(&result).nlink, 0);
	expect_call(client, 0, &result, OP_FSYNC, "wb", file, 1);
	assert_int_equal(attr_of(&result).size, 7);
	expect_call(client, 0, NULL, OP_CLOSE, "w", file);
	expect_call(client, EBADF, NULL, OP_CLOSE, "w", file);
	expect_call(client, EBADF, NULL, OP_READ, "wqw", file, (uint64_t)0, 1u);
	expect_call(client, EBADF, NULL, OP_FSTAT, "w", 0u);
	expect_call(client, EBADF, NULL, OP_FSTAT, "w", OPS_HANDLE_LAST);
	buf_free(&result);
}

static void test_largest_read_and_write(void **state)
{
	struct place *place = *state;
	struct agent_client *client = &place->client;
	struct buf result = BUF_INIT(FRAME_BODY_MAX);
	uint32_t file = open_file(place, "big", OPEN_READ | OPEN_WRITE | OPEN_CREATE, 0600);
	char *bytes = malloc(OPS_IO_MAX + 1);

	for (size_t i = 0; i < OPS_IO_MAX; i++)
		bytes[i] = (char)(i * 7 + i / 256);
	expect_call(client, 0, &result, OP_WRITE, "wqbr", file, (uint64_t)0, 0, bytes,
		    (size_t)OPS_IO_MAX);
	assert_int_equal(attr_of(&result).size, OPS_IO_MAX);
	expect_call(client, EINVAL, NULL, OP_WRITE, "wqbr", file, (uint64_t)0, 0, bytes,
		    (size_t)OPS_IO_MAX + 1);
	expect_call(client, 0, &result, OP_READ, "wqw", file, (uint64_t)0, OPS_IO_MAX);
	assert_int_equal(result.len, OPS_IO_MAX);
	assert_memory_equal(result.data, bytes, OPS_IO_MAX);
	expect_call(client, EINVAL, NULL, OP_READ, "wqw", file, (uint64_t)0, OPS_IO_MAX + 1);
	expect_call(client, EINVAL, NULL, OP_READ, "wqw", file, UINT64_MAX, 1u);
	expect_call(client, EINVAL, NULL, OP_WRITE, "wqbr", file, (uint64_t)INT64_MAX, 0, "x",
		    (size_t)1);
	free(bytes);
	buf_free(&result);
}

static void test_append(void **state)
{
	struct place *place = *state;
	struct agent_client *client = &place->client;
	struct buf result = BUF_INIT(FRAME_BODY_MAX);
	uint32_t one, other;

	agent_world_write(&place->world, "log", "0");
	one = open_file(place, "log", OPEN_WRITE | OPEN_APPEND, 0);
	other = open_file(place, "log", OPEN_READ | OPEN_WRITE, 0);
	expect_call(client, 0, NULL, OP_WRITE, "wqbr", one, (uint64_t)0, 1, "1", (size_t)1);
	expect_call(client, 0, NULL, OP_WRITE, "wqbr", other, UINT64_MAX, 1, "2", (size_t)1);
	agent_world_run(&place->world, "printf 3 >>log");
	expect_call(client, 0, NULL, OP_WRITE, "wqbr", one, (uint64_t)0, 1, "4", (size_t)1);
	expect_call(client, 0, &result, OP_READ, "wqw", other, (uint64_t)0, 100u);
	assert_int_equal(result.len, 5);
	assert_memory_equal(result.data, "01234", 5);
	buf_free(&result);
}

/* Only regular files are opened, and nothing waits for the other end of a FIFO. */
static void test_open_what_is_no_file(void **state)
{
	struct place *place = *state;
	struct agent_client *client = &place->client;
	const struct {
		const char *path;
		uint32_t flags;
		int code;
	} cases[] = {
		{ "fifo", OPEN_READ, ENXIO },
		{ "fifo", OPEN_WRITE, ENXIO },
		{ "fifo", OPEN_WRITE | OPEN_CREATE, ENXIO },
		{ "fifo", OPEN_WRITE | OPEN_CREATE | OPEN_EXCLUSIVE, EEXIST },
		{ "dir", OPEN_READ, EISDIR },
		{ "link", OPEN_READ, ELOOP },
		{ "link", OPEN_WRITE | OPEN_CREATE | OPEN_TRUNCATE, ELOOP },
		{ "dangling", OPEN_WRITE | OPEN_CREATE, ELOOP },
		{ "", OPEN_READ, EISDIR },
		{ "", OPEN_WRITE | OPEN_CREATE, EISDIR },
		{ "none", OPEN_READ, ENOENT },
		{ "none/x", OPEN_WRITE | OPEN_CREATE, ENOENT },
		{ "file/x", OPEN_READ, ENOTDIR },
		{ "file", 0, EINVAL },
		{ "file", OPEN_READ | 64, EINVAL },
		{ "../outside", OPEN_READ, EINVAL },
		{ "/etc/passwd", OPEN_READ, EINVAL },
		{ "up/outside", OPEN_READ, EXDEV },
		{ "abs/passwd", OPEN_READ, EXDEV },
	};

	agent_world_run(
		&place->world,
		"mkfifo fifo; mkdir dir; echo x >file; ln -s file link; ln -s none dangling; "
		"ln -s .. up; ln -s /etc abs");
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++)
		expect_call(client, cases[i].code, NULL, OP_OPEN, "sww", cases[i].path,
			    cases[i].flags, 0644u);
	/* A link in the middle that stays inside is followed. */
	agent_world_run(&place->world, "echo y >dir/inner; ln -s dir inside; test ! -e none");
	expect_call(client, 0, NULL, OP_OPEN, "sww", "inside/inner", OPEN_READ, 0u);
}

static void test_paths_that_are_none(void **state)
{
	struct place *place = *state;
	struct agent_client *client = &place->client;
	char path[5000];

	static const char *const bad[] = {
		"a//b", "/a", "a/", ".", "..", "a/./b", "a/../b", "a/.."
	};

	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
		expect_call(client, EINVAL, NULL, OP_STAT, "s", bad[i]);
		expect_call(client, EINVAL, NULL, OP_MKDIR, "sw", bad[i], 0755u);
		expect_call(client, EINVAL, NULL, OP_RENAME, "ssw", "x", bad[i], 0u);
	}
	expect_call(client, EINVAL, NULL, OP_STAT, "wr", 3u, "a\0b", (size_t)3);
	memset(path, 'x', sizeof(path));
	path[256] = '\0';
	expect_call(client, ENAMETOOLONG, NULL, OP_STAT, "s", path);
	path[256] = 'x';
	for (size_t i = 100; i < 4096; i += 100)
		path[i] = '/';
	path[4096] = '\0';
	expect_call(client, ENAMETOOLONG, NULL, OP_STAT, "s", path);
}

static void test_the_workspace_itself(void **state)
{
	struct place *place = *state;
	struct agent_client *client = &place->client;
	struct buf result = BUF_INIT(FRAME_BODY_MAX);

	expect_call(client, 0, &result, OP_STAT, "s", "");
	assert_true(S_ISDIR(attr_of(&result).mode));
	expect_call(client, EEXIST, NULL, OP_MKDIR, "sw", "", 0755u);
	expect_call(client, EBUSY, NULL, OP_RMDIR, "s", "");
	expect_call(client, EISDIR, NULL, OP_UNLINK, "s", "");
	expect_call(client, EBUSY, NULL, OP_RENAME, "ssw", "", "x", 0u);
	expect_call(client, EINVAL, NULL, OP_READLINK, "s", "");
	expect_call(client, EEXIST, NULL, OP_SYMLINK, "ss", "t", "");
	expect_call(client, 0, &result, OP_STATFS, "");
	assert_int_equal(result.len, 56);
	expect_call(client, 0, &result, OP_SYNC, "");
	assert_int_equal(result.len, 0);
	buf_free(&result);
}

static int set(struct place *place, const char *path, uint32_t file, uint32_t mask,
	       const struct ws_attr *attr, struct ws_attr *out)
{
	struct buf packed = BUF_INIT(OPS_ATTR_SIZE), result = BUF_INIT(FRAME_BODY_MAX), args;
	int code;

	ops_pack_attr(&packed, attr);
	args = args_of("swwr", path, file, mask, packed.data, packed.len);
	code = client_call(&place->client, OP_SETATTR, &args, &result);
	if (!code)
		*out = attr_of(&result);
	buf_free(&packed);
	buf_free(&result);
	return code;
}

static void test_setattr(void **state)
{
	struct place *place = *state;
	const struct ws_attr want = {
		.mode = 0640,
		.size = 3,
		.uid = 12,
		.gid = 34,
		.atime = { 1000000001, 123456789 },
		.mtime = { -5, 999999999 },
	};
	const struct ws_attr now = { .mtime = { 0, UTIME_NOW } };
	const uint32_t all = WS_SET_MODE | WS_SET_SIZE | WS_SET_ATIME | WS_SET_MTIME;
	bool root = geteuid() == 0;
	uint32_t file;
	struct ws_attr got = { 0 };

	agent_world_run(&place->world,
			"printf 12345 >file; ln -s file link; mkdir dir; mkfifo fifo");
	assert_int_equal(set(place, "file", 0, all, &want, &got), 0);
	assert_int_equal(got.mode, S_IFREG | 0640);
	assert_int_equal(got.size, 3);
	assert_int_equal(got.atime.tv_sec, want.atime.tv_sec);
	assert_int_equal(got.atime.tv_nsec, want.atime.tv_nsec);
	assert_int_equal(got.mtime.tv_sec, -5);
	assert_int_equal(got.mtime.tv_nsec, 999999999);
	assert_int_equal(set(place, "file", 0, WS_SET_MTIME, &now, &got), 0);
	assert_true(got.mtime.tv_sec > 1000000);
	assert_int_equal(got.atime.tv_sec, want.atime.tv_sec);

	/* A link has times and an owner of its own, and neither mode nor size. */
	assert_int_equal(set(place, "link", 0, WS_SET_MTIME, &want, &got), 0);
	assert_true(S_ISLNK(got.mode));
	assert_int_equal(got.mtime.tv_sec, -5);
	assert_int_equal(set(place, "link", 0, WS_SET_MODE, &want, &got), EOPNOTSUPP);
	assert_int_equal(set(place, "link", 0, WS_SET_SIZE, &want, &got), ELOOP);
	assert_int_equal(set(place, "dir", 0, WS_SET_SIZE, &want, &got), EISDIR);
	assert_int_equal(set(place, "fifo", 0, WS_SET_SIZE, &want, &got), EINVAL);
	assert_int_equal(set(place, "fifo", 0, WS_SET_MODE, &want, &got), 0);
	assert_int_equal(set(place, "dir", 0, WS_SET_MODE, &want, &got), 0);
	assert_int_equal(got.mode, S_IFDIR | 0640);
	assert_int_equal(set(place, "none", 0, WS_SET_MODE, &want, &got), ENOENT);
	assert_int_equal(set(place, "file", 0, 64, &want, &got), EINVAL);
	if (root) {
		assert_int_equal(set(place, "link", 0, WS_SET_UID | WS_SET_GID, &want, &got), 0);
		assert_int_equal(got.uid, 12);
		assert_int_equal(got.gid, 34);
		assert_int_equal(set(place, "file", 0, WS_SET_GID, &want, &got), 0);
		assert_int_equal(got.uid, 0);
		assert_int_equal(got.gid, 34);
	}

	/* Of an open file, also without a name. */
	file = open_file(place, "file", OPEN_READ | OPEN_WRITE, 0);
	expect_call(&place->client, 0, NULL, OP_UNLINK, "s", "file");
	assert_int_equal(set(place, "", file, all, &want, &got), 0);
	assert_int_equal(got.mode, S_IFREG | 0640);
	assert_int_equal(got.nlink, 0);
	assert_int_equal(got.size, 3);
}

static void test_names(void **state)
{
	struct place *place = *state;
	struct agent_client *client = &place->client;
	struct buf result = BUF_INIT(FRAME_BODY_MAX);

	expect_call(client, 0, &result, OP_MKDIR, "sw", "d", 01777u);
	assert_int_equal(attr_of(&result).mode, S_IFDIR | 01777);
	expect_call(client, EEXIST, NULL, OP_MKDIR, "sw", "d", 0755u);
	expect_call(client, 0, &result, OP_SYMLINK, "ss", "no where/..", "d/l");
	assert_true(S_ISLNK(attr_of(&result).mode));
	expect_call(client, 0, &result, OP_READLINK, "s", "d/l");
	assert_int_equal(result.len, 4 + 11);
	assert_memory_equal(result.data + 4, "no where/..", 11);
	expect_call(client, EINVAL, NULL, OP_READLINK, "s", "d");
	expect_call(client, ENOENT, NULL, OP_SYMLINK, "ss", "", "d/empty");
	expect_call(client, EPROTO, NULL, OP_SYMLINK, "w", 5u);
	expect_call(client, EINVAL, NULL, OP_SYMLINK, "wr", 3u, "a\0b\1\0\0\0x", (size_t)8);
	/* A link gets another name, not what it leads to. */
	expect_call(client, 0, &result, OP_LINK, "ss", "d/l", "l2");
	assert_true(S_ISLNK(attr_of(&result).mode));
	assert_int_equal(attr_of(&result).nlink, 2);
	expect_call(client, 0, &result, OP_MKNOD, "sw", "fifo", (uint32_t)S_IFIFO | 0622u);
	assert_int_equal(attr_of(&result).mode, S_IFIFO | 0622);
	expect_call(client, EPERM, NULL, OP_MKNOD, "sw", "dev", (uint32_t)S_IFCHR | 0622u);
	expect_call(client, 0, &result, OP_MKNOD, "sw", "sock", (uint32_t)S_IFSOCK | 0622u);
	assert_int_equal(attr_of(&result).mode, S_IFSOCK | 0622);
	expect_call(client, EEXIST, NULL, OP_RENAME, "ssw", "fifo", "l2", RENAME_NOREPLACE);
	expect_call(client, 0, NULL, OP_RENAME, "ssw", "fifo", "l2", RENAME_EXCHANGE);
	expect_call(client, 0, &result, OP_STAT, "s", "l2");
	assert_true(S_ISFIFO(attr_of(&result).mode));
	expect_call(client, EINVAL, NULL, OP_RENAME, "ssw", "fifo", "l2", RENAME_WHITEOUT);
	expect_call(client, 0, NULL, OP_RENAME, "ssw", "l2", "fifo", 0u);
	expect_call(client, ENOENT, NULL, OP_STAT, "s", "l2");
	expect_call(client, ENOTEMPTY, NULL, OP_RMDIR, "s", "d");
	expect_call(client, EISDIR, NULL, OP_UNLINK, "s", "d");
	expect_call(client, ENOTDIR, NULL, OP_RMDIR, "s", "fifo");
	expect_call(client, 0, NULL, OP_UNLINK, "s", "d/l");
	expect_call(client, 0, NULL, OP_RMDIR, "s", "d");
	buf_free(&result);
}

static uint32_t generation_of(struct place *place, const char *path)
{
	struct buf result = BUF_INIT(FRAME_BODY_MAX);
	struct unpack in;
	struct ws_attr attr;

	expect_call(&place->client, 0, &result, OP_OPEN, "sww", path, OPEN_READ, 0u);
	in = unpack_from(result.data, result.len);
	unpack_u32(&in);
	ops_unpack_attr(&in, &attr);
	buf_free(&result);
	return attr.generation;
}

/* What tells a file from another one, whatever their numbers. */
static void test_generation(void **state)
{
	struct place *place = *state;
	struct statx birth;
	uint32_t first;

	agent_world_write(&place->world, "one", "1");
	assert_int_equal(statx(place->world.dir, "one", 0, STATX_BTIME, &birth), 0);
	first = generation_of(place, "one");
	if (!(birth.stx_mask & STATX_BTIME)) {
		print_message("this file system does not know when files were made\n");
		assert_int_equal(first, 0);
		skip();
	}
	assert_int_not_equal(first, 0);
	agent_world_run(&place->world, "mv one two; ln two three; chmod 600 two; echo x >>two");
	assert_int_equal(generation_of(place, "three"), first);
	agent_world_write(&place->world, "one", "1");
	assert_int_not_equal(generation_of(place, "one"), first);
}

/* Numbers of files that were closed are not given again at once, and there is an end to them. */
static void test_handles(void **state)
{
	struct place *place = *state;
	struct agent_client *client = &place->client;
	static uint32_t files[4096];
	uint32_t first;

	agent_world_write(&place->world, "file", "x");
	for (int i = 0; i < 4096; i++)
		files[i] = open_file(place, "file", OPEN_READ, 0);
	expect_call(client, EMFILE, NULL, OP_OPEN, "sww", "file", OPEN_READ, 0u);
	expect_call(client, 0, NULL, OP_FSTAT, "w", files[0]);
	expect_call(client, 0, NULL, OP_FSTAT, "w", files[4095]);
	first = files[17];
	expect_call(client, 0, NULL, OP_CLOSE, "w", first);
	files[17] = open_file(place, "file", OPEN_READ, 0);
	assert_int_not_equal(files[17], first);
	expect_call(client, EBADF, NULL, OP_FSTAT, "w", first);
	for (int i = 0; i < 4096; i++)
		expect_call(client, 0, NULL, OP_CLOSE, "w", files[i]);
}

int main(void)
{
#define test(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
	const struct CMUnitTest tests[] = {
		test(test_write_and_read),
		test(test_largest_read_and_write),
		test(test_append),
		test(test_open_what_is_no_file),
		test(test_paths_that_are_none),
		test(test_the_workspace_itself),
		test(test_setattr),
		test(test_names),
		test(test_generation),
		test(test_handles),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
