/*
 * test_ws_names.c - directories, links and renames through the workspace, with names of any bytes.
 */
#include <sched.h>
#include <stdbool.h>
#include <sys/mount.h>
#include <sys/stat.h>

#include "ws_fixture.h"

static const char *const odd_names[] = {
	" ",          " both ends ", "-rf",          "--",
	"new\nline",  "\n",          "tab\t",        "quote'",
	"\"$HOME`x`", "back\\n",     "\xff\xfe bad", "\x81\x82",
	"*?[a]",      "a b",         "%n%s",         "\xc3\xa9",
	"~",          "#",           "...",          "\r",
};

struct seen {
	char names[64][LIMIT_NAME + 1];
	struct ws_attr attrs[64];
	int count;
};

static int see(void *arg, const char *name, const struct ws_attr *attr)
{
	struct seen *seen = arg;

	if (seen->count == 64)
		return -E2BIG;
	snprintf(seen->names[seen->count], sizeof(seen->names[0]), "%s", name);
	seen->attrs[seen->count++] = *attr;
	return 0;
}

static const struct ws_attr *find(const struct seen *seen, const char *name)
{
	for (int i = 0; i < seen->count; i++)
		if (!strcmp(seen->names[i], name))
			return &seen->attrs[i];
	return NULL;
}

/* Every operation, on every odd name. */
static void test_odd_names(void **state)
{
	FIXTURE;
	char path[600], other[600], target[5000];
	struct seen seen = { 0 };

	for (size_t i = 0; i < sizeof(odd_names) / sizeof(*odd_names); i++) {
		const char *name = odd_names[i];
		struct lws_file *file;

		seen.count = 0;
		ok(f, lws_mkdir(f->ws, &f->call, name, 0751, &f->attr, &f->err));
		assert_int_equal(f->attr.mode, S_IFDIR | 0751);
		snprintf(path, sizeof(path), "%s/%s", name, name);
		snprintf(other, sizeof(other), "%s/%s2", name, name);
		file = ws_must_open(f, path, O_RDWR | O_CREAT, 0644);
		ws_must_write(f, file, 0, name);
		ws_must_close(f, file);
		ws_has(f, path, name);
		ok(f, lws_rename(f->ws, &f->call, path, other, 0, &f->err));
		ok(f, lws_symlink(f->ws, &f->call, name, path, &f->attr, &f->err));
		assert_true(S_ISLNK(f->attr.mode));
		ok(f, lws_readlink(f->ws, &f->call, path, target, sizeof(target), &f->err));
		assert_string_equal(target, name);
		ok(f, lws_list(f->ws, &f->call, name, see, &seen, &f->err));
		assert_int_equal(seen.count, 2);
		assert_non_null(find(&seen, name));
		assert_int_equal(find(&seen, strrchr(other, '/') + 1)->size, strlen(name));
		ok(f, lws_unlink(f->ws, &f->call, path, &f->err));
		ok(f, lws_unlink(f->ws, &f->call, other, &f->err));
		ok(f, lws_rmdir(f->ws, &f->call, name, &f->err));
	}
}

static void test_list(void **state)
{
	FIXTURE;
	struct seen seen = { 0 };
	struct lws_file *file;
	int before;

	ok(f, lws_mkdir(f->ws, &f->call, "dir", 0755, &f->attr, &f->err));
	ws_put(f, "file", "12345");
	mkdir(ws_real(f, ".vsockfs-feedfeedfeedfeed"), 0755);
	assert_int_equal(mkfifo(ws_real(f, "fifo"), 0600), 0);
	file = ws_must_open(f, "file", O_RDWR, 0);
	ws_must_write(f, file, 5, "6789");
	before = f->guest->execs;
	ok(f, lws_list(f->ws, &f->call, "", see, &seen, &f->err));
	assert_int_equal(f->guest->execs, before + 1);
	assert_int_equal(seen.count, 3);
	assert_true(S_ISDIR(find(&seen, "dir")->mode));
	assert_true(S_ISFIFO(find(&seen, "fifo")->mode));
	assert_int_equal(find(&seen, "file")->size, 9); /* with what is unsent */
	ws_must_close(f, file);

	seen.count = 0;
	ok(f, lws_list(f->ws, &f->call, "dir", see, &seen, &f->err));
	assert_int_equal(seen.count, 0);
	assert_int_equal(lws_list(f->ws, &f->call, "file", see, &seen, &f->err), -ENOTDIR);
	assert_int_equal(lws_list(f->ws, &f->call, "none", see, &seen, &f->err), -ENOENT);
	ok(f, lws_symlink(f->ws, &f->call, "dir", "link", &f->attr, &f->err));
	assert_int_equal(lws_list(f->ws, &f->call, "link", see, &seen, &f->err), -ENOTDIR);
	rmdir(ws_real(f, ".vsockfs-feedfeedfeedfeed"));
}

