/*
 * proc_log.c - a service's outputs, by range.
 */
#include <errno.h>
#include <string.h>

#include "protocol/line/proc_service.h"

/* From the agent's copy, decoded as it is: only where the files cannot be found. */
static ssize_t read_decoded(struct guest *guest, const struct call *call, const char *name,
			    int stream, int64_t offset, void *bytes, size_t len, struct error *err)
{
	struct line_service logs = { 0 };
	const struct line_text *text = stream == 2 ? &logs.err : &logs.out;
	ssize_t got = proc_error(line_logs_service(guest, call, name, -1, &logs, err), err);

	if (got == 0 && offset < (int64_t)text->len) {
		size_t left = text->len - (size_t)offset;

		got = (ssize_t)(left < len ? left : len);
		memcpy(bytes, text->data + offset, (size_t)got);
	}
	line_service_free(&logs);
	return got;
}

ssize_t lproc_service_read(struct guest *guest, const struct call *call, const char *name,
			   int stream, int64_t offset, void *bytes, size_t len, struct error *err)
{
	struct error own;
	autobuf struct buf find = BUF_INIT(4096);
	ssize_t rc = proc_check_name("service", name, err);
	struct error missing;

	err = error_place(err, &own);
	if (rc)
		return rc;
	proc_service_find_log(&find, name);
	buf_addf(&find, "f=${log:+$log.%s}\n", stream == 2 ? "stderr" : "stdout");
	rc = proc_range_read(guest, call, buf_str(&find), offset, bytes, len, &missing);
	if (rc == -ENOENT)
		return read_decoded(guest, call, name, stream, offset, bytes, len, err);
	return rc < 0 ? error_copy(err, &missing) : rc;
}
