/*
 * test_vnode.c - counting of nodes, and listings.
 */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#include <cmocka.h>

#include "fs/vnode.h"
#include "protocol/limits.h"

static int dropped;

static void count_drop(struct vnode *node)
{
	(void)node;
	dropped++;
}

static const struct vnode_ops counting = { .drop = count_drop };

static void last_reference_drops(void **state)
{
	struct vnode node;

	(void)state;
	dropped = 0;
	vn_init(&node, &counting);
	assert_ptr_equal(vn_ref(&node), &node);
	vn_unref(&node);
	assert_int_equal(dropped, 0);
	vn_unref(&node);
	assert_int_equal(dropped, 1);
}

static void listing_keeps_copies(void **state)
{
	struct vn_attr attr = { .st = { .st_ino = 7 }, .valid = 2 };
	struct vn_dir dir = { 0 };
	char name[16];

	(void)state;
	for (int i = 0; i < 100; i++) {
		snprintf(name, sizeof(name), "n%d", i);
		attr.st.st_ino = (ino_t)i + 1;
		assert_int_equal(vn_dir_add(&dir, name, &attr, i % 2), 0);
	}
	assert_int_equal(dir.count, 100);
	assert_string_equal(dir.entries[41].name, "n41");
	assert_int_equal(dir.entries[41].attr.st.st_ino, 42);
	assert_true(dir.entries[41].whole);
	assert_false(dir.entries[42].whole);
	vn_dir_free(&dir);
	assert_int_equal(dir.count, 0);
	assert_null(dir.entries);
	vn_dir_free(&dir);
}

static void listing_has_a_ceiling(void **state)
{
	struct vn_dir dir = { .count = LIMIT_LISTING_ENTRIES, .room = LIMIT_LISTING_ENTRIES };
	struct vn_attr attr = { 0 };

	(void)state;
	assert_int_equal(vn_dir_add(&dir, "one too many", &attr, false), -EOVERFLOW);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(last_reference_drops),
		cmocka_unit_test(listing_keeps_copies),
		cmocka_unit_test(listing_has_a_ceiling),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
