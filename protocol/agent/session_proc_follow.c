/*
 * session_proc_follow.c - OP_STREAM and OP_WAIT: output as it comes, readiness and the end when
 * they come.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>

#include "protocol/agent/session_conn.h"
#include "protocol/agent/session_ops.h"
#include "protocol/agent/session_proc.h"
#include "protocol/agent/session_proc_source.h"
#include "protocol/cleanup.h"

/* Of one stream, before others are looked at. */
#define PIECES 4

struct stream {
	int which; /* 1 or 2 */
	int64_t offset;
	int64_t left; /* bytes that are wanted still */
	bool begun;   /* something was sent */
	bool gap;     /* what comes next is not there any more */
	bool ended;
};

struct waiter {
	struct proc_item item; /* first */
	struct proc_source source;
	bool for_end;         /* OP_WAIT: for the end, not for readiness */
	struct stream stream; /* OP_STREAM */
};

static void waiter_free(struct proc_item *item)
{
	struct waiter *waiter = (struct waiter *)item;

	proc_source_close(&waiter->source);
	free(waiter);
}

/* Parks CALL with SOURCE, which is taken over where it can be. */
static int park(struct sess_call *call, struct proc_source *source, struct waiter *from,
		struct error *err)
{
	struct waiter *waiter = malloc(sizeof(*waiter));
	int rc;

	if (!waiter)
		return error_set(err, ENOMEM, "out of memory");
	*waiter = *from;
	waiter->source = *source;
	waiter->item.call = call;
	waiter->item.kind = source->kind;
	memcpy(waiter->item.name, source->name, sizeof(waiter->item.name));
	waiter->item.free = waiter_free;
	waiter->item.fd = source->orphan;
	waiter->item.events = EPOLLIN;
	rc = proc_hub_park(call->sess->agent->procs, &waiter->item, err);
	if (rc < 0)
		free(waiter);
	else
		source->agent = NULL;
	return rc;
}

/* Describes SOURCE into a new object. */
static int look(struct proc_source *source, struct reply *status, struct error *err)
{
	*status = (struct reply){ .object = json_object() };
	if (!status->object)
		return error_set(err, ENOMEM, "out of memory");
	return proc_source_describe(source, status, err);
}

/* The result of a stream; takes STATUS's object. */
static int tell(const struct stream *stream, struct reply *status, struct buf *result,
		struct error *err)
{
	struct reply reply = { .object = json_object(), .failed = status->failed };

	if (!reply.object)
		return error_set(err, ENOMEM, "out of memory");
	reply_int(&reply, "next", stream->offset);
	reply_bool(&reply, "ended", stream->ended);
	reply_value(&reply, "status", move_ptr(status->object));
	return sess_json_dump(&reply, result, err);
}

static size_t wanted(const struct stream *stream)
{
	return stream->left < (int64_t)SESS_PIECE ? (size_t)stream->left : SESS_PIECE;
}

/*
 * One piece of at most LEN bytes: how many.  *END: there is no more now, or for ever
 * (stream->ended).  What is not kept any more is skipped at the beginning of a stream only.
 */
static ssize_t take(struct proc_source *source, struct stream *stream, char *bytes, size_t len,
		    bool *end, struct error *err)
{
	int64_t offset = stream->offset;
	struct proc_view view = { 0 };
	ssize_t n = proc_source_read(source, stream->which, &offset, bytes, len, &view, err);

	if (n < 0)
		return n;
	if (offset != stream->offset && stream->begun) {
		stream->gap = *end = true;
		return 0;
	}
	*end = (size_t)n < len;
	stream->ended = *end && view.ended;
	stream->begun = stream->begun || n > 0;
	stream->offset = offset + n;
	stream->left -= n;
	return n;
}

/* Everything up to the present end, on a worker. */
static int send_present(struct sess_call *call, struct proc_source *source, struct stream *stream,
			struct buf *result, struct error *err)
{
	bool end = false;

	for (;;) {
		autobuf struct buf piece = BUF_INIT(SESS_PIECE);
		size_t want = wanted(stream);
		char *room = buf_reserve(&piece, want);
		struct reply status;
		ssize_t n = 0;
		int rc;

		if (!room)
			return error_set(err, ENOMEM, "out of memory");
		/* What it says of the end is true of the output that is read then. */
		rc = look(source, &status, err);
		if (rc == 0 && want)
			n = take(source, stream, room, want, &end, err);
		if (n > 0)
			buf_commit(&piece, (size_t)n);
		if (n < 0)
			rc = (int)n;
		else if (rc == 0 && (end || !stream->left))
			rc = sess_call_send_last(call, &piece);
		else if (rc == 0)
			rc = sess_call_send(call, piece.data, piece.len);
		if (rc == 0 && (end || !stream->left))
			rc = tell(stream, &status, result, err);
		json_decref(status.object);
		if (rc < 0 || end || !stream->left)
			return rc;
	}
}

static int finish_stream(struct waiter *waiter, struct buf *result, struct error *err)
{
	struct reply status;
	int rc = look(&waiter->source, &status, err);

	if (rc == 0)
		rc = tell(&waiter->stream, &status, result, err);
	json_decref(status.object);
	return rc;
}

