/*
 * ws_stage.c - the staging directory: where uploads land, and where files that were
 * unlinked while open live on.
 *
 * It is made when it is first needed, with a name of this guest's own, and removed with
 * the workspace.  One that is older than a day belongs to a daemon that died.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "protocol/archive.h"
#include "protocol/cleanup.h"
#include "protocol/line/line.h"
#include "protocol/line/ws.h"

int ws_stage_prepare(struct lws *ws, const struct call *call, struct error *err)
{
	autobuf struct buf script = BUF_INIT(LIMIT_EXEC_COMMAND);
	int rc;

	if (atomic_load(&ws->swept))
		return 0;
	ws_script_var(&script, "r", ws->root);
	ws_script_var(&script, "s", ws->stage);
	buf_adds(&script, "find \"$r\" -maxdepth 1 -name '" WS_PRIVATE_PREFIX "*' -mtime +0 "
			  "! -path \"$s\" -exec rm -rf {} + 2>/dev/null\n"
			  "mkdir -p -m 700 \"$s\"\n");
	rc = ws_run_attr(ws, call, TRAFFIC_WRITE, &script, NULL, err);
	if (!rc || ws_unanswered(rc))
		atomic_store(&ws->staged, true);
	if (!rc)
		atomic_store(&ws->swept, true);
	return rc;
}

int ws_stage_remove(struct lws *ws, const struct call *call, uint64_t serial, struct error *err)
{
	autobuf struct buf script = BUF_INIT(LIMIT_EXEC_COMMAND);
	autofree char *name = serial ? ws_stage_name(ws, serial) : strdup(ws->stage);

	ws_script_var(&script, "s", name);
	buf_adds(&script, "rm -rf \"$s\"\n");
	return ws_run_attr(ws, call, TRAFFIC_WRITE, &script, NULL, err);
}

/* An archive with one member, made while it is sent. */
struct upload {
	char *header;
	size_t header_len;
	int spool; /* a duplicate */
	struct ws_extents extents;
	int64_t data;  /* bytes of all extents */
	int64_t sent;  /* of the whole archive */
	size_t at;     /* the extent that is sent now */
	int64_t of_at; /* how much of it was */
};

static void upload_free(void *arg)
{
	struct upload *upload = arg;

	if (!upload)
		return;
	free(upload->header);
	if (upload->spool >= 0)
		close(upload->spool);
	ws_extents_free(&upload->extents);
	free(upload);
}

static ssize_t send_data(struct upload *upload, void *bytes, size_t len)
{
	const struct ws_extent *extent = &upload->extents.at[upload->at];
	int64_t left = extent->len - upload->of_at;
	ssize_t got;

	if ((int64_t)len > left)
		len = (size_t)left;
	do
		got = pread(upload->spool, bytes, len, extent->offset + upload->of_at);
	while (got < 0 && errno == EINTR);
	if (got <= 0)
		return got ? -errno : -EIO;
	upload->of_at += got;
	if (upload->of_at == extent->len) {
		upload->at++;
		upload->of_at = 0;
	}
	return got;
}

static ssize_t upload_read(void *arg, void *bytes, size_t len)
{
	struct upload *upload = arg;
	int64_t header = (int64_t)upload->header_len;
	ssize_t got;

	if (upload->sent < header) {
		if ((int64_t)len > header - upload->sent)
			len = (size_t)(header - upload->sent);
		memcpy(bytes, upload->header + upload->sent, len);
		got = (ssize_t)len;
	} else if (upload->sent < header + upload->data) {
		got = send_data(upload, bytes, len);
	} else { /* padding and the end of the archive */
		memset(bytes, 0, len);
		got = (ssize_t)len;
	}
	if (got > 0)
		upload->sent += got;
	return got;
}

static struct upload *upload_new(int spool, const struct ws_extents *extents, uint64_t serial,
				 struct error *err)
{
	struct upload *upload = calloc(1, sizeof(*upload));
	char name[24];
	void *header = NULL;

	if (!upload)
		return NULL;
	upload->data = ws_extents_bytes(extents);
	upload->spool = fcntl(spool, F_DUPFD_CLOEXEC, 0);
	snprintf(name, sizeof(name), "%llu", (unsigned long long)serial);
	for (size_t i = 0; i < extents->count; i++)
		if (ws_extents_add(&upload->extents, extents->at[i].offset, extents->at[i].len))
			goto fail;
	if (upload->spool < 0 ||
	    archive_file_header(name, upload->data, &header, &upload->header_len, err))
		goto fail;
	upload->header = header;
	return upload;
fail:
	upload_free(upload);
	return NULL;
}

int ws_stage_upload(struct lws *ws, const struct call *call, int spool_fd,
		    const struct ws_extents *extents, uint64_t serial, struct error *err)
{
	struct upload *upload = upload_new(spool_fd, extents, serial, err);
	struct call counted = call_as(call, TRAFFIC_WRITE);
	struct line_archive_reply reply = { 0 };
	struct line_payload payload;
	struct error why = { 0 };
	int rc;

	if (!upload)
		return error_set(err, ENOMEM, "no memory for an upload");
	payload = (struct line_payload){
		.size = (int64_t)upload->header_len + (upload->data + 511) / 512 * 512 + 1024,
		.arg = upload,
		.read = upload_read,
		.destroy = upload_free,
	};
	rc = line_extract_archive(ws->guest, &counted, ws->stage, payload, &reply, &why);
	line_archive_reply_free(&reply);
	if (rc == -EREMOTEIO) { /* in the agent's words; a full disk leaves half of the file */
		why.code = error_from_text(why.text, EIO);
		error_wrap(&why, rc, "the guest's agent cannot take an upload");
		ws_stage_remove(ws, call, serial, NULL);
	}
	return rc ? error_copy(err, &why) : 0;
}
