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
	struct mux *mux;
	const struct call *call;
	uint32_t handle;
	int64_t offset;
	char *bytes;
	size_t len;

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

/* In one session.  What is under way is heard to its end, also after an error. */
static int run(struct reading *reading, struct error *err)
{
	int rc = 0;

	while (reading->count || (!rc && !reading->end && reading->begun < reading->len)) {
		bool more = !rc && !reading->end && reading->begun < reading->len;

		if (more && reading->count < SWS_READ_CALLS)
			rc = begin_piece(reading, err);
		else if (rc)
			end_piece(reading, NULL);
		else
			rc = end_piece(reading, err);
	}
	return rc;
}

static ssize_t read_somewhere(struct sws_file *file, const struct call *call, int64_t offset,
			      void *bytes, size_t len, struct error *err)
{
	for (int sessions = 1;; sessions++) {
		struct reading reading = {
			.call = call, .offset = offset, .bytes = bytes, .len = len
		};
		struct error why = { 0 };
		int rc = sws_file_session(file, call, &reading.mux, &reading.handle, err);

		if (rc)
			return rc;
		rc = run(&reading, &why);
		mux_unref(reading.mux);
		if (!rc)
			return (ssize_t)reading.got;
		if (rc != -ECONNRESET)
			return error_copy(err, &why);
		if (sessions == SWS_SESSIONS)
			return sws_broken(&why, false, err);
	}
}

ssize_t sws_read(struct sws_file *file, const struct call *call, int64_t offset, void *bytes,
		 size_t len, struct error *err)
{
	struct gate *bulks = &file->inode->ws->bulks;
	bool bulk = len > SWS_SMALL_READ;
	ssize_t got;
	int rc;

	if ((file->flags & O_ACCMODE) == O_WRONLY)
		return error_set(err, EBADF, "the file is not open for reading");
	if (offset < 0)
		return error_set(err, EINVAL, "no file has bytes there");
	if (len > (uint64_t)(INT64_MAX - offset))
		len = (size_t)(INT64_MAX - offset);
	if (!len)
		return 0;
	rc = bulk ? gate_enter(bulks, call, err) : 0;
	if (rc)
		return rc;
	got = read_somewhere(file, call, offset, bytes, len, err);
	if (bulk)
		gate_leave(bulks);
	return got;
}
