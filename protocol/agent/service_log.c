/* service_log.c - see service_log.h. */
#include "protocol/agent/service_log.h"

#include <errno.h>
#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include "protocol/cleanup.h"
#include "protocol/limits.h"

/* Half of a reply, without the record that comes with it. */
#define BUDGET (LIMIT_REPLY_OBJECT / 2 - (128u << 10))

/* The most that a byte can take in a JSON string. */
static size_t cost(unsigned char byte)
{
	if (byte == '\n' || byte == '\t' || byte == '\r' || byte == '"' || byte == '\\')
		return 2;
	return byte >= 0x20 && byte < 0x7f ? 1 : 6;
}

/* Where the part that is shown begins. */
static size_t find_start(const char *bytes, size_t len, int64_t tail_lines)
{
	size_t budget = BUDGET, at = len;
	int64_t lines = 0;

	while (at > 0) {
		unsigned char byte = (unsigned char)bytes[at - 1];

		/* The newline at the very end ends the last line, it does not begin one. */
		if (byte == '\n' && at < len && tail_lines > 0 && ++lines == tail_lines)
			return at;
		if (cost(byte) > budget)
			break;
		budget -= cost(byte);
		at--;
	}
	/* Not in the middle of a character. */
	while (at > 0 && at < len && ((unsigned char)bytes[at] & 0xc0) == 0x80)
		at++;
	return at;
}

static int read_tail(int fd, off_t from, size_t len, struct buf *out)
{
	char *room = buf_reserve(out, len);
	size_t got = 0;

	if (!room)
		return -ENOMEM;
	while (got < len) {
		ssize_t n = pread(fd, room + got, len - got, from + (off_t)got);

		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			return -errno;
		if (n == 0)
			break;
		got += (size_t)n;
	}
	buf_commit(out, got);
	return 0;
}

int service_log_read(int dir, const char *name, int64_t tail_lines, struct buf *out,
		     bool *truncated)
{
	autoclose int fd = openat(dir, name, O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC);
	struct stat st;
	off_t from;
	size_t start;
	int rc;

	if (fd < 0)
		return errno == ENOENT ? 0 : -errno;
	if (fstat(fd, &st) < 0)
		return -errno;
	if (!S_ISREG(st.st_mode))
		return -EINVAL;
	from = st.st_size > (off_t)BUDGET ? st.st_size - (off_t)BUDGET : 0;
	rc = read_tail(fd, from, (size_t)(st.st_size - from), out);
	if (rc < 0)
		return rc;
	start = find_start(buf_str(out), out->len, tail_lines);
	if (from || start)
		*truncated = true;
	buf_consume(out, start);
	return 0;
}
