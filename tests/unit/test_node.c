/*
 * test_node.c - the node table: what an id means, and for how long.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <pthread.h>
#include <stdlib.h>

#include "fs/node.h"

static atomic_int alive;

static void drop(struct vnode *node)
{
	atomic_fetch_sub(&alive, 1);
	free(node);
}

static const struct vnode_ops ops = { .drop = drop };

static struct vnode *make_node(void)
{
	struct vnode *node = calloc(1, sizeof(*node));

	assert_non_null(node);
	vn_init(node, &ops);
	atomic_fetch_add(&alive, 1);
	return node;
}

static struct node_table *make_table(void)
{
	struct vnode *root = make_node();
	struct node_table *table;

	assert_int_equal(node_table_new(root, &table), 0);
	vn_unref(root);
	return table;
}

static void root_is_one_for_ever(void **state)
{
	struct node_table *table = make_table();
	struct vnode *root = node_get(table, 1);

	(void)state;
	assert_non_null(root);
	node_forget(table, 1, 1000);
	assert_int_equal(node_id(table, root), 1);
	vn_unref(root);
	node_table_free(table);
	assert_int_equal(alive, 0);
}

static void counts_lookups(void **state)
{
	struct node_table *table = make_table();
	struct vnode *node = make_node(), *found;
	uint64_t id, again, generation;

	(void)state;
	assert_int_equal(node_id(table, node), 0);
	assert_int_equal(node_enter(table, node, false, &id, &generation), 0);
	assert_int_equal(node_enter(table, node, false, &again, &generation), 0);
	assert_int_equal(id, again);
	vn_unref(node);

	node_forget(table, id, 1);
	found = node_get(table, id);
	assert_ptr_equal(found, node);
	vn_unref(found);
	assert_int_equal(alive, 2);
	node_forget(table, id, 1);
	assert_int_equal(alive, 1);
	assert_null(node_get(table, id));
	node_table_free(table);
	assert_int_equal(alive, 0);
}

static void ids_are_never_used_twice(void **state)
{
	struct node_table *table = make_table();
	uint64_t first, second, generation, other_generation;
	struct vnode *node = make_node();

	(void)state;
	assert_int_equal(node_enter(table, node, false, &first, &generation), 0);
	node_forget(table, first, 1);
	assert_int_equal(node_enter(table, node, false, &second, &other_generation), 0);
	assert_int_not_equal(first, second);
	assert_int_not_equal(generation, other_generation);
	assert_null(node_get(table, first));
	/* A late forget of the first must not touch the second. */
	node_forget(table, first, 1);
	assert_int_equal(node_id(table, node), second);
	vn_unref(node);
	node_table_free(table);
	assert_int_equal(alive, 0);
}

/* A file that the kernel shall take for another one each time. */
static void ids_apart(void **state)
{
	struct node_table *table = make_table();
	struct vnode *node = make_node(), *found;
	uint64_t first, second, generation;

	(void)state;
	assert_int_equal(node_enter(table, node, true, &first, &generation), 0);
	assert_int_equal(node_enter(table, node, true, &second, &generation), 0);
	assert_int_not_equal(first, second);
	assert_int_equal(node_id(table, node), second);
	vn_unref(node);
	found = node_get(table, first);
	assert_ptr_equal(found, node);
	node_forget(table, second, 1);
	assert_int_equal(node_id(table, node), 0);
	vn_unref(found);
	assert_int_equal(alive, 2); /* the first id is still known */
	node_forget(table, first, 1);
	assert_int_equal(alive, 1);
	node_table_free(table);
	assert_int_equal(alive, 0);
}

static void nonsense_is_no_node(void **state)
{
	struct node_table *table = make_table();

	(void)state;
	assert_null(node_get(table, 0));
	assert_null(node_get(table, 2));
	assert_null(node_get(table, UINT64_MAX));
	node_forget(table, 12345, 1);
	node_table_free(table);
}

static void forgetting_too_much_is_forgetting_all(void **state)
{
	struct node_table *table = make_table();
	struct vnode *node = make_node();
	uint64_t id, generation;

	(void)state;
	assert_int_equal(node_enter(table, node, false, &id, &generation), 0);
	vn_unref(node);
	node_forget(table, id, UINT64_MAX);
	assert_int_equal(alive, 1);
	node_table_free(table);
}

static void many_nodes(void **state)
{
	struct node_table *table = make_table();
	static uint64_t ids[1000];
	uint64_t generation;

	(void)state;
	for (int i = 0; i < 1000; i++) {
		struct vnode *node = make_node();

		assert_int_equal(node_enter(table, node, false, &ids[i], &generation), 0);
		vn_unref(node);
	}
	for (int i = 0; i < 1000; i += 2)
		node_forget(table, ids[i], 1);
	assert_int_equal(alive, 501);
	/* What the kernel never forgot goes with the table. */
	node_table_free(table);
	assert_int_equal(alive, 0);
}

struct race {
	struct node_table *table;
	struct vnode *node;
};

static void *enter_and_forget(void *arg)
{
	const struct race *race = arg;
	uint64_t id, generation;

	for (int i = 0; i < 20000; i++) {
		if (node_enter(race->table, race->node, false, &id, &generation))
			abort();
		node_forget(race->table, id, 1);
	}
	return NULL;
}

static void lookups_race_with_forgets(void **state)
{
	struct race race = { .table = make_table(), .node = make_node() };
	pthread_t threads[4];

	(void)state;
	for (int i = 0; i < 4; i++)
		assert_int_equal(pthread_create(&threads[i], NULL, enter_and_forget, &race), 0);
	for (int i = 0; i < 4; i++)
		pthread_join(threads[i], NULL);
	assert_int_equal(node_id(race.table, race.node), 0);
	assert_int_equal(atomic_load(&race.node->refs), 1);
	vn_unref(race.node);
	node_table_free(race.table);
	assert_int_equal(alive, 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(root_is_one_for_ever),
		cmocka_unit_test(counts_lookups),
		cmocka_unit_test(ids_are_never_used_twice),
		cmocka_unit_test(ids_apart),
		cmocka_unit_test(nonsense_is_no_node),
		cmocka_unit_test(forgetting_too_much_is_forgetting_all),
		cmocka_unit_test(many_nodes),
		cmocka_unit_test(lookups_race_with_forgets),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
