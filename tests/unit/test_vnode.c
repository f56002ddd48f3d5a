/*
 * test_vnode.c - counting of nodes.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "fs/vnode.h"

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

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(last_reference_drops),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
