/*
 * ws_dirty.c - unsent writes and their spool.  See ws_dirty.h.
 */
#include "protocol/line/ws_dirty.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "protocol/tempfile.h"

/* The first extent that ends at or behind OFFSET. */
static size_t find(const struct ws_extents *list, int64_t offset)
{
	size_t low = 0, high = list->count;

	while (low < high) {
		size_t middle = low + (high - low) / 2;

		if (list->at[middle].offset + list->at[middle].len < offset)
			low = middle + 1;
		else
			high = middle;
	}
	return low;
}

static int make_room(struct ws_extents *list)
{
	size_t room = list->room ? list->room * 2 : 8;
	struct ws_extent *at;

	if (list->count < list->room)
		return 0;
	at = reallocarray(list->at, room, sizeof(*at));
	if (!at)
		return -ENOMEM;
	list->at = at;
	list->room = room;
	return 0;
}

int ws_extents_add(struct ws_extents *list, int64_t offset, int64_t len)
{
	size_t first = find(list, offset), next = first;
	int64_t end = offset + len;

	if (!len)
		return 0;
	for (; next < list->count && list->at[next].offset <= end; next++) {
		const struct ws_extent *touched = &list->at[next];

		if (touched->offset < offset)
			offset = touched->offset;
		if (touched->offset + touched->len > end)
			end = touched->offset + touched->len;
	}
	if (next == first && make_room(list))
		return -ENOMEM;
	memmove(&list->at[first + 1], &list->at[next], (list->count - next) * sizeof(*list->at));
	list->count += first + 1 - next;
	list->at[first] = (struct ws_extent){ offset, end - offset };
	return 0;
}

void ws_extents_cut(struct ws_extents *list, int64_t offset, int64_t len)
{
	for (size_t i = 0; i < list->count; i++) {
		struct ws_extent *extent = &list->at[i];

		if (extent->offset != offset)
			continue;
		if (extent->len > len) {
			extent->offset += len;
			extent->len -= len;
		} else {
			list->count--;
			memmove(extent, extent + 1, (list->count - i) * sizeof(*extent));
		}
		return;
	}
}

int64_t ws_extents_bytes(const struct ws_extents *list)
{
	int64_t bytes = 0;

	for (size_t i = 0; i < list->count; i++)
		bytes += list->at[i].len;
	return bytes;
}

int64_t ws_extents_end(const struct ws_extents *list)
{
	const struct ws_extent *last = list->count ? &list->at[list->count - 1] : NULL;

	return last ? last->offset + last->len : 0;
}

void ws_extents_free(struct ws_extents *list)
{
	free(list->at);
	*list = (struct ws_extents){ 0 };
}

void ws_dirty_init(struct ws_dirty *dirty)
{
	*dirty = (struct ws_dirty){ .spool = -1 };
}

void ws_dirty_clear(struct ws_dirty *dirty)
{
	if (dirty->spool >= 0)
		close(dirty->spool);
	ws_extents_free(&dirty->now);
	ws_extents_free(&dirty->flying);
	ws_dirty_init(dirty);
}

void ws_dirty_free(struct ws_dirty *dirty)
{
	ws_dirty_clear(dirty);
}

bool ws_dirty_any(const struct ws_dirty *dirty)
{
	return dirty->now.count || dirty->flying.count;
}

/* Whether one more write has to wait for a flush. */
static bool full(const struct ws_dirty *dirty, bool append, size_t len)
{
	if (!ws_dirty_any(dirty))
		return false;
	return dirty->append != append || dirty->now.count >= WS_EXTENTS_MAX ||
	       ws_extents_bytes(&dirty->now) + ws_extents_bytes(&dirty->flying) + (int64_t)len >
		       WS_SPOOL_MAX;
}

