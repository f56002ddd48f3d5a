/*
 * test_dirsnap.c - listings that stay as they were.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "fs/dirsnap.h"

static struct dirsnap *make(int64_t taken)
{
	struct vn_attr attr = { .st = { .st_ino = 9, .st_mode = S_IFREG }, .valid = 10 };
	struct vn_dir dir = { 0 };
	struct dirsnap *snap;

	assert_int_equal(vn_dir_add(&dir, "whole", &attr, true), 0);
	assert_int_equal(vn_dir_add(&dir, "part", &attr, false), 0);
	snap = dirsnap_new(&dir, taken);
	assert_non_null(snap);
	assert_int_equal(dir.count, 0); /* taken over */
	return snap;
}

/* The entry at POSITION, NULL behind the last one. */
static const struct vn_dirent *at(struct dirsnap *snap, uint64_t position, double *fresh)
{
	static struct vn_dirent entry;
	struct dirsnap_reader reader;
	int rc;

	assert_int_equal(dirsnap_begin(&reader, snap, position), 0);
	rc = dirsnap_next(&reader, &entry, fresh);
	dirsnap_done(&reader);
	return rc > 0 ? &entry : NULL;
}

static void positions(void **state)
{
	struct dirsnap *snap = make(call_now());
	double fresh;

	(void)state;
	assert_string_equal(at(snap, 0, &fresh)->name, ".");
	assert_true(S_ISDIR(at(snap, 0, &fresh)->attr.st.st_mode));
	assert_string_equal(at(snap, 1, &fresh)->name, "..");
	assert_true(fresh == 0);
	assert_string_equal(at(snap, 2, &fresh)->name, "whole");
	assert_string_equal(at(snap, 3, &fresh)->name, "part");
	assert_null(at(snap, 4, &fresh));
	assert_null(at(snap, UINT64_MAX, &fresh));
	dirsnap_unref(snap);
}

static void read_through(void **state)
{
	static const char *const names[] = { ".", "..", "whole", "part" };
	struct dirsnap *snap = make(call_now());
	struct dirsnap_reader reader;
	struct vn_dirent entry;
	double fresh;

	(void)state;
	assert_int_equal(dirsnap_begin(&reader, snap, 0), 0);
	for (int i = 0; i < 4; i++) {
		assert_int_equal(dirsnap_next(&reader, &entry, &fresh), 1);
		assert_string_equal(entry.name, names[i]);
	}
	assert_int_equal(dirsnap_next(&reader, &entry, &fresh), 0);
	dirsnap_done(&reader);
	dirsnap_unref(snap);
}

static void attributes_grow_old(void **state)
{
	struct dirsnap *fresh_one = make(call_now());
	struct dirsnap *old = make(call_now() - INT64_C(11000000000));
	double fresh;

	(void)state;
	at(fresh_one, 2, &fresh);
	assert_true(fresh > 5 && fresh <= 10);
	at(fresh_one, 3, &fresh);
	assert_true(fresh == 0); /* not whole */
	at(old, 2, &fresh);
	assert_true(fresh == 0);
	dirsnap_unref(fresh_one);
	dirsnap_unref(old);
}

static void one_reader_keeps_it(void **state)
{
	struct dirsnap *snap = make(call_now());
	double fresh;

	(void)state;
	assert_ptr_equal(dirsnap_ref(snap), snap);
	dirsnap_unref(snap);
	assert_string_equal(at(snap, 2, &fresh)->name, "whole");
	dirsnap_unref(snap);
	dirsnap_unref(NULL);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(positions),
		cmocka_unit_test(read_through),
		cmocka_unit_test(attributes_grow_old),
		cmocka_unit_test(one_reader_keeps_it),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
