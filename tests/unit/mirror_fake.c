/*
 * mirror_fake.c - workspace.h and guest.h as the mirror uses them, over a directory.
 */
#include "mirror_fake.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/statvfs.h>
#include <unistd.h>

#include "fs/vnode.h"
#include "protocol/address.h"
#include "protocol/guest.h"

struct fake_guest fake;

struct ws_file {
	int fd;
};

void fake_begin(void)
{
	fake = (struct fake_guest){ .path = "/tmp/mirror-test-XXXXXX", .refs = 0 };
	if (!mkdtemp(fake.path))
		abort();
	fake.root = open(fake.path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
}

static void remove_below(int dir)
{
	DIR *list = fdopendir(dir);
	const struct dirent *entry;

	while ((entry = readdir(list))) {
		if (!strcmp(entry->d_name, ".") || !strcmp(entry->d_name, ".."))
			continue;
		if (!unlinkat(dirfd(list), entry->d_name, 0))
			continue;
		remove_below(openat(dirfd(list), entry->d_name, O_RDONLY | O_DIRECTORY));
		unlinkat(dirfd(list), entry->d_name, AT_REMOVEDIR);
	}
	closedir(list);
}

void fake_end(void)
{
	remove_below(fake.root);
	rmdir(fake.path);
}

void fake_put(const char *path, const char *text)
{
	int fd;

	if (!text) {
		if (mkdirat(fake.root, path, 0755))
			abort();
		return;
	}
	fd = openat(fake.root, path, O_WRONLY | O_CREAT | O_TRUNC, 0644);
	if (fd < 0 || write(fd, text, strlen(text)) != (ssize_t)strlen(text))
		abort();
	close(fd);
}

const char *fake_get(const char *path)
{
	static char text[256];
	int fd = openat(fake.root, path, O_RDONLY);
	ssize_t len = fd < 0 ? 0 : read(fd, text, sizeof(text) - 1);

	text[len] = '\0';
	if (fd >= 0)
		close(fd);
	return fd < 0 ? NULL : text;
}

/* What every call begins with. */
static int begin(void)
{
	int rc = fake.fail;

	fake.calls++;
	fake.fail = 0;
	if (fake.before) {
		void (*before)(void) = fake.before;

		fake.before = NULL;
		before();
	}
	return rc;
}

static void convert(const struct stat *st, struct ws_attr *out)
{
	*out = (struct ws_attr){
		.ino = st->st_ino,
		.dev = st->st_dev,
		.mode = st->st_mode,
		.nlink = (uint32_t)st->st_nlink,
		.uid = 1234,
		.gid = 5678,
		.rdev = st->st_rdev,
		.size = st->st_size,
		.blocks = st->st_blocks,
		.atime = st->st_atim,
		.mtime = st->st_mtim,
		.ctime = st->st_ctim,
	};
	if (fake.lie)
		fake.lie(out);
}

static int stat_at(const char *path, struct ws_attr *out)
{
	struct stat st;

	if (fstatat(fake.root, path, &st, AT_SYMLINK_NOFOLLOW | AT_EMPTY_PATH))
		return -errno;
	convert(&st, out);
	return 0;
}

int ws_stat(struct workspace *ws, const struct call *call, const char *path, struct ws_attr *out,
	    struct error *err)
{
	int rc = begin();

	(void)ws, (void)call, (void)err;
	return rc ? rc : stat_at(path, out);
}

int ws_list(struct workspace *ws, const struct call *call, const char *path, ws_list_fn each,
	    void *arg, struct error *err)
{
	const struct dirent *entry;
	struct ws_attr attr;
	int rc = begin();
	DIR *list;
	int dir;

	(void)ws, (void)call, (void)err;
	if (rc)
		return rc;
	dir = openat(fake.root, *path ? path : ".", O_RDONLY | O_DIRECTORY);
	list = dir < 0 ? NULL : fdopendir(dir);
	if (!list)
		return -errno;
	while (!rc && (entry = readdir(list))) {
		struct stat st;

		if (!strcmp(entry->d_name, ".") || !strcmp(entry->d_name, "..") ||
		    fstatat(dirfd(list), entry->d_name, &st, AT_SYMLINK_NOFOLLOW))
			continue;
		convert(&st, &attr);
		rc = each(arg, entry->d_name, &attr);
	}
	closedir(list);
	if (!rc && fake.extra_name && !stat_at("", &attr))
		rc = each(arg, fake.extra_name, &attr);
	return rc;
}

int ws_readlink(struct workspace *ws, const struct call *call, const char *path, char *target,
		size_t size, struct error *err)
{
	int rc = begin();
	ssize_t len;

	(void)ws, (void)call, (void)err;
	if (rc)
		return rc;
	len = readlinkat(fake.root, path, target, size - 1);
	if (len < 0)
		return -errno;
	target[len] = '\0';
	return 0;
}

int ws_mkdir(struct workspace *ws, const struct call *call, const char *path, mode_t mode,
	     struct ws_attr *out, struct error *err)
{
	int rc = begin();

	(void)ws, (void)call, (void)err;
	if (!rc && mkdirat(fake.root, path, mode))
		rc = -errno;
	return rc ? rc : stat_at(path, out);
}

int ws_rmdir(struct workspace *ws, const struct call *call, const char *path, struct error *err)
{
	int rc = begin();

	(void)ws, (void)call, (void)err;
	return rc ? rc : unlinkat(fake.root, path, AT_REMOVEDIR) ? -errno : 0;
}

int ws_unlink(struct workspace *ws, const struct call *call, const char *path, struct error *err)
{
	int rc = begin();

	(void)ws, (void)call, (void)err;
	return rc ? rc : unlinkat(fake.root, path, 0) ? -errno : 0;
}

int ws_symlink(struct workspace *ws, const struct call *call, const char *target, const char *path,
	       struct ws_attr *out, struct error *err)
{
	int rc = begin();

	(void)ws, (void)call, (void)err;
	if (!rc && symlinkat(target, fake.root, path))
		rc = -errno;
	return rc ? rc : stat_at(path, out);
}

int ws_link(struct workspace *ws, const struct call *call, const char *from, const char *to,
	    struct ws_attr *out, struct error *err)
{
	int rc = begin();

	(void)ws, (void)call, (void)err;
	if (!rc && linkat(fake.root, from, fake.root, to, 0))
		rc = -errno;
	return rc ? rc : stat_at(to, out);
}

int ws_mknod(struct workspace *ws, const struct call *call, const char *path, mode_t mode,
	     struct ws_attr *out, struct error *err)
{
	int rc = begin();

	(void)ws, (void)call, (void)err;
	if (!rc && mknodat(fake.root, path, mode, 0))
		rc = -errno;
	return rc ? rc : stat_at(path, out);
}

int ws_rename(struct workspace *ws, const struct call *call, const char *from, const char *to,
	      unsigned flags, struct error *err)
{
	int rc = begin();

	(void)ws, (void)call, (void)err;
	return rc ? rc : renameat2(fake.root, from, fake.root, to, flags) ? -errno : 0;
}

int ws_setattr(struct workspace *ws, const struct call *call, const char *path,
	       struct ws_file *file, unsigned mask, const struct ws_attr *in, struct ws_attr *out,
	       struct error *err)
{
	char proc[64];
	int rc = begin();
	int fd = file ? file->fd : openat(fake.root, path, O_PATH | O_NOFOLLOW);

	(void)ws, (void)call, (void)err;
	snprintf(proc, sizeof(proc), "/proc/self/fd/%d", fd);
	if (!rc && fd < 0)
		rc = -errno;
	if (!rc && mask & WS_SET_MODE && chmod(proc, in->mode))
		rc = -errno;
	if (!rc && mask & WS_SET_SIZE && truncate(proc, in->size))
		rc = -errno;
	if (!rc && mask & (WS_SET_ATIME | WS_SET_MTIME)) {
		struct timespec times[2] = { { .tv_nsec = UTIME_OMIT }, { .tv_nsec = UTIME_OMIT } };

		if (mask & WS_SET_ATIME)
			times[0] = in->atime;
		if (mask & WS_SET_MTIME)
			times[1] = in->mtime;
		if (utimensat(AT_FDCWD, proc, times, 0))
			rc = -errno;
	}
	if (!rc) {
		struct stat st;

		fstatat(fd, "", &st, AT_EMPTY_PATH);
		convert(&st, out);
	}
	if (!file && fd >= 0)
		close(fd);
	return rc;
}

int ws_statfs(struct workspace *ws, const struct call *call, struct ws_statfs *out,
	      struct error *err)
{
	int rc = begin();

	(void)ws, (void)call, (void)err;
	*out = (struct ws_statfs){ .block_size = 0, .blocks = 10, .name_max = 100000 };
	return rc;
}

int ws_open(struct workspace *ws, const struct call *call, const char *path, int flags, mode_t mode,
	    struct ws_file **out, struct ws_attr *attr, struct error *err)
{
	struct stat st;
	int rc = begin();
	int fd;

	(void)ws, (void)call, (void)err;
	if (rc)
		return rc;
	fd = openat(fake.root, path, flags | O_NOFOLLOW, mode);
	if (fd < 0)
		return -errno;
	fstat(fd, &st);
	convert(&st, attr);
	*out = malloc(sizeof(**out));
	(*out)->fd = fd;
	fake.open_files++;
	return 0;
}

int ws_close(struct ws_file *file, const struct call *call, struct error *err)
{
	(void)call;
	begin();
	close(file->fd);
	free(file);
	fake.open_files--;
	if (fake.close_error)
		return error_set(err, -fake.close_error, "the fake says so");
	return 0;
}

ssize_t ws_read(struct ws_file *file, const struct call *call, int64_t offset, void *bytes,
		size_t len, struct error *err)
{
	ssize_t got = pread(file->fd, bytes, len, offset);

	(void)call, (void)err;
	return got < 0 ? -errno : got;
}

int ws_write(struct ws_file *file, const struct call *call, int64_t offset, const void *bytes,
	     size_t len, struct error *err)
{
	int rc = begin();

	(void)call, (void)err;
	return rc ? rc : pwrite(file->fd, bytes, len, offset) < 0 ? -errno : 0;
}

int ws_flush(struct ws_file *file, const struct call *call, struct error *err)
{
	(void)file, (void)call, (void)err;
	fake.flushes++;
	return begin();
}

int ws_fsync(struct ws_file *file, const struct call *call, bool data_only, struct error *err)
{
	(void)file, (void)call, (void)err, (void)data_only;
	return begin();
}

int ws_fstat(struct ws_file *file, const struct call *call, struct ws_attr *out, struct error *err)
{
	struct stat st;
	int rc = begin();

	(void)call, (void)err;
	if (!rc && fstat(file->fd, &st))
		rc = -errno;
	if (!rc)
		convert(&st, out);
	return rc;
}

int ws_sync(struct workspace *ws, const struct call *call, struct error *err)
{
	int rc = begin();

	(void)ws, (void)call;
	fake.syncs++;
	return rc ? error_set(err, -rc, "the fake says so") : 0;
}

struct guest *guest_ref(struct guest *guest)
{
	fake.refs++;
	return guest;
}

void guest_unref(struct guest *guest)
{
	(void)guest;
	fake.refs--;
}

struct workspace *guest_workspace(struct guest *guest)
{
	return (struct workspace *)guest;
}

const struct address *guest_address(struct guest *guest)
{
	static const struct address address = { .name = "fake" };

	(void)guest;
	return &address;
}

/* A read's request is its call, here. */
const struct call *vn_req_call(struct vn_req *req)
{
	return (const struct call *)(const void *)req;
}
