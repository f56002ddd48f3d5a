/* session_transfer.c - subtrees as tar streams, in and out, nothing of them kept. */
#include <errno.h>
#include <fcntl.h>

#include "protocol/agent/session_ops.h"
#include "protocol/agent/session_path.h"
#include "protocol/archive.h"
#include "protocol/beneath.h"
#include "protocol/cleanup.h"

static int send_bytes(void *arg, const void *bytes, size_t len)
{
	return sess_call_send(arg, bytes, len);
}

static ssize_t receive_bytes(void *arg, void *bytes, size_t len)
{
	return sess_call_receive(arg, bytes, len);
}

static void add_counts(struct buf *result, const struct archive_counts *counts)
{
	pack_u64(result, (uint64_t)counts->entries);
	pack_u64(result, (uint64_t)counts->bytes);
}

int sess_op_export(struct sess_call *call, struct unpack *args, struct buf *result,
		   struct error *err)
{
	struct archive_counts counts;
	char path[LIMIT_PATH];
	int rc = sess_path_take(args, path, err);

	if (rc == 0)
		rc = unpack_done(args, "export", err);
	if (rc == 0)
		rc = archive_export(call->sess->root, path, send_bytes, call, &counts, err);
	if (rc == 0)
		add_counts(result, &counts);
	return rc;
}

int sess_op_import(struct sess_call *call, struct unpack *args, struct buf *result,
		   struct error *err)
{
	struct archive_counts counts;
	char path[LIMIT_PATH];
	autoclose int fd = -1;
	int rc = sess_path_take(args, path, err);

	if (rc == 0)
		rc = unpack_done(args, "import", err);
	if (rc < 0)
		return rc;
	fd = beneath_open(call->sess->root, path, O_PATH | O_DIRECTORY | O_NOFOLLOW, 0,
			  BENEATH_FOLLOW);
	if (fd < 0)
		return sess_path_fail(err, -fd, path);
	rc = archive_extract(fd, receive_bytes, call, &call->sess->agent->uploads, &counts, err);
	if (rc == 0)
		add_counts(result, &counts);
	return rc;
}
