/* session_file.c - open files of a session: open, close, read, write, fsync, fstat. */
#include "protocol/agent/session_file.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/uio.h>
#include <unistd.h>

#include "protocol/agent/session_ops.h"
#include "protocol/agent/session_path.h"
#include "protocol/agent/session_verifier.h"
#include "protocol/beneath.h"
#include "protocol/cleanup.h"

#define ALL_FLAGS                                                                                  \
	(OPEN_READ | OPEN_WRITE | OPEN_CREATE | OPEN_EXCLUSIVE | OPEN_TRUNCATE | OPEN_APPEND)

/* open(2)'s flags for the wire's; -EINVAL. */
static int open_flags(uint32_t wire)
{
	int flags = O_NOFOLLOW | O_NOCTTY | O_NONBLOCK;

	switch (wire & (OPEN_READ | OPEN_WRITE)) {
	case OPEN_READ:
		flags |= O_RDONLY;
		break;
	case OPEN_WRITE:
		flags |= O_WRONLY;
		break;
	case OPEN_READ | OPEN_WRITE:
		flags |= O_RDWR;
		break;
	default:
		return -EINVAL;
	}
	if (wire & ~(uint32_t)ALL_FLAGS)
		return -EINVAL;
	flags |= wire & OPEN_CREATE ? O_CREAT : 0;
	flags |= wire & OPEN_EXCLUSIVE ? O_EXCL : 0;
	flags |= wire & OPEN_TRUNCATE ? O_TRUNC : 0;
	flags |= wire & OPEN_APPEND ? O_APPEND : 0;
	return flags;
}

/* 0 where MODE is that of a file that may be opened. */
static int judge(mode_t mode)
{
	switch (mode & S_IFMT) {
	case S_IFREG:
		return 0;
	case S_IFDIR:
		return EISDIR;
	case S_IFLNK:
		return ELOOP;
	default:
		return ENXIO;
	}
}

/*
 * Looks before it opens: to open a FIFO or a device may be noticed by others, or do something, even
 * where it does not block.
 */
static int check_type(const struct sess *sess, const char *path, int flags, struct error *err)
{
	autoclose int fd = -1;
	struct stat st;
	int code;

	if ((flags & (O_CREAT | O_EXCL)) == (O_CREAT | O_EXCL))
		return 0; /* opens nothing that is there */
	fd = beneath_open(sess->root, path, O_PATH | O_NOFOLLOW, 0, BENEATH_FOLLOW);
	if (fd == -ENOENT && (flags & O_CREAT))
		return 0;
	if (fd < 0)
		return sess_path_fail(err, -fd, path);
	code = fstat(fd, &st) < 0 ? errno : judge(st.st_mode);
	return code ? sess_path_fail(err, code, path) : 0;
}

static int open_file(const struct sess *sess, const char *path, int flags, mode_t mode,
		     struct stat *st, struct error *err)
{
	autoclose int fd = -1;
	int rc = path[0] ? check_type(sess, path, flags, err) : sess_path_fail(err, EISDIR, path);
	int code;

	if (rc < 0)
		return rc;
	fd = beneath_open(sess->root, path, flags, mode, BENEATH_FOLLOW);
	if (fd < 0)
		return sess_path_fail(err, -fd, path);
	/* Between the two looks it may have become something else. */
	code = fstat(fd, st) < 0 ? errno : judge(st->st_mode);
	if (code)
		return sess_path_fail(err, code, path);
	fcntl(fd, F_SETFL, flags & O_APPEND);
	return move_fd(fd);
}

/*
 * Its birth, in short: a number that is used again is that of a file that was made later.  0 where
 * the file system or the kernel does not know.
 */
static uint32_t generation_of(int fd)
{
	uint64_t hash = 0xcbf29ce484222325; /* FNV-1a */
	struct statx st;

	if (statx(fd, "", AT_EMPTY_PATH, STATX_BTIME, &st) < 0 || !(st.stx_mask & STATX_BTIME))
		return 0;
	for (int i = 0; i < 8; i++)
		hash = (hash ^ (uint8_t)((uint64_t)st.stx_btime.tv_sec >> 8 * i)) * 0x100000001b3;
	for (int i = 0; i < 4; i++)
		hash = (hash ^ (uint8_t)(st.stx_btime.tv_nsec >> 8 * i)) * 0x100000001b3;
	hash ^= hash >> 32;
	return (uint32_t)hash ? (uint32_t)hash : 1;
}

int sess_op_open(struct sess_call *call, struct unpack *args, struct buf *result, struct error *err)
{
	char path[LIMIT_PATH];
	struct ws_attr attr;
	struct stat st;
	uint32_t wire, mode, number;
	int flags, fd, rc = sess_path_take(args, path, err);

	call->last_handle = 0;
	if (rc < 0)
		return rc;
	wire = unpack_u32(args);
	mode = unpack_u32(args);
	rc = unpack_done(args, "open", err);
	if (rc < 0)
		return rc;
	flags = open_flags(wire);
	if (flags < 0)
		return error_set(err, EINVAL, "open does not have the flags %u", wire);
	fd = open_file(call->sess, path, flags, mode & 07777, &st, err);
	if (fd < 0)
		return fd;
	sess_attr_from(&attr, &st);
	attr.generation = generation_of(fd);
	rc = sess_handles_add(&call->sess->handles, fd, flags & O_APPEND, &number);
	if (rc == -EMFILE)
		return error_set(err, EMFILE, "this session has %d files open already",
				 SESS_MAX_HANDLES);
	if (rc == -ENFILE)
		return error_set(err, ENFILE, "this agent has too many files open already");
	if (rc < 0)
		return sess_path_fail(err, -rc, path);
	call->last_handle = number;
	pack_u32(result, number);
	ops_pack_attr(result, &attr);
	return 0;
}

