/*
 * session_ops.c - see session_ops.h.  An operation is registered here and nowhere else.
 */
#include "protocol/agent/session_ops.h"

#include "protocol/agent/session_proc_hub.h"

#define ATTR OPS_ATTR_SIZE
#define TEXT (4 + LIMIT_SYMLINK_TARGET)

/* One that may be in a batch has a bound on its result; a read is bounded by what it asks for. */
#define QUICK(number, function, most)                                                              \
	{                                                                                          \
		.op = (number), .run = (function), .class = SESS_QUICK, .result_max = (most)       \
	}
#define SLOW(number, function, most)                                                               \
	{                                                                                          \
		.op = (number), .run = (function), .class = SESS_SLOW, .result_max = (most)        \
	}
/* The same, and they change something in the guest. */
#define CHANGE(number, function, most)                                                             \
	{                                                                                          \
		.op = (number), .run = (function), .class = SESS_QUICK, .result_max = (most),      \
		.changes = true                                                                    \
	}
#define SLOW_CHANGE(number, function)                                                              \
	{                                                                                          \
		.op = (number), .run = (function), .class = SESS_SLOW, .changes = true             \
	}
/* Of what may be of any size. */
#define BULK(number, function, way)                                                                \
	{                                                                                          \
		.op = (number), .run = (function), .class = SESS_SLOW, .stream = (way),            \
		.lane = SESS_LANE_TRANSFERS, .changes = (way) == SESS_UP                           \
	}

/* Begun on a worker, and then perhaps parked until there are news of a process. */
#define PARKED(number, function, way)                                                              \
	{                                                                                          \
		.op = (number), .run = (function), .class = SESS_SLOW, .stream = (way),            \
		.on_news = proc_hub_on_news, .changes = (way) == SESS_UP,                          \
		.lane = (way) == SESS_DOWN ? SESS_LANE_LISTS : SESS_LANE_SHORT                     \
	}

static const struct sess_op table[] = {
	QUICK(OP_STAT, sess_op_stat, ATTR),
	{
		.op = OP_LIST,
		.run = sess_op_list,
		.class = SESS_SLOW,
		.stream = SESS_DOWN,
		.lane = SESS_LANE_LISTS,
	},
	QUICK(OP_READLINK, sess_op_readlink, TEXT),
	CHANGE(OP_OPEN, sess_op_open, 4 + ATTR),
	QUICK(OP_CLOSE, sess_op_close, ATTR),
	QUICK(OP_READ, sess_op_read, ATTR),
	CHANGE(OP_WRITE, sess_op_write, ATTR),
	SLOW(OP_FSYNC, sess_op_fsync, ATTR),
	QUICK(OP_FSTAT, sess_op_fstat, ATTR),
	CHANGE(OP_SETATTR, sess_op_setattr, ATTR),
	CHANGE(OP_MKDIR, sess_op_mkdir, ATTR),
	CHANGE(OP_RMDIR, sess_op_rmdir, ATTR),
	CHANGE(OP_UNLINK, sess_op_unlink, ATTR),
	CHANGE(OP_RENAME, sess_op_rename, ATTR),
	CHANGE(OP_SYMLINK, sess_op_symlink, ATTR),
	CHANGE(OP_LINK, sess_op_link, ATTR),
	CHANGE(OP_MKNOD, sess_op_mknod, ATTR),
	QUICK(OP_STATFS, sess_op_statfs, ATTR),
	SLOW(OP_SYNC, sess_op_sync, ATTR),
	{ .op = OP_BATCH, .run = sess_op_batch, .is_slow = sess_batch_is_slow },
	BULK(OP_EXPORT, sess_op_export, SESS_DOWN),
	BULK(OP_IMPORT, sess_op_import, SESS_UP),
	{
		.op = OP_WATCH,
		.run = sess_op_watch,
		.class = SESS_SLOW,
		.stream = SESS_DOWN,
		.parks = true,
		.on_news = sess_watch_on_credit,
	},
	{ .op = OP_BARRIER, .run = sess_op_barrier, .parks = true },
	{
		.op = OP_SERVICE_START,
		.run = sess_op_service_start,
		.class = SESS_SLOW,
		.changes = true,
		.parks = true,
	},
	SLOW(OP_SERVICE_STATUS, sess_op_service_status, 0),
	SLOW_CHANGE(OP_SERVICE_STOP, sess_op_service_stop),
	SLOW(OP_SERVICE_LIST, sess_op_service_list, 0),
	SLOW_CHANGE(OP_SHELL_OPEN, sess_op_shell_open),
	QUICK(OP_SHELL_STATUS, sess_op_shell_status, 0),
	CHANGE(OP_SHELL_WRITE, sess_op_shell_write, 0), /* in the order in which they come */
	CHANGE(OP_SHELL_RESIZE, sess_op_shell_resize, 0),
	CHANGE(OP_SHELL_SIGNAL, sess_op_shell_signal, 0),
	SLOW_CHANGE(OP_SHELL_CLOSE, sess_op_shell_close),
	SLOW_CHANGE(OP_COMMAND_START, sess_op_command_start),
	PARKED(OP_COMMAND_INPUT, sess_op_command_input, SESS_UP),
	SLOW(OP_COMMAND_STATUS, sess_op_command_status, 0),
	SLOW_CHANGE(OP_COMMAND_SIGNAL, sess_op_command_signal),
	SLOW_CHANGE(OP_COMMAND_FORGET, sess_op_command_forget),
	PARKED(OP_STREAM, sess_op_stream, SESS_DOWN),
	PARKED(OP_WAIT, sess_op_wait, SESS_NO_STREAM),
	QUICK(OP_INFO, sess_op_info, 0),
};

const struct sess_op *sess_op_find(unsigned op)
{
	for (size_t i = 0; i < sizeof(table) / sizeof(table[0]); i++) {
		if (table[i].op == op)
			return &table[i];
	}
	return NULL;
}
