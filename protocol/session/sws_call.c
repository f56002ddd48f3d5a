/*
 * sws_call.c - what is asked in the living session, and what happens when it breaks.
 */
#include <errno.h>

#include "protocol/session/sws_internal.h"

/* One whose writes have to be sent again, with a reference. */
static struct sws_inode *find_behind(struct sws *ws, const struct mux *mux)
{
	struct sws_inode *inode;

	pthread_mutex_lock(&ws->lock);
	for (inode = ws->dirty; inode && !sws_queue_is_behind(inode, mux); inode = inode->next)
		;
	if (inode)
		inode->refs++;
	pthread_mutex_unlock(&ws->lock);
	return inode;
}

static int send_again(struct sws_inode *inode, struct mux *mux, const struct call *call,
		      struct error *err)
{
	int rc = ws_latch_take(&inode->gate, call, WS_EXCLUSIVE, err);

	if (rc)
		return rc;
	rc = sws_queue_send(inode, mux, call, err);
	ws_latch_drop(&inode->gate);
	return rc;
}

/* Writes that broke with the last session come first in this one. */
static int send_all_again(struct sws *ws, struct mux *mux, const struct call *call,
			  struct error *err)
{
	struct sws_inode *inode;
	int rc = 0;

	while (!rc && (inode = find_behind(ws, mux))) {
		rc = send_again(inode, mux, call, err);
		sws_inode_put(inode);
	}
	return rc;
}

int sws_run(struct sws *ws, const struct call *call, enum session_op op, sws_step step, void *arg,
	    struct error *err)
{
	for (int sessions = 1;; sessions++) {
		struct error why = { 0 };
		int64_t since = call_now();
		struct mux *mux;
		int rc = link_mux(ws->link, call, &mux, err);

		if (rc)
			return rc;
		rc = send_all_again(ws, mux, call, &why);
		if (!rc)
			rc = step(arg, mux, &why);
		if (rc == -ETIMEDOUT)
			link_unanswered(ws->link, mux, since, &why);
		mux_unref(mux);
		if (rc != -ECONNRESET)
			return rc ? error_copy(err, &why) : 0;
		if (sessions == SWS_SESSIONS)
			return error_set(err, EIO, "the session broke again and again: %s",
					 why.text);
		if (op)
			link_retried(ws->link, op);
	}
}

int sws_unknown(struct error *why)
{
	why->code = EIO;
	return error_wrap(why, -EIO, "whether the guest did it is not known");
}

struct asking {
	struct sws *ws;
	const struct call *call;
	struct sws_ask *ask;
};

static int ask_renaming(const struct asking *asking, struct mux *mux, bool *maybe_done,
			struct error *err)
{
	struct sws_ask *ask = asking->ask;
	struct sws *ws = asking->ws;
	int rc = ask->victim ? sws_path_reopen(ws, mux, asking->call, ask->victim, err) : 0;

	if (!rc)
		rc = ws_latch_take(&ws->names, asking->call, WS_SHARED, err);
	if (rc)
		return rc;
	/* What is learned of names from here on may be older than the change, or newer. */
	pthread_mutex_lock(&ws->lock);
	ask->begun = ++ws->clock;
	pthread_mutex_unlock(&ws->lock);
	rc = mux_call(mux, asking->call, ask->op, ask->args, ask->reply, maybe_done, err);
	if (!rc)
		ask->renamed(ws, ask, false);
	else if (rc == -ETIMEDOUT || rc == -EINTR || (rc == -ECONNRESET && *maybe_done))
		ask->renamed(ws, ask, true);
	ws_latch_drop(&ws->names);
	return rc;
}

static int ask_step(void *arg, struct mux *mux, struct error *err)
{
	const struct asking *asking = arg;
	const struct sws_ask *ask = asking->ask;
	bool maybe_done = false;
	int rc;

	if (ask->renamed)
		rc = ask_renaming(asking, mux, &maybe_done, err);
	else
		rc = mux_call(mux, asking->call, ask->op, ask->args, ask->reply, &maybe_done, err);
	if (rc == -ECONNRESET && maybe_done && !ask->repeatable)
		rc = sws_unknown(err);
	return rc;
}

int sws_call(struct sws *ws, const struct call *call, struct sws_ask *ask, struct error *err)
{
	struct asking asking = { .ws = ws, .call = call, .ask = ask };

	return sws_run(ws, call, ask->op, ask_step, &asking, err);
}

int sws_take_attr(const struct buf *reply, struct ws_attr *out, struct error *err)
{
	struct unpack in = unpack_from(reply->data, reply->len);
	struct ws_attr attr;
	int rc;

	ops_unpack_attr(&in, &attr);
	rc = unpack_done(&in, "what the guest told of a file", err);
	if (!rc)
		rc = sws_check_attr(&attr, err);
	if (!rc && out)
		*out = attr;
	return rc;
}

int sws_check_attr(const struct ws_attr *attr, struct error *err)
{
	switch (attr->mode & S_IFMT) {
	case S_IFREG:
	case S_IFDIR:
	case S_IFLNK:
	case S_IFIFO:
	case S_IFSOCK:
	case S_IFCHR:
	case S_IFBLK:
		return 0;
	default:
		return error_set(err, EPROTO,
				 "the guest told of a file with the mode %o, which is "
				 "no type of file",
				 attr->mode);
	}
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
