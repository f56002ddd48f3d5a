/*
 * ops.h - the operations of the session dialect and their bodies, both ends.
 *
 * Paths are bytes relative to the workspace, as in workspace.h ("" is the root); the agent resolves
 * them with openat2 RESOLVE_BENEATH | RESOLVE_NO_MAGICLINKS and never follows the last component.
 * ATTR is the OPS_ATTR_SIZE bytes of ops_pack_attr.  Errnos are Linux's (asm-generic numbers).
 * A handle is the agent's number for an open file, good in this session only.
 * Arguments -> result; "data" is a stream of DATA frames beside them.
 */
#ifndef VSOCKFS_SESSION_OPS_H
#define VSOCKFS_SESSION_OPS_H

#include "protocol/session/pack.h"
#include "protocol/traffic.h"
#include "protocol/workspace.h"

enum session_op {
	/* Files */
	OP_STAT = 1, /* path -> ATTR */
	OP_LIST, /* path, u8 depth (1: the directory, 255: the subtree), text after ("" or the last name of
	                 an earlier answer), u32 max entries -> data: entries; u8 more, text last */
	OP_READLINK, /* path -> text */
	OP_OPEN,     /* path, u32 flags (OPEN_*), u32 mode -> u32 handle, ATTR */
	OP_CLOSE,    /* u32 handle -> */
	OP_READ, /* u32 handle, u64 offset, u32 len (at most OPS_IO_MAX) -> bytes (rest of the body) */
	OP_WRITE, /* u32 handle, u64 offset, u8 append, bytes (rest, at most OPS_IO_MAX) -> ATTR */
	OP_FSYNC, /* u32 handle, u8 data only -> ATTR */
	OP_FSTAT, /* u32 handle -> ATTR */
	OP_SETATTR, /* path, u32 handle (0: by path), u32 mask (WS_SET_*), ATTR -> ATTR */
	OP_MKDIR,   /* path, u32 mode -> ATTR */
	OP_RMDIR,   /* path -> */
	OP_UNLINK,  /* path -> */
	OP_RENAME,  /* from, to, u32 flags -> */
	OP_SYMLINK, /* target, path -> ATTR */
	OP_LINK,    /* from, to -> ATTR */
	OP_MKNOD,   /* path, u32 mode -> ATTR */
	OP_STATFS,  /* -> seven u64: struct ws_statfs */
	OP_SYNC,    /* -> (syncfs of the workspace) */
	OP_BATCH,   /* u8 go on after errors, then for each: u16 op, u32 length, arguments
	                 -> for each done: u16 errno, u32 length, result; any of the above but LIST, BATCH */
	OP_EXPORT,  /* path -> data: tar; u64 entries, u64 bytes */
	OP_IMPORT,  /* path of a directory; data: tar -> u64 entries, u64 bytes */

	/* Watching */
	OP_WATCH = 64, /* u64 since (0: from now) -> data: events, until cancelled */
	OP_BARRIER,    /* -> u64 sequence: everything up to it is in WATCH's stream already */

	/* Processes: arguments and result are one JSON object each, see docs/protocol.md */
	OP_SERVICE_START = 96, /* as start_service; DONE at once; ready by OP_WAIT */
	OP_SERVICE_STATUS,
	OP_SERVICE_STOP,
	OP_SERVICE_LIST, /* {} -> {"services": [SERVICE...]} */
	OP_SHELL_OPEN,
	OP_SHELL_STATUS,
	OP_SHELL_WRITE,  /* text id, bytes (rest) -> u32 taken; binary, not JSON */
	OP_SHELL_RESIZE, /* {shell_id, cols, rows} -> SHELL */
	OP_SHELL_SIGNAL,
	OP_SHELL_CLOSE,
	OP_COMMAND_START, /* {command or argv, command_id, cwd, env, timeout_seconds, input: bool|"first"} -> COMMAND */
	OP_COMMAND_INPUT, /* {command_id}; data: its input, FRAME_END closes it -> COMMAND */
	OP_COMMAND_STATUS,
	OP_COMMAND_SIGNAL,
	OP_COMMAND_FORGET, /* ends it, removes its output */
	OP_STREAM, /* {kind: service|shell|command, name, stream: 1|2, offset, max, follow: bool}
	                      -> data: output from offset on; {next, ended, status} */
	OP_WAIT,   /* {kind, name, for: "ready"|"end"} -> the status object, when it is so */
	OP_INFO,   /* {} -> what hello said, uptime, sessions, memory */
};

