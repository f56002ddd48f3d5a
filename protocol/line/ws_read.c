/*
 * ws_read.c - file contents, in chunks.
 *
 * The kernel asks for 128 KiB at a time and a request costs far more than its bytes: what is
 * fetched is larger, the more so while a reader goes straight on, and serves the reads that follow
 * within a second.  The first piece of a file comes with its open.  Each answer carries the
 * attributes too, from before the bytes were read: when they have changed, older chunks are
 * dropped, so bytes of two versions are never given out without a change that shows.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "protocol/cleanup.h"
#include "protocol/line/ws.h"

#define CHUNK_MAX (1 << 20)
#define FRESH INT64_C(1000000000)      /* how long a chunk serves, in nanoseconds */
#define CACHED_MAX (INT64_C(16) << 20) /* bytes of all chunks of a workspace */

static void chunk_free(struct ws_inode *inode, struct ws_chunk *chunk)
{
	if (chunk->bytes)
		atomic_fetch_sub(&inode->ws->cached, (long long)chunk->len);
	free(chunk->bytes);
	*chunk = (struct ws_chunk){ 0 };
}

void ws_chunks_drop(struct ws_inode *inode)
{
	for (size_t i = 0; i < WS_CHUNKS; i++)
		chunk_free(inode, &inode->chunks[i]);
}

static const struct ws_chunk *fresh_chunk(const struct ws_inode *inode, int64_t offset)
{
	for (size_t i = 0; i < WS_CHUNKS; i++) {
		const struct ws_chunk *chunk = &inode->chunks[i];

		if (chunk->bytes && offset >= chunk->offset &&
		    offset < chunk->offset + (int64_t)chunk->asked &&
		    call_now() - chunk->fetched < FRESH)
			return chunk;
	}
	return NULL;
}

/* Of the guest's bytes what CHUNK has of [offset, offset + len); the rest is zeros. */
static void copy_base(const struct ws_chunk *chunk, int64_t base, int64_t offset, char *bytes,
		      size_t len)
{
	int64_t end = chunk->offset + (int64_t)chunk->len;

	memset(bytes, 0, len);
	if (end > base)
		end = base;
	if (end > offset + (int64_t)len)
		end = offset + (int64_t)len;
	if (end > offset)
		memcpy(bytes, chunk->bytes + (offset - chunk->offset), (size_t)(end - offset));
}

/*
 * Bytes from what is here: CHUNK (or NULL) with the unsent writes over it.  -EAGAIN
 * when the guest has to be asked.  inode->lock held.
 */
static ssize_t compose(struct ws_inode *inode, const struct ws_chunk *chunk, int64_t offset,
		       char *bytes, size_t len)
{
	int64_t base = inode->attr.size, size;
	int rc;

	if (chunk && chunk->len < chunk->asked && chunk->offset + (int64_t)chunk->len < base)
		base = chunk->offset + (int64_t)chunk->len; /* it shrank while it was read */
	size = ws_dirty_size(&inode->dirty, base);
	if (offset < size && (int64_t)len > size - offset)
		len = (size_t)(size - offset);
	if (!chunk && !(offset < size && ws_dirty_covers(&inode->dirty, offset, (int64_t)len)))
		return -EAGAIN;
	if (offset >= size)
		return 0;
	if (chunk) {
		int64_t known = chunk->offset + (int64_t)chunk->asked;

		if (known < base && (int64_t)len > known - offset)
			len = (size_t)(known - offset);
		copy_base(chunk, base, offset, bytes, len);
	}
	rc = ws_dirty_overlay(&inode->dirty, base, offset, bytes, len);
	return rc ? rc : (ssize_t)len;
}

/* inode->lock held. */
static void chunk_keep(struct ws_inode *inode, struct ws_chunk *chunk)
{
	chunk_free(inode, &inode->chunks[WS_CHUNKS - 1]);
	memmove(&inode->chunks[1], &inode->chunks[0], (WS_CHUNKS - 1) * sizeof(*chunk));
	inode->chunks[0] = *chunk;
	atomic_fetch_add(&inode->ws->cached, (long long)chunk->len);
}

void ws_chunk_offer(struct ws_inode *inode, uint64_t seq, const struct ws_attr *attr,
		    struct ws_chunk *chunk)
{
	pthread_mutex_lock(&inode->lock);
	if (chunk->asked && inode->seq <= seq && !ws_dirty_any(&inode->dirty) &&
	    atomic_load(&inode->ws->cached) <= CACHED_MAX) {
		ws_inode_learn(inode, attr, false);
		chunk_keep(inode, chunk);
		inode->window = chunk->asked;
		inode->next = chunk->offset + (int64_t)chunk->asked;
		chunk->bytes = NULL;
	}
	pthread_mutex_unlock(&inode->lock);
	free(move_ptr(chunk->bytes));
}

/* Where the next fetch begins and how long it is.  gate held. */
static void choose(struct ws_inode *inode, int64_t offset, struct ws_chunk *chunk)
{
	chunk->offset = offset - offset % WS_CHUNK_MIN;
	pthread_mutex_lock(&inode->lock);
	if (!inode->window || chunk->offset != inode->next ||
	    atomic_load(&inode->ws->cached) > CACHED_MAX)
		inode->window = WS_CHUNK_MIN;
	else if (inode->window < CHUNK_MAX)
		inode->window *= 2;
	chunk->asked = inode->window;
	inode->next = chunk->offset + (int64_t)chunk->asked;
	pthread_mutex_unlock(&inode->lock);
}

