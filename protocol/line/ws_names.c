/*
 * ws_names.c - where open files are, while names change.
 *
 * A change whose answer was not heard leaves two places where a file may be; scripts
 * that need it look at both, and the next change asks first.
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "protocol/cleanup.h"
#include "protocol/line/ws.h"

void ws_names_removed(struct lws *ws, struct ws_inode *inode, uint64_t staged)
{
	pthread_mutex_lock(&ws->lock);
	pthread_mutex_lock(&inode->lock);
	inode->staged = staged;
	pthread_mutex_unlock(&inode->lock);
	free(inode->path);
	inode->path = NULL;
	pthread_mutex_unlock(&ws->lock);
}

/* PATH with FROM at its beginning replaced by TO: owned, or NULL where FROM is not in front. */
static char *moved(const char *path, const char *from, const char *to)
{
	size_t len = strlen(from);
	char *out = NULL;

	if (strncmp(path, from, len) != 0 || (path[len] && path[len] != '/'))
		return NULL;
	return asprintf(&out, "%s%s", to, path + len) < 0 ? NULL : out;
}

void ws_names_moved(struct lws *ws, const char *from, const char *to, bool exchange)
{
	struct ws_inode *inode;

	pthread_mutex_lock(&ws->lock);
	for (inode = ws->inodes; inode; inode = inode->hh.next) {
		char *path = inode->path ? moved(inode->path, from, to) : NULL;

		if (!path && inode->path && exchange)
			path = moved(inode->path, to, from);
		if (path) {
			free(inode->path);
			inode->path = path;
		}
	}
	pthread_mutex_unlock(&ws->lock);
}

void ws_names_unsure(struct lws *ws, const char *from, const char *to, bool exchange)
{
	struct ws_inode *inode;

	pthread_mutex_lock(&ws->lock);
	for (inode = ws->inodes; inode; inode = inode->hh.next) {
		autofree char *path = inode->path ? moved(inode->path, from, to) : NULL;

		if (!path && inode->path && exchange)
			path = moved(inode->path, to, from);
		if (path) {
			free(inode->other_path);
			inode->other_path = move_ptr(path);
		}
	}
	pthread_mutex_unlock(&ws->lock);
}

void ws_name_removed_unsure(struct lws *ws, struct ws_inode *inode, uint64_t staged)
{
	pthread_mutex_lock(&ws->lock);
	inode->other_staged = staged;
	pthread_mutex_unlock(&ws->lock);
}

/* ws->lock held. */
static bool sure(const struct ws_inode *inode)
{
	return !inode->other_path && !inode->other_staged;
}

/* The places, absolute and owned; NULL for none.  ws->lock held. */
static char *place(const struct ws_inode *inode)
{
	if (inode->staged)
		return ws_stage_name(inode->ws, inode->staged);
	return inode->path ? ws_absolute(inode->ws, inode->path) : NULL;
}

static char *other_place(const struct ws_inode *inode)
{
	if (inode->other_staged)
		return ws_stage_name(inode->ws, inode->other_staged);
	return inode->other_path ? ws_absolute(inode->ws, inode->other_path) : NULL;
}

#define STALE "stale() { die 'another file has taken its name: Stale file handle'; }\n"

int ws_script_inode(struct ws_inode *inode, struct buf *script, struct error *err)
{
	struct lws *ws = inode->ws;
	bool known;

	ws_script_hold(script);
	buf_addf(script, "i='%llu %llu'\n" STALE, (unsigned long long)inode->key.dev,
		 (unsigned long long)inode->key.ino);
	pthread_mutex_lock(&ws->lock);
	known = inode->staged || inode->path;
	if (known && sure(inode) && !inode->staged) {
		const char *slash = strrchr(inode->path, '/');

		if (ws_script_at(script, ws, inode->path, 5))
			buf_adds(script, "|| stale\n");
		ws_script_var(script, "p", slash ? slash + 1 : inode->path);
		buf_adds(script, "p=$D$p\n");
	} else if (known) {
		autofree char *first = place(inode), *second = other_place(inode);

		ws_script_var(script, "p", first);
		if (!sure(inode)) {
			ws_script_var(script, "o", second);
			buf_adds(script, "is \"$p\" || p=$o\n");
		}
	}
	pthread_mutex_unlock(&ws->lock);
	if (!known)
		return error_set(err, ESTALE, "the open file has no name any more in the guest");
	buf_adds(script, "hold || stale\n");
	return 0;
}

/* An inode of which it is not sure where it is, with a reference. */
static struct ws_inode *find_unsure(struct lws *ws)
{
	struct ws_inode *inode, *found = NULL;

	pthread_mutex_lock(&ws->lock);
	for (inode = ws->inodes; inode; inode = inode->hh.next) {
		if (!sure(inode)) {
			inode->refs++;
			found = inode;
			break;
		}
	}
	pthread_mutex_unlock(&ws->lock);
	return found;
}

static void settle(struct ws_inode *inode, bool moved_there)
{
	struct lws *ws = inode->ws;

	pthread_mutex_lock(&ws->lock);
	pthread_mutex_lock(&inode->lock);
	if (moved_there) {
		inode->staged = inode->other_staged;
		free(inode->path);
		inode->path = inode->staged ? NULL : move_ptr(inode->other_path);
	}
	pthread_mutex_unlock(&inode->lock);
	free(move_ptr(inode->other_path));
	inode->other_staged = 0;
	pthread_mutex_unlock(&ws->lock);
}

static int ask(struct ws_inode *inode, const struct call *call, bool *moved_there,
	       struct error *err)
{
	autobuf struct buf script = BUF_INIT(LIMIT_EXEC_COMMAND);
	struct shtext_reply reply = { 0 };
	int rc;

	ws_script_begin(&script);
	rc = ws_script_inode(inode, &script, err);
	buf_adds(&script, "[ \"$p\" != \"$o\" ] || echo moved\n");
	if (!rc)
		rc = ws_run(inode->ws, call, TRAFFIC_CHANGE, &script, &reply, err);
	*moved_there = !rc && strstr(reply.out, "moved");
	shtext_reply_free(&reply);
	return rc;
}

int ws_names_settle(struct lws *ws, const struct call *call, struct error *err)
{
	struct ws_inode *inode;
	int rc = 0;

	while (!rc && (inode = find_unsure(ws))) {
		struct error why = { 0 };
		bool moved_there;

		rc = ask(inode, call, &moved_there, &why);
		if (rc == -ESTALE) /* it is nowhere: whoever uses it will hear so */
			rc = 0;
		if (rc)
			error_copy(err, &why);
		else
			settle(inode, moved_there);
		ws_inode_put(inode, call);
	}
	return rc;
}

int ws_names_settle_all(struct lws *ws, const struct call *call, struct error *err)
{
	struct ws_inode *unsure = find_unsure(ws);
	int rc;

	if (!unsure)
		return 0;
	ws_inode_put(unsure, call);
	rc = ws_latch_take(&ws->names, call, WS_EXCLUSIVE, err);
	if (rc)
		return rc;
	rc = ws_names_settle(ws, call, err);
	ws_latch_drop(&ws->names);
	return rc;
}
