/*
 * ws_flush.c - what was written here is put in place in the guest.
 *
 * Little data goes inside the script, much goes by uploads of limited size, each followed
 * by a script that puts it in place: in the same inode, never by a new file under
 * the old name.  What could not be placed stays unsent, so that the next flush
 * tries again and an error is repeated only while it is true.
 *
 * Placing bytes twice changes nothing, appending them twice does.  So when an append's
 * answer was not heard, the next one looks first whether the file grew by just these bytes.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>

#include "protocol/cleanup.h"
#include "protocol/line/ws.h"

#define INLINE_BYTES (24 << 10)
#define INLINE_EXTENTS 48
#define PART_BYTES (INT64_C(16) << 20) /* keeps a serial agent busy for about a second */
#define PART_EXTENTS 512

/* What one script puts in place. */
struct part {
	struct ws_extents extents;
	int64_t bytes;
	int spool; /* a duplicate: the inode's may be closed meanwhile */
	bool append;
	bool last;       /* nothing else is flying */
	int64_t unsure;  /* as in the inode */
	uint64_t orphan; /* likewise */
	uint64_t serial; /* its name in the staging directory, 0 where it goes inside the script */
};

static void part_free(struct part *part)
{
	ws_extents_free(&part->extents);
	if (part->spool >= 0)
		close(part->spool);
}

/* The beginning of what is flying.  inode->lock held. */
static int part_take(struct ws_inode *inode, struct part *part)
{
	const struct ws_extents *flying = &inode->dirty.flying;
	size_t i;

	*part = (struct part){ .append = inode->dirty.append, .spool = -1, .last = true };
	if (!flying->count)
		return 0;
	part->unsure = inode->unsure;
	part->orphan = inode->orphan;
	part->spool = fcntl(inode->dirty.spool, F_DUPFD_CLOEXEC, 0);
	if (part->spool < 0)
		return -errno;
	for (i = 0; i < flying->count && i < PART_EXTENTS && part->bytes < PART_BYTES; i++) {
		int64_t len = flying->at[i].len;

		if (len > PART_BYTES - part->bytes) {
			len = PART_BYTES - part->bytes;
			part->last = false;
		}
		if (ws_extents_add(&part->extents, flying->at[i].offset, len))
			return -ENOMEM;
		part->bytes += len;
	}
	if (i < flying->count)
		part->last = false;
	return 0;
}

static const char functions[] =
	"m=\n"
	"unlock() { [ -w \"$F\" ] || { m=$(stat $L -c %a \"$F\") && chmod u+w \"$F\" || exit 1; }; "
	"}\n"
	"relock() { [ -z \"$m\" ] || chmod \"0$m\" \"$F\"; m=; }\n"
	"trap 'relock; [ -z \"$s\" ] || rm -f \"$s\"' EXIT\n"
	"put() { dd if=\"$s\" of=\"$F\" bs=1048576 iflag=skip_bytes,count_bytes,fullblock "
	"oflag=seek_bytes conv=notrunc status=none skip=$1 count=$2 seek=$3 || exit 1; }\n";

/*
 * An append that breaks off (the disk is full) takes back what it wrote, unless somebody else
 * has appended since: $z the size before, $n the bytes.
 */
static const char append_functions[] = "undo() { y=$(stat $L -c %s \"$F\"); [ \"$y\" -gt $((z + "
				       "n)) ] || truncate -c -s $z \"$F\"; "
				       "exit 1; }\n"
				       "z=$(stat $L -c %s \"$F\") || exit 1\n";

/* The staged bytes, without those at their front that the file already ends with. */
static const char append_rest[] =
	"k=$((z - u))\n"
	"[ $k -gt 0 ] && [ $k -le $n ] && "
	"[ \"$(tail -c $k \"$F\" | md5sum)\" = \"$(head -c $k \"$s\" | md5sum)\" ] || k=0\n"
	"tail -c +$((k + 1)) \"$s\" >>\"$F\" || undo\n";

/*
 * Bytes from inside the script, decoded into a command.  Of a pipeline the shell tells only how its
 * last command ended, so that the decoder has to say itself that it got to its end.  No
 * here-documents: some shells put them into a file, in a /tmp that may not be there, or full.
 */
