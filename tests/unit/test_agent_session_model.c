/*
 * test_agent_session_model.c - random file operations through a session, and the same by plain
 * system calls in a directory beside it: every errno is the same, and so is what comes of it.
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

#define STEPS 6000

struct twin {
	struct agent_world world;
	struct agent_client client;
	int model; /* the directory beside it */
	unsigned seed;
};

static unsigned roll(struct twin *twin, unsigned sides)
{
	twin->seed = twin->seed * 1103515245 + 12345;
	return (twin->seed >> 16) % sides;
}

/* Few names, so that they meet. */
static const char *any_path(struct twin *twin)
{
	static const char *const paths[] = { "a",   "b",   "a/a",   "a/b",   "b/a",  "b/b",
					     "a/c", "b/c", "a/a/a", "b/b/b", "link", "link/a" };

	return paths[roll(twin, sizeof(paths) / sizeof(paths[0]))];
}

/* The errno of what a system call returned. */
static int code_of(long rc)
{
	return rc < 0 ? errno : 0;
}

static int call_session(struct twin *twin, unsigned op, struct buf args, struct buf *result)
{
	return client_call(&twin->client, op, &args, result);
}

static int step_mkdir(struct twin *twin, int *model)
{
	const char *path = any_path(twin);
	uint32_t mode = 0700 | roll(twin, 0100);

	*model = code_of(mkdirat(twin->model, path, mode));
	return call_session(twin, OP_MKDIR, args_of("sw", path, mode), NULL);
}

static int step_remove(struct twin *twin, int *model)
{
	const char *path = any_path(twin);
	bool directory = roll(twin, 2);

	*model = code_of(unlinkat(twin->model, path, directory ? AT_REMOVEDIR : 0));
	return call_session(twin, directory ? OP_RMDIR : OP_UNLINK, args_of("s", path), NULL);
}

static int step_rename(struct twin *twin, int *model)
{
	const char *from = any_path(twin), *to = any_path(twin);
	uint32_t flags = roll(twin, 3);

	*model = code_of(renameat2(twin->model, from, twin->model, to, flags));
	return call_session(twin, OP_RENAME, args_of("ssw", from, to, flags), NULL);
}

static int step_link(struct twin *twin, int *model)
{
	const char *from = any_path(twin), *to = any_path(twin);

	*model = code_of(linkat(twin->model, from, twin->model, to, 0));
	return call_session(twin, OP_LINK, args_of("ss", from, to), NULL);
}

static int step_symlink(struct twin *twin, int *model)
{
	const char *target = any_path(twin), *path = roll(twin, 3) ? "link" : any_path(twin);

	*model = code_of(symlinkat(target, twin->model, path));
	return call_session(twin, OP_SYMLINK, args_of("ss", target, path), NULL);
}

static int step_mknod(struct twin *twin, int *model)
{
	const char *path = any_path(twin);
	uint32_t mode = (roll(twin, 3) ? S_IFREG : S_IFIFO) | 0600 | roll(twin, 0100);

	*model = code_of(mknodat(twin->model, path, mode, 0));
	return call_session(twin, OP_MKNOD, args_of("sw", path, mode), NULL);
}

static bool is_openable(int dir, const char *path)
{
	struct stat st;

	return fstatat(dir, path, &st, AT_SYMLINK_NOFOLLOW) < 0 || S_ISREG(st.st_mode);
}

/* Opens, writes, reads, closes. */
static int step_file(struct twin *twin, int *model)
{
	static const char text[] = "0123456789abcdefghijklmnopqrstuvwxyz";
	const char *path = any_path(twin);
	uint32_t wire = OPEN_READ | OPEN_WRITE | (roll(twin, 2) ? OPEN_CREATE : 0) |
			(roll(twin, 4) ? 0 : OPEN_EXCLUSIVE) | (roll(twin, 4) ? 0 : OPEN_TRUNCATE);
	int flags = O_RDWR | O_NOFOLLOW | (wire & OPEN_CREATE ? O_CREAT : 0) |
		    (wire & OPEN_EXCLUSIVE ? O_EXCL : 0) | (wire & OPEN_TRUNCATE ? O_TRUNC : 0);
	uint32_t mode = 0600 | roll(twin, 0100), number;
	uint64_t offset = roll(twin, 50);
	size_t len = roll(twin, sizeof(text));
	struct buf result = BUF_INIT(FRAME_BODY_MAX);
	char there[200];
	int fd, code;

	/* EXCLUSIVE means nothing alone, and what is no file is another test's. */
	if (!is_openable(twin->model, path) || (flags & (O_CREAT | O_EXCL)) == O_EXCL)
		return *model = 0;
	fd = openat(twin->model, path, flags, mode);
	*model = code_of(fd);
	code = call_session(twin, OP_OPEN, args_of("sww", path, wire, mode), &result);
	if (fd < 0 || code) {
		buf_free(&result);
		return code;
	}
	struct unpack in = unpack_from(result.data, result.len);

	number = unpack_u32(&in);
	assert_int_equal(pwrite(fd, text, len, (off_t)offset), (ssize_t)len);
	assert_int_equal(
		call_session(twin, OP_WRITE, args_of("wqbr", number, offset, 0, text, len), NULL),
		0);
	assert_int_equal(
		call_session(twin, OP_READ, args_of("wqw", number, (uint64_t)3, 150u), &result), 0);
	assert_int_equal(pread(fd, there, 150, 3), (ssize_t)result.len);
	assert_memory_equal(there, result.len ? result.data : "", result.len);
	assert_int_equal(call_session(twin, OP_CLOSE, args_of("w", number), NULL), 0);
	close(fd);
	buf_free(&result);
	return code;
}

