/*
 * lws.h - the guest's files over the line dialect: what workspace.h promises, function by function.
 * How it is done is in ws.h.
 */
#ifndef VSOCKFS_LINE_LWS_H
#define VSOCKFS_LINE_LWS_H

#include "protocol/workspace.h"

struct lws;
struct lws_file;

/* GUEST stays the caller's and outlives it.  Sends nothing. */
int lws_new(struct guest *guest, struct lws **out, struct error *err);
void lws_free(struct lws *ws); /* no file of it is open any more */

int lws_stat(struct lws *ws, const struct call *call, const char *path, struct ws_attr *out,
	     struct error *err);
int lws_list(struct lws *ws, const struct call *call, const char *path, ws_list_fn each, void *arg,
	     struct error *err);
int lws_readlink(struct lws *ws, const struct call *call, const char *path, char *target,
		 size_t size, struct error *err);
int lws_mkdir(struct lws *ws, const struct call *call, const char *path, mode_t mode,
	      struct ws_attr *out, struct error *err);
int lws_rmdir(struct lws *ws, const struct call *call, const char *path, struct error *err);
int lws_unlink(struct lws *ws, const struct call *call, const char *path, struct error *err);
int lws_symlink(struct lws *ws, const struct call *call, const char *target, const char *path,
		struct ws_attr *out, struct error *err);
int lws_link(struct lws *ws, const struct call *call, const char *from, const char *to,
	     struct ws_attr *out, struct error *err);
int lws_mknod(struct lws *ws, const struct call *call, const char *path, mode_t mode,
	      struct ws_attr *out, struct error *err);
int lws_rename(struct lws *ws, const struct call *call, const char *from, const char *to,
	       unsigned flags, struct error *err);
int lws_setattr(struct lws *ws, const struct call *call, const char *path, struct lws_file *file,
		unsigned mask, const struct ws_attr *in, struct ws_attr *out, struct error *err);
int lws_statfs(struct lws *ws, const struct call *call, struct ws_statfs *out, struct error *err);

int lws_open(struct lws *ws, const struct call *call, const char *path, int flags, mode_t mode,
	     struct lws_file **out, struct ws_attr *attr, struct error *err);
int lws_close(struct lws_file *file, const struct call *call, struct error *err);
ssize_t lws_read(struct lws_file *file, const struct call *call, int64_t offset, void *bytes,
		 size_t len, struct error *err);
int lws_write(struct lws_file *file, const struct call *call, int64_t offset, const void *bytes,
	      size_t len, struct error *err);
int lws_flush(struct lws_file *file, const struct call *call, struct error *err);
int lws_fsync(struct lws_file *file, const struct call *call, bool data_only, struct error *err);
int lws_fstat(struct lws_file *file, const struct call *call, struct ws_attr *out,
	      struct error *err);
int lws_sync(struct lws *ws, const struct call *call, struct error *err);

#endif
