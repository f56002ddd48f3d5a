/*
 * files.c - the line dialect's four actions on single workspace files.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "protocol/base64.h"
#include "protocol/line/reply.h"
#include "protocol/line/request.h"
#include "protocol/utf8.h"

/* Listings */

void line_listing_free(struct line_listing *listing)
{
	for (size_t i = 0; i < listing->count; i++) {
		line_text_free(&listing->entries[i].path);
		line_text_free(&listing->entries[i].link_target);
	}
	free(listing->entries);
	line_text_free(&listing->path);
	*listing = (struct line_listing){ 0 };
}

static int parse_entry(const json_t *object, struct line_entry *out, struct error *err)
{
	struct line_reply reply = { .object = object, .err = err };

	line_reply_text(&reply, "path", NULL, &out->path);
	line_reply_word(&reply, "artifact_type", "file", out->artifact_type,
			sizeof(out->artifact_type));
	out->size_bytes = line_reply_count(&reply, "size_bytes");
	line_reply_text(&reply, "link_target", NULL, &out->link_target);
	return reply.rc;
}

static int parse_entries(const json_t *array, struct line_listing *out, struct error *err)
{
	size_t count = json_array_size(array), i;
	const json_t *item;

	if (count > LIMIT_LISTING_ENTRIES)
		return error_set(err, EPROTO, "the guest's listing has more than %u entries",
				 LIMIT_LISTING_ENTRIES);
	if (count == 0)
		return 0;
	out->entries = calloc(count, sizeof(*out->entries));
	if (!out->entries)
		return error_set(err, ENOMEM, "out of memory");
	json_array_foreach (array, i, item) {
		int rc;

		if (!json_is_object(item))
			return error_set(
				err, EPROTO,
				"the guest's reply is not valid: entry %zu must be an object", i);
		out->count++; /* first, so that a half-filled entry is freed as well */
		rc = parse_entry(item, &out->entries[i], err);
		if (rc < 0)
			return error_wrap(err, rc, "entry %zu", i);
	}
	return 0;
}

static int parse_listing(const json_t *object, const char *path, struct line_listing *out,
			 struct error *err)
{
	struct line_reply reply = { .object = object, .err = err };
	const json_t *entries;

	line_reply_text(&reply, "path", path, &out->path);
	line_reply_word(&reply, "artifact_type", "file", out->artifact_type,
			sizeof(out->artifact_type));
	entries = line_reply_array(&reply, "entries");
	return reply.rc < 0 ? reply.rc : parse_entries(entries, out, err);
}

int line_list_workspace(struct guest *guest, const struct call *call, const char *path,
			bool recursive, struct line_listing *out, struct error *err)
{
	struct line_request request;
	json_t *reply;
	int rc;

	*out = (struct line_listing){ 0 };
	line_request_init(&request, "list_workspace", err);
	line_request_text(&request, "path", path);
	line_request_bool(&request, "recursive", recursive);
	request.exchange.repeatable = true;
	rc = line_request_run(&request, guest, call, &reply);
	if (rc < 0)
		return rc;
	rc = parse_listing(reply, path, out, err);
	json_decref(reply);
	return rc;
}

/* Single files */

void line_file_reply_free(struct line_file_reply *reply)
{
	line_text_free(&reply->path);
	line_text_free(&reply->content);
}

/* The fields that the three actions on single files share; each sends its own of them. */
static void parse_file(struct line_reply *reply, const char *path, struct line_file_reply *out)
{
	line_reply_text(reply, "path", path, &out->path);
	out->size_bytes = line_reply_count(reply, "size_bytes");
	out->bytes_written = line_reply_count(reply, "bytes_written");
	out->deleted = line_reply_bool(reply, "deleted", false);
}

static int parse_content(struct line_reply *reply, int64_t max_bytes, struct line_file_reply *out)
{
	struct line_text encoded;
	int rc = 0;

	line_reply_text(reply, "content_b64", NULL, &encoded);
	if (reply->rc == 0)
		rc = base64_decode(encoded.data, encoded.len, &out->content.data,
				   &out->content.len);
	line_text_free(&encoded);
	if (rc == -ENOMEM)
		return error_set(reply->err, ENOMEM, "out of memory");
	if (rc < 0)
		line_reply_fail(reply, "the guest's reply is not valid: content_b64 is not base64");
	if (reply->rc < 0)
		return reply->rc;
	if ((int64_t)out->content.len != out->size_bytes)
		line_reply_fail(reply,
				"the guest's reply is not valid: content_b64 has %zu bytes and "
				"size_bytes is %jd",
				out->content.len, (intmax_t)out->size_bytes);
	else if (out->size_bytes > max_bytes)
		line_reply_fail(
			reply,
			"the guest's reply is not valid: %jd bytes came where at most %jd were "
			"asked for",
			(intmax_t)out->size_bytes, (intmax_t)max_bytes);
	return reply->rc;
}

int line_read_file(struct guest *guest, const struct call *call, const char *path,
		   int64_t max_bytes, struct line_file_reply *out, struct error *err)
{
	struct line_reply reply = { .err = err };
	struct line_request request;
	json_t *object;
	int rc;

	*out = (struct line_file_reply){ 0 };
	line_request_init(&request, "read_workspace_file", err);
	line_request_text(&request, "path", path);
	line_request_range(&request, "max_bytes", max_bytes, 1, LIMIT_TEXT_FILE);
	request.exchange.repeatable = true;
	rc = line_request_run(&request, guest, call, &object);
	if (rc < 0)
		return rc;
	reply.object = object;
	parse_file(&reply, path, out);
	rc = parse_content(&reply, max_bytes, out);
	json_decref(object);
	return rc;
}

int line_write_file(struct guest *guest, const struct call *call, const char *path,
		    const char *text, size_t len, struct line_file_reply *out, struct error *err)
{
	struct line_reply reply = { .err = err };
	struct line_request request;
	json_t *object;
	int rc;

	*out = (struct line_file_reply){ 0 };
	line_request_init(&request, "write_workspace_file", err);
	if (len > LIMIT_TEXT_FILE)
		line_request_fail(&request, EFBIG, "the text is larger than %u bytes",
				  LIMIT_TEXT_FILE);
	else if (!utf8_valid(text, len))
		line_request_fail(
			&request, EINVAL,
			"write_workspace_file takes UTF-8 text; use an archive for other bytes");
	line_request_text(&request, "path", path);
	line_request_bytes(&request, "text", text, len);
	rc = line_request_run(&request, guest, call, &object);
	if (rc < 0)
		return rc;
	reply.object = object;
	parse_file(&reply, path, out);
	json_decref(object);
	return reply.rc;
}

int line_delete_path(struct guest *guest, const struct call *call, const char *path,
		     struct line_file_reply *out, struct error *err)
{
	struct line_reply reply = { .err = err };
	struct line_request request;
	json_t *object;
	int rc;

	*out = (struct line_file_reply){ 0 };
	line_request_init(&request, "delete_workspace_path", err);
	line_request_text(&request, "path", path);
	rc = line_request_run(&request, guest, call, &object);
	if (rc < 0)
		return rc;
	reply.object = object;
	parse_file(&reply, path, out);
	json_decref(object);
	return reply.rc;
}
