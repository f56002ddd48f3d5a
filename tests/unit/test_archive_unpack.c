/*
 * test_archive_unpack.c - archives that come compressed: what is taken, and that no archive makes
 * the process grow, whatever it is made of.
 */
#include <bzlib.h>
#include <errno.h>
#include <lzma.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <unistd.h>
#include <zlib.h>

#include "archive_fixture.h"
#include "protocol/limits.h"
#include "tests/unit/cmocka_all.h"

#define PACKED_MAX (1u << 20)

/* Compresses BYTES; the size of what is in OUT then. */
typedef size_t (*pack_fn)(const char *bytes, size_t len, char *out);

static size_t pack_gzip(const char *bytes, size_t len, char *out)
{
	z_stream stream = { 0 };

	assert_int_equal(deflateInit2(&stream, 9, Z_DEFLATED, 15 + 16, 8, Z_DEFAULT_STRATEGY),
			 Z_OK);
	stream.next_in = (unsigned char *)bytes;
	stream.avail_in = (unsigned int)len;
	stream.next_out = (unsigned char *)out;
	stream.avail_out = PACKED_MAX;
	assert_int_equal(deflate(&stream, Z_FINISH), Z_STREAM_END);
	deflateEnd(&stream);
	return PACKED_MAX - stream.avail_out;
}

static size_t pack_bzip2(const char *bytes, size_t len, char *out)
{
	unsigned int size = PACKED_MAX;

	assert_int_equal(
		BZ2_bzBuffToBuffCompress(out, &size, (char *)bytes, (unsigned int)len, 9, 0, 0),
		BZ_OK);
	return size;
}

static size_t pack_xz(const char *bytes, size_t len, char *out)
{
	lzma_stream stream = LZMA_STREAM_INIT;

	assert_int_equal(lzma_easy_encoder(&stream, 1, LZMA_CHECK_CRC64), LZMA_OK);
	stream.next_in = (const uint8_t *)bytes;
	stream.avail_in = len;
	stream.next_out = (uint8_t *)out;
	stream.avail_out = PACKED_MAX;
	assert_int_equal(lzma_code(&stream, LZMA_FINISH), LZMA_STREAM_END);
	lzma_end(&stream);
	return PACKED_MAX - stream.avail_out;
}

static const struct {
	const char *name;
	pack_fn pack;
} packers[] = { { "gzip", pack_gzip }, { "bzip2", pack_bzip2 }, { "xz", pack_xz } };

#define PACKERS (sizeof(packers) / sizeof(packers[0]))

static void pack(struct place_fixture *f, pack_fn packer)
{
	char *out = malloc(PACKED_MAX);
	size_t len = packer(f->tar.data, f->tar.len, out);

	buf_free(&f->tar);
	buf_add(&f->tar, out, len);
	free(out);
}

/* As place_extract, of the bytes as they are. */
static int extract(struct place_fixture *f)
{
	int rc;

	f->given = 0;
	memset(&f->err, 0, sizeof(f->err));
	rc = archive_extract(f->root, place_give, f, &f->room, &f->counts, &f->err);
	assert_int_equal(atomic_load(&f->room.used), 0);
	return rc;
}

static void one_file(struct place_fixture *f, const char *text)
{
	buf_free(&f->tar);
	tar_add(&f->tar, '0', "f", NULL, text, 0644);
	tar_finish(&f->tar);
}

static void says(struct place_fixture *f, const char *part)
{
	if (!strstr(f->err.text, part))
		fail_msg("no '%s' in '%s'", part, f->err.text);
}

static void test_each_kind(void **state)
{
	struct place_fixture *f = *state;

	for (size_t i = 0; i < PACKERS; i++) {
		one_file(f, packers[i].name);
		pack(f, packers[i].pack);
		assert_int_equal(extract(f), 0);
		assert_int_equal(f->counts.entries, 1);
		place_expect_text(f, "f", packers[i].name);
	}
}

