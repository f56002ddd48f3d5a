/*
 * ws_rename.c - names that go away: unlink and rename.
 *
 * A file that is open here and loses its name gets another one in the staging
 * directory first, in the same script, so that it goes on working.  The tools do more than the
 * system calls (mv copies, replaces, or moves into a directory), so the scripts
 * check first what the call would refuse.
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "protocol/cleanup.h"
#include "protocol/line/ws.h"

/* A file that is open and about to lose its name. */
struct victim {
	struct ws_inode *inode; /* a reference, or NULL */
	uint64_t serial;        /* of the link that is made for it */
};

/* Adds keep, which gives "$v" its link and prints "kept", and drop, which undoes that. */
static void victim_script(struct lws *ws, const char *path, struct victim *victim,
			  struct buf *script)
{
	autofree char *link = NULL;

	victim->inode = ws_inode_at(ws, path);
	if (!victim->inode) {
		buf_adds(script, "keep() { :; }\ndrop() { :; }\n");
		return;
	}
	victim->serial = atomic_fetch_add(&ws->serial, 1) + 1;
	atomic_store(&ws->staged, true);
	link = ws_stage_name(ws, victim->serial);
	ws_script_var(script, "l", link);
	ws_script_var(script, "d", ws->stage);
	buf_addf(script,
		 "keep() { mkdir -p -m 700 \"$d\" && [ \"$(stat -c '%%d %%i' \"$v\")\" = '%llu "
		 "%llu' ]"
		 " && ln -T \"$v\" \"$l\" && echo kept; } 2>/dev/null\n"
		 "drop() { rm -f \"$l\"; }\n",
		 (unsigned long long)victim->inode->key.dev,
		 (unsigned long long)victim->inode->key.ino);
}

static void victim_done(struct lws *ws, const struct call *call, struct victim *victim, int rc,
			bool kept)
{
	if (!victim->inode)
		return;
	if (!rc) {
		ws_names_removed(ws, victim->inode, kept ? victim->serial : 0);
	} else if (ws_unanswered(rc)) {
		ws_name_removed_unsure(ws, victim->inode, victim->serial);
	}
	ws_inode_put(victim->inode, call);
}

/* names held, exclusively. */
static int unlink_held(struct lws *ws, const struct call *call, const char *path, struct error *err)
{
	autobuf struct buf script = BUF_INIT(LIMIT_EXEC_COMMAND);
	struct shtext_reply reply = { 0 };
	struct victim victim = { 0 };
	int rc;

	ws_script_begin(&script);
	ws_script_place(&script, ws, "v", path, 5);
	victim_script(ws, path, &victim, &script);
	buf_adds(&script, "! dir \"$v\" || die 'Is a directory'\n"
			  "keep\nrm \"$v\" || { drop; exit 1; }\n");
	rc = ws_run(ws, call, TRAFFIC_CHANGE, &script, &reply, err);
	victim_done(ws, call, &victim, rc, !rc && strstr(reply.out, "kept"));
	shtext_reply_free(&reply);
	return rc;
}

int lws_unlink(struct lws *ws, const struct call *call, const char *path, struct error *err)
{
	int rc = ws_check_path(path, WS_LOOKUP, err);

	if (!rc && !*path)
		rc = error_set(err, EISDIR, "the workspace itself is a directory");
	if (!rc)
		rc = ws_latch_take(&ws->names, call, WS_EXCLUSIVE, err);
	if (rc)
		return rc;
	rc = ws_names_settle(ws, call, err);
	if (!rc)
		rc = unlink_held(ws, call, path, err);
	ws_latch_drop(&ws->names);
	return rc;
}

static bool is_below(const char *path, const char *dir)
{
	size_t len = strlen(dir);

	return !strncmp(path, dir, len) && path[len] == '/';
}

