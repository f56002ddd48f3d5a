/*
 * session_ops.h - the table of the session dialect's operations, and what each module adds to it.
 *
 * An operation unpacks its arguments (unpack_done tells whether they were all there and no more),
 * does one thing, and packs its result.  QUICK ones run on the connection's thread, between
 * two reads: they never wait for anybody.  SLOW ones run on a worker.
 */
#ifndef VSOCKFS_AGENT_SESSION_OPS_H
#define VSOCKFS_AGENT_SESSION_OPS_H

#include "protocol/agent/session_call.h"
#include "protocol/session/pack.h"

enum sess_class { SESS_QUICK, SESS_SLOW };
enum sess_stream { SESS_NO_STREAM, SESS_DOWN, SESS_UP };

/*
 * Of slow ones: what may be stuck with a client that takes nothing must not keep the others
 * waiting.
 */
enum sess_lane { SESS_LANE_SHORT, SESS_LANE_LISTS, SESS_LANE_TRANSFERS };

typedef int (*sess_op_fn)(struct sess_call *call, struct unpack *args, struct buf *result,
			  struct error *err);

struct sess_op {
	sess_op_fn run;
	enum session_op op;
	enum sess_class class;
	enum sess_stream stream; /* DATA beside it: to the client, or from it */
	enum sess_lane lane;     /* of slow ones: of each only so many are carried out at once */
	bool changes;      /* something in the guest: not to be begun behind the session's fence */
	bool parks;        /* where slow: it only parks, so it is begun in place */
	size_t result_max; /* of what may be in a batch: its result is no longer; 0: may not */
	/* Whether these arguments make a QUICK one slow; NULL: none do. */
	bool (*is_slow)(struct unpack args);
	/*
	 * The client has given a parked call credit or data; NULL: of no interest.  Only signals:
	 * locks are held.
	 */
	void (*on_news)(struct sess_call *call);
};

/* NULL for a number that is none, or that this agent does not carry out. */
const struct sess_op *sess_op_find(unsigned op);

/* session_meta.c */
int sess_op_stat(struct sess_call *, struct unpack *, struct buf *, struct error *);
int sess_op_readlink(struct sess_call *, struct unpack *, struct buf *, struct error *);
int sess_op_statfs(struct sess_call *, struct unpack *, struct buf *, struct error *);
int sess_op_sync(struct sess_call *, struct unpack *, struct buf *, struct error *);

/* session_setattr.c */
int sess_op_setattr(struct sess_call *, struct unpack *, struct buf *, struct error *);

/* session_file.c */
int sess_op_open(struct sess_call *, struct unpack *, struct buf *, struct error *);
int sess_op_close(struct sess_call *, struct unpack *, struct buf *, struct error *);
int sess_op_read(struct sess_call *, struct unpack *, struct buf *, struct error *);
int sess_op_write(struct sess_call *, struct unpack *, struct buf *, struct error *);
int sess_op_fsync(struct sess_call *, struct unpack *, struct buf *, struct error *);
int sess_op_fstat(struct sess_call *, struct unpack *, struct buf *, struct error *);

/* session_name.c */
int sess_op_mkdir(struct sess_call *, struct unpack *, struct buf *, struct error *);
int sess_op_rmdir(struct sess_call *, struct unpack *, struct buf *, struct error *);
int sess_op_unlink(struct sess_call *, struct unpack *, struct buf *, struct error *);
int sess_op_rename(struct sess_call *, struct unpack *, struct buf *, struct error *);
int sess_op_symlink(struct sess_call *, struct unpack *, struct buf *, struct error *);
int sess_op_link(struct sess_call *, struct unpack *, struct buf *, struct error *);
int sess_op_mknod(struct sess_call *, struct unpack *, struct buf *, struct error *);

/* session_batch.c */
int sess_op_batch(struct sess_call *, struct unpack *, struct buf *, struct error *);
bool sess_batch_is_slow(struct unpack args);

/* session_list.c */
int sess_op_list(struct sess_call *, struct unpack *, struct buf *, struct error *);

/* session_transfer.c */
int sess_op_export(struct sess_call *, struct unpack *, struct buf *, struct error *);
int sess_op_import(struct sess_call *, struct unpack *, struct buf *, struct error *);

/* session_watch.c */
int sess_op_watch(struct sess_call *, struct unpack *, struct buf *, struct error *);
void sess_watch_on_credit(struct sess_call *call);
int sess_op_barrier(struct sess_call *, struct unpack *, struct buf *, struct error *);

/* session_proc_service.c */
int sess_op_service_start(struct sess_call *, struct unpack *, struct buf *, struct error *);
int sess_op_service_status(struct sess_call *, struct unpack *, struct buf *, struct error *);
int sess_op_service_stop(struct sess_call *, struct unpack *, struct buf *, struct error *);
int sess_op_service_list(struct sess_call *, struct unpack *, struct buf *, struct error *);

/* session_proc_shell.c */
int sess_op_shell_open(struct sess_call *, struct unpack *, struct buf *, struct error *);
int sess_op_shell_status(struct sess_call *, struct unpack *, struct buf *, struct error *);
int sess_op_shell_write(struct sess_call *, struct unpack *, struct buf *, struct error *);
int sess_op_shell_resize(struct sess_call *, struct unpack *, struct buf *, struct error *);
int sess_op_shell_signal(struct sess_call *, struct unpack *, struct buf *, struct error *);
int sess_op_shell_close(struct sess_call *, struct unpack *, struct buf *, struct error *);

/* session_proc_command.c */
int sess_op_command_start(struct sess_call *, struct unpack *, struct buf *, struct error *);
int sess_op_command_input(struct sess_call *, struct unpack *, struct buf *, struct error *);
int sess_op_command_status(struct sess_call *, struct unpack *, struct buf *, struct error *);
int sess_op_command_signal(struct sess_call *, struct unpack *, struct buf *, struct error *);
int sess_op_command_forget(struct sess_call *, struct unpack *, struct buf *, struct error *);

/* session_proc_follow.c */
int sess_op_stream(struct sess_call *, struct unpack *, struct buf *, struct error *);
int sess_op_wait(struct sess_call *, struct unpack *, struct buf *, struct error *);

/* session_hello.c */
int sess_op_info(struct sess_call *, struct unpack *, struct buf *, struct error *);

#endif
