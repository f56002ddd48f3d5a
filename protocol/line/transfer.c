/*
 * transfer.c - archives to and from the guest, and the payloads they travel in.
 */
#include <errno.h>
#include <fcntl.h>
#include <string.h>

#include "protocol/cleanup.h"
#include "protocol/line/reply.h"
#include "protocol/line/request.h"

/* Payloads from memory */

struct memory_payload {
	size_t at, len;
	char bytes[];
};

static ssize_t memory_read(void *arg, void *bytes, size_t len)
{
	struct memory_payload *memory = arg;
	size_t left = memory->len - memory->at;

	if (len > left)
		len = left;
	memcpy(bytes, memory->bytes + memory->at, len);
	memory->at += len;
	return (ssize_t)len;
}

int line_payload_from_memory(struct line_payload *out, const void *bytes, size_t len,
			     struct error *err)
{
	struct memory_payload *memory;

	*out = (struct line_payload){ 0 };
	if (len > LIMIT_ARCHIVE_SIZE)
		return error_set(err, EFBIG, "the archive is larger than %jd bytes",
				 (intmax_t)LIMIT_ARCHIVE_SIZE);
	memory = malloc(sizeof(*memory) + len);
	if (!memory)
		return error_set(err, ENOMEM, "out of memory");
	memory->at = 0;
	memory->len = len;
	if (len > 0)
		memcpy(memory->bytes, bytes, len);
	*out = (struct line_payload){
		.size = (int64_t)len, .arg = memory, .read = memory_read, .destroy = free
	};
	return 0;
}

/* Payloads from a file */

struct file_payload {
	int fd;
	int64_t offset, left;
};

static ssize_t file_read(void *arg, void *bytes, size_t len)
{
	struct file_payload *file = arg;
	ssize_t got;

	if ((int64_t)len > file->left)
		len = (size_t)file->left;
	do {
		got = pread(file->fd, bytes, len, file->offset);
	} while (got < 0 && errno == EINTR);
	if (got < 0)
		return -errno;
	if (got == 0 && len > 0)
		return -EIO; /* the file became shorter than what was announced */
	file->offset += got;
	file->left -= got;
	return got;
}

static void file_destroy(void *arg)
{
	struct file_payload *file = arg;

	close(file->fd);
	free(file);
}

int line_payload_from_fd(struct line_payload *out, int fd, int64_t offset, int64_t length,
			 struct error *err)
{
	struct file_payload *file;

	*out = (struct line_payload){ 0 };
	if (offset < 0 || length < 0 || offset > INT64_MAX - length)
		return error_set(err, EINVAL, "the archive's place in its file is not valid");
	file = malloc(sizeof(*file));
	if (!file)
		return error_set(err, ENOMEM, "out of memory");
	*file = (struct file_payload){ fcntl(fd, F_DUPFD_CLOEXEC, 0), offset, length };
	if (file->fd < 0) {
		int code = errno;

		free(file);
		return error_set(err, code, "cannot keep the archive's file open: %s",
				 strerror(code));
	}
	*out = (struct line_payload){
		.size = length, .arg = file, .read = file_read, .destroy = file_destroy
	};
	return 0;
}

/* The actions */

void line_archive_reply_free(struct line_archive_reply *reply)
{
	line_text_free(&reply->path);
}

static int parse_upload(const json_t *object, const char *destination, int64_t archive_size,
			struct line_archive_reply *out, struct error *err)
{
	struct line_reply reply = { .object = object, .err = err };

	line_reply_text(&reply, "destination", destination, &out->path);
	out->archive_size = archive_size;
	out->entry_count = line_reply_count(&reply, "entry_count");
	out->bytes_written = line_reply_count(&reply, "bytes_written");
	return reply.rc;
}

/* Runs an upload; DESTINATION NULL: the action has none. */
static int upload(struct line_request *request, struct guest *guest, const struct call *call,
		  const char *destination, struct line_payload payload,
		  struct line_archive_reply *out)
{
	json_t *reply;
	int rc;

	*out = (struct line_archive_reply){ 0 };
	if (destination)
		line_request_text(request, "destination", destination);
	line_request_payload(request, payload);
	rc = line_request_run(request, guest, call, &reply);
	if (rc < 0)
		return rc;
	rc = parse_upload(reply, destination, payload.size, out, request->err);
	json_decref(reply);
	return rc;
}

int line_extract_archive(struct guest *guest, const struct call *call, const char *destination,
			 struct line_payload payload, struct line_archive_reply *out,
			 struct error *err)
{
	struct line_request request;

	line_request_init(&request, "extract_archive", err);
	return upload(&request, guest, call, destination, payload, out);
}

int line_install_secrets(struct guest *guest, const struct call *call, struct line_payload payload,
			 struct line_archive_reply *out, struct error *err)
{
	struct line_request request;

	line_request_init(&request, "install_secrets", err);
	return upload(&request, guest, call, NULL, payload, out);
}

static int parse_export(const json_t *object, const char *path, struct line_archive_reply *out,
			struct error *err)
{
	struct line_reply reply = { .object = object, .err = err };

	line_reply_text(&reply, "workspace_path", path, &out->path);
	line_reply_word(&reply, "artifact_type", "file", out->artifact_type,
			sizeof(out->artifact_type));
	out->archive_size = line_reply_int(&reply, "archive_size", 0, 0, LIMIT_ARCHIVE_SIZE);
	out->entry_count = line_reply_count(&reply, "entry_count");
	out->bytes_written = line_reply_count(&reply, "bytes_written");
	return reply.rc;
}

int line_export_archive(struct guest *guest, const struct call *call, const char *path,
			int64_t max_size, int (*sink)(void *arg, const void *bytes, size_t len),
			void *arg, struct line_archive_reply *out, struct error *err)
{
	struct line_request request;
	json_t *header;
	int rc;

	*out = (struct line_archive_reply){ 0 };
	line_request_init(&request, "export_archive", err);
	line_request_text(&request, "path", path);
	if (request.rc < 0)
		return line_request_drop(&request);
	request.exchange.repeatable = true;
	rc = exchange_run_export(guest, call, &request.exchange, max_size, sink, arg, &header, err);
	if (rc < 0)
		return rc;
	rc = parse_export(header, path, out, err);
	json_decref(header);
	return rc;
}
