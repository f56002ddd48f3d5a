/*
 * ws_list.c - a directory with all attributes, in one request.
 *
 * The listing of a directory with some 50,000 names does not fit into one reply any more:
 * then it is made again, into the staging directory, and fetched in ranges.
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "protocol/cleanup.h"
#include "protocol/line/ws.h"

/* A directory is listed as the name "." in itself, so that it is looked at like one in its way. */
#define HELD_FD 5
#define HELD_PLACE "/proc/self/fd/5/."

struct listing {
	struct lws *ws;
	const char *path;  /* the directory */
	const char *place; /* its place, absolute; its names come so, or behind HELD_PLACE */
	uint64_t seq;
	ws_list_fn each;
	void *arg;
	size_t count;
};

/* The name in PATH, which is TEXT, a slash and a name, or NULL. */
static const char *name_behind(const char *text, const char *path, size_t len)
{
	size_t skip = strlen(text);

	return len > skip + 1 && !memcmp(path, text, skip) && path[skip] == '/' ? path + skip + 1 :
										  NULL;
}

static int add(struct listing *list, struct ws_record *record, struct error *err)
{
	const char *from = name_behind(list->place, record->name, record->name_len);
	char name[LIMIT_NAME + 1];
	size_t len;
	int rc;

	if (!from && *list->path)
		from = name_behind(HELD_PLACE, record->name, record->name_len);
	len = from ? record->name_len - (size_t)(from - record->name) : 0;
	if (!len || len > LIMIT_NAME || memchr(from, '/', len) || memchr(from, '\0', len))
		return error_set(err, EPROTO, "the guest listed a name that cannot be one");
	memcpy(name, from, len);
	name[len] = '\0';
	if (!strcmp(name, ".") || !strcmp(name, ".."))
		return error_set(err, EPROTO, "the guest listed a name that cannot be one");
	if (!*list->path && !strncmp(name, WS_PRIVATE_PREFIX, strlen(WS_PRIVATE_PREFIX)))
		return 0;
	if (++list->count > LIMIT_LISTING_ENTRIES)
		return error_set(err, EOVERFLOW, "a directory has more than %u entries",
				 LIMIT_LISTING_ENTRIES);
	ws_attr_overlay(list->ws, list->seq, &record->attr);
	rc = list->each(list->arg, name, &record->attr);
	return rc ? error_set(err, -rc, "the listing was ended") : 0;
}

/* Takes the whole records of TEXT; *USED says how far they go. */
static int take(struct listing *list, const char *text, size_t len, size_t *used, struct error *err)
{
	const char *at = text;
	struct ws_record record;
	int rc = 0;

	while (!rc && at < text + len && !ws_parse_record(&at, text + len, &record))
		rc = add(list, &record, err);
	*used = (size_t)(at - text);
	return rc;
}

static void list_script(const struct listing *list, struct buf *script)
{
	ws_script_begin(script);
	if (!*list->path) {
		ws_script_var(script, "p", list->place);
	} else {
		/* a link that is the directory itself is none, as readdir says it */
		ws_script_at(script, list->ws, list->place + strlen(list->ws->root) + 1, HELD_FD);
		buf_adds(script,
			 "|| { [ ! -L \"$R/$A\" ] || die 'Not a directory'; gone \"$A\"; }\n"
			 "p=$D.\n");
	}
	buf_adds(script, "list() { find \"$p\" -maxdepth 1 -mindepth 1 "
			 "-exec stat -c '" WS_STAT_FORMAT "' {} + || echo . >&2; }\n");
}

/*
 * What find complains of.  A name that went away meanwhile is no error of a
 * listing; everything else means that it is not whole.
 */
static int complaints(const struct shtext_reply *reply, struct error *err)
{
	const char *line = reply->err;

	while (line) {
		const char *end = strchr(line, '\n');
		autofree char *text = end ? strndup(line, (size_t)(end - line)) : strdup(line);
		int code = text ? error_from_text(text, 0) : ENOMEM;

		if (code && code != ENOENT)
			return error_set(err, code, "%s", text ? text : "no memory");
		line = end ? end + 1 : NULL;
	}
	return 0;
}

