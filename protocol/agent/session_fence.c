/*
 * session_fence.c - see session_fence.h.
 *
 * Who begins counts first and looks then, who raises does it the other way round: in the one order
 * of all atomic operations one of them sees the other.
 */
#include "protocol/agent/session_fence.h"

#include <errno.h>

#include "protocol/agent/session_conn.h"
#include "protocol/agent/session_ops.h"

bool sess_fence_begin(struct sess *sess)
{
	atomic_fetch_add(&sess->fence.changing, 1);
	if (!atomic_load(&sess->fence.raised))
		return true;
	sess_fence_end(sess);
	return false;
}

void sess_fence_end(struct sess *sess)
{
	if (atomic_fetch_sub(&sess->fence.changing, 1) == 1 && atomic_load(&sess->fence.raised))
		sess_room_quieten(sess->room);
}

int sess_fence_run(const struct sess_op *op, struct sess_call *call, struct unpack *args,
		   struct buf *result, struct error *err)
{
	int rc;

	if (!op->changes)
		return op->run(call, args, result, err);
	if (!sess_fence_begin(call->sess))
		return -ECANCELED;
	rc = op->run(call, args, result, err);
	sess_fence_end(call->sess);
	return rc;
}

bool sess_fence_begin_call(struct sess_call *call)
{
	call->changing = sess_fence_begin(call->sess);
	return call->changing;
}

void sess_fence_end_call(struct sess_call *call)
{
	if (call->changing)
		sess_fence_end(call->sess);
	call->changing = false;
}

void sess_fence_raise(struct sess_fence *fence)
{
	atomic_store(&fence->raised, true);
}

bool sess_fence_is_quiet(const struct sess_fence *fence)
{
	return atomic_load(&fence->changing) == 0;
}

bool sess_fence_is_raised(const struct sess_fence *fence)
{
	return atomic_load(&fence->raised);
}
