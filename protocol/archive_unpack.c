/* archive_unpack.c - see archive_unpack.h. */
#include "protocol/archive_unpack.h"

#include <bzlib.h>
#include <errno.h>
#include <lzma.h>
#include <stdlib.h>
#include <string.h>
#include <zlib.h>

#define BLOCK (64u << 10)
#define GZIP_MEMORY (64u << 10)
#define BZIP2_MEMORY (4u << 20) /* of blocks of 900,000 bytes, the largest */
#define MIB (1u << 20)

/* What a decoder is given, and what it leaves of that. */
struct flow {
	unsigned char *in, *out;
	size_t in_left, out_left;
	bool last; /* nothing comes behind IN */
};

struct kind {
	const char *name, *magic;
	size_t magic_len;
	int (*begin)(struct archive_unpack *unpack);
	/* Takes from FLOW's in, puts into its out.  1 at a stream's end, 0, or a negative errno. */
	int (*step)(struct archive_unpack *unpack, struct flow *flow);
	void (*end)(struct archive_unpack *unpack);
};

struct archive_unpack {
	archive_read_fn read;
	void *arg;
	struct budget *room;
	size_t taken; /* of it */
	const struct kind *kind;
	union {
		z_stream gzip;
		bz_stream bzip2;
		lzma_stream xz;
	} of;
	bool begun;    /* `of` is in use */
	bool looked;   /* kind says what it is */
	bool complete; /* whatever comes behind is no part of it */
	bool last;     /* read() has said so */
	unsigned char block[BLOCK];
	size_t at, left; /* what of the block is not used yet */
	struct error err;
};

int archive_take_room(struct budget *room, size_t size, struct error *err)
{
	if (!budget_take(room, size))
		return error_set(err, EAGAIN,
				 "too many archives are unpacked at once: try again later");
	return 0;
}

/* The decoder needs SIZE in all. */
static int take(struct archive_unpack *unpack, size_t size)
{
	struct budget *room = unpack->room;

	if (size > room->max)
		return error_set(
			&unpack->err, EFBIG,
			"unpacking the archive (%s) takes %zu MiB of memory, over the limit of "
			"%zu: send it uncompressed, or with a smaller dictionary",
			unpack->kind->name, size / MIB + (size % MIB != 0), room->max / MIB);
	if (size <= unpack->taken)
		return 0;

	int rc = archive_take_room(room, size - unpack->taken, &unpack->err);

	if (rc == 0)
		unpack->taken = size;
	return rc;
}

static int damaged(struct archive_unpack *unpack)
{
	return error_set(&unpack->err, EBADMSG, "the archive's %s compression is damaged",
			 unpack->kind->name);
}

static int no_memory(struct archive_unpack *unpack)
{
	return error_set(&unpack->err, ENOMEM, "out of memory");
}

/* gzip */

static int gzip_begin(struct archive_unpack *unpack)
{
	int rc = take(unpack, GZIP_MEMORY);

	if (rc < 0)
		return rc;
	unpack->of.gzip = (z_stream){ 0 };
	return inflateInit2(&unpack->of.gzip, 15 + 16) == Z_OK ? 0 : no_memory(unpack);
}

static int gzip_step(struct archive_unpack *unpack, struct flow *flow)
{
	z_stream *stream = &unpack->of.gzip;
	int rc;

	stream->next_in = flow->in;
	stream->avail_in = (unsigned int)flow->in_left;
	stream->next_out = flow->out;
	stream->avail_out = (unsigned int)flow->out_left;
	rc = inflate(stream, Z_NO_FLUSH);
	flow->in_left = stream->avail_in;
	flow->out_left = stream->avail_out;
	if (rc == Z_MEM_ERROR)
		return no_memory(unpack);
	/* Z_BUF_ERROR: it could do nothing, which the caller sees. */
	return rc == Z_STREAM_END ? 1 : rc == Z_OK || rc == Z_BUF_ERROR ? 0 : damaged(unpack);
}

