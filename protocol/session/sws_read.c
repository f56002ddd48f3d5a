/*
 * sws_read.c - reads: several calls under way at once where one is not enough.
 *
 * A read that fails in the middle fails: a short one would be taken for the end of the file.
 */
#include <errno.h>
#include <fcntl.h>
#include <string.h>

#include "protocol/session/sws_internal.h"

struct piece {
	struct mux_ticket *ticket;
	size_t at, len;
};

struct reading {
	struct sws_file *file;
	const struct call *call;
	int64_t offset;
	char *bytes;
	size_t len;

	/* In one session: */
	struct mux *mux;
	uint32_t handle;
	struct piece pieces[SWS_READ_CALLS];
	unsigned first, count;
	size_t begun, got;
	bool end; /* a piece was short */
};

static int begin_piece(struct reading *reading, struct error *err)
{
	autobuf struct buf args = BUF_INIT(64);
	unsigned next = (reading->first + reading->count) % SWS_READ_CALLS;
	struct piece *piece = &reading->pieces[next];
	size_t left = reading->len - reading->begun;
	int rc;

	piece->at = reading->begun;
	piece->len = left < OPS_IO_MAX ? left : OPS_IO_MAX;
	pack_u32(&args, reading->handle);
	pack_u64(&args, (uint64_t)(reading->offset + (int64_t)piece->at));
	pack_u32(&args, (uint32_t)piece->len);
	rc = mux_begin(reading->mux, reading->call, OP_READ, &args, &piece->ticket, err);
	if (rc)
		return rc;
	reading->count++;
	reading->begun += piece->len;
	return 0;
}

static int end_piece(struct reading *reading, struct error *err)
{
	struct piece *piece = &reading->pieces[reading->first];
	autobuf struct buf reply = BUF_INIT(piece->len);
	int rc = mux_finish(piece->ticket, reading->call, &reply, NULL, err);

	reading->first = (reading->first + 1) % SWS_READ_CALLS;
	reading->count--;
	if (rc || reading->end)
		return rc;
	if (reply.len)
		memcpy(reading->bytes + piece->at, reply.data, reply.len);
	reading->got += reply.len;
	reading->end = reply.len < piece->len;
	return 0;
}

/* What is under way is heard to its end, also after an error. */
static int read_pieces(struct reading *reading, struct error *err)
{
	int rc = 0;

	for (;;) {
		bool more = !rc && !reading->end && reading->begun < reading->len;

		if (more && reading->count < SWS_READ_CALLS)
			rc = begin_piece(reading, err);
		else if (!reading->count)
			return rc;
		else if (rc)
			end_piece(reading, NULL);
		else
			rc = end_piece(reading, err);
	}
}

static int read_step(void *arg, struct mux *mux, struct error *err)
{
	struct reading *reading = arg;
	int rc = sws_file_handle(reading->file, mux, reading->call, &reading->handle, err);

	reading->mux = mux;
	reading->begun = reading->got = 0;
	reading->end = false;
	return rc ? rc : read_pieces(reading, err);
}

ssize_t sws_read(struct sws_file *file, const struct call *call, int64_t offset, void *bytes,
		 size_t len, struct error *err)
{
	struct reading reading = { .file = file, .call = call, .offset = offset, .bytes = bytes };
	struct sws *ws = file->inode->ws;
	bool bulk = len > SWS_SMALL_READ;
	int rc;

	if ((file->flags & O_ACCMODE) == O_WRONLY)
		return error_set(err, EBADF, "the file is not open for reading");
	if (offset < 0)
		return error_set(err, EINVAL, "no file has bytes there");
	if (len > (uint64_t)(INT64_MAX - offset))
		len = (size_t)(INT64_MAX - offset);
	if (!len)
		return 0;
	rc = bulk ? gate_enter(&ws->bulks, call, err) : 0;
	if (rc)
		return rc;
	reading.len = len;
	rc = sws_run(ws, call, OP_READ, read_step, &reading, err);
	if (bulk)
		gate_leave(&ws->bulks);
	return rc ? rc : (ssize_t)reading.got;
}
