/*
 * proc_input.c - how a command's input gets into the guest.  See proc_input.h.
 */
#include "protocol/line/proc_input.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "protocol/archive.h"
#include "protocol/guest.h"
#include "protocol/line/line.h"
#include "protocol/line/proc_room.h"
#include "protocol/line/shell_text.h"

#define TAR_BLOCK INT64_C(512)
#define TAR_END INT64_C(1024)
#define SLOWEST (1 << 20) /* bytes a second that an upload is given time for */

static int input_error(ssize_t got, struct error *err)
{
	if (got == 0)
		return error_set(err, EIO, "the command's input is shorter than it was");
	return error_set(err, errno, "the command's input: %s", strerror(errno));
}

int proc_input_inline(int fd, int64_t len, struct buf *out, struct error *err)
{
	autobuf struct buf raw = BUF_INIT(PROC_INPUT_INLINE + 1);
	char *bytes = buf_reserve(&raw, (size_t)len);

	if (!bytes)
		return error_set(err, ENOMEM, "out of memory");
	for (int64_t done = 0; done < len;) {
		ssize_t got = pread(fd, bytes + done, (size_t)(len - done), done);

		if (got <= 0)
			return input_error(got, err);
		done += got;
	}
	shtext_base64_encode(out, bytes, (size_t)len);
	return out->overflow ? error_set(err, ENOMEM, "out of memory") : 0;
}

/* A tar of one file: header, the descriptor's bytes, zeros to the end. */
struct upload {
	void *header; /* owned */
	size_t header_len;
	int fd; /* owned */
	int64_t len, at;
};

static ssize_t upload_read(void *arg, void *bytes, size_t len)
{
	struct upload *upload = arg;
	int64_t at = upload->at, head = (int64_t)upload->header_len;
	ssize_t got;

	if (at < head) {
		got = (ssize_t)(len < (size_t)(head - at) ? len : (size_t)(head - at));
		memcpy(bytes, (char *)upload->header + at, (size_t)got);
	} else if (at < head + upload->len) {
		int64_t left = head + upload->len - at;

		if (left < (int64_t)len)
			len = (size_t)left;
		got = pread(upload->fd, bytes, len, at - head);
		if (got <= 0)
			return got < 0 ? -errno : -EIO;
	} else {
		memset(bytes, 0, len);
		got = (ssize_t)len;
	}
	upload->at += got;
	return got;
}

static void upload_destroy(void *arg)
{
	struct upload *upload = arg;

	if (!upload)
		return;
	if (upload->fd >= 0)
		close(upload->fd);
	free(upload->header);
	free(upload);
}

static int make_payload(const char *name, int fd, int64_t len, struct line_payload *out,
			struct error *err)
{
	struct upload *upload = calloc(1, sizeof(*upload));
	int rc;

	if (!upload)
		return error_set(err, ENOMEM, "out of memory");
	upload->len = len;
	upload->fd = dup(fd);
	rc = upload->fd < 0 ? error_set(err, errno, "the command's input: %s", strerror(errno)) : 0;
	rc = rc ? rc : archive_file_header(name, len, &upload->header, &upload->header_len, err);
	if (rc) {
		upload_destroy(upload);
		return rc;
	}
	out->size = (int64_t)upload->header_len + (len + TAR_BLOCK - 1) / TAR_BLOCK * TAR_BLOCK +
		    TAR_END;
	out->arg = upload;
	out->read = upload_read;
	out->destroy = upload_destroy;
	return 0;
}

int proc_input_upload(struct guest *guest, const struct call *call, const char *stage,
		      const char *name, int fd, int64_t len, struct error *err)
{
	double seconds = guest_options(guest)->timeout + (double)len / SLOWEST;
	struct line_archive_reply reply = { 0 };
	struct line_payload payload = { 0 };
	struct call longer = call_extend(call, seconds);
	int rc = make_payload(name, fd, len, &payload, err);

	if (rc)
		return rc;
	if (longer.deadline < call->deadline)
		longer.deadline = call->deadline;
	longer.kind = TRAFFIC_EXEC;
	rc = line_extract_archive(guest, &longer, stage, payload, &reply, err);
	line_archive_reply_free(&reply);
	return rc ? error_wrap(err, proc_error(rc, err), "the command's input was not taken") : 0;
}