static void gzip_end(struct archive_unpack *unpack)
{
	inflateEnd(&unpack->of.gzip);
}

/* bzip2 */

static int bzip2_begin(struct archive_unpack *unpack)
{
	int rc = take(unpack, BZIP2_MEMORY);

	if (rc < 0)
		return rc;
	unpack->of.bzip2 = (bz_stream){ 0 };
	return BZ2_bzDecompressInit(&unpack->of.bzip2, 0, 0) == BZ_OK ? 0 : no_memory(unpack);
}

static int bzip2_step(struct archive_unpack *unpack, struct flow *flow)
{
	bz_stream *stream = &unpack->of.bzip2;
	int rc;

	stream->next_in = (char *)flow->in;
	stream->avail_in = (unsigned int)flow->in_left;
	stream->next_out = (char *)flow->out;
	stream->avail_out = (unsigned int)flow->out_left;
	rc = BZ2_bzDecompress(stream);
	flow->in_left = stream->avail_in;
	flow->out_left = stream->avail_out;
	if (rc == BZ_MEM_ERROR)
		return no_memory(unpack);
	return rc == BZ_STREAM_END ? 1 : rc == BZ_OK ? 0 : damaged(unpack);
}

static void bzip2_end(struct archive_unpack *unpack)
{
	BZ2_bzDecompressEnd(&unpack->of.bzip2);
}

/* xz: each block says how much memory it takes, which the decoder asks for by an error. */

static int xz_begin(struct archive_unpack *unpack)
{
	unpack->of.xz = (lzma_stream)LZMA_STREAM_INIT;
	return lzma_stream_decoder(&unpack->of.xz, 1, LZMA_CONCATENATED) == LZMA_OK ?
		       0 :
		       no_memory(unpack);
}

static int xz_grow(struct archive_unpack *unpack)
{
	uint64_t need = lzma_memusage(&unpack->of.xz);
	int rc = take(unpack, need > SIZE_MAX ? SIZE_MAX : (size_t)need);

	if (rc < 0)
		return rc;
	return lzma_memlimit_set(&unpack->of.xz, need) == LZMA_OK ? 0 : damaged(unpack);
}

static int xz_step(struct archive_unpack *unpack, struct flow *flow)
{
	lzma_stream *stream = &unpack->of.xz;
	lzma_ret rc;

	stream->next_in = flow->in;
	stream->avail_in = flow->in_left;
	stream->next_out = flow->out;
	stream->avail_out = flow->out_left;
	while ((rc = lzma_code(stream, flow->last ? LZMA_FINISH : LZMA_RUN)) ==
	       LZMA_MEMLIMIT_ERROR) {
		int grown = xz_grow(unpack);

		if (grown < 0)
			return grown;
	}
	flow->in_left = stream->avail_in;
	flow->out_left = stream->avail_out;
	switch (rc) {
	case LZMA_OK:
	case LZMA_BUF_ERROR:
		return 0;
	case LZMA_STREAM_END: /* of all streams */
		return 1;
	case LZMA_MEM_ERROR:
		return no_memory(unpack);
	default:
		return damaged(unpack);
	}
}

static void xz_end(struct archive_unpack *unpack)
{
	lzma_end(&unpack->of.xz);
}

static const struct kind kinds[] = {
	{ "gzip", "\x1f\x8b", 2, gzip_begin, gzip_step, gzip_end },
	{ "bzip2", "BZh", 3, bzip2_begin, bzip2_step, bzip2_end },
	{ "xz",
	  "\xfd"
	  "7zXZ\0",
	  6, xz_begin, xz_step, xz_end },
};

#define MAGIC_MAX 6

/* The stream */

/* More bytes behind those that are left, unless the source has come to its end. */
static int fill(struct archive_unpack *unpack)
{
	ssize_t got;

	memmove(unpack->block, unpack->block + unpack->at, unpack->left);
	unpack->at = 0;
	got = unpack->read(unpack->arg, unpack->block + unpack->left, BLOCK - unpack->left);
	if (got < 0)
		return (int)got;
	unpack->left += (size_t)got;
	unpack->last = got == 0;
	return 0;
}

