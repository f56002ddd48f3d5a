/* archive_header.c - the header of a one-file archive; see archive.h. */
#include <archive.h>
#include <archive_entry.h>
#include <errno.h>
#include <stdbool.h>
#include <sys/stat.h>

#include "protocol/archive.h"
#include "protocol/buf.h"

/* A pax header of a name of LIMIT_MEMBER_NAME bytes and the header itself. */
#define MAX_HEADER (64u << 10)

struct sink {
	struct buf buf;
	bool full; /* the header is there: refuse the zeros that stand for data at a close */
};

/* A header that fails leaks in libarchive: what is too long is taken as well, and refused later. */
static la_ssize_t collect(struct archive *archive, void *arg, const void *bytes, size_t len)
{
	struct sink *sink = arg;

	(void)archive;
	if (!sink->full)
		buf_add(&sink->buf, bytes, len);
	return sink->full ? -1 : (la_ssize_t)len;
}

static int write_header(struct archive *archive, struct archive_entry *entry, struct sink *sink)
{
	/* Unbuffered, so that the header is there before any data is. */
	if (archive_write_set_format_pax(archive) != ARCHIVE_OK ||
	    archive_write_add_filter_none(archive) != ARCHIVE_OK ||
	    archive_write_set_bytes_per_block(archive, 0) != ARCHIVE_OK ||
	    archive_write_open(archive, sink, NULL, collect, NULL) != ARCHIVE_OK ||
	    archive_write_header(archive, entry) < ARCHIVE_WARN)
		return -1;
	return sink->buf.overflow ? -1 : 0;
}

int archive_file_header(const char *name, int64_t size, void **out, size_t *len, struct error *err)
{
	struct sink sink = { .buf = BUF_INIT(MAX_HEADER) };
	struct archive *archive = archive_write_new();
	struct archive_entry *entry = archive_entry_new();
	int rc = -ENOMEM;

	if (archive && entry) {
		archive_entry_copy_pathname(entry, name);
		archive_entry_set_filetype(entry, S_IFREG);
		archive_entry_set_perm(entry, 0644);
		archive_entry_set_size(entry, size);
		archive_entry_set_mtime(entry, 0, 0);
		rc = write_header(archive, entry, &sink) < 0 ? -EINVAL : 0;
		sink.full = true;
	}
	if (rc < 0)
		error_set(err, -rc, "cannot make an archive header for '%.255s'", name);
	archive_entry_free(entry);
	archive_write_free(archive);
	if (rc == 0) {
		*len = sink.buf.len;
		*out = buf_steal(&sink.buf);
	}
	buf_free(&sink.buf);
	return rc;
}
