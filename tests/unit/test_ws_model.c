/*
 * test_ws_model.c - random operations, done through the workspace and by system calls in a plain
 * directory: results, errnos and trees have to be the same.
 *
 * VSOCKFS_MODEL_SEED repeats a run, VSOCKFS_MODEL_STEPS makes it longer.
 */
#include "ws_fixture.h"

#include <dirent.h>
#include <time.h>

#define HANDLES 5
#define SIZE_MAX_MODEL 60000

struct pair {
	struct lws_file *file;
	int fd;
	int flags;
};

struct model {
	struct fixture *f;
	char dir[64];
	unsigned seed;
	struct pair open[HANDLES];
	bool unsure_links; /* a link in the staging directory may be unknown to this side */
};

static const char *const names[] = { "a", "b", " c\n", "\xff-d", "dir", "dir2" };

static int pick(struct model *m, int below)
{
	return rand_r(&m->seed) % below;
}

/* A path of one to three components, in one of a few static buffers. */
static const char *some_path(struct model *m)
{
	static char buffers[2][200];
	static int next;
	char *out = buffers[next++ % 2];
	int depth = 1 + pick(m, 3) * pick(m, 2);

	out[0] = '\0';
	for (int i = 0; i < depth; i++) {
		size_t len = strlen(out);

		snprintf(out + len, sizeof(buffers[0]) - len, "%s%s", i ? "/" : "",
			 i + 1 < depth ? names[4 + pick(m, 2)] : names[pick(m, 6)]);
	}
	return out;
}

/* Where the plain directory has PATH. */
static const char *plain(struct model *m, const char *path)
{
	static char buffers[2][400];
	static int next;
	char *out = buffers[next++ % 2];

	snprintf(out, sizeof(buffers[0]), "%s/%s", m->dir, path);
	return out;
}

static int result(int rc)
{
	return rc < 0 ? -errno : 0;
}

static void same(struct model *m, const char *what, const char *path, long long got,
		 long long expected)
{
	if (got == expected)
		return;
	print_error("%s of '%s': %lld (%s), a plain directory gives %lld (%s)\n", what, path, got,
		    m->f->err.text, expected, strerror((int)-expected));
	fail();
}

static void same_attr(struct model *m, const char *path, const struct ws_attr *attr,
		      const struct stat *st)
{
	same(m, "mode", path, attr->mode, st->st_mode);
	if (!m->unsure_links && !S_ISDIR(st->st_mode))
		same(m, "nlink", path, attr->nlink, (long long)st->st_nlink);
	if (S_ISREG(st->st_mode))
		same(m, "size", path, attr->size, st->st_size);
}

/* The next request is run but its answer is not heard, sometimes. */
static bool maybe_interrupt(struct model *m)
{
	/* so that the next request is the change itself */
	same(m, "settle", "", ws_names_settle(m->f->ws, &m->f->call, &m->f->err), 0);
	m->f->guest->fault = pick(m, 2) ? FAKE_INTERRUPT : FAKE_REFUSE;
	m->f->guest->faults = pick(m, 8) == 0;
	return m->f->guest->faults;
}

static void do_open(struct model *m)
{
	static const int modes[] = { 0600, 0644, 0444, 0755 };
	static const int extra[] = {
		0,        O_CREAT,           O_CREAT | O_EXCL, O_TRUNC, O_CREAT | O_TRUNC,
		O_APPEND, O_CREAT | O_APPEND
	};
	struct pair *pair = &m->open[pick(m, HANDLES)];
	int flags = (pick(m, 4) ? O_RDWR : O_WRONLY) | extra[pick(m, 7)];
	mode_t mode = (mode_t)modes[pick(m, 4)];
	const char *path = some_path(m);
	struct ws_attr attr;
	struct stat st;
	int rc;

	if (pair->file)
		return;
	rc = lws_open(m->f->ws, &m->f->call, path, flags, mode, &pair->file, &attr, &m->f->err);
	pair->fd = open(plain(m, path), flags | O_NOFOLLOW, mode);
	same(m, "open", path, rc, result(pair->fd));
	if (rc) {
		pair->file = NULL;
		return;
	}
	pair->flags = flags;
	fstat(pair->fd, &st);
	same_attr(m, path, &attr, &st);
}