/* Programs that work in parallel make many streams, one behind the other. */
static void test_streams_behind_each_other(void **state)
{
	struct place_fixture *f = *state;

	for (size_t i = 0; i < PACKERS; i++) {
		char *out = malloc(PACKED_MAX);
		size_t len, half = 700;
		struct buf whole = BUF_INIT(PACKED_MAX);

		one_file(f, packers[i].name);
		len = packers[i].pack(f->tar.data, half, out);
		buf_add(&whole, out, len);
		len = packers[i].pack(f->tar.data + half, f->tar.len - half, out);
		buf_add(&whole, out, len);
		buf_free(&f->tar);
		buf_add(&f->tar, whole.data, whole.len);
		assert_int_equal(extract(f), 0);
		place_expect_text(f, "f", packers[i].name);
		buf_free(&whole);
		free(out);
	}
}

static void test_cut_off_and_damaged(void **state)
{
	struct place_fixture *f = *state;

	for (size_t i = 0; i < PACKERS; i++) {
		size_t len;

		one_file(f, "text");
		pack(f, packers[i].pack);
		len = f->tar.len;
		f->tar.len = len / 2;
		assert_int_equal(extract(f), -EBADMSG);
		says(f, packers[i].name);
		f->tar.len = 8;
		assert_int_equal(extract(f), -EBADMSG);
		f->tar.len = len;
		memset(f->tar.data + len / 2, 0x55, len / 4);
		assert_int_equal(extract(f), -EBADMSG);
		says(f, packers[i].name);
	}
	buf_free(&f->tar);
	assert_int_equal(extract(f), -EBADMSG);
}

/* Each layer would take a decoder of its own. */
static void test_one_layer_only(void **state)
{
	struct place_fixture *f = *state;

	for (size_t i = 0; i < PACKERS; i++) {
		one_file(f, "text");
		pack(f, packers[i].pack);
		pack(f, pack_bzip2);
		assert_int_equal(extract(f), -EBADMSG);
	}
}

/* The dictionary of the xz archive's only block shall be as large as CODE says. */
static void set_dictionary(struct place_fixture *f, unsigned char code)
{
	unsigned char *header = (unsigned char *)f->tar.data + LZMA_STREAM_HEADER_SIZE;
	size_t size = (header[0] + 1u) * 4;
	uint32_t crc;

	assert_int_equal(header[2], 0x21); /* LZMA2 */
	header[4] = code;
	crc = lzma_crc32(header, size - 4, 0);
	for (int i = 0; i < 4; i++)
		header[size - 4 + (size_t)i] = (unsigned char)(crc >> (8 * i));
}

enum { DICTIONARY_32M = 26, DICTIONARY_64M = 28, DICTIONARY_256M = 32, DICTIONARY_MAX = 40 };

static void test_large_dictionaries(void **state)
{
	static const unsigned char refused[] = { DICTIONARY_64M, DICTIONARY_256M, DICTIONARY_MAX };
	struct place_fixture *f = *state;

	one_file(f, "text");
	pack(f, pack_xz);
	for (size_t i = 0; i < sizeof(refused); i++) {
		set_dictionary(f, refused[i]);
		assert_int_equal(extract(f), -EFBIG);
		says(f, refused[i] == DICTIONARY_256M ? "(xz) takes 257 MiB" : "(xz) takes ");
		says(f, "over the limit of 34");
		assert_int_equal(faccessat(f->root, "f", F_OK, 0), -1);
	}
	set_dictionary(f, DICTIONARY_32M); /* xz -8 */
	assert_int_equal(extract(f), 0);
	place_expect_text(f, "f", "text");
}

/* Several share one room. */
static void test_no_room_now(void **state)
{
	struct place_fixture *f = *state;

	one_file(f, "text");
	pack(f, pack_xz);
	set_dictionary(f, DICTIONARY_32M);
	assert_true(budget_take(&f->room, 4 << 20));
	f->given = 0;
	assert_int_equal(archive_extract(f->root, place_give, f, &f->room, &f->counts, &f->err),
			 -EAGAIN);
	says(f, "try again later");
	budget_give(&f->room, 4 << 20);
	assert_int_equal(extract(f), 0);
}