/*
 * In a guest without /proc dd follows a link that has come into the file's place: not what was
 * asked.
 */
void ws_chunk_script(struct buf *script, const struct ws_chunk *chunk)
{
	buf_addf(script,
		 "dd if=\"$F\" bs=131072 iflag=skip_bytes,count_bytes,fullblock status=none "
		 "skip=%lld count=%zu || exit 1\n"
		 "[ \"$F\" != \"$p\" ] || [ ! -L \"$p\" ] || die 'Stale file handle'\n",
		 (long long)chunk->offset, chunk->asked);
}

static int fetch_reply(struct ws_inode *inode, const struct call *call,
		       const struct ws_chunk *chunk, struct shtext_reply *reply, struct error *err)
{
	autobuf struct buf script = BUF_INIT(LIMIT_EXEC_COMMAND);
	int rc = ws_latch_take(&inode->ws->names, call, WS_SHARED, err);

	if (rc)
		return rc;
	ws_script_begin(&script);
	rc = ws_script_inode(inode, &script, err);
	buf_adds(&script, "show \"$F\"\n");
	ws_chunk_script(&script, chunk);
	if (!rc)
		rc = ws_run(inode->ws, call, TRAFFIC_READ, &script, reply, err);
	ws_latch_drop(&inode->ws->names);
	return rc;
}

int ws_chunk_take(struct shtext_reply *reply, struct ws_chunk *chunk, struct ws_attr *attr,
		  struct error *err)
{
	struct ws_record record;
	const char *text = reply->out;
	int rc = ws_parse_record(&text, text + reply->out_len, &record);

	chunk->len = reply->out_len - (size_t)(text - reply->out);
	if (rc || chunk->len > chunk->asked)
		return error_set(err, EPROTO, "the guest's attributes of a file make no sense");
	memmove(reply->out, text, chunk->len);
	chunk->bytes = move_ptr(reply->out);
	chunk->fetched = call_now();
	*attr = record.attr;
	return 0;
}

/* Fetches the chunk that OFFSET is in and gives what it has.  gate held. */
static ssize_t fetch(struct ws_inode *inode, const struct call *call, int64_t offset, char *bytes,
		     size_t len, struct error *err)
{
	struct ws_chunk chunk = { 0 };
	struct shtext_reply reply = { 0 };
	struct ws_attr attr;
	ssize_t got;

	choose(inode, offset, &chunk);
	got = fetch_reply(inode, call, &chunk, &reply, err);
	if (!got)
		got = ws_chunk_take(&reply, &chunk, &attr, err);
	if (!got) {
		pthread_mutex_lock(&inode->lock);
		ws_inode_learn(inode, &attr, false);
		chunk_keep(inode, &chunk);
		got = compose(inode, &chunk, offset, bytes, len);
		if (atomic_load(&inode->ws->cached) > CACHED_MAX)
			ws_chunks_drop(inode);
		pthread_mutex_unlock(&inode->lock);
	}
	shtext_reply_free(&reply);
	return got;
}

static ssize_t from_memory(struct ws_inode *inode, int64_t offset, char *bytes, size_t len)
{
	ssize_t got;

	pthread_mutex_lock(&inode->lock);
	got = compose(inode, fresh_chunk(inode, offset), offset, bytes, len);
	pthread_mutex_unlock(&inode->lock);
	return got;
}

/* At least one byte, or the end. */
static ssize_t read_some(struct ws_inode *inode, const struct call *call, int64_t offset,
			 char *bytes, size_t len, struct error *err)
{
	ssize_t got = from_memory(inode, offset, bytes, len);
	int rc;

	if (got != -EAGAIN)
		return got;
	rc = ws_latch_take(&inode->gate, call, WS_EXCLUSIVE, err);
	if (rc)
		return rc;
	got = from_memory(inode, offset, bytes, len); /* another reader may have fetched it */
	if (got == -EAGAIN)
		got = fetch(inode, call, offset, bytes, len, err);
	ws_latch_drop(&inode->gate);
	return got;
}

ssize_t lws_read(struct lws_file *file, const struct call *call, int64_t offset, void *bytes,
		 size_t len, struct error *err)
{
	size_t done = 0;

	if (offset < 0 || offset > INT64_MAX - (int64_t)CHUNK_MAX * 2)
		return error_set(err, EINVAL, "no file has bytes there");
	if (len > CHUNK_MAX)
		len = CHUNK_MAX;
	while (done < len) {
		struct error why = { 0 };
		ssize_t got = read_some(file->inode, call, offset + (int64_t)done,
					(char *)bytes + done, len - done, &why);

		if (got < 0 && !done) {
			if (!why.code)
				return error_set(err, (int)-got,
						 "the spool of unsent writes cannot be read");
			return error_copy(err, &why);
		}
		if (got <= 0)
			break;
		done += (size_t)got;
	}
	return (ssize_t)done;
}