static struct pair *some_handle(struct model *m)
{
	struct pair *pair = &m->open[pick(m, HANDLES)];

	return pair->file ? pair : NULL;
}

static void do_write(struct model *m)
{
	struct pair *pair = some_handle(m);
	size_t len = (size_t)(pick(m, 3) ? pick(m, 300) : pick(m, SIZE_MAX_MODEL / 2));
	int64_t offset = pick(m, 2) ? pick(m, 600) : pick(m, SIZE_MAX_MODEL / 2);
	static char bytes[SIZE_MAX_MODEL];
	struct stat st;

	if (!pair)
		return;
	fstat(pair->fd, &st);
	if (pair->flags & O_APPEND && st.st_size > SIZE_MAX_MODEL)
		return;
	for (size_t i = 0; i < len; i++)
		bytes[i] = (char)pick(m, 256);
	same(m, "write", "", lws_write(pair->file, &m->f->call, offset, bytes, len, &m->f->err), 0);
	assert_int_equal(pwrite(pair->fd, bytes, len, offset), len);
}

static void do_read(struct model *m)
{
	struct pair *pair = some_handle(m);
	static char got[SIZE_MAX_MODEL], expected[SIZE_MAX_MODEL];
	size_t len = (size_t)pick(m, SIZE_MAX_MODEL);
	int64_t offset = pick(m, 2) ? 0 : pick(m, SIZE_MAX_MODEL);
	ssize_t count, wanted;

	if (!pair || (pair->flags & O_ACCMODE) == O_WRONLY)
		return;
	count = lws_read(pair->file, &m->f->call, offset, got, len, &m->f->err);
	wanted = pread(pair->fd, expected, len, offset);
	same(m, "read", "", count, wanted);
	assert_memory_equal(got, expected, (size_t)wanted);
}

/* A flush whose answer was lost is made again. */
static void do_flush(struct model *m)
{
	struct pair *pair = some_handle(m);
	struct ws_attr attr;
	struct stat st;
	int rc;

	if (!pair)
		return;
	if (maybe_interrupt(m)) {
		rc = lws_flush(pair->file, &m->f->call, &m->f->err);
		if (rc && rc != -EINTR && rc != -ENOTCONN)
			same(m, "flush", "", rc, 0);
		m->f->guest->faults = 0;
	}
	rc = pick(m, 2) ? lws_flush(pair->file, &m->f->call, &m->f->err) :
			  lws_fsync(pair->file, &m->f->call, pick(m, 2), &m->f->err);
	same(m, "flush", "", rc, 0);
	same(m, "fstat", "", lws_fstat(pair->file, &m->f->call, &attr, &m->f->err), 0);
	fstat(pair->fd, &st);
	same_attr(m, "(open)", &attr, &st);
}

static void close_pair(struct model *m, struct pair *pair)
{
	if (!pair->file)
		return;
	if (pick(m, 2))
		same(m, "flush", "", lws_flush(pair->file, &m->f->call, &m->f->err), 0);
	same(m, "close", "", lws_close(pair->file, &m->f->call, &m->f->err), 0);
	close(pair->fd);
	pair->file = NULL;
}

static void do_close(struct model *m)
{
	close_pair(m, &m->open[pick(m, HANDLES)]);
}

