/*
 * text.h - the two text formats of control files, and files that show one.
 *
 * Flat-keyed text is one "KEY VALUE" a line.  A value is everything behind the
 * first blank; control characters and the backslash in it are written \n, \t, \\ and \xHH.
 * What is not known (yet) is the word null.
 *
 * A file of text_ops shows what file_type->text gives at the moment of a read at offset 0;
 * further reads of that open file go on in the same text.
 */
#ifndef VSOCKFS_CTL_TEXT_H
#define VSOCKFS_CTL_TEXT_H

#include <pthread.h>
#include <stdint.h>

#include "ctl/tree.h"
#include "protocol/buf.h"

void text_str(struct buf *out, const char *key, const char *value); /* NULL: null */
void text_int(struct buf *out, const char *key, int64_t value);
void text_null(struct buf *out, const char *key);
/* Seconds since the epoch to the millisecond; 0 is null. */
void text_time(struct buf *out, const char *key, double seconds);
/* VALUE as flat-keyed text writes it, without a newline. */
void text_escape(struct buf *out, const char *value);

/* The text that one open file is reading. */
struct text_snapshot {
	pthread_mutex_t lock;
	char *data; /* lock; owned; NULL: not read yet */
	size_t len; /* lock */
};

void text_snapshot_init(struct text_snapshot *snapshot);
void text_snapshot_destroy(struct text_snapshot *snapshot);
/* A read of that file: at offset 0 the text is made anew. */
ssize_t text_snapshot_read(struct text_snapshot *snapshot, const struct node *node,
			   const struct call *call, int64_t offset, void *bytes, size_t len);
/* The slice of DATA that a read at OFFSET gives. */
ssize_t text_slice(const char *data, size_t size, int64_t offset, void *bytes, size_t len);

extern const struct vnode_ops text_ops;

/* file_type->text of every `error` file: the sentence of the last failed verb. */
int text_error_file(struct object *object, const struct call *call, struct buf *out,
		    struct error *err);

#endif
