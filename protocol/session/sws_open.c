/*
 * sws_open.c - open and close.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <utlist.h>

#include "protocol/session/sws_internal.h"
#include "protocol/ws_path.h"

/* An abandoned close waits for others' calls on the inode, whatever its own deadline was. */
#define CLOSE_SECONDS 1e6

int sws_open_args(struct buf *args, const char *path, int flags, mode_t mode)
{
	uint32_t wire = 0;

	switch (flags & O_ACCMODE) {
	case O_RDONLY:
		wire = OPEN_READ;
		break;
	case O_WRONLY:
		wire = OPEN_WRITE;
		break;
	case O_RDWR:
		wire = OPEN_READ | OPEN_WRITE;
		break;
	default:
		return -EINVAL;
	}
	wire |= flags & O_CREAT ? OPEN_CREATE : 0;
	wire |= flags & O_CREAT && flags & O_EXCL ? OPEN_EXCLUSIVE : 0;
	wire |= flags & O_TRUNC && wire & OPEN_WRITE ? OPEN_TRUNCATE : 0;
	wire |= flags & O_APPEND ? OPEN_APPEND : 0;
	pack_text(args, path);
	pack_u32(args, wire);
	pack_u32(args, mode & 07777);
	return 0;
}

int sws_open_call(struct sws *ws, struct mux *mux, const struct call *call, const struct buf *args,
		  struct sws_opened *out, struct error *err)
{
	autobuf struct buf reply = BUF_INIT(FRAME_BODY_MAX);
	struct mux_ticket *ticket;
	struct unpack in;
	int rc = mux_begin(mux, call, OP_OPEN, args, &ticket, err);

	out->maybe_done = out->answered = false;
	if (rc)
		return rc;
	rc = mux_wait(ticket, call, err);
	if (rc) {
		/* It will be open in the guest: somebody has to close it. */
		sws_stray_add(ws, mux_ref(mux), ticket, OP_OPEN);
		return rc;
	}
	rc = mux_finish(ticket, call, &reply, &out->maybe_done, err);
	out->answered = rc != -ECONNRESET;
	if (rc)
		return rc;
	in = unpack_from(reply.data, reply.len);
	out->handle = unpack_u32(&in);
	ops_unpack_attr(&in, &out->attr);
	rc = unpack_done(&in, "what the guest told of an open file", err);
	return rc ? rc : sws_check_attr(&out->attr, err);
}

struct asking {
	struct sws *ws;
	const struct call *call;
	struct sws_file *file;
	struct buf args;
	bool repeatable;
	struct ws_attr attr; /* what was opened */
};

static int ask_step(void *arg, struct mux *mux, struct error *err)
{
	struct asking *asking = arg;
	struct sws_opened opened;
	int rc = sws_open_call(asking->ws, mux, asking->call, &asking->args, &opened, err);

	if (rc == -ECONNRESET && opened.maybe_done && !asking->repeatable)
		rc = sws_unknown(err);
	if (rc)
		return rc;
	asking->file->mux = mux_ref(mux);
	asking->file->handle = opened.handle;
	asking->attr = opened.attr;
	return 0;
}

static int open_file(struct sws *ws, const struct call *call, const char *path, mode_t mode,
		     struct sws_file *file, struct ws_attr *attr, struct error *err)
{
	struct sws_opening opening = { .path = path };
	struct asking asking = {
		.ws = ws,
		.call = call,
		.file = file,
		.args = BUF_INIT(FRAME_BODY_MAX),
		.repeatable = !(file->flags & O_CREAT && file->flags & O_EXCL),
	};
	int rc;

	if (sws_open_args(&asking.args, path, file->flags, mode))
		return error_set(err, EINVAL, "a file is opened to read, to write, or both");
	sws_opening_begin(ws, &opening);
	rc = sws_run(ws, call, OP_OPEN, ask_step, &asking, err);
	if (!rc && sws_inode_add(ws, &opening, &asking.attr, file)) {
		sws_close_handle(ws, file->mux, file->handle);
		rc = error_set(err, ENOMEM, "no memory for an open file");
	}
	if (!rc && file->flags & O_TRUNC && sws_is_writer(file))
		sws_inode_changed(file->inode, mux_epoch(file->mux));
	sws_opening_end(ws, &opening);
	buf_free(&asking.args);
	if (!rc)
		*attr = asking.attr;
	return rc;
}

int sws_open(struct sws *ws, const struct call *call, const char *path, int flags, mode_t mode,
	     struct sws_file **out, struct ws_attr *attr, struct error *err)
{
	int rc = ws_path_check(path, flags & O_CREAT ? WS_PATH_CREATE : WS_PATH_LOOKUP, err);
	struct sws_file *file;

	if (rc == -EEXIST)
		rc = error_set(err, EISDIR, "the workspace itself is a directory");
	if (rc)
		return rc;
	sws_strays_hear(ws, call);
	file = calloc(1, sizeof(*file));
	if (!file)
		return error_set(err, ENOMEM, "no memory for an open file");
	file->flags = flags;
	rc = open_file(ws, call, path, mode, file, attr, err);
	if (rc)
		free(file);
	else
		*out = file;
	return rc;
}

/* Takes FILE from its inode, with what it wrote and was not answered; whether there was any. */
static bool detach(struct sws_file *file)
{
	struct call patient = call_within(CLOSE_SECONDS, NULL);
	struct sws_inode *inode = file->inode;
	bool any;

	while (ws_latch_take(&inode->gate, &patient, WS_EXCLUSIVE, NULL))
		;
	any = sws_queue_abandon(file);
	pthread_mutex_lock(&inode->ws->lock);
	DL_DELETE(inode->files, file);
	pthread_mutex_unlock(&inode->ws->lock);
	ws_latch_drop(&inode->gate);
	return any;
}

/* The error of FILE's writes that nobody was told of. */
static int last_words(struct sws_file *file, bool abandoned, const struct error *why,
		      struct error *err)
{
	if (file->lost)
		return error_set(err, file->lost, "%s", file->why);
	return abandoned && !file->told ? error_copy(err, why) : 0;
}

int sws_close(struct sws_file *file, const struct call *call, struct error *err)
{
	struct sws_inode *inode = file->inode;
	struct sws *ws = inode->ws;
	struct error why = { 0 };
	bool abandoned;
	int rc;

	sws_inode_settle(inode, call, &why);
	abandoned = detach(file);
	rc = last_words(file, abandoned, &why, err);
	sws_close_handle(ws, file->mux, file->handle);
	sws_inode_put(inode);
	free(file);
	sws_strays_hear(ws, call);
	return rc;
}
