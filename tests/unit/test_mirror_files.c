/*
 * test_mirror_files.c - the mirror's names and open files while they are moved,
 * replaced and removed.
 */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "mirror_fixture.h"

static void unlinked_open_file_goes_on(void **state)
{
	struct vn_file file;
	struct vn_attr attr;
	struct vnode *node;
	char text[32];

	(void)state;
	fake_put("f", "text");
	node = must_find(root, "f");
	assert_int_equal(open_node(node, O_RDWR, &file), 0);
	assert_int_equal(root->ops->unlink(root, &call, "f"), 0);
	assert_int_equal(read_node(node, &file, text, sizeof(text)), 4);
	assert_string_equal(text, "text");
	assert_int_equal(getattr(node, &attr), 0);
	assert_int_equal(attr.st.st_nlink, 0);
	assert_int_equal(attr.st.st_size, 4);
	assert_int_equal(node->ops->setattr(node, &call, &file, VN_SET_SIZE,
					    &(struct stat){ .st_size = 2 }, &attr),
			 0);
	assert_int_equal(attr.st.st_size, 2);
	node->ops->release(node, &call, &file);
	assert_int_equal(getattr(node, &attr), -ENOENT);
	assert_int_equal(open_node(node, O_RDONLY, &file), -ESTALE);
	vn_unref(node);
}

static void renamed_over_while_open(void **state)
{
	struct vnode *old, *new, *found;
	struct vn_file file;
	struct vn_attr attr;
	char text[32];

	(void)state;
	fake_put("f", "old");
	fake_put("g", "newer");
	old = must_find(root, "f");
	new = must_find(root, "g");
	assert_int_equal(open_node(old, O_RDONLY, &file), 0);
	assert_int_equal(root->ops->rename(root, &call, "g", root, "f", 0), 0);
	found = must_find(root, "f");
	assert_ptr_equal(found, new);
	assert_int_equal(getattr(new, &attr), 0);
	assert_int_equal(attr.st.st_size, 5);
	assert_int_equal(read_node(old, &file, text, sizeof(text)), 3);
	assert_int_equal(getattr(old, &attr), 0);
	assert_int_equal(attr.st.st_size, 3);
	old->ops->release(old, &call, &file);
	assert_int_equal(getattr(old, &attr), -ENOENT);
	vn_unref(old);
	vn_unref(new);
	vn_unref(found);
}

static void directories_move_with_what_is_in_them(void **state)
{
	struct vnode *a, *b, *file;
	struct vn_attr attr;

	(void)state;
	fake_put("a", NULL);
	fake_put("a/b", NULL);
	fake_put("a/b/f", "deep");
	a = must_find(root, "a");
	b = must_find(a, "b");
	file = must_find(b, "f");
	assert_int_equal(root->ops->rename(root, &call, "a", root, "z", 0), 0);
	assert_int_equal(getattr(file, &attr), 0);
	assert_int_equal(a->ops->rename(a, &call, "b", root, "y", 0), 0);
	assert_int_equal(getattr(file, &attr), 0);
	assert_string_equal(fake_get("y/f"), "deep");
	vn_unref(a);
	vn_unref(b); /* the file keeps its directories */
	assert_int_equal(getattr(file, &attr), 0);
	vn_unref(file);
}

static void exchange(void **state)
{
	struct vnode *a, *b;
	struct vn_attr attr;

	(void)state;
	fake_put("a", "1");
	fake_put("b", "22");
	a = must_find(root, "a");
	b = must_find(root, "b");
	assert_int_equal(root->ops->rename(root, &call, "a", root, "b", RENAME_EXCHANGE), 0);
	assert_int_equal(getattr(a, &attr), 0);
	assert_int_equal(attr.st.st_size, 1);
	assert_int_equal(getattr(b, &attr), 0);
	assert_int_equal(attr.st.st_size, 2);
	assert_string_equal(fake_get("a"), "22");
	assert_int_equal(root->ops->rename(root, &call, "a", root, "b", RENAME_NOREPLACE), -EEXIST);
	assert_int_equal(root->ops->rename(root, &call, "a", root, "b", 1 << 2), -EINVAL);
	vn_unref(a);
	vn_unref(b);
}

static struct vnode *mover;

/* What another thread does while a question is on its way. */
static void move_above(void)
{
	assert_int_equal(mover->ops->rename(mover, &call, "a", mover, "z", 0), 0);
}

