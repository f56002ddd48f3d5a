/*
 * ops.c - the bodies that are more than a few fields: attributes, entries, events, statfs.
 *
 * What is unpacked here comes from the other end and is judged here, once for everybody: a path
 * that unpacks has only components that a directory may hold, numbers are in the range of their C
 * types.
 */
#include "protocol/session/ops.h"

#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>

#include "protocol/session/frame.h"
#include "protocol/session/number.h"

#define NSEC_PER_SEC 1000000000

static const struct {
	const char *name;
	enum traffic_kind kind;
} ops[] = {
	[OP_STAT] = { "stat", TRAFFIC_STAT },
	[OP_LIST] = { "list", TRAFFIC_LIST },
	[OP_READLINK] = { "readlink", TRAFFIC_STAT },
	[OP_OPEN] = { "open", TRAFFIC_OPEN },
	[OP_CLOSE] = { "close", TRAFFIC_OPEN },
	[OP_READ] = { "read", TRAFFIC_READ },
	[OP_WRITE] = { "write", TRAFFIC_WRITE },
	[OP_FSYNC] = { "fsync", TRAFFIC_WRITE },
	[OP_FSTAT] = { "fstat", TRAFFIC_STAT },
	[OP_SETATTR] = { "setattr", TRAFFIC_CHANGE },
	[OP_MKDIR] = { "mkdir", TRAFFIC_CHANGE },
	[OP_RMDIR] = { "rmdir", TRAFFIC_CHANGE },
	[OP_UNLINK] = { "unlink", TRAFFIC_CHANGE },
	[OP_RENAME] = { "rename", TRAFFIC_CHANGE },
	[OP_SYMLINK] = { "symlink", TRAFFIC_CHANGE },
	[OP_LINK] = { "link", TRAFFIC_CHANGE },
	[OP_MKNOD] = { "mknod", TRAFFIC_CHANGE },
	[OP_STATFS] = { "statfs", TRAFFIC_STAT },
	[OP_SYNC] = { "sync", TRAFFIC_WRITE },
	[OP_BATCH] = { "batch", TRAFFIC_BATCH },
	[OP_EXPORT] = { "export", TRAFFIC_EXPORT },
	[OP_IMPORT] = { "import", TRAFFIC_IMPORT },
	[OP_WATCH] = { "watch", TRAFFIC_WATCH },
	[OP_BARRIER] = { "barrier", TRAFFIC_WATCH },
	[OP_SERVICE_START] = { "service start", TRAFFIC_SERVICE },
	[OP_SERVICE_STATUS] = { "service status", TRAFFIC_SERVICE },
	[OP_SERVICE_STOP] = { "service stop", TRAFFIC_SERVICE },
	[OP_SERVICE_LIST] = { "service list", TRAFFIC_SERVICE },
	[OP_SHELL_OPEN] = { "shell open", TRAFFIC_SHELL },
	[OP_SHELL_STATUS] = { "shell status", TRAFFIC_SHELL },
	[OP_SHELL_WRITE] = { "shell write", TRAFFIC_SHELL },
	[OP_SHELL_RESIZE] = { "shell resize", TRAFFIC_SHELL },
	[OP_SHELL_SIGNAL] = { "shell signal", TRAFFIC_SHELL },
	[OP_SHELL_CLOSE] = { "shell close", TRAFFIC_SHELL },
	[OP_COMMAND_START] = { "command start", TRAFFIC_EXEC },
	[OP_COMMAND_INPUT] = { "command input", TRAFFIC_EXEC },
	[OP_COMMAND_STATUS] = { "command status", TRAFFIC_EXEC },
	[OP_COMMAND_SIGNAL] = { "command signal", TRAFFIC_EXEC },
	[OP_COMMAND_FORGET] = { "command forget", TRAFFIC_EXEC },
	[OP_STREAM] = { "stream", TRAFFIC_OUTPUT },
	[OP_WAIT] = { "wait", TRAFFIC_WAIT },
	[OP_INFO] = { "info", TRAFFIC_HELLO },
};

