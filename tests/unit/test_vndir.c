/*
 * test_vndir.c - listings: what is put in comes out, in memory and out of a file, from any place
 * on.
 */
#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/resource.h>

#include "fs/vnode.h"
#include "tests/unit/cmocka_all.h"

/* Entry I of all listings here; names of all lengths. */
static void describe(int i, char name[LIMIT_NAME + 1], struct vn_attr *attr)
{
	snprintf(name, LIMIT_NAME + 1, "%d-%0*d", i, i % 200 + 1, 7);
	*attr = (struct vn_attr){
		.st = {
			.st_ino = (ino_t)i + (INT64_C(1) << 40),
			.st_mode = S_IFREG | 0644,
			.st_nlink = 2,
			.st_uid = 1000,
			.st_gid = UINT32_MAX - 1,
			.st_rdev = 5,
			.st_size = INT64_MAX - i,
			.st_blksize = 4096,
			.st_blocks = 8,
			.st_atim = { -1, 999999999 },
			.st_mtim = { INT64_MAX, 1 },
			.st_ctim = { INT64_MIN, 2 },
		},
		.valid = 1.5,
	};
}

static void fill(struct vn_dir *dir, int count)
{
	char name[LIMIT_NAME + 1];
	struct vn_attr attr;

	dir->stamp = 77;
	for (int i = 0; i < count; i++) {
		describe(i, name, &attr);
		assert_int_equal(vn_dir_add(dir, name, &attr, i % 2), 0);
	}
	assert_int_equal(dir->count, count);
}

static void expect(struct vn_dir_reader *reader, int i)
{
	char name[LIMIT_NAME + 1];
	struct vn_dirent entry;
	struct vn_attr attr;

	describe(i, name, &attr);
	assert_int_equal(vn_dir_next(reader, &entry), 1);
	assert_string_equal(entry.name, name);
	assert_memory_equal(&entry.attr.st, &attr.st, sizeof(attr.st));
	assert_true(entry.attr.valid == attr.valid);
	assert_int_equal(entry.whole, i % 2);
	assert_int_equal(entry.stamp, 77);
}

static void what_is_put_in_comes_out(void **state)
{
	static const int counts[] = { 0, 1, 127, 128, 129, 30000 };

	(void)state;
	for (size_t k = 0; k < sizeof(counts) / sizeof(counts[0]); k++) {
		struct vn_dir dir = { 0 };
		struct vn_dir_reader reader;
		struct vn_dirent entry;

		fill(&dir, counts[k]);
		assert_int_equal(dir.spooled > 0, counts[k] == 30000);
		assert_true(dir.tail.room <= 2 * LIMIT_LISTING_MEMORY);
		assert_int_equal(vn_dir_seek(&reader, &dir, 0), 0);
		for (int i = 0; i < counts[k]; i++)
			expect(&reader, i);
		assert_int_equal(vn_dir_next(&reader, &entry), 0);
		assert_int_equal(vn_dir_next(&reader, &entry), 0);
		vn_dir_done(&reader);
		vn_dir_free(&dir);
		assert_int_equal(dir.count, 0);
		vn_dir_free(&dir);
	}
}

static void from_any_place_on(void **state)
{
	struct vn_dir dir = { 0 };
	struct vn_dir_reader reader;
	struct vn_dirent entry;

	(void)state;
	fill(&dir, 20000);
	for (int from = 0; from < 20000; from += 211) {
		assert_int_equal(vn_dir_seek(&reader, &dir, (size_t)from), 0);
		for (int i = from; i < from + 3 && i < 20000; i++)
			expect(&reader, i);
		vn_dir_done(&reader);
	}
	for (int i = 0; i < 2; i++) {
		assert_int_equal(vn_dir_seek(&reader, &dir, i ? SIZE_MAX : 20000), 0);
		assert_int_equal(vn_dir_next(&reader, &entry), 0);
		vn_dir_done(&reader);
	}
	vn_dir_free(&dir);
}

/*
 * Many that are kept have no more memory than there is for all, and what they gave back is there
 * again.
 */
static void many_share_what_there_is(void **state)
{
	static struct vn_dir dirs[200];
	struct vn_dir_reader reader;

	(void)state;
	for (int round = 0; round < 2; round++) {
		size_t total = 0, in_memory = 0;

		for (int i = 0; i < 200; i++) {
			fill(&dirs[i], 600);
			total += dirs[i].tail.room;
			in_memory += dirs[i].spooled == 0;
		}
		assert_true(total <= LIMIT_LISTINGS_MEMORY + 200 * ((16 << 10) + 1));
		assert_in_range(in_memory, 60, 199);
		for (int i = 0; i < 200; i++) {
			assert_int_equal(vn_dir_seek(&reader, &dirs[i], 0), 0);
			for (int k = 0; k < 600; k++)
				expect(&reader, k);
			vn_dir_done(&reader);
			vn_dir_free(&dirs[i]);
		}
	}
}

static void there_is_a_ceiling(void **state)
{
	struct vn_dir dir = { .count = LIMIT_LISTING_ENTRIES };
	struct vn_attr attr = { 0 };

	(void)state;
	assert_int_equal(vn_dir_add(&dir, "one too many", &attr, false), -EOVERFLOW);
}

/* A disk that is full is an error, in the middle of the file as at its beginning. */
static void nowhere_to_put_it(void **state)
{
	static const rlim_t rooms[] = { 0, LIMIT_LISTING_MEMORY, 3 * LIMIT_LISTING_MEMORY / 2 };
	char name[LIMIT_NAME + 1];
	struct rlimit before, limit;
	struct vn_attr attr;

	(void)state;
	signal(SIGXFSZ, SIG_IGN);
	assert_int_equal(getrlimit(RLIMIT_FSIZE, &before), 0);
	for (size_t k = 0; k < sizeof(rooms) / sizeof(rooms[0]); k++) {
		struct vn_dir dir = { 0 };
		int rc = 0;

		limit = before;
		limit.rlim_cur = rooms[k];
		assert_int_equal(setrlimit(RLIMIT_FSIZE, &limit), 0);
		for (int i = 0; rc == 0 && i < 30000; i++) {
			describe(i, name, &attr);
			rc = vn_dir_add(&dir, name, &attr, true);
		}
		assert_int_equal(setrlimit(RLIMIT_FSIZE, &before), 0);
		assert_int_equal(rc, -EFBIG);
		assert_true(dir.spooled <= rooms[k]);
		vn_dir_free(&dir);
	}
	signal(SIGXFSZ, SIG_DFL);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(what_is_put_in_comes_out), cmocka_unit_test(from_any_place_on),
		cmocka_unit_test(many_share_what_there_is), cmocka_unit_test(there_is_a_ceiling),
		cmocka_unit_test(nowhere_to_put_it),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