static const char inline_functions[] =
	"take() { k=$({ { base64 -d && echo k >&7; } | \"$@\"; } 7>&1) && [ \"$k\" ]; }\n"
	"add() { cat >>\"$F\"; }\n";

static int script_inline(struct buf *script, const struct part *part)
{
	if (part->bytes)
		buf_adds(script, inline_functions);
	for (size_t i = 0; i < part->extents.count; i++) {
		const struct ws_extent *extent = &part->extents.at[i];
		autofree char *bytes = malloc((size_t)extent->len);
		int64_t got = 0;

		while (bytes && got < extent->len) {
			ssize_t n = pread(part->spool, bytes + got, (size_t)(extent->len - got),
					  extent->offset + got);

			if (n <= 0 && !(n < 0 && errno == EINTR))
				return n ? -errno : -EIO;
			got += n > 0 ? n : 0;
		}
		if (!bytes)
			return -ENOMEM;
		buf_adds(script, "printf %s '");
		shtext_base64_encode(script, bytes, (size_t)extent->len);
		if (part->append)
			buf_adds(script, "' | take add || undo\n");
		else
			buf_addf(script,
				 "' | take dd of=\"$F\" bs=65536 iflag=fullblock oflag=seek_bytes "
				 "conv=notrunc status=none seek=%lld || exit 1\n",
				 (long long)extent->offset);
	}
	return 0;
}

static void script_staged(struct buf *script, const struct part *part)
{
	int64_t skip = 0;

	if (part->append && part->unsure >= 0) {
		buf_addf(script, "u=%lld\n%s", (long long)part->unsure, append_rest);
		return;
	}
	if (part->append) {
		buf_adds(script, "cat \"$s\" >>\"$F\" || undo\n");
		return;
	}
	for (size_t i = 0; i < part->extents.count; i++) {
		const struct ws_extent *extent = &part->extents.at[i];

		buf_addf(script, "put %lld %lld %lld\n", (long long)skip, (long long)extent->len,
			 (long long)extent->offset);
		skip += extent->len;
	}
}

/* names held. */
static int part_script(struct ws_inode *inode, const struct part *part, const char *extra,
		       struct buf *script, struct error *err)
{
	autofree char *staged = part->serial ? ws_stage_name(inode->ws, part->serial) : NULL;
	autofree char *orphan = part->orphan ? ws_stage_name(inode->ws, part->orphan) : NULL;
	int rc;

	ws_script_begin(script);
	if (part->orphan) {
		ws_script_var(script, "r", orphan);
		buf_adds(script, "rm -f \"$r\"\n");
	}
	if (part->serial)
		ws_script_var(script, "s", staged);
	else
		buf_adds(script, "s=\n");
	buf_adds(script, functions);
	rc = ws_script_inode(inode, script, err);
	if (rc)
		return rc;
	if (part->bytes)
		buf_adds(script, "unlock\n");
	if (part->append)
		buf_addf(script, "n=%lld\n%s", (long long)part->bytes, append_functions);
	if (part->serial)
		script_staged(script, part);
	else
		rc = script_inline(script, part);
	if (rc)
		return error_set(err, -rc, "the spool of unsent writes cannot be read");
	buf_adds(script, "relock\n");
	if (extra && part->last)
		buf_adds(script, extra);
	buf_adds(script, "show \"$F\"\n");
	return 0;
}

/* Bulk is bounded by its progress: each request gets time for its size. */
static struct call call_for(struct ws_inode *inode, const struct call *call, int64_t bytes,
			    int64_t bytes_per_second)
{
	if (bytes <= INLINE_BYTES)
		return *call;
	return call_extend(call, guest_options(inode->ws->guest)->timeout +
					 (double)bytes / (double)bytes_per_second);
}

