/*
 * workspace.h - the guest's files as typed calls, over either dialect.
 *
 * This is the seam between what a mount wants and how a guest is asked.  Each
 * call is one change or one question at the guest's /workspace, answered with
 * the errno of the system call there.  Paths are relative to the workspace,
 * without leading, trailing or double slashes, "" for the root; components are
 * any bytes but '/' and NUL, never "." or "..".  Symbolic links are never
 * followed in the last component, and in the middle only if the guest's kernel
 * does so below /workspace.
 *
 * Every function blocks up to CALL's deadline, is thread-safe, and returns 0 or
 * a negative errno with a sentence (see error.h); besides the guest's own
 * errnos: -ENOTCONN, -ETIMEDOUT, -EINTR, -EPROTO, and -EIO for what the agent
 * reports without an errno.
 *
 * Where an answer carries attributes they are those after the change, so that
 * the caller need not ask again.
 */
#ifndef VSOCKFS_WORKSPACE_H
#define VSOCKFS_WORKSPACE_H

#include <stdint.h>
#include <sys/stat.h>
#include <sys/types.h>
#include <time.h>

#include "protocol/call.h"
#include "protocol/error.h"

struct guest;
struct workspace;
struct ws_file;

struct ws_attr {
	uint64_t ino, dev; /* the guest's */
	uint32_t mode;     /* with the file type, as st_mode */
	uint32_t nlink, uid, gid;
	/*
	 * Tells from a file that has ino later; 0 where it is not known, and of what was not
	 * opened.
	 */
	uint32_t generation;
	uint64_t rdev;
	int64_t size, blocks; /* bytes, 512-byte units */
	struct timespec atime, mtime, ctime;
};

struct ws_statfs {
	uint64_t block_size, blocks, blocks_free, blocks_available;
	uint64_t files, files_free, name_max;
};

int ws_new(struct guest *guest, struct workspace **out, struct error *err);
void ws_free(struct workspace *ws); /* no file of it is open any more */

/* Names below this prefix in the workspace's root are vsockfs's own: never shown, never made. */
#define WS_PRIVATE_PREFIX ".vsockfs-"

/*
 * lstat.  Of a file that is open here, unsent writes are taken into account: size, mtime and ctime
 * are as if they had been sent when they were made.
 */
int ws_stat(struct workspace *ws, const struct call *call, const char *path, struct ws_attr *out,
	    struct error *err);

/*
 * Calls EACH for every entry of the directory, in no order, without "." and
 * "..".  NAME is valid during the call.  A negative errno from EACH ends the listing
 * with it.  More than LIMIT_LISTING_ENTRIES is -EOVERFLOW.  Unsent writes are taken into
 * account as by ws_stat.
 */
typedef int (*ws_list_fn)(void *arg, const char *name, const struct ws_attr *attr);
int ws_list(struct workspace *ws, const struct call *call, const char *path, ws_list_fn each,
	    void *arg, struct error *err);

int ws_readlink(struct workspace *ws, const struct call *call, const char *path, char *target,
		size_t size, struct error *err);

int ws_mkdir(struct workspace *ws, const struct call *call, const char *path, mode_t mode,
	     struct ws_attr *out, struct error *err);
int ws_rmdir(struct workspace *ws, const struct call *call, const char *path, struct error *err);
int ws_unlink(struct workspace *ws, const struct call *call, const char *path, struct error *err);
int ws_symlink(struct workspace *ws, const struct call *call, const char *target, const char *path,
	       struct ws_attr *out, struct error *err);
int ws_link(struct workspace *ws, const struct call *call, const char *from, const char *to,
	    struct ws_attr *out, struct error *err);
/* S_IFREG, S_IFIFO, and S_IFSOCK over the session dialect; others are -EPERM. */
int ws_mknod(struct workspace *ws, const struct call *call, const char *path, mode_t mode,
	     struct ws_attr *out, struct error *err);

/* FLAGS: RENAME_NOREPLACE, RENAME_EXCHANGE or 0.  -EINVAL where the guest cannot. */
int ws_rename(struct workspace *ws, const struct call *call, const char *from, const char *to,
	      unsigned flags, struct error *err);

enum {
	WS_SET_MODE = 1,
	WS_SET_UID = 2,
	WS_SET_GID = 4,
	WS_SET_SIZE = 8,
	WS_SET_ATIME = 16, /* tv_nsec may be UTIME_NOW */
	WS_SET_MTIME = 32,
};

/*
 * Sets what MASK names from IN.  FILE, or NULL, is an open file of the path:
 * with it, what was written before is put in place first, and an unlinked file
 * is still found (PATH is ignored then).
 */
int ws_setattr(struct workspace *ws, const struct call *call, const char *path,
	       struct ws_file *file, unsigned mask, const struct ws_attr *in, struct ws_attr *out,
	       struct error *err);

int ws_statfs(struct workspace *ws, const struct call *call, struct ws_statfs *out,
	      struct error *err);

/*
 * Opens a file; opened only to be read, its beginning comes along for the first ws_read.  FLAGS
 * are open(2)'s: the access mode, O_CREAT (with MODE, the exact permission bits), O_EXCL, O_TRUNC,
 * O_APPEND; O_NOFOLLOW is implied.  The file goes on working when it is renamed, unlinked or
 * replaced through this workspace.  When the path has become another file in the guest, calls on
 * the file fail with -ESTALE.
 */
int ws_open(struct workspace *ws, const struct call *call, const char *path, int flags, mode_t mode,
	    struct ws_file **out, struct ws_attr *attr, struct error *err);

/*
 * Drops the handle; sends nothing, unless the file was unlinked or still has unsent writes
 * (then, within CALL).  Always frees.  An error is one that nobody had been told of.
 */
int ws_close(struct ws_file *file, const struct call *call, struct error *err);

/*
 * Reads what is there, unsent writes included.  Returns bytes (0 at the end) or a negative errno.
 */
ssize_t ws_read(struct ws_file *file, const struct call *call, int64_t offset, void *bytes,
		size_t len, struct error *err);

/*
 * Accepts all LEN bytes or fails; may return before the guest has them.  An
 * error of an earlier write is returned by the next ws_write, ws_flush or
 * ws_fsync on the same handle, once.  With O_APPEND, OFFSET is only where this
 * side believes the end to be: the guest appends.
 */
int ws_write(struct ws_file *file, const struct call *call, int64_t offset, const void *bytes,
	     size_t len, struct error *err);

/*
 * What close(2) does: all that was written to the file is in the guest, or the error is returned.
 */
int ws_flush(struct ws_file *file, const struct call *call, struct error *err);
/* The same, and then the guest's fsync. */
int ws_fsync(struct ws_file *file, const struct call *call, bool data_only, struct error *err);

/* fstat: also of an unlinked file. */
int ws_fstat(struct ws_file *file, const struct call *call, struct ws_attr *out, struct error *err);

/*
 * Everything that was written through any file of this workspace is in the guest when it returns.
 */
int ws_sync(struct workspace *ws, const struct call *call, struct error *err);

#endif
