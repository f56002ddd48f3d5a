/*
 * ws.c - a guest's workspace over the line dialect: its life, and ws_sync.
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "protocol/cleanup.h"
#include "protocol/line/ws.h"

#define RANGE_BYTES (8u << 20) /* in base64, some two thirds of LIMIT_REPLY_OBJECT */

int lws_new_at(struct guest *guest, const char *root, struct lws **out, struct error *err)
{
	struct lws *ws = calloc(1, sizeof(*ws));

	if (!ws)
		return error_set(err, ENOMEM, "no memory for a workspace");
	ws->guest = guest;
	ws->range = RANGE_BYTES;
	ws->root = strdup(root);
	if (!ws->root ||
	    asprintf(&ws->stage, "%s/" WS_PRIVATE_PREFIX "%s", root, guest_token(guest)) < 0) {
		free(ws->root);
		free(ws);
		return error_set(err, ENOMEM, "no memory for a workspace");
	}
	ws_latch_init(&ws->names);
	pthread_mutex_init(&ws->lock, NULL);
	*out = ws;
	return 0;
}

int lws_new(struct guest *guest, struct lws **out, struct error *err)
{
	return lws_new_at(guest, WS_ROOT, out, err);
}

void lws_free(struct lws *ws)
{
	if (!ws)
		return;
	if (atomic_load(&ws->staged)) {
		struct call call = guest_call(ws->guest, NULL);

		ws_stage_remove(ws, &call, 0, NULL);
	}
	ws_latch_destroy(&ws->names);
	pthread_mutex_destroy(&ws->lock);
	free(ws->stage);
	free(ws->root);
	free(ws);
}

struct sync {
	const struct call *call;
	struct error *err;
	int rc;
};

/* All are tried; the first failure is told. */
static int sync_one(struct ws_inode *inode, void *arg)
{
	struct sync *sync = arg;
	int rc = ws_inode_flush(inode, sync->call, NULL, NULL, sync->rc ? NULL : sync->err);

	if (!sync->rc)
		sync->rc = rc;
	return rc;
}

int lws_sync(struct lws *ws, const struct call *call, struct error *err)
{
	struct sync sync = { .call = call, .err = err };
	int rc = ws_inode_each_dirty(ws, call, sync_one, &sync);

	if (rc && !sync.rc)
		return error_set(err, -rc, "no memory to write back what is unsent");
	return sync.rc;
}
