/*
 * events.c - see events.h.
 */
#include "ctl/events.h"

#include <errno.h>
#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

#include "protocol/limits.h"

/* What a reader sees in the place of lines that were dropped before it came to them. */
#define LOST "0.000 events - lost\n"

/* Bytes behind the reader's cursor; the cursor is a position in the whole log. */
static ssize_t take(void *owner, struct waitq_reader *reader, int64_t offset, void *bytes,
		    size_t len)
{
	struct events *events = owner;
	ssize_t got = -EAGAIN;
	size_t at;

	(void)offset;
	pthread_mutex_lock(&events->lock);
	if (reader->cursor < events->base) {
		got = (ssize_t)(len < sizeof(LOST) - 1 ? len : sizeof(LOST) - 1);
		memcpy(bytes, LOST, (size_t)got);
		reader->cursor = events->base;
	} else if ((at = (size_t)(reader->cursor - events->base)) < events->lines.len) {
		if (len > events->lines.len - at)
			len = events->lines.len - at;
		memcpy(bytes, events->lines.data + at, len);
		reader->cursor += len;
		got = (ssize_t)len;
	}
	pthread_mutex_unlock(&events->lock);
	return got;
}

static bool ready(void *owner, struct waitq_reader *reader)
{
	struct events *events = owner;
	bool more;

	pthread_mutex_lock(&events->lock);
	more = reader->cursor < events->base + events->lines.len;
	pthread_mutex_unlock(&events->lock);
	return more;
}

void events_init(struct events *events)
{
	*events = (struct events){ .base = 0 };
	pthread_mutex_init(&events->lock, NULL);
	buf_init(&events->lines, LIMIT_EVENTS);
	waitq_init(&events->queue, events, take, ready);
}

void events_destroy(struct events *events)
{
	waitq_destroy(&events->queue);
	buf_free(&events->lines);
	pthread_mutex_destroy(&events->lock);
}

/* Lock held.  Drops the oldest lines until LEN bytes fit. */
static void make_room(struct events *events, size_t len)
{
	size_t drop = 0;

	while (events->lines.len - drop + len > LIMIT_EVENTS) {
		const char *from = events->lines.data + drop;
		const char *newline = memchr(from, '\n', events->lines.len - drop);

		if (!newline)
			break;
		drop += (size_t)(newline - from) + 1;
	}
	buf_consume(&events->lines, drop);
	events->base += drop;
}

void events_add(struct events *events, const char *format, ...)
{
	struct timespec now;
	char text[512], line[560];
	va_list args;
	int len;

	va_start(args, format);
	vsnprintf(text, sizeof(text), format, args);
	va_end(args);
	clock_gettime(CLOCK_REALTIME, &now);
	len = snprintf(line, sizeof(line), "%jd.%03ld %s\n", (intmax_t)now.tv_sec,
		       now.tv_nsec / 1000000, text);
	if (len < 0 || (size_t)len >= sizeof(line))
		return;
	pthread_mutex_lock(&events->lock);
	make_room(events, (size_t)len);
	buf_add(&events->lines, line, (size_t)len);
	/* A line for which there is no memory is lost; the log goes on. */
	events->lines.overflow = false;
	pthread_mutex_unlock(&events->lock);
	waitq_wake(&events->queue);
}
