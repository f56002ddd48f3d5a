/*
 * mirror_fixture.c - a mirror of a fake guest, new for each test.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "mirror_fixture.h"

struct mirror_set set;
struct mirror_options options;
struct vnode *root;
struct call call;

void open_mirror(void)
{
	assert_int_equal(mirror_new(&set, (struct guest *)&fake, &options, &root), 0);
}

int set_up(void **state)
{
	(void)state;
	fake_begin();
	mirror_set_init(&set);
	options = (struct mirror_options){ .attr_timeout = 1, .uid = ME, .gid = ME };
	call = call_within(60, NULL);
	open_mirror();
	return 0;
}

int tear_down(void **state)
{
	(void)state;
	vn_unref(root);
	assert_int_equal(fake.refs, 0);
	assert_int_equal(fake.open_files, 0);
	assert_null(set.first);
	mirror_set_destroy(&set);
	fake_end();
	return 0;
}

int lookup(struct vnode *dir, const char *name, struct vnode **child)
{
	struct vn_attr attr;

	*child = NULL;
	return dir->ops->lookup(dir, &call, name, child, &attr);
}

struct vnode *must_find(struct vnode *dir, const char *name)
{
	struct vnode *child;

	assert_int_equal(lookup(dir, name, &child), 0);
	assert_non_null(child);
	return child;
}

int getattr(struct vnode *node, struct vn_attr *attr)
{
	return node->ops->getattr(node, &call, NULL, attr);
}

int open_node(struct vnode *node, int flags, struct vn_file *file)
{
	*file = (struct vn_file){ .flags = flags };
	return node->ops->open(node, &call, file);
}

ssize_t read_node(struct vnode *node, struct vn_file *file, char *text, size_t size)
{
	ssize_t got = node->ops->read(node, (struct vn_req *)&call, file, 0, text, size - 1);

	text[got > 0 ? got : 0] = '\0';
	return got;
}

const struct vn_dirent *first_entry(const struct vn_dir *dir)
{
	static struct vn_dirent entry;
	struct vn_dir_reader reader;

	assert_int_equal(vn_dir_seek(&reader, dir, 0), 0);
	assert_int_equal(vn_dir_next(&reader, &entry), 1);
	vn_dir_done(&reader);
	return &entry;
}