static int count(void *arg, const char *name, const struct ws_attr *attr)
{
	size_t *sum = arg;

	sum[0]++;
	sum[1] += (size_t)attr->size + strlen(name);
	return sum[0] == sum[2] ? -ECANCELED : 0;
}

/* A listing that is too large for one reply comes in ranges. */
static void test_list_large(void **state)
{
	FIXTURE;
	size_t sum[3] = { 0 };
	char name[256];
	int fd, names = 1000;

	f->ws->range = 65536;
	memset(name, 'n', sizeof(name));
	for (int i = 0; i < names; i++) {
		snprintf(name + 240, 16, "%06d", i);
		fd = open(ws_real(f, name), O_CREAT | O_WRONLY, 0644);
		assert_true(fd >= 0);
		close(fd);
	}
	ok(f, lws_list(f->ws, &f->call, "", count, sum, &f->err));
	assert_int_equal(sum[0], names);
	assert_int_equal(sum[1], names * 246);
	sum[0] = 0;
	sum[2] = 5;
	assert_int_equal(lws_list(f->ws, &f->call, "", count, sum, &f->err), -ECANCELED);
}

static void test_errors(void **state)
{
	FIXTURE;
	char target[100], long_name[300];

	ws_put(f, "file", "x");
	ok(f, lws_mkdir(f->ws, &f->call, "full", 0755, &f->attr, &f->err));
	ws_put(f, "full/x", "x");
	ok(f, lws_mkdir(f->ws, &f->call, "empty", 0755, &f->attr, &f->err));
	assert_int_equal(symlink("file", ws_real(f, "link")), 0);
	memset(long_name, 'x', 299);
	long_name[299] = '\0';

	assert_int_equal(lws_mkdir(f->ws, &f->call, "full", 0755, &f->attr, &f->err), -EEXIST);
	assert_int_equal(lws_mkdir(f->ws, &f->call, "link", 0755, &f->attr, &f->err), -EEXIST);
	assert_int_equal(lws_mkdir(f->ws, &f->call, "no/d", 0755, &f->attr, &f->err), -ENOENT);
	assert_int_equal(lws_mkdir(f->ws, &f->call, "file/d", 0755, &f->attr, &f->err), -ENOTDIR);
	assert_int_equal(lws_mkdir(f->ws, &f->call, ".vsockfs-d", 0755, &f->attr, &f->err), -EPERM);
	assert_int_equal(lws_mkdir(f->ws, &f->call, long_name, 0755, &f->attr, &f->err),
			 -ENAMETOOLONG);
	assert_int_equal(lws_rmdir(f->ws, &f->call, "full", &f->err), -ENOTEMPTY);
	assert_int_equal(lws_rmdir(f->ws, &f->call, "file", &f->err), -ENOTDIR);
	assert_int_equal(lws_rmdir(f->ws, &f->call, "link", &f->err), -ENOTDIR);
	assert_int_equal(lws_rmdir(f->ws, &f->call, "none", &f->err), -ENOENT);
	assert_int_equal(lws_rmdir(f->ws, &f->call, "", &f->err), -EBUSY);
	assert_int_equal(lws_unlink(f->ws, &f->call, "empty", &f->err), -EISDIR);
	assert_int_equal(lws_unlink(f->ws, &f->call, "none", &f->err), -ENOENT);
	assert_int_equal(lws_unlink(f->ws, &f->call, "file/x", &f->err), -ENOTDIR);
	assert_int_equal(lws_stat(f->ws, &f->call, "file/x", &f->attr, &f->err), -ENOTDIR);
	assert_int_equal(lws_symlink(f->ws, &f->call, "t", "file", &f->attr, &f->err), -EEXIST);
	assert_int_equal(lws_symlink(f->ws, &f->call, "t", "empty", &f->attr, &f->err), -EEXIST);
	assert_int_equal(lws_symlink(f->ws, &f->call, "t", "no/l", &f->attr, &f->err), -ENOENT);
	assert_int_equal(lws_symlink(f->ws, &f->call, "", "l", &f->attr, &f->err), -ENOENT);
	assert_int_equal(lws_link(f->ws, &f->call, "none", "l", &f->attr, &f->err), -ENOENT);
	assert_int_equal(lws_link(f->ws, &f->call, "file", "empty", &f->attr, &f->err), -EEXIST);
	assert_int_equal(lws_link(f->ws, &f->call, "empty", "l", &f->attr, &f->err), -EPERM);
	assert_int_equal(lws_link(f->ws, &f->call, "file", "no/l", &f->attr, &f->err), -ENOENT);
	assert_int_equal(lws_mknod(f->ws, &f->call, "n", S_IFCHR | 0600, &f->attr, &f->err),
			 -EPERM);
	assert_int_equal(lws_mknod(f->ws, &f->call, "file", S_IFIFO, &f->attr, &f->err), -EEXIST);
	assert_int_equal(lws_mknod(f->ws, &f->call, "link", S_IFREG, &f->attr, &f->err), -EEXIST);
	assert_int_equal(lws_readlink(f->ws, &f->call, "file", target, 100, &f->err), -EINVAL);
	assert_int_equal(lws_readlink(f->ws, &f->call, "none", target, 100, &f->err), -ENOENT);
	assert_int_equal(lws_readlink(f->ws, &f->call, "link", target, 4, &f->err), -ENAMETOOLONG);
	ok(f, lws_mknod(f->ws, &f->call, "fifo", S_IFIFO | 0620, &f->attr, &f->err));
	assert_int_equal(f->attr.mode, S_IFIFO | 0620);
	ok(f, lws_mknod(f->ws, &f->call, "reg", S_IFREG | 0604, &f->attr, &f->err));
	assert_int_equal(f->attr.mode, S_IFREG | 0604);
	ok(f,
	   lws_link(f->ws, &f->call, "link", "link2", &f->attr, &f->err)); /* of the link itself */
	assert_true(S_ISLNK(f->attr.mode));
	assert_int_equal(f->attr.nlink, 2);
}