uint32_t sess_handle_number(const struct sess_call *call, uint32_t number)
{
	return number == OPS_HANDLE_LAST ? call->last_handle : number;
}

int sess_handle_fail(struct error *err, int code)
{
	return code == EBADF ? error_set(err, EBADF, "no such file is open in this session") :
			       error_set(err, code, "an open file: %s", strerror(code));
}

struct sess_file *sess_handle_get(struct sess_call *call, uint32_t number, struct error *err)
{
	struct sess_file *file = sess_handles_get(&call->sess->handles,
						  sess_handle_number(call, number));

	if (!file)
		sess_handle_fail(err, EBADF);
	return file;
}

int sess_op_close(struct sess_call *call, struct unpack *args, struct buf *result,
		  struct error *err)
{
	uint32_t number = sess_handle_number(call, unpack_u32(args));
	int rc = unpack_done(args, "close", err);

	(void)result;
	if (rc == 0 && sess_handles_remove(&call->sess->handles, number) < 0)
		rc = sess_handle_fail(err, EBADF);
	return rc;
}

/* As much as there is: less than LEN only at the end of the file. */
static ssize_t read_at(int fd, char *bytes, size_t len, int64_t offset)
{
	size_t done = 0;

	while (done < len) {
		ssize_t n = pread(fd, bytes + done, len - done, offset + (int64_t)done);

		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0 && !done)
			return -errno;
		if (n <= 0)
			break;
		done += (size_t)n;
	}
	return (ssize_t)done;
}

int sess_op_read(struct sess_call *call, struct unpack *args, struct buf *result, struct error *err)
{
	uint32_t number = unpack_u32(args);
	uint64_t offset = unpack_u64(args);
	uint32_t len = unpack_u32(args);
	struct sess_file *file;
	char *bytes;
	ssize_t n;
	int rc = unpack_done(args, "read", err);

	if (rc < 0)
		return rc;
	if (len > OPS_IO_MAX || offset > (uint64_t)INT64_MAX - len)
		return error_set(err, EINVAL, "a read of more than %u bytes, or behind all files",
				 OPS_IO_MAX);
	bytes = buf_reserve(result, len);
	if (!bytes)
		return error_set(err, EMSGSIZE, "there is no room for %u bytes", len);
	file = sess_handle_get(call, number, err);
	if (!file)
		return -EBADF;
	n = read_at(file->fd, bytes, len, (int64_t)offset);
	sess_handles_put(&call->sess->handles, file);
	if (n < 0)
		return sess_handle_fail(err, (int)-n);
	buf_commit(result, (size_t)n);
	return 0;
}

/* At OFFSET, or at the end of the file, wherever that is when it is written. */
static int write_at(const struct sess_file *file, const char *bytes, size_t len, int64_t offset,
		    bool append)
{
	while (len) {
		struct iovec piece = { .iov_base = (char *)bytes, .iov_len = len };
		ssize_t n = append && !file->append ? pwritev2(file->fd, &piece, 1, 0, RWF_APPEND) :
						      pwrite(file->fd, bytes, len, offset);

		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			return -errno;
		bytes += n;
		offset += n;
		len -= (size_t)n;
	}
	return 0;
}

int sess_op_write(struct sess_call *call, struct unpack *args, struct buf *result,
		  struct error *err)
{
	uint32_t number = unpack_u32(args);
	uint64_t offset = unpack_u64(args);
	bool append = unpack_u8(args);
	struct sess_file *file;
	size_t len;
	const char *bytes = unpack_rest(args, &len);
	int rc = unpack_done(args, "write", err);

	if (rc < 0)
		return rc;
	if (append)
		offset = 0;
	if (len > OPS_IO_MAX || offset > (uint64_t)INT64_MAX - len)
		return error_set(err, EINVAL, "a write of more than %u bytes, or behind all files",
				 OPS_IO_MAX);
	file = sess_handle_get(call, number, err);
	if (!file)
		return -EBADF;
	rc = write_at(file, bytes, len, (int64_t)offset, append);
	if (rc < 0)
		sess_handle_fail(err, -rc);
	else
		rc = sess_attr_add(file->fd, "an open file", result, err);
	sess_handles_put(&call->sess->handles, file);
	return rc;
}

int sess_op_fsync(struct sess_call *call, struct unpack *args, struct buf *result,
		  struct error *err)
{
	uint32_t number = unpack_u32(args);
	bool data_only = unpack_u8(args);
	struct sess_file *file;
	int rc = unpack_done(args, "fsync", err);

	if (rc < 0)
		return rc;
	file = sess_handle_get(call, number, err);
	if (!file)
		return -EBADF;
	if ((data_only ? fdatasync(file->fd) : fsync(file->fd)) < 0) {
		rc = sess_handle_fail(err, errno);
		sess_verifier_fail(sess_room_verifier(call->sess->room));
	} else {
		rc = sess_attr_add(file->fd, "an open file", result, err);
	}
	sess_handles_put(&call->sess->handles, file);
	return rc;
}

int sess_op_fstat(struct sess_call *call, struct unpack *args, struct buf *result,
		  struct error *err)
{
	uint32_t number = unpack_u32(args);
	struct sess_file *file;
	int rc = unpack_done(args, "fstat", err);

	if (rc < 0)
		return rc;
	file = sess_handle_get(call, number, err);
	if (!file)
		return -EBADF;
	rc = sess_attr_add(file->fd, "an open file", result, err);
	sess_handles_put(&call->sess->handles, file);
	return rc;
}
