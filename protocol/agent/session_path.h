/*
 * session_path.h - what the file operations of a session begin and end with: a path taken from the
 * arguments, and attributes put into the result.
 */
#ifndef VSOCKFS_AGENT_SESSION_PATH_H
#define VSOCKFS_AGENT_SESSION_PATH_H

#include <sys/stat.h>

#include "protocol/agent/session_conn.h"
#include "protocol/session/pack.h"

/*
 * Takes a path below the workspace into PATH.  One that cannot be is told at once: -EINVAL
 * (absolute, "..", empty components, a NUL), -ENAMETOOLONG.  What is missing latches, for
 * unpack_done.
 */
int sess_path_take(struct unpack *in, char path[static LIMIT_PATH], struct error *err);

/*
 * The directory that PATH is in, O_PATH; *NAME points into PATH.  ROOT_CODE is the errno where PATH
 * is the workspace itself, which has no name.
 */
int sess_path_parent(const struct sess *sess, const char *path, int root_code, const char **name,
		     struct error *err);

/* PATH itself, O_PATH, a symbolic link not followed. */
int sess_path_open(const struct sess *sess, const char *path, struct error *err);

/* "'PATH': strerror" */
int sess_path_fail(struct error *err, int code, const char *path);

void sess_attr_from(struct ws_attr *attr, const struct stat *st);

/* Adds the attributes of FD, or of NAME in the directory FD, to RESULT. */
int sess_attr_add(int fd, const char *path, struct buf *result, struct error *err);
int sess_attr_add_at(int fd, const char *name, const char *path, struct buf *result,
		     struct error *err);

#endif