const char *ops_name(unsigned op)
{
	return op < sizeof(ops) / sizeof(ops[0]) ? ops[op].name : NULL;
}

enum traffic_kind ops_kind(unsigned op)
{
	return op < sizeof(ops) / sizeof(ops[0]) ? ops[op].kind : TRAFFIC_UNSAID;
}

size_t ops_answer_max(unsigned op)
{
	bool is_json = op >= OP_SERVICE_START && op != OP_SHELL_WRITE;

	return op == OP_READ || op == OP_BATCH || is_json ? FRAME_BODY_MAX : OPS_SMALL_ANSWER;
}

static unsigned char *put_time(unsigned char *at, const struct timespec *time)
{
	put64(at, (uint64_t)time->tv_sec);
	put32(at + 8, (uint32_t)time->tv_nsec);
	return at + 12;
}

static const unsigned char *get_time(const unsigned char *at, struct timespec *out)
{
	out->tv_sec = (time_t)(int64_t)get64(at);
	out->tv_nsec = (long)get32(at + 8);
	return at + 12;
}

static bool is_time(const struct timespec *time)
{
	return time->tv_nsec < NSEC_PER_SEC || time->tv_nsec == UTIME_NOW;
}

/* Where things are in the OPS_ATTR_SIZE bytes of an ATTR. */
enum {
	ATTR_INO = 0,
	ATTR_DEV = 8,
	ATTR_RDEV = 16,
	ATTR_SIZE = 24,
	ATTR_BLOCKS = 32,
	ATTR_MODE = 40,
	ATTR_NLINK = 44,
	ATTR_UID = 48,
	ATTR_GID = 52,
	ATTR_TIMES = 56,
	ATTR_GENERATION = 92,
};

static void put_attr(unsigned char *bytes, const struct ws_attr *attr)
{
	put64(bytes + ATTR_INO, attr->ino);
	put64(bytes + ATTR_DEV, attr->dev);
	put64(bytes + ATTR_RDEV, attr->rdev);
	put64(bytes + ATTR_SIZE, (uint64_t)attr->size);
	put64(bytes + ATTR_BLOCKS, (uint64_t)attr->blocks);
	put32(bytes + ATTR_MODE, attr->mode);
	put32(bytes + ATTR_NLINK, attr->nlink);
	put32(bytes + ATTR_UID, attr->uid);
	put32(bytes + ATTR_GID, attr->gid);
	put_time(put_time(put_time(bytes + ATTR_TIMES, &attr->atime), &attr->mtime), &attr->ctime);
	put32(bytes + ATTR_GENERATION, attr->generation);
}

void ops_pack_attr(struct buf *buf, const struct ws_attr *attr)
{
	unsigned char bytes[OPS_ATTR_SIZE];

	put_attr(bytes, attr);
	buf_add(buf, bytes, sizeof(bytes));
}

void ops_unpack_attr(struct unpack *in, struct ws_attr *out)
{
	const unsigned char *at = unpack_take(in, OPS_ATTR_SIZE);

	if (at) {
		out->ino = get64(at + ATTR_INO);
		out->dev = get64(at + ATTR_DEV);
		out->rdev = get64(at + ATTR_RDEV);
		out->size = (int64_t)get64(at + ATTR_SIZE);
		out->blocks = (int64_t)get64(at + ATTR_BLOCKS);
		out->mode = get32(at + ATTR_MODE);
		out->nlink = get32(at + ATTR_NLINK);
		out->uid = get32(at + ATTR_UID);
		out->gid = get32(at + ATTR_GID);
		out->generation = get32(at + ATTR_GENERATION);
		get_time(get_time(get_time(at + ATTR_TIMES, &out->atime), &out->mtime),
			 &out->ctime);
		in->failed = out->size < 0 || out->blocks < 0 || !is_time(&out->atime) ||
			     !is_time(&out->mtime) || !is_time(&out->ctime);
	}
	if (in->failed)
		memset(out, 0, sizeof(*out));
}

