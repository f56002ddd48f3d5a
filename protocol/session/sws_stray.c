/*
 * sws_stray.c - answers that nobody waits for, but that somebody has to hear: of closes, and of
 * opens whose caller went away, and whose handle has to be closed then.
 */
#include <errno.h>
#include <stdlib.h>
#include <utlist.h>

#include "protocol/session/sws_internal.h"

/* To get a call out, where the socket is full. */
#define CLOSE_SECONDS 1

/* Given up: the agent is told, its answer is dropped. */
static void give_up(struct mux *mux, struct mux_ticket *ticket)
{
	const struct call over = { 0 };

	mux_finish(ticket, &over, NULL, NULL, NULL);
	mux_unref(mux);
}

void sws_stray_add(struct sws *ws, struct mux *mux, struct mux_ticket *ticket, enum session_op op)
{
	struct sws_stray *stray = calloc(1, sizeof(*stray));

	if (!stray) {
		give_up(mux, ticket);
		return;
	}
	*stray = (struct sws_stray){ .mux = mux, .ticket = ticket, .op = op };
	pthread_mutex_lock(&ws->lock);
	DL_APPEND(ws->strays, stray);
	ws->stray_count++;
	pthread_mutex_unlock(&ws->lock);
}

/* The oldest, if it is answered or there are more than MOST; it is the caller's then. */
static struct sws_stray *take_one(struct sws *ws, unsigned most)
{
	struct sws_stray *stray;

	pthread_mutex_lock(&ws->lock);
	stray = ws->strays;
	if (stray && ws->stray_count <= most && !mux_answered(stray->ticket))
		stray = NULL;
	if (stray) {
		DL_DELETE(ws->strays, stray);
		ws->stray_count--;
	}
	pthread_mutex_unlock(&ws->lock);
	return stray;
}

static void hear(struct sws *ws, struct sws_stray *stray, const struct call *call)
{
	struct buf reply = BUF_INIT(FRAME_BODY_MAX);
	int rc = mux_finish(stray->ticket, call, &reply, NULL, NULL);
	struct unpack in = unpack_from(reply.data, reply.len);

	if (!rc && stray->op == OP_OPEN)
		sws_close_handle(ws, stray->mux, unpack_u32(&in));
	else
		mux_unref(stray->mux);
	buf_free(&reply);
	free(stray);
}

void sws_strays_hear(struct sws *ws, const struct call *call)
{
	struct sws_stray *stray;

	while ((stray = take_one(ws, SWS_STRAYS)))
		hear(ws, stray, call);
}

void sws_strays_drop(struct sws *ws)
{
	struct sws_stray *stray;

	while ((stray = take_one(ws, 0))) {
		give_up(stray->mux, stray->ticket);
		free(stray);
	}
}

void sws_close_handle(struct sws *ws, struct mux *mux, uint32_t handle)
{
	autobuf struct buf args = BUF_INIT(FRAME_BODY_MAX);
	struct call call = call_within(CLOSE_SECONDS, NULL);
	struct mux_ticket *ticket;

	if (!mux)
		return;
	pack_u32(&args, handle);
	/* Where it cannot be sent, the handle ends with the session. */
	if (mux_begin(mux, &call, OP_CLOSE, &args, &ticket, NULL))
		mux_unref(mux);
	else
		sws_stray_add(ws, mux, ticket, OP_CLOSE);
}