static void do_setattr(struct model *m)
{
	struct pair *pair = some_handle(m);
	const char *path = some_path(m);
	struct ws_attr in = { .mode = (mode_t)(pick(m, 512) | 0400),
			      .size = pick(m, 2000),
			      .mtime = { .tv_sec = pick(m, 1000000) } };
	const struct timespec times[2] = { { .tv_nsec = UTIME_OMIT }, in.mtime };
	struct ws_attr attr;
	struct stat st = { 0 };
	unsigned mask = (unsigned)(pick(m, 2) ? WS_SET_SIZE :
				   pick(m, 2) ? WS_SET_MODE :
						WS_SET_MTIME);
	int rc;

	lstat(plain(m, path), &st);
	if (!pair && (S_ISLNK(st.st_mode) && mask != WS_SET_MTIME))
		return;
	rc = lws_setattr(m->f->ws, &m->f->call, path, pair ? pair->file : NULL, mask, &in, &attr,
			 &m->f->err);
	if (pair) {
		path = "(open)";
		if (mask == WS_SET_SIZE)
			same(m, "ftruncate", path, rc, result(ftruncate(pair->fd, in.size)));
		else if (mask == WS_SET_MODE)
			same(m, "fchmod", path, rc, result(fchmod(pair->fd, in.mode)));
		else
			same(m, "futimens", path, rc, result(futimens(pair->fd, times)));
		fstat(pair->fd, &st);
	} else {
		path = plain(m, path);
		if (mask == WS_SET_SIZE)
			same(m, "truncate", path, rc, result(truncate(path, in.size)));
		else if (mask == WS_SET_MODE)
			same(m, "chmod", path, rc, result(chmod(path, in.mode)));
		else
			same(m, "utimens", path, rc,
			     result(utimensat(AT_FDCWD, path, times, AT_SYMLINK_NOFOLLOW)));
		lstat(path, &st);
	}
	if (rc)
		return;
	same_attr(m, path, &attr, &st);
	if (mask == WS_SET_MTIME)
		same(m, "mtime", path, attr.mtime.tv_sec, st.st_mtim.tv_sec);
}

static void do_rename(struct model *m)
{
	const char *from = some_path(m), *to = some_path(m);
	unsigned flags = pick(m, 4) ? 0 : RENAME_NOREPLACE;
	bool lost = maybe_interrupt(m);
	int rc = lws_rename(m->f->ws, &m->f->call, from, to, flags, &m->f->err);

	m->f->guest->faults = 0;
	if (lost && rc == -ENOTCONN)
		return;
	if (lost)
		m->unsure_links = true;
	if (renameat2(AT_FDCWD, plain(m, from), AT_FDCWD, plain(m, to), flags) == 0)
		same(m, "rename", from, rc, lost ? -EINTR : 0);
	else if (!lost)
		same(m, "rename", from, rc, -errno);
}

static void do_unlink(struct model *m)
{
	const char *path = some_path(m);
	bool lost = maybe_interrupt(m);
	int rc = lws_unlink(m->f->ws, &m->f->call, path, &m->f->err);

	m->f->guest->faults = 0;
	if (lost && rc == -ENOTCONN)
		return;
	if (lost)
		m->unsure_links = true;
	if (unlink(plain(m, path)) == 0)
		same(m, "unlink", path, rc, lost ? -EINTR : 0);
	else if (!lost)
		same(m, "unlink", path, rc, -errno);
}

static void do_name(struct model *m)
{
	const char *path = some_path(m), *other = some_path(m);
	struct fixture *f = m->f;
	struct ws_attr attr;
	char target[300];
	int rc, expected;

	switch (pick(m, 4)) {
	case 0:
		rc = lws_mkdir(f->ws, &f->call, path, 0755, &attr, &f->err);
		expected = result(mkdir(plain(m, path), 0755));
		break;
	case 1:
		rc = lws_rmdir(f->ws, &f->call, path, &f->err);
		expected = result(rmdir(plain(m, path)));
		break;
	case 2:
		/* leads nowhere: the kernel never hands over a path with a link in its middle */
		snprintf(target, sizeof(target), "no/%s", other);
		rc = lws_symlink(f->ws, &f->call, target, path, &attr, &f->err);
		expected = result(symlink(target, plain(m, path)));
		break;
	default:
		rc = lws_link(f->ws, &f->call, path, other, &attr, &f->err);
		expected = result(link(plain(m, path), plain(m, other)));
	}
	same(m, "a name", path, rc, expected);
}

