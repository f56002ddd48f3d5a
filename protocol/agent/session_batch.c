/*
 * session_batch.c - several operations in one call, one after the other.
 *
 * The whole batch is looked through before anything is done.  An operation whose result might not
 * fit into the answer any more is not begun: whoever gets fewer results than it asked for knows
 * that the rest was not done.
 */
#include <errno.h>
#include <string.h>

#include "protocol/agent/session_conn.h"
#include "protocol/agent/session_ops.h"
#include "protocol/session/frame.h"
#include "protocol/session/number.h"
#include "protocol/utf8.h"

/* More operations than this are not done between two reads. */
#define QUICK_COUNT 32

/* What stands before each result. */
#define RESULT_HEADER 6

/* As much of a sentence as an error in a batch carries. */
#define SENTENCE_MAX 256

struct step {
	const struct sess_op *op; /* NULL: may not be in a batch, for REASON */
	int reason;
	struct unpack args;
};

/* Takes one off the front; false at the end or with the latch. */
static bool next_step(struct unpack *in, struct step *step)
{
	unsigned number;
	const void *args;
	size_t len;

	if (in->failed || in->at == in->end)
		return false;
	number = unpack_u16(in);
	args = unpack_bytes(in, FRAME_BODY_MAX, &len);
	step->op = sess_op_find(number);
	step->reason = step->op ? EINVAL : EOPNOTSUPP;
	if (step->op && !step->op->result_max)
		step->op = NULL;
	step->args = unpack_from(args, len);
	return !in->failed;
}

bool sess_batch_is_slow(struct unpack args)
{
	struct step step;
	int count = 0;

	unpack_u8(&args);
	while (next_step(&args, &step)) {
		if (++count > QUICK_COUNT || (step.op && step.op->class == SESS_SLOW))
			return true;
	}
	return false;
}

/* At most so long is what STEP adds to the answer. */
static size_t result_max(const struct step *step)
{
	struct unpack args = step->args;
	size_t most = SENTENCE_MAX;

	if (!step->op)
		return most;
	if (step->op->op == OP_READ) {
		uint32_t len;

		unpack_u32(&args);
		unpack_u64(&args);
		len = unpack_u32(&args);
		if (len <= OPS_IO_MAX && len > most)
			most = len;
	}
	return most > step->op->result_max ? most : step->op->result_max;
}

static int run_step(struct sess_call *call, struct step *step, struct buf *result,
		    struct error *err)
{
	int rc;

	err->code = 0;
	err->text[0] = '\0';
	if (!step->op)
		return error_set(err, step->reason,
				 step->reason == EINVAL ? "the operation may not be in a batch" :
							  "this agent does not know the operation");
	rc = sess_fence_run(step->op, call, &step->args, result, err);
	return rc == -EINTR ? -ECANCELED : rc;
}

/* The errno and the length of what was added behind START. */
static void put_header(struct buf *result, size_t start, int code)
{
	unsigned char *at = (unsigned char *)result->data + start;
	size_t len = result->len - start - RESULT_HEADER;

	put16(at, (uint16_t)code);
	put32(at + 2, (uint32_t)len);
}

/* Of the sentence as many whole characters as there is room for. */
static void add_sentence(struct buf *result, const struct error *err)
{
	size_t len = strnlen(err->text, SENTENCE_MAX);

	buf_add(result, err->text, len - utf8_split(err->text, len));
}

/* What came of STEP, or why nothing. */
static int add_result(struct sess_call *call, struct step *step, struct buf *result,
		      struct error *err)
{
	size_t start = result->len;
	int rc;

	if (!buf_reserve(result, RESULT_HEADER))
		return -ENOMEM;
	buf_commit(result, RESULT_HEADER);
	rc = run_step(call, step, result, err);
	if (result->overflow)
		return -ENOMEM;
	if (rc < 0) {
		result->len = start + RESULT_HEADER;
		if (err->code == -rc)
			add_sentence(result, err);
	}
	put_header(result, start, -rc);
	return rc;
}

int sess_op_batch(struct sess_call *call, struct unpack *args, struct buf *result,
		  struct error *err)
{
	bool go_on = unpack_u8(args);
	struct unpack look = *args;
	struct step step;
	int rc = 0;

	while (next_step(&look, &step))
		;
	rc = unpack_done(&look, "batch", err);
	if (rc < 0)
		return rc;
	call->last_handle = 0;
	while (next_step(args, &step)) {
		rc = sess_call_check(call);
		if (rc < 0)
			return error_set(err, -rc, "the batch was not done to its end");
		if (result_max(&step) + RESULT_HEADER > result->max - result->len)
			break;
		rc = add_result(call, &step, result, err);
		if (result->overflow)
			return error_set(err, ENOMEM, "out of memory");
		if (rc < 0 && !go_on)
			break;
	}
	return 0;
}