/* A path that became old while the question was on its way is no ENOENT. */
static void paths_that_move_are_built_again(void **state)
{
	struct vnode *dir, *file, *child;
	struct vn_file open_file;
	struct vn_attr attr;

	(void)state;
	fake_put("a", NULL);
	fake_put("a/f", "x");
	dir = must_find(root, "a");
	file = must_find(dir, "f");
	mover = root;
	fake.before = move_above;
	assert_int_equal(getattr(file, &attr), 0);
	assert_int_equal(root->ops->rename(root, &call, "z", root, "a", 0), 0);
	fake.before = move_above;
	assert_int_equal(lookup(dir, "f", &child), 0);
	vn_unref(child);
	assert_int_equal(root->ops->rename(root, &call, "z", root, "a", 0), 0);
	fake.before = move_above;
	assert_int_equal(open_node(file, O_RDONLY, &open_file), 0);
	file->ops->release(file, &call, &open_file);
	vn_unref(file);
	vn_unref(dir);
}

static void link_gets_a_node_of_its_own(void **state)
{
	struct vnode *a, *b;
	struct vn_attr attr, other;

	(void)state;
	fake_put("a", "x");
	a = must_find(root, "a");
	assert_int_equal(a->ops->link(a, &call, root, "b", &attr), 0);
	assert_true(attr.valid == 0); /* the kernel looks "b" up at its next use */
	assert_int_equal(attr.st.st_nlink, 2);
	b = must_find(root, "b");
	assert_int_equal(getattr(b, &other), 0);
	assert_true(other.valid == 0); /* the other name may change it */
	vn_unref(b);
	assert_int_equal(root->ops->unlink(root, &call, "a"), 0);
	b = must_find(root, "b");
	assert_ptr_not_equal(a, b);
	assert_int_equal(getattr(b, &other), 0);
	assert_true(other.valid == 1);
	assert_int_equal(other.st.st_ino, attr.st.st_ino);
	assert_int_equal(getattr(a, &attr), -ENOENT);
	vn_unref(a);
	vn_unref(b);
}

static void open_of_a_replaced_file(void **state)
{
	struct vnode *node, *again;
	struct vn_file file;
	char text[8];

	(void)state;
	fake_put("f", "old");
	fake_put("g", "new");
	node = must_find(root, "f");
	assert_int_equal(renameat(fake.root, "g", fake.root, "f"), 0);
	assert_int_equal(open_node(node, O_RDONLY, &file), -ESTALE);
	again = must_find(root, "f");
	assert_int_equal(open_node(again, O_RDONLY, &file), 0);
	assert_int_equal(read_node(again, &file, text, sizeof(text)), 3);
	assert_string_equal(text, "new");
	again->ops->release(again, &call, &file);
	vn_unref(node);
	vn_unref(again);
}

/* Only who was told the old size has to be told; and a name that is gone is no ENOENT yet. */
static void open_tells_of_changes(void **state)
{
	struct vn_file file = { 0 };
	struct vn_attr attr;
	struct vnode *node;

	(void)state;
	fake_put("f", "old");
	node = must_find(root, "f");
	assert_int_equal(open_node(node, O_RDONLY, &file), 0);
	assert_false(file.changed);
	node->ops->release(node, &call, &file);
	fake_put("f", "longer");
	for (int i = 0; i < 2; i++) {
		assert_int_equal(open_node(node, O_RDONLY, &file), 0);
		assert_true(file.changed);
		node->ops->release(node, &call, &file);
	}
	assert_int_equal(getattr(node, &attr), 0);
	assert_int_equal(open_node(node, O_RDONLY, &file), 0);
	assert_false(file.changed);
	node->ops->release(node, &call, &file);
	assert_int_equal(unlinkat(fake.root, "f", 0), 0);
	assert_int_equal(open_node(node, O_RDONLY, &file), -ESTALE);
	vn_unref(node);
}

