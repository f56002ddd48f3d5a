/*
 * session_conn.h - one session: a connection past its hello, from its first frame to its last.
 *
 * The connection's thread reads frames.  It carries quick operations out itself and answers what
 * came together in one send; slow ones go to the room's workers.  A frame that breaks the protocol
 * ends the session: nothing behind it can be believed.
 *
 * Locks: the table's, a call's, the room's, the handles', the sender's and a hub's are taken in
 * this order, mostly alone; a cancel token's is innermost.
 */
#ifndef VSOCKFS_AGENT_SESSION_CONN_H
#define VSOCKFS_AGENT_SESSION_CONN_H

#include <stddef.h>
#include <stdint.h>
#include <sys/uio.h>

#include "protocol/agent/agent.h"
#include "protocol/agent/session_fence.h"
#include "protocol/agent/session_handle.h"
#include "protocol/agent/session_proc_hub.h"
#include "protocol/agent/session_room.h"
#include "protocol/agent/session_send.h"
#include "protocol/agent/session_table.h"
#include "protocol/agent/session_workers.h"
#include "protocol/buf.h"
#include "protocol/session/frame.h"

struct sess {
	struct agent *agent;
	struct sess_room *room;
	int fd;   /* the caller's */
	int root; /* the workspace, O_PATH */
	struct sess_client client;
	struct sess_fence fence;
	struct sess_send send;
	struct proc_line line; /* the sender's, to the hub that waits for it */
	struct sess_table calls;
	struct sess_handles handles;
	struct sess *prev, *next;     /* the room's lock */
	unsigned running[SESS_LANES]; /* the workers' lock; slow calls that one has */
};

/*
 * A session of CLIENT on the connected stream FD, which stays the caller's.  Ends those that the
 * client had before: see sess_room_enter.  -errno when the workspace cannot be opened.
 */
int sess_open(struct agent *agent, int fd, const struct sess_client *client, struct sess *sess,
	      struct error *err);
/* Serves it until either end ends it.  The LEN BYTES were received behind the hello. */
void sess_serve(struct sess *sess, const void *bytes, size_t len);
void sess_close(struct sess *sess);

/*
 * For threads that carry out operations: files are made with the modes asked for, and no signal
 * comes.
 */
void sess_thread_prepare(void);

/* Carries a slow call out and answers it, on a worker. */
void sess_call_run(struct sess_call *call);

/* The header of a call's DONE, and its body, which points into RESULT or ERR. */
struct iovec sess_answer(int rc, const struct buf *result, const struct error *err, uint32_t id,
			 unsigned char header[FRAME_HEADER]);

#endif
