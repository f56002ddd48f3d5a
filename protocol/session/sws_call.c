/*
 * sws_call.c - a call of the living session, and what happens when it breaks.
 */
#include <errno.h>

#include "protocol/session/sws_internal.h"

/* One whose writes have to be sent again, with a reference. */
static struct sws_inode *find_broken(struct sws *ws)
{
	struct sws_inode *inode;

	pthread_mutex_lock(&ws->lock);
	for (inode = ws->dirty; inode && !sws_inode_is_broken(inode); inode = inode->next)
		;
	if (inode)
		inode->refs++;
	pthread_mutex_unlock(&ws->lock);
	return inode;
}

static int mend(struct sws_inode *inode, const struct call *call, struct error *err)
{
	int rc = ws_latch_take(&inode->gate, call, WS_EXCLUSIVE, err);

	if (rc)
		return rc;
	rc = sws_queue_send(inode, call, err);
	ws_latch_drop(&inode->gate);
	return rc;
}

int sws_session(struct sws *ws, const struct call *call, struct mux **out, struct error *err)
{
	struct sws_inode *inode;
	int rc = 0;

	while (!rc && (inode = find_broken(ws))) {
		rc = mend(inode, call, err);
		sws_inode_put(inode);
	}
	return rc ? rc : link_mux(ws->link, call, out, err);
}

int sws_broken(const struct error *why, bool maybe_done, struct error *err)
{
	if (maybe_done)
		return error_set(err, EIO,
				 "%s; whether the guest did what it was asked is not known",
				 why->text);
	return error_set(err, ENOTCONN, "%s", why->text);
}

static int ask_renaming(struct sws *ws, struct mux *mux, const struct call *call,
			const struct sws_ask *ask, bool *maybe_done, struct error *err)
{
	int rc = ws_latch_take(&ws->names, call, WS_SHARED, err);

	if (rc)
		return rc;
	rc = mux_call(mux, call, ask->op, ask->args, ask->reply, maybe_done, err);
	if (!rc)
		ask->renamed(ws, ask, false);
	else if (rc == -ETIMEDOUT || rc == -EINTR || (rc == -ECONNRESET && *maybe_done))
		ask->renamed(ws, ask, true);
	ws_latch_drop(&ws->names);
	return rc;
}

int sws_call(struct sws *ws, const struct call *call, const struct sws_ask *ask, struct error *err)
{
	for (int sessions = 1;; sessions++) {
		struct error why = { 0 };
		bool maybe_done = false;
		struct mux *mux;
		int rc = sws_session(ws, call, &mux, err);

		if (rc)
			return rc;
		if (ask->renamed)
			rc = ask_renaming(ws, mux, call, ask, &maybe_done, &why);
		else
			rc = mux_call(mux, call, ask->op, ask->args, ask->reply, &maybe_done, &why);
		mux_unref(mux);
		if (rc != -ECONNRESET)
			return rc ? error_copy(err, &why) : 0;
		maybe_done = maybe_done && !ask->repeatable;
		if (maybe_done || sessions == SWS_SESSIONS)
			return sws_broken(&why, maybe_done, err);
	}
}

int sws_take_attr(const struct buf *reply, struct ws_attr *out, struct error *err)
{
	struct unpack in = unpack_from(reply->data, reply->len);
	struct ws_attr attr;
	int rc;

	ops_unpack_attr(&in, &attr);
	rc = unpack_done(&in, "attributes", err);
	if (!rc && out)
		*out = attr;
	return rc;
}

int sws_call_attr(struct sws *ws, const struct call *call, struct sws_ask *ask, struct ws_attr *out,
		  struct error *err)
{
	autobuf struct buf reply = BUF_INIT(FRAME_BODY_MAX);
	int rc;

	ask->reply = &reply;
	rc = sws_call(ws, call, ask, err);
	return rc ? rc : sws_take_attr(&reply, out, err);
}