static void create_and_write(void **state)
{
	struct vn_file file = { .flags = O_CREAT | O_EXCL | O_RDWR };
	struct vnode *node;
	struct vn_attr attr;

	(void)state;
	assert_int_equal(root->ops->create(root, &call, "f", 0600, &file, &node, &attr), 0);
	assert_int_equal(attr.st.st_mode, S_IFREG | 0600);
	assert_int_equal(node->ops->write(node, &call, &file, 0, "abc", 3), 3);
	assert_int_equal(fake.flushes, 0);
	assert_int_equal(node->ops->flush(node, &call, &file), 0);
	assert_int_equal(fake.flushes, 1);
	fake.fail = -ENOSPC;
	assert_int_equal(node->ops->write(node, &call, &file, 3, "d", 1), -ENOSPC);
	fake.close_error = -EIO; /* logged: nobody can be told */
	node->ops->release(node, &call, &file);
	assert_string_equal(fake_get("f"), "abc");
	file = (struct vn_file){ .flags = O_CREAT | O_EXCL | O_RDWR };
	assert_int_equal(root->ops->create(root, &call, "f", 0600, &file, &node, &attr), -EEXIST);
	vn_unref(must_find(root, "f"));
	vn_unref(node);
}

static void sync_write_flushes_each(void **state)
{
	struct vn_file file = { .flags = O_CREAT | O_WRONLY };
	struct vnode *node;
	struct vn_attr attr;

	(void)state;
	vn_unref(root);
	options.sync_write = true;
	open_mirror();
	assert_int_equal(root->ops->create(root, &call, "f", 0600, &file, &node, &attr), 0);
	assert_int_equal(node->ops->write(node, &call, &file, 0, "a", 1), 1);
	assert_int_equal(node->ops->write(node, &call, &file, 1, "b", 1), 1);
	assert_int_equal(fake.flushes, 2);
	node->ops->release(node, &call, &file);
	vn_unref(node);
}

static void read_only_asks_nothing(void **state)
{
	struct stat in = { .st_mode = 0 };
	struct vnode *node, *child = NULL;
	struct vn_file file;
	struct vn_attr attr;

	(void)state;
	vn_unref(root);
	options.read_only = true;
	open_mirror();
	fake_put("f", "");
	node = must_find(root, "f");
	fake.calls = 0;
	assert_int_equal(open_node(node, O_RDWR, &file), -EROFS);
	assert_int_equal(open_node(node, O_RDONLY | O_TRUNC, &file), -EROFS);
	assert_int_equal(node->ops->setattr(node, &call, NULL, VN_SET_MODE, &in, &attr), -EROFS);
	assert_int_equal(root->ops->mkdir(root, &call, "d", 0, &child, &attr), -EROFS);
	assert_int_equal(root->ops->create(root, &call, "d", 0, &file, &child, &attr), -EROFS);
	assert_int_equal(root->ops->symlink(root, &call, "x", "d", &child, &attr), -EROFS);
	assert_int_equal(root->ops->mknod(root, &call, "d", S_IFIFO, &child, &attr), -EROFS);
	assert_int_equal(root->ops->unlink(root, &call, "f"), -EROFS);
	assert_int_equal(root->ops->rmdir(root, &call, "f"), -EROFS);
	assert_int_equal(root->ops->rename(root, &call, "f", root, "g", 0), -EROFS);
	assert_int_equal(node->ops->link(node, &call, root, "g", &attr), -EROFS);
	assert_int_equal(fake.calls, 0);
	vn_unref(node);
}

static void long_paths(void **state)
{
	char name[256];
	struct vnode *dirs[32] = { vn_ref(root) };
	int depth = 0, rc;

	(void)state;
	memset(name, 'd', 255);
	name[255] = '\0';
	do {
		struct vn_attr attr;

		rc = dirs[depth]->ops->mkdir(dirs[depth], &call, name, 0755, &dirs[depth + 1],
					     &attr);
		depth += !rc;
	} while (!rc && depth < 20);
	assert_int_equal(rc, -ENAMETOOLONG);
	assert_true(depth >= 15); /* 16 names and their slashes: 4,095 bytes */
	while (depth >= 0)
		vn_unref(dirs[depth--]);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(unlinked_open_file_goes_on),
		TEST(renamed_over_while_open),
		TEST(directories_move_with_what_is_in_them),
		TEST(exchange),
		TEST(paths_that_move_are_built_again),
		TEST(link_gets_a_node_of_its_own),
		TEST(open_of_a_replaced_file),
		TEST(open_tells_of_changes),
		TEST(create_and_write),
		TEST(sync_write_flushes_each),
		TEST(read_only_asks_nothing),
		TEST(long_paths),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