static int step_setattr(struct twin *twin, int *model)
{
	const char *path = any_path(twin);
	struct ws_attr attr = {
		.mode = 0700 | roll(twin, 0100),
		.mtime = { .tv_sec = roll(twin, 1000), .tv_nsec = roll(twin, 1000) },
	};
	struct timespec times[2] = { { .tv_nsec = UTIME_OMIT }, attr.mtime };
	struct buf packed = BUF_INIT(OPS_ATTR_SIZE), args;
	bool is_mode = roll(twin, 2);
	struct stat st;

	/* What chmod without following says of links differs between C libraries. */
	if (fstatat(twin->model, path, &st, AT_SYMLINK_NOFOLLOW) == 0 && S_ISLNK(st.st_mode))
		is_mode = false;
	*model = code_of(is_mode ? fchmodat(twin->model, path, attr.mode, 0) :
				   utimensat(twin->model, path, times, AT_SYMLINK_NOFOLLOW));
	ops_pack_attr(&packed, &attr);
	args = args_of("swwr", path, 0u, is_mode ? WS_SET_MODE : WS_SET_MTIME, packed.data,
		       packed.len);
	buf_free(&packed);
	return call_session(twin, OP_SETATTR, args, NULL);
}

/* The attributes that both must have in common. */
static int step_stat(struct twin *twin, int *model)
{
	const char *path = any_path(twin);
	struct buf result = BUF_INIT(FRAME_BODY_MAX);
	struct ws_attr attr;
	struct stat st;
	int code = call_session(twin, OP_STAT, args_of("s", path), &result);

	*model = code_of(fstatat(twin->model, path, &st, AT_SYMLINK_NOFOLLOW));
	if (code == 0 && *model == 0) {
		attr = attr_of(&result);
		assert_int_equal(attr.mode, st.st_mode);
		assert_int_equal(attr.nlink, st.st_nlink);
		if (!S_ISDIR(st.st_mode))
			assert_int_equal(attr.size, st.st_size);
	}
	buf_free(&result);
	return code;
}

static void test_model(void **state)
{
	static int (*const steps[])(struct twin * twin, int *model) = {
		step_mkdir, step_mkdir, step_remove, step_rename,  step_link, step_symlink,
		step_mknod, step_file,  step_file,   step_setattr, step_stat, step_stat,
	};
	char command[1024];
	struct twin twin = { .seed = 4711 };

	(void)state;
	agent_world_open(&twin.world);
	client_open(&twin.client, &twin.world);
	twin.model = open(twin.world.outside, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	assert_true(twin.model >= 0);
	/* The model's modes are exact, too. */
	umask(0);
	for (int i = 0; i < STEPS; i++) {
		unsigned which = roll(&twin, sizeof(steps) / sizeof(steps[0]));
		int model = -1, code = steps[which](&twin, &model);

		if (code != model)
			fail_msg("step %d of kind %u: %s, but %s", i, which, strerror(code),
				 strerror(model));
	}
	umask(022);
	snprintf(command, sizeof(command),
		 "list() { find . ! -name . -printf '%%p %%y %%m %%n %%l ' "
		 "\\( -type f -printf '%%s ' -exec md5sum {} \\; -o -printf '\\n' \\) | sort; }\n"
		 "(list) >%s/one; cd %s && (list) >%s/two; cmp %s/one %s/two && test -s %s/one",
		 twin.world.top, twin.world.outside, twin.world.top, twin.world.top, twin.world.top,
		 twin.world.top);
	agent_world_run(&twin.world, command);
	close(twin.model);
	client_close(&twin.client);
	agent_world_close(&twin.world);
}

/* Which of two names is judged first shows where both are wrong. */
static void test_link_pairs(void **state)
{
	static const char plant[] = "mkdir d; echo x >f; ln -s d ld; ln -s f lf; ln -s no l; "
				    "ln -s loop loop; mkfifo p; touch d/f";
	static const char *const paths[] = {
		"",     "f",      "d",    "l",   "ld",   "p",    "no",    "f/x",    "d/f",
		"d/no", "d/no/x", "no/x", "l/x", "lf/x", "ld/f", "ld/no", "loop/x", "loop",
	};
	enum { COUNT = sizeof(paths) / sizeof(paths[0]) };
	struct twin twin = { 0 };

	(void)state;
	agent_world_open(&twin.world);
	client_open(&twin.client, &twin.world);
	twin.model = open(twin.world.outside, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	agent_world_run(&twin.world, plant);
	agent_world_run(&twin.world, "cp -a . ../outside");
	for (int i = 0; i < COUNT * COUNT; i++) {
		const char *from = paths[i / COUNT], *to = paths[i % COUNT];
		int model = code_of(
			linkat(twin.model, *from ? from : ".", twin.model, *to ? to : ".", 0));
		int code = call_session(&twin, OP_LINK, args_of("ss", from, to), NULL);

		if (code != model)
			fail_msg("link '%s' '%s': %s, but %s", from, to, strerror(code),
				 strerror(model));
		if (!code) {
			unlinkat(twin.model, to, 0);
			unlinkat(twin.world.dir, to, 0);
		}
	}
	close(twin.model);
	client_close(&twin.client);
	agent_world_close(&twin.world);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_model),
		cmocka_unit_test(test_link_pairs),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