/* Which kind begins with what comes next; NULL for none. */
static int look(struct archive_unpack *unpack, const struct kind **kind)
{
	*kind = NULL;
	while (unpack->left < MAGIC_MAX && !unpack->last) {
		int rc = fill(unpack);

		if (rc < 0)
			return rc;
	}
	for (size_t i = 0; i < sizeof(kinds) / sizeof(kinds[0]); i++) {
		if (unpack->left >= kinds[i].magic_len &&
		    !memcmp(unpack->block + unpack->at, kinds[i].magic, kinds[i].magic_len))
			*kind = &kinds[i];
	}
	return 0;
}

static void stop(struct archive_unpack *unpack)
{
	if (unpack->begun)
		unpack->kind->end(unpack);
	unpack->begun = false;
}

/* One stream has ended: another one of its kind may follow, and counts as well. */
static int go_on(struct archive_unpack *unpack)
{
	const struct kind *next;
	int rc = look(unpack, &next);

	stop(unpack);
	if (rc == 0 && next != unpack->kind)
		unpack->complete = true;
	return rc;
}

static ssize_t plain(struct archive_unpack *unpack, void *bytes, size_t len)
{
	if (!unpack->left)
		return unpack->last ? 0 : unpack->read(unpack->arg, bytes, len);
	if (len > unpack->left)
		len = unpack->left;
	memcpy(bytes, unpack->block + unpack->at, len);
	unpack->at += len;
	unpack->left -= len;
	return (ssize_t)len;
}

/* What comes of the bytes that are there, 0 where more are needed for anything to come. */
static ssize_t packed(struct archive_unpack *unpack, void *bytes, size_t len)
{
	struct flow flow = { unpack->block + unpack->at, bytes, unpack->left, len, unpack->last };
	int rc = unpack->begun ? 0 : unpack->kind->begin(unpack);

	if (rc < 0)
		return rc;
	unpack->begun = true;
	rc = unpack->kind->step(unpack, &flow);
	if (rc == 0 && unpack->last && flow.in_left == unpack->left && flow.out_left == len)
		rc = error_set(&unpack->err, EBADMSG, "the archive's %s compression is cut off",
			       unpack->kind->name);
	unpack->at += unpack->left - flow.in_left;
	unpack->left = flow.in_left;
	if (rc == 1)
		rc = go_on(unpack);
	return rc < 0 ? rc : (ssize_t)(len - flow.out_left);
}

ssize_t archive_unpack_read(void *arg, void *bytes, size_t len)
{
	struct archive_unpack *unpack = arg;
	ssize_t got = 0;
	int rc = 0;

	if (!unpack->looked)
		rc = look(unpack, &unpack->kind);
	if (rc < 0)
		return rc;
	unpack->looked = true;
	if (!unpack->kind)
		return plain(unpack, bytes, len);
	while (got == 0 && !unpack->complete) {
		if (!unpack->left && !unpack->last)
			rc = fill(unpack);
		got = rc < 0 ? rc : packed(unpack, bytes, len);
	}
	return got;
}

const struct error *archive_unpack_error(const struct archive_unpack *unpack)
{
	return unpack->err.code ? &unpack->err : NULL;
}

struct archive_unpack *archive_unpack_new(archive_read_fn read, void *arg, struct budget *room)
{
	struct archive_unpack *unpack = calloc(1, sizeof(*unpack));

	if (!unpack)
		return NULL;
	unpack->read = read;
	unpack->arg = arg;
	unpack->room = room;
	return unpack;
}

void archive_unpack_free(struct archive_unpack *unpack)
{
	if (!unpack)
		return;
	stop(unpack);
	budget_give(unpack->room, unpack->taken);
	free(unpack);
}