/* What there is and has credit, on the hub's thread. */
static int serve_stream(struct proc_item *item, struct buf *result, struct error *err)
{
	struct waiter *waiter = (struct waiter *)item;
	struct stream *stream = &waiter->stream;

	for (int i = 0; i < PIECES; i++) {
		autofree char *piece = NULL;
		uint64_t credit = sess_call_credit(item->call);
		size_t want = wanted(stream);
		bool end = false;
		ssize_t n;
		int rc = 0;

		if (!want)
			return finish_stream(waiter, result, err);
		if (want > credit)
			want = (size_t)credit;
		if (!want)
			return PROC_WAITS;
		if (i && !sess_send_has_room(&item->call->sess->send))
			return PROC_AGAIN;
		piece = malloc(want);
		if (!piece)
			return error_set(err, ENOMEM, "out of memory");
		n = take(&waiter->source, stream, piece, want, &end, err);
		if (n > 0)
			rc = sess_call_post(item->call, piece, (size_t)n);
		if (n < 0 || rc < 0)
			return n < 0 ? (int)n : rc;
		if (stream->ended || stream->gap)
			return finish_stream(waiter, result, err);
		if (end)
			return waiter->source.blind ? PROC_LATER : PROC_WAITS;
	}
	return PROC_AGAIN;
}

static int read_stream(const struct request *request, struct stream *stream, bool *follow,
		       struct error *err)
{
	int64_t which = 1, max = 0;
	int rc = request_int(request, "stream", 1, 1, 2, &which, err);

	if (rc == 0)
		rc = request_int(request, "offset", 0, 0, INT64_MAX / 2, &stream->offset, err);
	if (rc == 0)
		rc = request_int(request, "max", 0, 0, INT64_MAX, &max, err);
	if (rc == 0)
		rc = request_bool(request, "follow", false, follow, err);
	stream->which = (int)which;
	stream->left = max ? max : INT64_MAX;
	return rc;
}

/* The process that the arguments name, and the object of the others. */
static int open_source(struct sess_call *call, struct unpack *args, struct request *request,
		       struct proc_source *source, struct error *err)
{
	autofree char *kind = NULL, *name = NULL;
	int rc = sess_json_parse(call, args, request, err);

	*source = (struct proc_source){ 0 };
	if (rc == 0)
		rc = request_text(request, "kind", NULL, LIMIT_ENTITY_NAME, &kind, err);
	if (rc == 0)
		rc = request_name(request, "name", &name, err);
	if (rc == 0)
		rc = proc_source_open(request->agent, call->sess, kind, name, source, err);
	return rc;
}

int sess_op_stream(struct sess_call *call, struct unpack *args, struct buf *result,
		   struct error *err)
{
	struct waiter waiter = { .item.serve = serve_stream };
	struct proc_source source;
	struct request request;
	bool follow = false;
	int rc = open_source(call, args, &request, &source, err);

	if (rc == 0)
		rc = read_stream(&request, &waiter.stream, &follow, err);
	waiter.item.in_file = source.kind != PROC_SHELL;
	if (rc == 0 && follow)
		rc = park(call, &source, &waiter, err);
	else if (rc == 0)
		rc = send_present(call, &source, &waiter.stream, result, err);
	proc_source_close(&source);
	sess_json_done(&request);
	return rc;
}

/* PROC_WAITS until it is so. */
static int look_whether(struct proc_source *source, bool for_end, struct buf *result,
			struct error *err)
{
	struct proc_view view;
	struct reply status;
	int rc = proc_source_look(source, &view, err);

	if (rc < 0)
		return rc;
	if (!(for_end ? view.ended : view.ready))
		return source->blind ? PROC_LATER : PROC_WAITS;
	rc = look(source, &status, err);
	if (rc == 0)
		return sess_json_dump(&status, result, err);
	json_decref(status.object);
	return rc;
}

static int serve_wait(struct proc_item *item, struct buf *result, struct error *err)
{
	struct waiter *waiter = (struct waiter *)item;

	return look_whether(&waiter->source, waiter->for_end, result, err);
}

int sess_op_wait(struct sess_call *call, struct unpack *args, struct buf *result, struct error *err)
{
	struct waiter waiter = { .item.serve = serve_wait };
	autofree char *what = NULL;
	struct proc_source source;
	struct request request;
	int rc = open_source(call, args, &request, &source, err);

	if (rc == 0)
		rc = request_text(&request, "for", NULL, LIMIT_ENTITY_NAME, &what, err);
	waiter.for_end = what && strcmp(what, "end") == 0;
	if (what && !waiter.for_end && strcmp(what, "ready") != 0)
		rc = error_set(err, EINVAL, "for must be ready or end");
	if (rc == 0)
		rc = look_whether(&source, waiter.for_end, result, err);
	if (rc > 0)
		rc = park(call, &source, &waiter, err);
	proc_source_close(&source);
	sess_json_done(&request);
	return rc;
}