/* Most bytes of one OP_READ or OP_WRITE. */
#define OPS_IO_MAX (128u << 10)
/* DATA a receiver takes before it has given CREDIT. */
#define OPS_WINDOW (256u << 10)
/* Bytes of an answer that is neither a file's contents, a batch's results nor JSON. */
#define OPS_SMALL_ANSWER (8u << 10)
/* In an OP_BATCH, for a handle: the one that the last OP_OPEN before it in the same batch gave. */
#define OPS_HANDLE_LAST UINT32_MAX

/* OP_OPEN's flags: the wire's own numbers. */
enum {
	OPEN_READ = 1,
	OPEN_WRITE = 2,
	OPEN_CREATE = 4,
	OPEN_EXCLUSIVE = 8,
	OPEN_TRUNCATE = 16,
	OPEN_APPEND = 32,
};

/*
 * ino, dev, rdev, size, blocks: u64; mode, nlink, uid, gid: u32; atime, mtime, ctime: i64 seconds,
 * u32 nanoseconds; generation: u32.
 */
#define OPS_ATTR_SIZE 96
void ops_pack_attr(struct buf *buf, const struct ws_attr *attr);
/* Sizes that are no off_t and nanoseconds that are none (UTIME_NOW is) fail; all zero then. */
void ops_unpack_attr(struct unpack *in, struct ws_attr *out);
void ops_pack_statfs(struct buf *buf, const struct ws_statfs *statfs);
void ops_unpack_statfs(struct unpack *in, struct ws_statfs *out);

/*
 * "" or components as workspace.h has them, shorter than LIMIT_PATH: what both ends check what they
 * are sent with.
 */
bool ops_path_is_valid(const char *path, size_t len);
/* For people; NULL for a number that is none of ours. */
const char *ops_name(unsigned op);
/*
 * At most so long is the body of OP's DONE, a sentence too: what a client sets aside for an answer.
 */
size_t ops_answer_max(unsigned op);
/* What a call of OP is counted as. */
enum traffic_kind ops_kind(unsigned op);

/*
 * One entry of OP_LIST: u32 length of what follows, ATTR, path relative to the listed directory,
 * link target ("" for others).  A frame of DATA holds whole entries.
 */
struct ops_entry {
	struct ws_attr attr;
	const char *path; /* not NUL-terminated */
	size_t path_len;
	const char *target;
	size_t target_len;
};
void ops_pack_entry(struct buf *buf, const struct ops_entry *entry);
/* Takes one off the front; false at the end, and with the latch where it is no entry. */
bool ops_unpack_entry(struct unpack *in, struct ops_entry *out);

/*
 * One event of OP_WATCH: u64 sequence, u8 kind, path ("" with EVENT_RESCAN).  A frame of DATA holds
 * whole events.  A kind that is not known here is unpacked as EVENT_RESCAN.
 */
enum ops_event_kind {
	EVENT_CHANGED = 1, /* contents or attributes */
	EVENT_ENTRIES,     /* names in this directory */
	EVENT_RESCAN,      /* something was missed: believe nothing */
};
struct ops_event {
	uint64_t sequence;
	enum ops_event_kind kind;
	const char *path; /* not NUL-terminated */
	size_t path_len;
};
void ops_pack_event(struct buf *buf, const struct ops_event *event);
bool ops_unpack_event(struct unpack *in, struct ops_event *out);

#endif
