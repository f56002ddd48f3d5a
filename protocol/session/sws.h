/*
 * sws.h - the guest's files over the session dialect: what workspace.h promises, function by
 * function.
 *
 * Every operation is one call of the session, answered with the errno of the system call in the
 * guest.  Only writes run ahead: sws_write returns when the call is sent.  The rest stands on one
 * promise of the dialect: quick operations of one session are carried out in the order in which
 * they were sent, so that whoever asks after a write sees it, without having waited for it.
 *
 * When the session breaks, what was under way goes over the next one: questions and what changes
 * nothing when repeated, once; placed writes, again in their order, before anything else is asked;
 * open files are opened again by their path, which follows renames made here, and have to be the
 * same inode (-ESTALE).  A change that the guest may have made is -EIO, and the sentence says that
 * it is not known; so is an append, from the next call on its handle.
 *
 * Bounds: unanswered writes of a file, of a workspace, and reads under way (sws_internal.h).
 */
#ifndef VSOCKFS_SESSION_SWS_H
#define VSOCKFS_SESSION_SWS_H

#include "protocol/session/link.h"
#include "protocol/workspace.h"

struct sws;
struct sws_file;

/* LINK stays the caller's and outlives it.  Sends nothing.  -ENOMEM. */
int sws_new(struct link *link, struct sws **out);
void sws_free(struct sws *ws); /* no file of it is open any more */

int sws_stat(struct sws *ws, const struct call *call, const char *path, struct ws_attr *out,
	     struct error *err);
int sws_list(struct sws *ws, const struct call *call, const char *path, ws_list_fn each, void *arg,
	     struct error *err);
int sws_readlink(struct sws *ws, const struct call *call, const char *path, char *target,
		 size_t size, struct error *err);
int sws_mkdir(struct sws *ws, const struct call *call, const char *path, mode_t mode,
	      struct ws_attr *out, struct error *err);
int sws_rmdir(struct sws *ws, const struct call *call, const char *path, struct error *err);
int sws_unlink(struct sws *ws, const struct call *call, const char *path, struct error *err);
int sws_symlink(struct sws *ws, const struct call *call, const char *target, const char *path,
		struct ws_attr *out, struct error *err);
int sws_link(struct sws *ws, const struct call *call, const char *from, const char *to,
	     struct ws_attr *out, struct error *err);
int sws_mknod(struct sws *ws, const struct call *call, const char *path, mode_t mode,
	      struct ws_attr *out, struct error *err);
int sws_rename(struct sws *ws, const struct call *call, const char *from, const char *to,
	       unsigned flags, struct error *err);
int sws_setattr(struct sws *ws, const struct call *call, const char *path, struct sws_file *file,
		unsigned mask, const struct ws_attr *in, struct ws_attr *out, struct error *err);
int sws_statfs(struct sws *ws, const struct call *call, struct ws_statfs *out, struct error *err);

int sws_open(struct sws *ws, const struct call *call, const char *path, int flags, mode_t mode,
	     struct sws_file **out, struct ws_attr *attr, struct error *err);
/* Waits for unanswered writes of the file, not for the guest's close. */
int sws_close(struct sws_file *file, const struct call *call, struct error *err);
ssize_t sws_read(struct sws_file *file, const struct call *call, int64_t offset, void *bytes,
		 size_t len, struct error *err);
int sws_write(struct sws_file *file, const struct call *call, int64_t offset, const void *bytes,
	      size_t len, struct error *err);
int sws_flush(struct sws_file *file, const struct call *call, struct error *err);
int sws_fsync(struct sws_file *file, const struct call *call, bool data_only, struct error *err);
int sws_fstat(struct sws_file *file, const struct call *call, struct ws_attr *out,
	      struct error *err);
/* Tells also of errors that are still to be told to whoever wrote, without taking them away. */
int sws_sync(struct sws *ws, const struct call *call, struct error *err);

#endif