static int part_run(struct ws_inode *inode, const struct call *call, const struct part *part,
		    const char *extra, struct ws_attr *attr, struct error *err)
{
	autobuf struct buf script = BUF_INIT(LIMIT_EXEC_COMMAND);
	struct call patient = call_for(inode, call, part->bytes, 4 << 20);
	int rc = ws_latch_take(&inode->ws->names, &patient, WS_SHARED, err);

	if (rc)
		return rc;
	rc = part_script(inode, part, extra, &script, err);
	if (!rc)
		rc = ws_run_attr(inode->ws, &patient, TRAFFIC_WRITE, &script, attr, err);
	ws_latch_drop(&inode->ws->names);
	return rc;
}

static int part_upload(struct ws_inode *inode, const struct call *call, struct part *part,
		       struct error *err)
{
	struct lws *ws = inode->ws;
	struct call patient = call_for(inode, call, part->bytes, 1 << 20);
	int rc = ws_stage_prepare(ws, call, err);

	if (rc)
		return rc;
	part->serial = atomic_fetch_add(&ws->serial, 1) + 1;
	return ws_stage_upload(ws, &patient, part->spool, &part->extents, part->serial, err);
}

static int part_send(struct ws_inode *inode, const struct call *call, struct part *part,
		     const char *extra, struct ws_attr *attr, struct error *err)
{
	bool small = part->bytes <= INLINE_BYTES && part->extents.count <= INLINE_EXTENTS;
	int rc = -E2BIG;

	if (small && !(part->append && part->unsure >= 0))
		rc = part_run(inode, call, part, extra, attr, err);
	if (rc != -E2BIG || !part->bytes) /* a long path may leave no room inside the script */
		return rc;
	rc = part_upload(inode, call, part, err);
	return rc ? rc : part_run(inode, call, part, extra, attr, err);
}

/* gate held. */
static int flush_part(struct ws_inode *inode, const struct call *call, const char *extra,
		      bool *more, struct error *err)
{
	struct ws_attr attr = { 0 };
	struct part part;
	int rc;

	pthread_mutex_lock(&inode->lock);
	rc = part_take(inode, &part);
	pthread_mutex_unlock(&inode->lock);
	*more = !part.last;
	if (rc)
		rc = error_set(err, -rc, "no memory or descriptor for a flush");
	else if (part.bytes || extra)
		rc = part_send(inode, call, &part, extra, &attr, err);
	else
		goto out;
	pthread_mutex_lock(&inode->lock);
	if (!rc) {
		ws_dirty_landed(&inode->dirty, &part.extents);
		ws_chunks_drop(inode);
		ws_inode_learn(inode, &attr, true);
		inode->unsure = -1;
		inode->orphan = 0;
		inode->told = false;
	} else if (part.serial && ws_unanswered(rc)) {
		inode->orphan = part.serial;
	}
	if (rc && part.append && inode->unsure < 0)
		inode->unsure = inode->attr.size;
	pthread_mutex_unlock(&inode->lock);
out:
	part_free(&part);
	return rc;
}

/*
 * The gate is dropped between the parts of a large flush, so that readers get through, and each
 * part has its own time.  What is written meanwhile is for the next flush.
 */
static int flush_all(struct ws_inode *inode, const struct call *call, const char *extra,
		     struct error *err)
{
	struct call step = *call;
	bool more = true, first = true;
	int rc = 0;

	while (!rc && more) {
		rc = ws_latch_take(&inode->gate, &step, WS_EXCLUSIVE, err);
		if (rc)
			return rc;
		if (first) {
			pthread_mutex_lock(&inode->lock);
			rc = ws_dirty_launch(&inode->dirty);
			pthread_mutex_unlock(&inode->lock);
		}
		if (rc)
			rc = error_set(err, -rc, "no memory for a flush");
		else
			rc = flush_part(inode, &step, extra, &more, err);
		ws_latch_drop(&inode->gate);
		step = call_extend(call, guest_options(inode->ws->guest)->timeout);
		first = false;
	}
	return rc;
}

int ws_inode_flush(struct ws_inode *inode, const struct call *call, const char *extra,
		   struct ws_attr *out, struct error *err)
{
	int rc = 0;

	if (extra || ws_inode_dirty(inode))
		rc = flush_all(inode, call, extra, err);
	if (rc || !out)
		return rc;
	pthread_mutex_lock(&inode->lock);
	ws_inode_show(inode, out);
	pthread_mutex_unlock(&inode->lock);
	return 0;
}