int ws_dirty_write(struct ws_dirty *dirty, bool append, int64_t offset, const void *bytes,
		   size_t len, struct error *err)
{
	int rc;

	if (!len)
		return 0;
	if (full(dirty, append, len))
		return -ENOBUFS;
	if (dirty->spool < 0) {
		rc = tempfile_open(err);
		if (rc < 0)
			return rc;
		dirty->spool = rc;
	}
	if (!ws_dirty_any(dirty))
		dirty->append = append;
	if (append)
		offset = dirty->appended;
	rc = tempfile_write(dirty->spool, bytes, len, offset);
	if (!rc)
		rc = ws_extents_add(&dirty->now, offset, (int64_t)len);
	if (!rc && append)
		dirty->appended += (int64_t)len;
	if (rc && !ws_dirty_any(dirty))
		ws_dirty_clear(dirty);
	if (rc == -ENOSPC && ws_dirty_any(dirty))
		return -ENOBUFS;
	return rc ? error_set(err, -rc, "the spool for unsent writes: %s (TMPDIR says where it is)",
			      strerror(-rc)) :
		    0;
}

/* The spool's offset of the first append that was not sent. */
static int64_t append_start(const struct ws_dirty *dirty)
{
	return dirty->flying.count ? dirty->flying.at[0].offset : dirty->now.at[0].offset;
}

int64_t ws_dirty_size(const struct ws_dirty *dirty, int64_t size)
{
	int64_t end = ws_extents_end(&dirty->now), flying = ws_extents_end(&dirty->flying);

	if (!ws_dirty_any(dirty))
		return size;
	if (dirty->append)
		return size + dirty->appended - append_start(dirty);
	if (flying > end)
		end = flying;
	return end > size ? end : size;
}

static bool covers(const struct ws_extents *list, int64_t offset, int64_t len)
{
	size_t i = find(list, offset + 1);

	return i < list->count && list->at[i].offset <= offset &&
	       list->at[i].offset + list->at[i].len >= offset + len;
}

bool ws_dirty_covers(const struct ws_dirty *dirty, int64_t offset, int64_t len)
{
	return !dirty->append &&
	       (covers(&dirty->now, offset, len) || covers(&dirty->flying, offset, len));
}

/* Copies what LIST has of [offset, offset + len); the file's offset is the spool's plus SHIFT. */
static int copy_out(const struct ws_extents *list, int spool, int64_t shift, int64_t offset,
		    char *bytes, size_t len)
{
	for (size_t i = find(list, offset - shift); i < list->count; i++) {
		int64_t from = list->at[i].offset + shift, to = from + list->at[i].len;

		if (from >= offset + (int64_t)len)
			break;
		if (from < offset)
			from = offset;
		if (to > offset + (int64_t)len)
			to = offset + (int64_t)len;
		while (from < to) {
			ssize_t got = pread(spool, bytes + (from - offset), (size_t)(to - from),
					    from - shift);

			if (got < 0 && errno == EINTR)
				continue;
			if (got <= 0)
				return got ? -errno : -EIO;
			from += got;
		}
	}
	return 0;
}

int ws_dirty_overlay(const struct ws_dirty *dirty, int64_t guest_size, int64_t offset, char *bytes,
		     size_t len)
{
	int64_t shift = 0;
	int rc;

	if (!ws_dirty_any(dirty))
		return 0;
	if (dirty->append)
		shift = guest_size - append_start(dirty);
	rc = copy_out(&dirty->flying, dirty->spool, shift, offset, bytes, len);
	return rc ? rc : copy_out(&dirty->now, dirty->spool, shift, offset, bytes, len);
}

int ws_dirty_launch(struct ws_dirty *dirty)
{
	for (size_t i = 0; i < dirty->now.count; i++)
		if (ws_extents_add(&dirty->flying, dirty->now.at[i].offset, dirty->now.at[i].len))
			return -ENOMEM; /* what is in both lists is the same bytes */
	dirty->now.count = 0;
	return 0;
}

void ws_dirty_landed(struct ws_dirty *dirty, const struct ws_extents *part)
{
	for (size_t i = 0; i < part->count; i++)
		ws_extents_cut(&dirty->flying, part->at[i].offset, part->at[i].len);
	if (!ws_dirty_any(dirty))
		ws_dirty_clear(dirty);
}