void ops_pack_statfs(struct buf *buf, const struct ws_statfs *statfs)
{
	pack_u64(buf, statfs->block_size);
	pack_u64(buf, statfs->blocks);
	pack_u64(buf, statfs->blocks_free);
	pack_u64(buf, statfs->blocks_available);
	pack_u64(buf, statfs->files);
	pack_u64(buf, statfs->files_free);
	pack_u64(buf, statfs->name_max);
}

void ops_unpack_statfs(struct unpack *in, struct ws_statfs *out)
{
	out->block_size = unpack_u64(in);
	out->blocks = unpack_u64(in);
	out->blocks_free = unpack_u64(in);
	out->blocks_available = unpack_u64(in);
	out->files = unpack_u64(in);
	out->files_free = unpack_u64(in);
	out->name_max = unpack_u64(in);
}

static bool is_component(const char *name, size_t len)
{
	if (!len || len > LIMIT_NAME || memchr(name, '\0', len))
		return false;
	return !(name[0] == '.' && (len == 1 || (len == 2 && name[1] == '.')));
}

bool ops_path_is_valid(const char *path, size_t len)
{
	const char *end = path + len;

	if (!len)
		return true;
	if (len >= LIMIT_PATH)
		return false;
	for (;;) {
		const char *slash = memchr(path, '/', (size_t)(end - path));

		if (!is_component(path, (size_t)((slash ? slash : end) - path)))
			return false;
		if (!slash)
			return true;
		path = slash + 1;
	}
}

/* Points into the body. */
static const char *unpack_path(struct unpack *in, size_t *len)
{
	const char *path = unpack_bytes(in, LIMIT_PATH - 1, len);

	if (!ops_path_is_valid(path, *len))
		in->failed = true;
	return path;
}

static unsigned char *put_bytes(unsigned char *at, const char *bytes, size_t len)
{
	put32(at, (uint32_t)len);
	if (len)
		memcpy(at + 4, bytes, len);
	return at + 4 + len;
}

/* In one piece: a listing has hundreds of thousands of them. */
void ops_pack_entry(struct buf *buf, const struct ops_entry *entry)
{
	size_t size = OPS_ATTR_SIZE + 4 + entry->path_len + 4 + entry->target_len;
	unsigned char *at = (unsigned char *)buf_reserve(buf, 4 + size);

	if (!at)
		return;
	put32(at, (uint32_t)size);
	put_attr(at + 4, &entry->attr);
	at = put_bytes(at + 4 + OPS_ATTR_SIZE, entry->path, entry->path_len);
	put_bytes(at, entry->target, entry->target_len);
	buf_commit(buf, 4 + size);
}

bool ops_unpack_entry(struct unpack *in, struct ops_entry *out)
{
	struct unpack one;
	const void *bytes;
	size_t len;

	if (in->failed || in->at == in->end)
		return false;
	bytes = unpack_bytes(in, SIZE_MAX, &len);
	if (in->failed)
		return false;
	one = unpack_from(bytes, len);
	ops_unpack_attr(&one, &out->attr);
	out->path = unpack_path(&one, &out->path_len);
	out->target = unpack_bytes(&one, LIMIT_SYMLINK_TARGET, &out->target_len);
	if (!out->path_len || memchr(out->target, '\0', out->target_len))
		one.failed = true;
	/* What a later version adds behind is not ours to read. */
	in->failed = one.failed;
	return !in->failed;
}

void ops_pack_event(struct buf *buf, const struct ops_event *event)
{
	pack_u64(buf, event->sequence);
	pack_u8(buf, (uint8_t)event->kind);
	pack_bytes(buf, event->path, event->path_len);
}

bool ops_unpack_event(struct unpack *in, struct ops_event *out)
{
	uint8_t kind;

	if (in->failed || in->at == in->end)
		return false;
	out->sequence = unpack_u64(in);
	kind = unpack_u8(in);
	out->path = unpack_path(in, &out->path_len);
	out->kind = kind;
	if (kind != EVENT_CHANGED && kind != EVENT_ENTRIES) {
		/* News of a kind that only a later version has is something missed, too. */
		out->kind = EVENT_RESCAN;
		out->path_len = 0;
	}
	return !in->failed;
}