static int moves(struct fixture *f, const char *from, const char *to, unsigned flags)
{
	return lws_rename(f->ws, &f->call, from, to, flags, &f->err);
}

static void test_rename(void **state)
{
	FIXTURE;

	ws_put(f, "file", "x");
	ws_put(f, "other", "y");
	ok(f, lws_mkdir(f->ws, &f->call, "full", 0755, &f->attr, &f->err));
	ws_put(f, "full/x", "x");
	ok(f, lws_mkdir(f->ws, &f->call, "empty", 0755, &f->attr, &f->err));
	ok(f, lws_mkdir(f->ws, &f->call, "dir", 0755, &f->attr, &f->err));
	assert_int_equal(link(ws_real(f, "file"), ws_real(f, "file2")), 0);

	assert_int_equal(moves(f, "none", "x", 0), -ENOENT);
	assert_int_equal(moves(f, "file", "none/x", 0), -ENOENT);
	assert_int_equal(moves(f, "file", "other/x", 0), -ENOTDIR);
	assert_int_equal(moves(f, "file", "empty", 0), -EISDIR);
	assert_int_equal(moves(f, "empty", "file", 0), -ENOTDIR);
	assert_int_equal(moves(f, "empty", "full", 0), -ENOTEMPTY);
	assert_int_equal(moves(f, "full", "full/y", 0), -EINVAL);
	assert_int_equal(moves(f, "full/x", "full", 0), -ENOTEMPTY);
	assert_int_equal(moves(f, "", "y", 0), -EBUSY);
	assert_int_equal(moves(f, "file", ".vsockfs-x", 0), -EPERM);
	assert_int_equal(moves(f, "file", "other", RENAME_NOREPLACE), -EEXIST);
	assert_int_equal(moves(f, "dir", "empty", RENAME_NOREPLACE), -EEXIST);
	assert_int_equal(moves(f, "file", "x", RENAME_NOREPLACE | RENAME_EXCHANGE), -EINVAL);
	assert_int_equal(moves(f, "file", "none", RENAME_EXCHANGE), -ENOENT);

	assert_int_equal(moves(f, "file", "file2", 0), 0); /* one inode: nothing happens */
	ws_has(f, "file", "x");
	assert_int_equal(moves(f, "file", "file", 0), 0);
	assert_int_equal(moves(f, "file", "other", 0), 0);
	ws_has(f, "other", "x");
	assert_int_equal(moves(f, "full", "empty", 0), 0);
	ws_has(f, "empty/x", "x");
	assert_int_equal(moves(f, "other", "new", RENAME_NOREPLACE), 0);
	ws_has(f, "new", "x");
	assert_int_equal(access(ws_real(f, "other"), F_OK), -1);
	assert_int_equal(moves(f, "dir", "dir2", RENAME_NOREPLACE), 0);
	assert_int_equal(access(ws_real(f, "dir2"), F_OK), 0);
}