static void do_stat(struct model *m)
{
	const char *path = some_path(m);
	char target[5000], wanted[5000];
	struct ws_attr attr;
	struct stat st;
	ssize_t len;
	int rc = lws_stat(m->f->ws, &m->f->call, path, &attr, &m->f->err);

	same(m, "stat", path, rc, result(lstat(plain(m, path), &st)));
	if (!rc)
		same_attr(m, path, &attr, &st);
	rc = lws_readlink(m->f->ws, &m->f->call, path, target, sizeof(target), &m->f->err);
	len = readlink(plain(m, path), wanted, sizeof(wanted) - 1);
	same(m, "readlink", path, rc, result((int)len));
	if (!rc) {
		wanted[len] = '\0';
		assert_string_equal(target, wanted);
	}
}

struct listed {
	struct model *m;
	const char *path;
	int count;
};

static int compare_entry(void *arg, const char *name, const struct ws_attr *attr);

static void compare_dir(struct model *m, const char *path)
{
	struct listed listed = { .m = m, .path = path };
	DIR *dir = opendir(plain(m, path));
	int count = -2; /* . and .. */

	assert_non_null(dir);
	while (readdir(dir))
		count++;
	closedir(dir);
	same(m, "list", path,
	     lws_list(m->f->ws, &m->f->call, path, compare_entry, &listed, &m->f->err), 0);
	same(m, "entries", path, listed.count, count);
}

/* Behind the workspace's back: everything is in the guest. */
static void compare_contents(struct model *m, const char *path)
{
	static char got[SIZE_MAX_MODEL * 3], expected[SIZE_MAX_MODEL * 3];
	int fd = open(ws_real(m->f, path), O_RDONLY), plain_fd = open(plain(m, path), O_RDONLY);
	ssize_t len = read(plain_fd, expected, sizeof(expected));

	same(m, "size", path, read(fd, got, sizeof(got)), len);
	assert_memory_equal(got, expected, (size_t)len);
	close(fd);
	close(plain_fd);
}

static int compare_entry(void *arg, const char *name, const struct ws_attr *attr)
{
	struct listed *listed = arg;
	char path[300];
	struct stat st;

	listed->count++;
	snprintf(path, sizeof(path), "%s%s%s", listed->path, *listed->path ? "/" : "", name);
	same(listed->m, "entry", path, result(lstat(plain(listed->m, path), &st)), 0);
	same_attr(listed->m, path, attr, &st);
	if (S_ISDIR(st.st_mode))
		compare_dir(listed->m, path);
	else if (S_ISREG(st.st_mode))
		compare_contents(listed->m, path);
	return 0;
}

static void compare(struct model *m)
{
	same(m, "sync", "", lws_sync(m->f->ws, &m->f->call, &m->f->err), 0);
	compare_dir(m, "");
}

static void step(struct model *m)
{
	static void (*const actions[])(struct model * m) = {
		do_open, do_open, do_open,  do_write,   do_write,   do_write,  do_write,
		do_read, do_read, do_flush, do_close,   do_rename,  do_rename, do_unlink,
		do_name, do_name, do_name,  do_setattr, do_setattr, do_stat,
	};

	m->f->call = call_within(60, NULL);
	actions[pick(m, sizeof(actions) / sizeof(*actions))](m);
}

static void test_model(void **state)
{
	FIXTURE;
	const char *seed = getenv("VSOCKFS_MODEL_SEED"), *steps = getenv("VSOCKFS_MODEL_STEPS");
	struct model m = { .f = f, .dir = "/tmp/ws-model-XXXXXX" };
	int count = steps ? atoi(steps) : 600;
	char command[200];

	m.seed = seed ? (unsigned)strtoul(seed, NULL, 10) : (unsigned)time(NULL);
	print_message("VSOCKFS_MODEL_SEED=%u\n", m.seed);
	assert_non_null(mkdtemp(m.dir));
	umask(0);
	for (int i = 0; i < count; i++) {
		step(&m);
		if (i % 50 == 49)
			compare(&m);
	}
	for (int i = 0; i < HANDLES; i++)
		close_pair(&m, &m.open[i]);
	compare(&m);
	snprintf(command, sizeof(command), "chmod -R u+rwX '%s'; rm -rf '%s'", m.dir, m.dir);
	assert_int_equal(system(command), 0); /* NOLINT(cert-env33-c): rm -rf */
}

static const struct CMUnitTest tests[] = { ws_test(test_model) };

WS_MAIN
