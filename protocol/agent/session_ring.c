/* session_ring.c - see session_ring.h. */
#include "protocol/agent/session_ring.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#define NO_POSITION UINT64_MAX

/* A position before all that was ever there. */
#define OLDEST 0

/* u64 sequence, u8 kind, u32 length of the path. */
#define EVENT_HEADER 13
#define EVENT_MAX (EVENT_HEADER + LIMIT_PATH)

int sess_ring_init(struct sess_ring *ring, uint64_t sequence)
{
	*ring = (struct sess_ring){
		.head = OLDEST + 1,
		.tail = OLDEST + 1,
		.sequence = sequence,
		.one = BUF_INIT(EVENT_MAX),
	};
	for (int i = 0; i < SESS_RING_RECENT; i++)
		ring->recent[i] = NO_POSITION;
	ring->bytes = malloc(SESS_RING_BYTES);
	return ring->bytes ? 0 : -ENOMEM;
}

void sess_ring_free(struct sess_ring *ring)
{
	buf_free(&ring->one);
	free(ring->bytes);
	ring->bytes = NULL;
}

static void copy_out(const struct sess_ring *ring, uint64_t at, void *bytes, size_t len)
{
	size_t from = at % SESS_RING_BYTES, first = SESS_RING_BYTES - from;

	if (first > len)
		first = len;
	memcpy(bytes, ring->bytes + from, first);
	memcpy((char *)bytes + first, ring->bytes, len - first);
}

static void copy_in(struct sess_ring *ring, const void *bytes, size_t len)
{
	size_t to = ring->tail % SESS_RING_BYTES, first = SESS_RING_BYTES - to;

	if (first > len)
		first = len;
	memcpy(ring->bytes + to, bytes, first);
	memcpy(ring->bytes, (const char *)bytes + first, len - first);
	ring->tail += len;
}

/* The bytes of the event at AT; *SEQUENCE its number. */
static size_t measure(const struct sess_ring *ring, uint64_t at, uint64_t *sequence)
{
	unsigned char header[EVENT_HEADER];
	struct unpack in;

	copy_out(ring, at, header, sizeof(header));
	in = unpack_from(header, sizeof(header));
	*sequence = unpack_u64(&in);
	unpack_u8(&in);
	return EVENT_HEADER + (size_t)unpack_u32(&in);
}

static void drop_first(struct sess_ring *ring)
{
	uint64_t sequence;

	ring->head += measure(ring, ring->head, &sequence);
	ring->count--;
}

/* Whether the event in ring->one, but for its number, is at AT and was taken by nobody. */
static bool is_there(const struct sess_ring *ring, uint64_t at)
{
	const size_t skip = sizeof(uint64_t);
	char there[EVENT_MAX];
	uint64_t sequence;
	size_t len;

	if (at == NO_POSITION || at < ring->head || at < ring->taken)
		return false;
	len = measure(ring, at, &sequence);
	if (len != ring->one.len)
		return false;
	copy_out(ring, at, there, len);
	return memcmp(there + skip, ring->one.data + skip, len - skip) == 0;
}

void sess_ring_add(struct sess_ring *ring, enum ops_event_kind kind, const char *path, size_t len)
{
	struct ops_event event = {
		.sequence = ring->sequence + 1,
		.kind = kind,
		.path = path,
		.path_len = len,
	};

	ring->one.len = 0;
	ring->one.overflow = false;
	ops_pack_event(&ring->one, &event);
	if (ring->one.overflow) {
		/* Out of memory, and then a path that nobody can name. */
		ring->head = ring->tail;
		ring->count = 0;
		ring->sequence++;
		return;
	}
	for (int i = 0; i < SESS_RING_RECENT; i++) {
		if (is_there(ring, ring->recent[i]))
			return;
	}
	while (ring->count == SESS_RING_EVENTS ||
	       ring->tail + ring->one.len - ring->head > SESS_RING_BYTES)
		drop_first(ring);
	ring->recent[ring->next] = ring->tail;
	ring->next = (ring->next + 1) % SESS_RING_RECENT;
	copy_in(ring, ring->one.data, ring->one.len);
	ring->count++;
	ring->sequence++;
}

uint64_t sess_ring_seek(const struct sess_ring *ring, uint64_t since)
{
	uint64_t at = ring->head, sequence;

	if (since == 0 || since == ring->sequence)
		return ring->tail;
	if (since > ring->sequence || at == ring->tail)
		return OLDEST;
	measure(ring, at, &sequence);
	if (since + 1 < sequence)
		return OLDEST;
	while (at < ring->tail) {
		size_t len = measure(ring, at, &sequence);

		if (sequence > since)
			break;
		at += len;
	}
	return at;
}

void sess_ring_take(struct sess_ring *ring, uint64_t *at, struct buf *out, size_t most)
{
	uint64_t sequence;

	if (*at < ring->head) {
		struct ops_event event = {
			.sequence = ring->sequence,
			.kind = EVENT_RESCAN,
			.path = "",
		};

		if (most >= EVENT_HEADER) {
			ops_pack_event(out, &event);
			*at = ring->tail;
		}
	}
	while (*at >= ring->head && *at < ring->tail) {
		size_t len = measure(ring, *at, &sequence);
		char *room = len <= most ? buf_reserve(out, len) : NULL;

		if (!room)
			break;
		copy_out(ring, *at, room, len);
		buf_commit(out, len);
		most -= len;
		*at += len;
	}
	if (*at > ring->taken)
		ring->taken = *at;
}