/* What rename(2) refuses.  $f from, $v to, $g and $w the directories they are in. */
static void rename_checks(const char *from, const char *to, unsigned flags, struct buf *script)
{
	buf_adds(script, "in_dir \"$g\"\nin_dir \"$w\"\n"
			 "[ \"$g\" = \"$w\" ] || [ \"$(stat -L -c %d \"$g\")\" = \"$(stat -L -c %d "
			 "\"$w\")\" ] ||"
			 " die 'Invalid cross-device link'\n"
			 "need \"$f\"\n");
	if (flags & RENAME_NOREPLACE)
		buf_adds(script, "free \"$v\"\n");
	if (flags & RENAME_EXCHANGE)
		buf_adds(script, "need \"$v\"\n");
	if (is_below(to, from))
		buf_adds(script, "die 'Invalid argument'\n");
	if (is_below(from, to))
		buf_adds(script, flags & RENAME_EXCHANGE ? "die 'Invalid argument'\n" :
							   "die 'Directory not empty'\n");
	if (flags)
		return;
	/* two names of one inode: nothing happens, where mv would remove one */
	buf_adds(script, "if here \"$v\"; then\n"
			 "x=$(stat -c '%d %i' \"$f\") && y=$(stat -c '%d %i' \"$v\") || exit 1\n"
			 "[ \"$x\" != \"$y\" ] || { echo same; exit 0; }\n"
			 "if dir \"$f\"; then dir \"$v\" || die 'Not a directory'\n"
			 "else ! dir \"$v\" || die 'Is a directory'; fi\nfi\n");
}

/*
 * NOREPLACE: a link fails where the new name exists, at one stroke; a directory and a
 * file system without links make do with a look before.  A directory over an empty
 * one: busybox's mv may want it removed first.
 */
static void rename_act(unsigned flags, struct buf *script)
{
	if (flags & RENAME_EXCHANGE)
		buf_adds(script, "mv --help 2>&1 | grep -q -e --exchange || "
				 "die 'mv has no --exchange: Invalid argument'\n"
				 "mv --exchange -T \"$f\" \"$v\" || exit 1\n");
	else if (flags & RENAME_NOREPLACE)
		buf_adds(script, "if ! dir \"$f\" && ln -T \"$f\" \"$v\" 2>/dev/null; then\n"
				 "rm \"$f\" || { rm -f \"$v\"; exit 1; }\n"
				 "else\n"
				 "free \"$v\"\nmv -n -T \"$f\" \"$v\" || exit 1\n"
				 "! here \"$f\" || die 'File exists'\nfi\n");
	else
		buf_adds(script, "if dir \"$f\" && here \"$v\"; then\n"
				 "mv -T \"$f\" \"$v\" 2>/dev/null ||"
				 " { rmdir \"$v\" && mv -T \"$f\" \"$v\"; } || exit 1\n"
				 "else\n"
				 "keep\nmv -f -T \"$f\" \"$v\" || { drop; exit 1; }\nfi\n");
}

/* names held, exclusively. */
static int rename_held(struct lws *ws, const struct call *call, const char *from, const char *to,
		       unsigned flags, struct error *err)
{
	autobuf struct buf script = BUF_INIT(LIMIT_EXEC_COMMAND);
	struct shtext_reply reply = { 0 };
	struct victim victim = { 0 };
	bool exchange = flags & RENAME_EXCHANGE;
	int rc;

	ws_script_begin(&script);
	ws_script_place(&script, ws, "f", from, 5);
	buf_adds(&script, "g=$D\n");
	ws_script_place(&script, ws, "v", to, 6);
	buf_adds(&script, "w=$D\n");
	if (!flags)
		victim_script(ws, to, &victim, &script);
	rename_checks(from, to, flags, &script);
	rename_act(flags, &script);
	rc = ws_run(ws, call, TRAFFIC_CHANGE, &script, &reply, err);
	if (!rc && strstr(reply.out, "same")) {
		if (victim.inode)
			ws_inode_put(victim.inode, call);
	} else {
		victim_done(ws, call, &victim, rc, !rc && strstr(reply.out, "kept"));
		if (!rc)
			ws_names_moved(ws, from, to, exchange);
		else if (ws_unanswered(rc))
			ws_names_unsure(ws, from, to, exchange);
	}
	shtext_reply_free(&reply);
	return rc;
}

int lws_rename(struct lws *ws, const struct call *call, const char *from, const char *to,
	       unsigned flags, struct error *err)
{
	int rc = ws_check_path(from, WS_LOOKUP, err);

	if (!rc && (!*from || !*to))
		rc = error_set(err, EBUSY, "the workspace itself cannot be renamed");
	if (!rc)
		rc = ws_check_path(to, WS_CREATE, err);
	if (!rc && flags != 0 && flags != RENAME_NOREPLACE && flags != RENAME_EXCHANGE)
		rc = error_set(err, EINVAL, "a guest cannot rename so");
	if (!rc)
		rc = ws_latch_take(&ws->names, call, WS_EXCLUSIVE, err);
	if (rc)
		return rc;
	rc = ws_names_settle(ws, call, err);
	if (!rc)
		rc = rename_held(ws, call, from, to, flags, err);
	ws_latch_drop(&ws->names);
	return rc;
}
