/* session_list.c - OP_LIST: what a walk meets, as entries in frames. */
#include "protocol/agent/session_list.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <unistd.h>

#include "protocol/agent/session_ops.h"
#include "protocol/agent/session_path.h"
#include "protocol/beneath.h"
#include "protocol/cleanup.h"

#define SUBTREE 255

/* Between two looks at whether it is still wanted. */
#define CHECK_EVERY 256

struct listing {
	struct sess_call *call;
	struct buf out;  /* entries that were not sent yet */
	struct buf last; /* path of the last one */
	uint32_t left;   /* so many more may be told */
	unsigned count;
};

/* Sends what would not fit into one frame with SIZE bytes more. */
static int make_room(struct listing *listing, size_t size)
{
	int rc = 0;

	if (listing->out.len + size > SESS_PIECE) {
		rc = sess_call_send(listing->call, listing->out.data, listing->out.len);
		listing->out.len = 0;
	}
	return rc;
}

static int each(void *arg, int at, const char *name, const char *path, size_t len,
		const struct stat *st)
{
	struct listing *listing = arg;
	struct ops_entry entry = { .path = path, .path_len = len, .target = "" };
	char target[LIMIT_SYMLINK_TARGET + 1];
	int rc;

	if (!listing->left)
		return 1;
	if (++listing->count % CHECK_EVERY == 0) {
		rc = sess_call_check(listing->call);
		if (rc < 0)
			return rc;
	}
	if (S_ISLNK(st->st_mode)) {
		ssize_t n = readlinkat(at, name, target, sizeof(target));

		if (n < 0 || n > LIMIT_SYMLINK_TARGET)
			return 0; /* it is something else by now */
		entry.target = target;
		entry.target_len = (size_t)n;
	}
	sess_attr_from(&entry.attr, st);
	rc = make_room(listing, 12 + OPS_ATTR_SIZE + len + entry.target_len);
	if (rc < 0)
		return rc;
	ops_pack_entry(&listing->out, &entry);
	listing->last.len = 0;
	buf_add(&listing->last, path, len);
	listing->left--;
	return listing->out.overflow || listing->last.overflow ? -ENOMEM : 0;
}

static int open_directory(const struct sess *sess, const char *path, struct error *err)
{
	int fd = beneath_open(sess->root, path, O_RDONLY | O_DIRECTORY | O_NOFOLLOW, 0,
			      BENEATH_FOLLOW);

	return fd < 0 ? sess_path_fail(err, -fd, path) : fd;
}

int sess_op_list(struct sess_call *call, struct unpack *args, struct buf *result, struct error *err)
{
	struct listing listing = {
		.call = call,
		.out = BUF_INIT(SESS_PIECE),
		.last = BUF_INIT(LIMIT_PATH),
	};
	char path[LIMIT_PATH], after[LIMIT_PATH];
	autoclose int fd = -1;
	unsigned depth;
	int rc = sess_path_take(args, path, err);

	if (rc < 0)
		return rc;
	depth = unpack_u8(args);
	rc = sess_path_take(args, after, err);
	if (rc < 0)
		return rc;
	listing.left = unpack_u32(args);
	rc = unpack_done(args, "list", err);
	if (rc == 0 && (!depth || !listing.left))
		rc = error_set(err, EINVAL, "a listing of nothing");
	if (rc < 0)
		return rc;
	if (listing.left > LIMIT_LISTING_ENTRIES)
		listing.left = LIMIT_LISTING_ENTRIES;
	fd = open_directory(call->sess, path, err);
	if (fd < 0)
		return fd;
	buf_add(&listing.last, after, strlen(after));
	rc = sess_walk(fd, depth == SUBTREE ? UINT32_MAX : depth, after, each, &listing, err);
	if (rc >= 0) {
		pack_u8(result, rc == 1);
		pack_bytes(result, listing.last.data, listing.last.len);
		rc = sess_call_send_last(call, &listing.out);
	}
	buf_free(&listing.out);
	buf_free(&listing.last);
	return rc;
}
