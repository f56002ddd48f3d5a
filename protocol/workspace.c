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
#include "protocol/guest_internal.h"
#include "protocol/line/lws.h"
#include "protocol/session/link.h"
#include "protocol/session/sws.h"

struct workspace {
	struct guest *guest;
	struct lws *line;
	struct sws *session;
};

/* One of the two is set. */
struct ws_file {
	struct guest *guest;
	struct lws_file *line;
	struct sws_file *session;
};

/*
 * NAME of the dialect that the guest of WS speaks.  Its last argument is a place for the sentence,
 * also where the caller has none: what a guest did wrong is to be read in its status.
 */
#define BY_GUEST(ws, call, err, name, ...)                                                         \
	__extension__({                                                                            \
		struct error own_, *why_ = error_place(err, &own_);                                \
		enum dialect dialect_;                                                             \
		int rc_ = link_dialect(guest_link((ws)->guest), call, &dialect_, why_);            \
                                                                                                   \
		if (rc_ == 0)                                                                      \
			rc_ = dialect_ == DIALECT_SESSION ?                                        \
				      sws_##name((ws)->session, call, __VA_ARGS__, why_) :         \
				      lws_##name((ws)->line, call, __VA_ARGS__, why_);             \
		guest_judge((ws)->guest, rc_, why_);                                               \
		rc_;                                                                               \
	})

/* The same for NAME of the dialect that FILE was opened over. */
#define BY_FILE(file, err, name, ...)                                                              \
	__extension__({                                                                            \
		struct error own_, *why_ = error_place(err, &own_);                                \
		ssize_t rc_ = (file)->session ? sws_##name((file)->session, __VA_ARGS__, why_) :   \
						lws_##name((file)->line, __VA_ARGS__, why_);       \
                                                                                                   \
		guest_judge((file)->guest, (int)rc_, why_);                                        \
		rc_;                                                                               \
	})

int ws_new(struct guest *guest, struct workspace **out, struct error *err)
{
	autofree struct workspace *ws = calloc(1, sizeof(*ws));
	int rc;

	if (!ws)
		return error_set(err, ENOMEM, "out of memory for a workspace");
	ws->guest = guest;
	rc = lws_new(guest, &ws->line, err);
	if (rc < 0)
		return rc;
	if (sws_new(guest_link(guest), &ws->session) < 0) {
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
	return BY_GUEST(ws, call, err, stat, path, out);
}

int ws_list(struct workspace *ws, const struct call *call, const char *path, ws_list_fn each,
	    void *arg, struct error *err)
{
	return BY_GUEST(ws, call, err, list, path, each, arg);
}

int ws_readlink(struct workspace *ws, const struct call *call, const char *path, char *target,
		size_t size, struct error *err)
{
	return BY_GUEST(ws, call, err, readlink, path, target, size);
}

int ws_mkdir(struct workspace *ws, const struct call *call, const char *path, mode_t mode,
	     struct ws_attr *out, struct error *err)
{
	return BY_GUEST(ws, call, err, mkdir, path, mode, out);
}

int ws_rmdir(struct workspace *ws, const struct call *call, const char *path, struct error *err)
{
	return BY_GUEST(ws, call, err, rmdir, path);
}

int ws_unlink(struct workspace *ws, const struct call *call, const char *path, struct error *err)
{
	return BY_GUEST(ws, call, err, unlink, path);
}

int ws_symlink(struct workspace *ws, const struct call *call, const char *target, const char *path,
	       struct ws_attr *out, struct error *err)
{
	return BY_GUEST(ws, call, err, symlink, target, path, out);
}

int ws_link(struct workspace *ws, const struct call *call, const char *from, const char *to,
	    struct ws_attr *out, struct error *err)
{
	return BY_GUEST(ws, call, err, link, from, to, out);
}

int ws_mknod(struct workspace *ws, const struct call *call, const char *path, mode_t mode,
	     struct ws_attr *out, struct error *err)
{
	return BY_GUEST(ws, call, err, mknod, path, mode, out);
}

int ws_rename(struct workspace *ws, const struct call *call, const char *from, const char *to,
	      unsigned flags, struct error *err)
{
	return BY_GUEST(ws, call, err, rename, from, to, flags);
}

int ws_statfs(struct workspace *ws, const struct call *call, struct ws_statfs *out,
	      struct error *err)
{
	return BY_GUEST(ws, call, err, statfs, out);
}

ssize_t ws_read(struct ws_file *file, const struct call *call, int64_t offset, void *bytes,
		size_t len, struct error *err)
{
	return BY_FILE(file, err, read, call, offset, bytes, len);
}

int ws_write(struct ws_file *file, const struct call *call, int64_t offset, const void *bytes,
	     size_t len, struct error *err)
{
	return (int)BY_FILE(file, err, write, call, offset, bytes, len);
}

int ws_flush(struct ws_file *file, const struct call *call, struct error *err)
{
	return (int)BY_FILE(file, err, flush, call);
}

int ws_fsync(struct ws_file *file, const struct call *call, bool data_only, struct error *err)
{
	return (int)BY_FILE(file, err, fsync, call, data_only);
}

int ws_fstat(struct ws_file *file, const struct call *call, struct ws_attr *out, struct error *err)
{
	return (int)BY_FILE(file, err, fstat, call, out);
}

int ws_setattr(struct workspace *ws, const struct call *call, const char *path,
	       struct ws_file *file, unsigned mask, const struct ws_attr *in, struct ws_attr *out,
	       struct error *err)
{
	struct error own, *why = error_place(err, &own);
	int rc;

	if (!file)
		return BY_GUEST(ws, call, err, setattr, path, NULL, mask, in, out);
	if (file->session)
		rc = sws_setattr(ws->session, call, path, file->session, mask, in, out, why);
	else
		rc = lws_setattr(ws->line, call, path, file->line, mask, in, out, why);
	guest_judge(ws->guest, rc, why);
	return rc;
}

int ws_open(struct workspace *ws, const struct call *call, const char *path, int flags, mode_t mode,
	    struct ws_file **out, struct ws_attr *attr, struct error *err)
{
	autofree struct ws_file *file = calloc(1, sizeof(*file));
	struct error own, *why = error_place(err, &own);
	enum dialect dialect;
	int rc;

	if (!file)
		return error_set(err, ENOMEM, "out of memory for an open file");
	file->guest = ws->guest;
	rc = link_dialect(guest_link(ws->guest), call, &dialect, why);
	if (rc < 0)
		return rc;
	if (dialect == DIALECT_SESSION)
		rc = sws_open(ws->session, call, path, flags, mode, &file->session, attr, why);
	else
		rc = lws_open(ws->line, call, path, flags, mode, &file->line, attr, why);
	guest_judge(ws->guest, rc, why);
	if (rc == 0)
		*out = move_ptr(file);
	return rc;
}

int ws_close(struct ws_file *file, const struct call *call, struct error *err)
{
	int rc = (int)BY_FILE(file, err, close, call);

	free(file);
	return rc;
}

/* What was written over one dialect may be on its way when the guest has come to the other. */
int ws_sync(struct workspace *ws, const struct call *call, struct error *err)
{
	struct error own, *why = error_place(err, &own);
	int rc = sws_sync(ws->session, call, why);
	int line = lws_sync(ws->line, call, rc < 0 ? NULL : why);

	rc = rc < 0 ? rc : line;
	guest_judge(ws->guest, rc, why);
	return rc;
}
