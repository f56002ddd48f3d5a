/*
 * workspace.c - the seam itself: each call goes to the dialect that the guest speaks.
 *
 * A guest's dialect is known since its hello and changes at most with a new session; a
 * file stays with the dialect that it was opened over.
 */
#include "protocol/workspace.h"

#include <errno.h>
#include <stdlib.h>

#include "protocol/cleanup.h"
#include "protocol/guest.h"
#include "protocol/line/lws.h"
#include "protocol/session/link.h"
#include "protocol/session/sws.h"

struct workspace {
	struct link *link; /* the guest's */
	struct lws *line;
	struct sws *session;
};

/* One of the two is set. */
struct ws_file {
	struct lws_file *line;
	struct sws_file *session;
};

/* NAME of the dialect that the guest of WS speaks. */
#define BY_GUEST(ws, call, err, name, ...)                                                         \
	__extension__({                                                                            \
		enum dialect dialect_;                                                             \
		int rc_ = link_dialect((ws)->link, call, &dialect_, err);                          \
                                                                                                   \
		if (rc_ == 0)                                                                      \
			rc_ = dialect_ == DIALECT_SESSION ?                                        \
				      sws_##name((ws)->session, call, __VA_ARGS__) :               \
				      lws_##name((ws)->line, call, __VA_ARGS__);                   \
		rc_;                                                                               \
	})

/* NAME of the dialect that FILE was opened over. */
#define BY_FILE(file, name, ...)                                                                   \
	((file)->session ? sws_##name((file)->session, __VA_ARGS__) :                              \
			   lws_##name((file)->line, __VA_ARGS__))

int ws_new(struct guest *guest, struct workspace **out, struct error *err)
{
	autofree struct workspace *ws = calloc(1, sizeof(*ws));
	int rc;

	if (!ws)
		return error_set(err, ENOMEM, "out of memory for a workspace");
	ws->link = guest_link(guest);
	rc = lws_new(guest, &ws->line, err);
	if (rc < 0)
		return rc;
	if (sws_new(ws->link, &ws->session) < 0) {
		lws_free(ws->line);
		return error_set(err, ENOMEM, "out of memory for a workspace");
	}
	*out = move_ptr(ws);
	return 0;
}

void ws_free(struct workspace *ws)
{
	if (!ws)
		return;
	sws_free(ws->session);
	lws_free(ws->line);
	free(ws);
}

int ws_stat(struct workspace *ws, const struct call *call, const char *path, struct ws_attr *out,
	    struct error *err)
{
	return BY_GUEST(ws, call, err, stat, path, out, err);
}

int ws_list(struct workspace *ws, const struct call *call, const char *path, ws_list_fn each,
	    void *arg, struct error *err)
{
	return BY_GUEST(ws, call, err, list, path, each, arg, err);
}

int ws_readlink(struct workspace *ws, const struct call *call, const char *path, char *target,
		size_t size, struct error *err)
{
	return BY_GUEST(ws, call, err, readlink, path, target, size, err);
}

int ws_mkdir(struct workspace *ws, const struct call *call, const char *path, mode_t mode,
	     struct ws_attr *out, struct error *err)
{
	return BY_GUEST(ws, call, err, mkdir, path, mode, out, err);
}

int ws_rmdir(struct workspace *ws, const struct call *call, const char *path, struct error *err)
{
	return BY_GUEST(ws, call, err, rmdir, path, err);
}

int ws_unlink(struct workspace *ws, const struct call *call, const char *path, struct error *err)
{
	return BY_GUEST(ws, call, err, unlink, path, err);
}

int ws_symlink(struct workspace *ws, const struct call *call, const char *target, const char *path,
	       struct ws_attr *out, struct error *err)
{
	return BY_GUEST(ws, call, err, symlink, target, path, out, err);
}

int ws_link(struct workspace *ws, const struct call *call, const char *from, const char *to,
	    struct ws_attr *out, struct error *err)
{
	return BY_GUEST(ws, call, err, link, from, to, out, err);
}

int ws_mknod(struct workspace *ws, const struct call *call, const char *path, mode_t mode,
	     struct ws_attr *out, struct error *err)
{
	return BY_GUEST(ws, call, err, mknod, path, mode, out, err);
}

int ws_rename(struct workspace *ws, const struct call *call, const char *from, const char *to,
	      unsigned flags, struct error *err)
{
	return BY_GUEST(ws, call, err, rename, from, to, flags, err);
}

int ws_statfs(struct workspace *ws, const struct call *call, struct ws_statfs *out,
	      struct error *err)
{
	return BY_GUEST(ws, call, err, statfs, out, err);
}

ssize_t ws_read(struct ws_file *file, const struct call *call, int64_t offset, void *bytes,
		size_t len, struct error *err)
{
	return BY_FILE(file, read, call, offset, bytes, len, err);
}

int ws_write(struct ws_file *file, const struct call *call, int64_t offset, const void *bytes,
	     size_t len, struct error *err)
{
	return BY_FILE(file, write, call, offset, bytes, len, err);
}

int ws_flush(struct ws_file *file, const struct call *call, struct error *err)
{
	return BY_FILE(file, flush, call, err);
}

int ws_fsync(struct ws_file *file, const struct call *call, bool data_only, struct error *err)
{
	return BY_FILE(file, fsync, call, data_only, err);
}

int ws_fstat(struct ws_file *file, const struct call *call, struct ws_attr *out, struct error *err)
{
	return BY_FILE(file, fstat, call, out, err);
}

int ws_setattr(struct workspace *ws, const struct call *call, const char *path,
	       struct ws_file *file, unsigned mask, const struct ws_attr *in, struct ws_attr *out,
	       struct error *err)
{
	if (!file)
		return BY_GUEST(ws, call, err, setattr, path, NULL, mask, in, out, err);
	if (file->session)
		return sws_setattr(ws->session, call, path, file->session, mask, in, out, err);
	return lws_setattr(ws->line, call, path, file->line, mask, in, out, err);
}

int ws_open(struct workspace *ws, const struct call *call, const char *path, int flags, mode_t mode,
	    struct ws_file **out, struct ws_attr *attr, struct error *err)
{
	autofree struct ws_file *file = calloc(1, sizeof(*file));
	enum dialect dialect;
	int rc = link_dialect(ws->link, call, &dialect, err);

	if (rc < 0)
		return rc;
	if (!file)
		return error_set(err, ENOMEM, "out of memory for an open file");
	if (dialect == DIALECT_SESSION)
		rc = sws_open(ws->session, call, path, flags, mode, &file->session, attr, err);
	else
		rc = lws_open(ws->line, call, path, flags, mode, &file->line, attr, err);
	if (rc == 0)
		*out = move_ptr(file);
	return rc;
}

int ws_close(struct ws_file *file, const struct call *call, struct error *err)
{
	int rc = BY_FILE(file, close, call, err);

	free(file);
	return rc;
}

/* What was written over one dialect may be on its way when the guest has come to the other. */
int ws_sync(struct workspace *ws, const struct call *call, struct error *err)
{
	int rc = sws_sync(ws->session, call, err);
	int line = lws_sync(ws->line, call, rc < 0 ? NULL : err);

	return rc < 0 ? rc : line;
}