/* Makes the listing in the staging directory. */
static int stage_list(struct listing *list, const struct call *call, uint64_t serial,
		      struct error *err)
{
	autobuf struct buf script = BUF_INIT(LIMIT_EXEC_COMMAND);
	autofree char *staged = ws_stage_name(list->ws, serial);
	struct shtext_reply reply = { 0 };
	int rc = ws_stage_prepare(list->ws, call, err);

	if (rc)
		return rc;
	list_script(list, &script);
	ws_script_var(&script, "s", staged);
	buf_adds(&script, "list >\"$s\"\n");
	rc = ws_run(list->ws, call, TRAFFIC_LIST, &script, &reply, err);
	if (!rc)
		rc = complaints(&reply, err);
	shtext_reply_free(&reply);
	return rc;
}

static int fetch_range(struct listing *list, const struct call *call, uint64_t serial,
		       int64_t offset, struct shtext_reply *reply, struct error *err)
{
	autobuf struct buf script = BUF_INIT(LIMIT_EXEC_COMMAND);
	autofree char *staged = ws_stage_name(list->ws, serial);
	struct call patient = call_extend(call, guest_options(list->ws->guest)->timeout);

	ws_script_var(&script, "s", staged);
	buf_addf(&script,
		 "dd if=\"$s\" bs=65536 iflag=skip_bytes,count_bytes,fullblock status=none "
		 "skip=%lld count=%zu\n",
		 (long long)offset, list->ws->range);
	return ws_run(list->ws, &patient, TRAFFIC_LIST, &script, reply, err);
}

static int list_large(struct listing *list, const struct call *call, struct error *err)
{
	uint64_t serial = atomic_fetch_add(&list->ws->serial, 1) + 1;
	int rc = stage_list(list, call, serial, err);
	int64_t offset = 0;
	bool more = !rc;

	while (!rc && more) {
		struct shtext_reply reply = { 0 };
		size_t used = 0;

		rc = fetch_range(list, call, serial, offset, &reply, err);
		if (!rc)
			rc = take(list, reply.out, reply.out_len, &used, err);
		more = reply.out_len == list->ws->range;
		if (!rc && (more ? !used : used != reply.out_len))
			rc = error_set(err, EPROTO, "the guest's listing makes no sense");
		offset += (int64_t)used;
		shtext_reply_free(&reply);
	}
	ws_stage_remove(list->ws, call, serial, NULL);
	return rc;
}

int lws_list(struct lws *ws, const struct call *call, const char *path, ws_list_fn each, void *arg,
	     struct error *err)
{
	autobuf struct buf script = BUF_INIT(LIMIT_EXEC_COMMAND);
	autofree char *self = NULL, *place = NULL;
	struct listing list = { .ws = ws, .path = path, .each = each, .arg = arg };
	struct call counted = call_as(call, TRAFFIC_LIST);
	struct shtext_reply reply = { 0 };
	size_t used = 0;
	int rc = ws_check_path(path, WS_LOOKUP, err);

	list.seq = atomic_load(&ws->seq);
	if (rc)
		return rc;
	if (*path && asprintf(&self, "%s/.", path) < 0)
		self = NULL;
	list.place = place = *path && !self ? NULL : ws_absolute(ws, self ? self : path);
	if (!place)
		return error_set(err, ENOMEM, "no memory for a listing");
	list_script(&list, &script);
	buf_addf(&script, "list | head -c %zu\n", ws->range);
	rc = ws_run(ws, call, TRAFFIC_LIST, &script, &reply, err);
	if (!rc && reply.out_len == ws->range) {
		shtext_reply_free(&reply);
		return list_large(&list, &counted, err);
	}
	if (!rc)
		rc = complaints(&reply, err);
	if (!rc)
		rc = take(&list, reply.out, reply.out_len, &used, err);
	if (!rc && used != reply.out_len)
		rc = error_set(err, EPROTO, "the guest's listing makes no sense");
	shtext_reply_free(&reply);
	return rc;
}
