/* archive_extract.c - a tar from a stream becomes files; see archive.h. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "protocol/archive.h"
#include "protocol/archive_place.h"
#include "protocol/archive_unpack.h"
#include "protocol/beneath.h"
#include "protocol/cleanup.h"

#define BLOCK (64u << 10)

/* Where libarchive gets its bytes from. */
struct source {
	struct archive_unpack *unpack;
	int code;            /* the negative errno with which reading failed */
	int64_t header_left; /* how much more the next header may have */
	char block[BLOCK];
};

static la_ssize_t fail_reading(struct archive *archive, struct source *source, int code,
			       const char *why)
{
	source->code = code;
	archive_set_error(archive, -code, "%s", why);
	return ARCHIVE_FATAL;
}

static la_ssize_t read_block(struct archive *archive, void *arg, const void **bytes)
{
	struct source *source = arg;
	ssize_t n = archive_unpack_read(source->unpack, source->block, sizeof(source->block));

	if (n < 0)
		return fail_reading(archive, source, (int)n, strerror((int)-n));
	/* libarchive keeps all that says something of one member. */
	source->header_left -= n;
	if (source->header_left < 0)
		return fail_reading(archive, source, -EFBIG, "a header is too large");
	*bytes = source->block;
	return n;
}

/* Tar and nothing else of what libarchive knows. */
static int open_archive(struct archive *archive, struct source *source)
{
	if (archive_read_support_format_tar(archive) != ARCHIVE_OK)
		return ARCHIVE_FATAL;
	return archive_read_open(archive, source, NULL, read_block, NULL);
}

static int next_header(struct place *place, struct source *source, struct archive_entry **entry)
{
	int rc;

	source->header_left = LIMIT_ARCHIVE_HEADER;
	rc = archive_read_next_header(place->archive, entry);
	source->header_left = INT64_MAX;
	return rc;
}

static int damaged(const struct source *source, struct archive *archive, struct error *err)
{
	const char *why = archive_error_string(archive);

	if (archive_unpack_error(source->unpack))
		return error_copy(err, archive_unpack_error(source->unpack));
	if (source->code == -EFBIG)
		return error_set(err, EFBIG, "a header in the archive has more than %u bytes",
				 LIMIT_ARCHIVE_HEADER);
	if (source->code == -ENODATA)
		return error_set(err, ENODATA, "the archive ended before its archive_size");
	if (source->code)
		return error_set(err, -source->code, "cannot read the archive: %s",
				 strerror(-source->code));
	return error_set(err, EBADMSG, "cannot read the archive: %s",
			 why ? why : "it is no tar, or damaged");
}

/* "./" in front and "/" behind do not count; "." itself names the root, which is there. */
static int check_name(const char *name, char *path, size_t size, struct error *err)
{
	int rc;

	if (!name || !name[0])
		return error_set(err, EPERM, "refused an archive member without a name");
	if (strlen(name) > LIMIT_MEMBER_NAME)
		return error_set(err, EPERM,
				 "refused archive member '%.60s...': its name is longer than %d "
				 "bytes",
				 name, LIMIT_MEMBER_NAME);
	rc = beneath_clean(name, path, size);
	if (rc == -EXDEV && name[0] == '/')
		return error_set(err, EPERM,
				 "refused archive member '%.255s': its name is absolute", name);
	if (rc == -EXDEV)
		return error_set(err, EPERM, "refused archive member '%.255s': its name has a '..'",
				 name);
	if (rc < 0)
		return error_set(err, EPERM,
				 "refused archive member '%.60s...': its name is too "
				 "long",
				 name);
	return 0;
}

static int extract(struct place *place, struct source *source, struct archive_counts *counts,
		   struct error *err)
{
	struct archive_entry *entry;
	char path[LIMIT_MEMBER_NAME];
	int rc;

	/* A warning is about a name that is not in the locale's charset: it has its bytes. */
	while ((rc = next_header(place, source, &entry)) == ARCHIVE_OK || rc == ARCHIVE_WARN) {
		if (counts->entries == LIMIT_LISTING_ENTRIES)
			return error_set(err, EFBIG, "the archive has more than %u members",
					 LIMIT_LISTING_ENTRIES);
		rc = check_name(archive_entry_pathname(entry), path, sizeof(path), err);
		if (rc == 0 && path[0])
			rc = place_entry(place, entry, path, err);
		/* What is wrong with the stream is the cause of what is wrong with a file. */
		if (rc < 0)
			return source->code ? damaged(source, place->archive, err) : rc;
		if (path[0])
			counts->entries++;
	}
	return rc == ARCHIVE_EOF ? 0 : damaged(source, place->archive, err);
}

static int run(struct place *place, struct source *source, struct archive_counts *counts,
	       struct error *err)
{
	int rc, finished;

	source->header_left = LIMIT_ARCHIVE_HEADER; /* opening it looks at the first one */
	if (open_archive(place->archive, source) == ARCHIVE_OK)
		rc = extract(place, source, counts, err);
	else
		rc = damaged(source, place->archive, err);
	/* Also after an error: what is there shall be usable. */
	finished = place_finish(place, rc < 0 ? NULL : err);
	return rc < 0 ? rc : finished;
}

int archive_extract(int root_fd, archive_read_fn read, void *arg, struct budget *room,
		    struct archive_counts *out, struct error *err)
{
	autofree struct source *source = calloc(1, sizeof(*source));
	struct archive_counts counts = { 0 };
	struct place place = {
		.root = root_fd,
		.archive = archive_read_new(),
		.later = BUF_INIT(LIMIT_ARCHIVE_DIRECTORIES),
		.room = room,
	};
	int rc = -ENOMEM;

	if (source)
		source->unpack = archive_unpack_new(read, arg, room);
	if (source && source->unpack && place.archive)
		rc = run(&place, source, &counts, err);
	else
		error_set(err, ENOMEM, "out of memory");
	buf_free(&place.later);
	budget_give(room, place.taken);
	archive_read_free(place.archive);
	if (source)
		archive_unpack_free(source->unpack);
	if (rc == 0) {
		counts.bytes = place.bytes;
		*out = counts;
	}
	return rc;
}