/* The directories whose modes wait count as well. */
static void test_no_room_for_directories(void **state)
{
	struct place_fixture *f = *state;

	for (int i = 0; i < 1000; i++) {
		char name[32];

		snprintf(name, sizeof(name), "d%d", i);
		tar_add(&f->tar, '5', name, NULL, NULL, 0755);
	}
	tar_finish(&f->tar);
	assert_true(budget_take(&f->room, f->room.max - 4096));
	f->given = 0;
	assert_int_equal(archive_extract(f->root, place_give, f, &f->room, &f->counts, &f->err),
			 -EAGAIN);
	budget_give(&f->room, f->room.max - 4096);
	assert_int_equal(extract(f), 0);
	assert_int_equal(f->counts.entries, 1000);
}

/* Archives without an end, of which libarchive would keep everything. */
#define ENDLESS (INT64_C(256) << 20)

struct endless {
	const char *head;
	size_t head_len;
	char fill[512]; /* again and again */
	int64_t given;
};

static ssize_t give_endless(void *arg, void *bytes, size_t len)
{
	struct endless *endless = arg;
	char *out = bytes;

	if (endless->given >= ENDLESS)
		return 0;
	for (size_t i = 0; i < len; i++, endless->given++)
		out[i] = endless->given < (int64_t)endless->head_len ?
				 endless->head[endless->given] :
				 endless->fill[(endless->given - (int64_t)endless->head_len) % 512];
	return (ssize_t)len;
}

static long peak_kib(void)
{
	struct rusage usage;

	getrusage(RUSAGE_SELF, &usage);
	return usage.ru_maxrss;
}

static void stays_small(struct place_fixture *f, struct endless *endless, int code)
{
	long before = peak_kib();

	assert_int_equal(
		archive_extract(f->root, give_endless, endless, &f->room, &f->counts, &f->err),
		code);
	if (peak_kib() - before > 24 << 10)
		fail_msg("it took %ld KiB", peak_kib() - before);
}

static void test_a_gzip_name_without_an_end(void **state)
{
	struct endless endless = { .head = "\x1f\x8b\x08\x08\0\0\0\0\0\x03", .head_len = 10 };

	memset(endless.fill, 'n', sizeof(endless.fill));
	stays_small(*state, &endless, -EBADMSG);
}

/* One header of old GNU tar's, of a file with holes, and its extensions. */
static void test_a_sparse_map_without_an_end(void **state)
{
	struct place_fixture *f = *state;
	struct endless endless = { 0 };
	unsigned sum = 8 * ' ';
	char header[512];

	tar_add(&f->tar, '0', "f", NULL, "", 0644);
	memcpy(header, f->tar.data, sizeof(header));
	header[156] = 'S';
	memcpy(header + 257, "ustar  ", 8);
	memset(header + 345, 0, 155);
	for (int i = 0; i < 4; i++)
		memcpy(header + 386 + 24 * i, "00000000000\00000000000001", 24);
	header[482] = 1; /* extended */
	memcpy(header + 483, "00000000000", 12);
	for (int i = 0; i < 512; i++)
		sum += i >= 148 && i < 156 ? 0 : (unsigned char)header[i];
	snprintf(header + 148, 8, "%06o", sum);
	for (int i = 0; i < 21; i++)
		memcpy(endless.fill + 24 * i, "00000000000\00000000000001", 24);
	endless.fill[504] = 1; /* and so is this one */
	endless.head = header;
	endless.head_len = sizeof(header);
	stays_small(f, &endless, -EFBIG);
	says(f, "a header in the archive has more than 2097152 bytes");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
#define TEST(name) cmocka_unit_test_setup_teardown(test_##name, place_setup, place_teardown)
		TEST(each_kind),
		TEST(streams_behind_each_other),
		TEST(cut_off_and_damaged),
		TEST(one_layer_only),
		TEST(large_dictionaries),
		TEST(no_room_now),
		TEST(no_room_for_directories),
		TEST(a_gzip_name_without_an_end),
		TEST(a_sparse_map_without_an_end),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