/* Another file system in a directory of the workspace, as long as this process runs. */
static bool mount_at(const char *path)
{
	return unshare(CLONE_NEWNS) == 0 &&
	       mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL) == 0 &&
	       mount("none", path, "tmpfs", 0, NULL) == 0;
}

/* Where mv would copy. */
static void test_other_device(void **state)
{
	FIXTURE;

	assert_int_equal(mkdir(ws_real(f, "other"), 0755), 0);
	if (!mount_at(ws_real(f, "other"))) {
		print_message("nothing can be mounted here: %s\n", strerror(errno));
		skip();
	}
	ws_put(f, "file", "x");
	assert_int_equal(moves(f, "file", "other/file", 0), -EXDEV);
	assert_int_equal(moves(f, "file", "other/file", RENAME_NOREPLACE), -EXDEV);
	assert_int_equal(lws_link(f->ws, &f->call, "file", "other/file", &f->attr, &f->err),
			 -EXDEV);
	assert_int_equal(access(ws_real(f, "other/file"), F_OK), -1);
	ws_has(f, "file", "x");
	assert_int_equal(umount(ws_real(f, "other")), 0);
}

/* Each is one request. */
static void test_requests(void **state)
{
	FIXTURE;

	ok(f, lws_mkdir(f->ws, &f->call, "d", 0755, &f->attr, &f->err));
	ok(f, lws_mknod(f->ws, &f->call, "d/f", S_IFREG | 0644, &f->attr, &f->err));
	ok(f, lws_stat(f->ws, &f->call, "d/f", &f->attr, &f->err));
	ok(f, lws_link(f->ws, &f->call, "d/f", "d/g", &f->attr, &f->err));
	assert_int_equal(f->attr.nlink, 2);
	ok(f, lws_rename(f->ws, &f->call, "d/g", "h", 0, &f->err));
	ok(f, lws_unlink(f->ws, &f->call, "h", &f->err));
	assert_int_equal(f->guest->execs, 6);
}

/* A directory of a daemon that died goes when another one first stages; a younger one stays. */
static void test_sweep(void **state)
{
	FIXTURE;
	struct timespec old[2] = { { .tv_sec = 1000 }, { .tv_sec = 1000 } };
	char *bytes = calloc(1, 100000);
	struct lws_file *file;

	mkdir(ws_real(f, ".vsockfs-old"), 0755);
	ws_put(f, ".vsockfs-old/data", "x");
	mkdir(ws_real(f, ".vsockfs-young"), 0755);
	assert_int_equal(utimensat(AT_FDCWD, ws_real(f, ".vsockfs-old"), old, 0), 0);
	file = ws_must_open(f, "big", O_RDWR | O_CREAT, 0644);
	ok(f, lws_write(file, &f->call, 0, bytes, 100000, &f->err));
	ws_must_close(f, file);
	assert_int_equal(access(ws_real(f, ".vsockfs-old"), F_OK), -1);
	assert_int_equal(rmdir(ws_real(f, ".vsockfs-young")), 0);
	free(bytes);
}

static const struct CMUnitTest tests[] = {
	ws_test(test_odd_names), ws_test(test_list),   ws_test(test_list_large),
	ws_test(test_errors),    ws_test(test_rename), ws_test(test_other_device),
	ws_test(test_requests),  ws_test(test_sweep),
};

WS_MAIN
