/*
 * test_mirror.c - a guest's workspace as nodes, with the guest changing it meanwhile.
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

static void shows_the_mounting_user(void **state)
{
	struct vnode *node;
	struct vn_attr attr;

	(void)state;
	fake_put("f", "text");
	assert_int_equal(fchmodat(fake.root, "f", 06755, 0), 0);
	node = must_find(root, "f");
	assert_int_equal(getattr(node, &attr), 0);
	assert_int_equal(attr.st.st_uid, ME);
	assert_int_equal(attr.st.st_gid, ME);
	assert_int_equal(attr.st.st_mode, S_IFREG | 0755);
	assert_int_equal(attr.st.st_size, 4);
	assert_true(attr.valid == 1);
	assert_false(attr.st.st_ino >> 63);
	vn_unref(node);
}

static void shows_the_guests_ids(void **state)
{
	struct vn_attr attr;

	(void)state;
	vn_unref(root);
	options.guest_ids = true;
	open_mirror();
	assert_int_equal(getattr(root, &attr), 0);
	assert_int_equal(attr.st.st_uid, 1234);
	assert_int_equal(attr.st.st_gid, 5678);
}

static void one_node_a_name(void **state)
{
	struct vnode *a, *b;

	(void)state;
	fake_put("f", "");
	a = must_find(root, "f");
	b = must_find(root, "f");
	assert_ptr_equal(a, b);
	vn_unref(a);
	vn_unref(b);
}

static void another_file_is_another_node(void **state)
{
	struct vnode *old, *new;
	struct vn_attr attr;

	(void)state;
	fake_put("f", "old");
	fake_put("g", "new");
	old = must_find(root, "f");
	assert_int_equal(renameat(fake.root, "g", fake.root, "f"), 0);
	/* By the node: the kernel looks the name up again after ESTALE. */
	assert_int_equal(getattr(old, &attr), -ESTALE);
	new = must_find(root, "f");
	assert_ptr_not_equal(old, new);
	assert_int_equal(getattr(new, &attr), 0);
	assert_int_equal(getattr(old, &attr), -ESTALE);
	vn_unref(old);
	vn_unref(new);
}

static void retype(struct ws_attr *attr)
{
	if (S_ISREG(attr->mode))
		attr->mode = S_IFDIR | 0755;
}

static void type_that_changes(void **state)
{
	struct vnode *node, *again;
	struct vn_attr attr;

	(void)state;
	fake_put("f", "");
	node = must_find(root, "f");
	fake.lie = retype; /* the same number, now a directory */
	assert_int_equal(getattr(node, &attr), -ESTALE);
	again = must_find(root, "f");
	assert_ptr_not_equal(node, again);
	vn_unref(node);
	vn_unref(again);
}

static void absurd_type(struct ws_attr *attr)
{
	attr->mode = 0170000;
}

static void absurd_size(struct ws_attr *attr)
{
	attr->size = INT64_MIN;
}

static void absurd_rest(struct ws_attr *attr)
{
	attr->nlink = 0;
	attr->blocks = -1;
	attr->rdev = UINT64_MAX;
	attr->ino = UINT64_MAX;
	attr->mtime.tv_nsec = -5;
	attr->ctime.tv_nsec = 1000000000;
}

static void absurd_attributes(void **state)
{
	struct vnode *node;
	struct vn_attr attr;

	(void)state;
	fake_put("f", "");
	fake.lie = absurd_type;
	assert_int_equal(lookup(root, "f", &node), -EIO);
	fake.lie = absurd_size;
	assert_int_equal(lookup(root, "f", &node), -EIO);
	assert_int_equal(getattr(root, &attr), -EIO);
	fake.lie = absurd_rest;
	node = must_find(root, "f");
	assert_int_equal(getattr(node, &attr), 0);
	assert_int_equal(attr.st.st_nlink, 1);
	assert_int_equal(attr.st.st_blocks, 0);
	assert_int_equal(attr.st.st_rdev, 0);
	assert_false(attr.st.st_ino >> 63);
	assert_int_equal(attr.st.st_mtim.tv_nsec, 0);
	assert_int_equal(attr.st.st_ctim.tv_nsec, 0);
	vn_unref(node);
}

static void other_device(struct ws_attr *attr)
{
	if (!S_ISDIR(attr->mode))
		attr->dev++;
}

static void numbers_tell_devices_and_guests_apart(void **state)
{
	struct vn_attr here, there, elsewhere;
	struct vnode *node, *other_root, *other;

	(void)state;
	fake_put("f", "");
	assert_int_equal(getattr(root, &here), 0);
	node = must_find(root, "f");
	assert_int_equal(getattr(node, &here), 0);
	assert_int_equal(mirror_new(&set, (struct guest *)&fake, &options, &other_root), 0);
	other = must_find(other_root, "f");
	assert_int_equal(getattr(other, &elsewhere), 0);
	assert_int_not_equal(here.st.st_ino, elsewhere.st.st_ino);
	vn_unref(other);
	vn_unref(other_root);
	vn_unref(node);
	fake.lie = other_device;
	node = must_find(root, "f");
	assert_int_equal(getattr(node, &there), 0);
	assert_int_not_equal(here.st.st_ino, there.st.st_ino);
	vn_unref(node);
}

static void hostile_names_are_not_listed(void **state)
{
	static const char *const names[] = { "", ".", "..", "a/b", "/", "../x" };
	char long_name[300];

	(void)state;
	memset(long_name, 'n', sizeof(long_name));
	long_name[256] = '\0';
	fake_put("good", "");
	fake_put(WS_PRIVATE_PREFIX "stage", NULL);
	for (size_t i = 0; i <= sizeof(names) / sizeof(*names); i++) {
		struct vn_dir dir = { 0 };

		fake.extra_name = i < sizeof(names) / sizeof(*names) ? names[i] : long_name;
		assert_int_equal(root->ops->list(root, &call, &dir), 0);
		assert_int_equal(dir.count, 1);
		assert_string_equal(first_entry(&dir)->name, "good");
		assert_true(first_entry(&dir)->whole);
		vn_dir_free(&dir);
	}
}

static void private_names_are_not_there(void **state)
{
	struct vn_attr attr;
	struct vnode *node = NULL;

	(void)state;
	fake_put(WS_PRIVATE_PREFIX "stage", NULL);
	fake_put("d", NULL);
	fake.calls = 0;
	assert_int_equal(lookup(root, WS_PRIVATE_PREFIX "stage", &node), -ENOENT);
	assert_int_equal(root->ops->mkdir(root, &call, WS_PRIVATE_PREFIX "x", 0755, &node, &attr),
			 -EPERM);
	assert_int_equal(root->ops->rmdir(root, &call, WS_PRIVATE_PREFIX "stage"), -EPERM);
	assert_int_equal(fake.calls, 0);
	/* Only in the workspace's root. */
	node = must_find(root, "d");
	fake_put("d/" WS_PRIVATE_PREFIX "x", "");
	vn_unref(must_find(node, WS_PRIVATE_PREFIX "x"));
	vn_unref(node);
}

static void names_vanish_in_the_guest(void **state)
{
	struct vnode *dir, *file, *child;
	struct vn_attr attr;

	(void)state;
	fake_put("d", NULL);
	fake_put("d/f", "x");
	dir = must_find(root, "d");
	file = must_find(dir, "f");
	assert_int_equal(unlinkat(fake.root, "d/f", 0), 0);
	assert_int_equal(unlinkat(fake.root, "d", AT_REMOVEDIR), 0);
	assert_int_equal(getattr(file, &attr), -ENOENT);
	assert_int_equal(getattr(dir, &attr), -ENOENT);
	assert_int_equal(lookup(dir, "f", &child), -ENOENT);
	vn_unref(file);
	vn_unref(dir);
}

static void chown_to_oneself(void **state)
{
	struct stat mine = { .st_uid = ME, .st_gid = ME }, other = { .st_uid = 0, .st_gid = ME };
	struct vn_attr attr;

	(void)state;
	assert_int_equal(
		root->ops->setattr(root, &call, NULL, VN_SET_UID | VN_SET_GID, &mine, &attr), 0);
	assert_int_equal(root->ops->setattr(root, &call, NULL, VN_SET_UID, &other, &attr), -EPERM);
	assert_int_equal(root->ops->setattr(root, &call, NULL, VN_SET_GID, &other, &attr), 0);
}

static void times_and_modes(void **state)
{
	struct stat in = { .st_mode = 0640, .st_mtim = { 1000, 123456789 } };
	struct vnode *node;
	struct vn_attr attr;

	(void)state;
	fake_put("f", "");
	node = must_find(root, "f");
	assert_int_equal(
		node->ops->setattr(node, &call, NULL, VN_SET_MODE | VN_SET_MTIME, &in, &attr), 0);
	assert_int_equal(attr.st.st_mode, S_IFREG | 0640);
	assert_int_equal(attr.st.st_mtim.tv_sec, 1000);
	assert_int_equal(attr.st.st_mtim.tv_nsec, 123456789);
	in.st_mtim.tv_nsec = UTIME_NOW;
	assert_int_equal(node->ops->setattr(node, &call, NULL, VN_SET_MTIME, &in, &attr), 0);
	assert_true(attr.st.st_mtim.tv_sec > 1000000);
	vn_unref(node);
}

static void links_are_contained(void **state)
{
	struct vnode *dir, *node;
	char target[256];

	(void)state;
	fake_put("d", NULL);
	assert_int_equal(symlinkat("/workspace/f", fake.root, "d/in"), 0);
	assert_int_equal(symlinkat("../../etc/passwd", fake.root, "d/out"), 0);
	assert_int_equal(symlinkat("../d/../f", fake.root, "d/through"), 0);
	dir = must_find(root, "d");
	node = must_find(dir, "in");
	assert_int_equal(node->ops->readlink(node, &call, target, sizeof(target)), 0);
	assert_string_equal(target, "../f");
	vn_unref(node);
	node = must_find(dir, "through");
	assert_int_equal(node->ops->readlink(node, &call, target, sizeof(target)), 0);
	assert_string_equal(target, "../f");
	vn_unref(node);
	node = must_find(dir, "out");
	assert_int_equal(node->ops->readlink(node, &call, target, sizeof(target)), -EACCES);
	vn_unref(node);
	vn_unref(dir);

	vn_unref(root);
	options.raw_symlinks = true;
	open_mirror();
	dir = must_find(root, "d");
	node = must_find(dir, "out");
	assert_int_equal(node->ops->readlink(node, &call, target, sizeof(target)), 0);
	assert_string_equal(target, "../../etc/passwd");
	vn_unref(node);
	vn_unref(dir);
}

static void adopting(void **state)
{
	struct vnode *a, *found;
	struct vn_dir dir = { 0 };
	struct vn_file file;

	(void)state;
	fake_put("a", "x");
	assert_int_equal(root->ops->list(root, &call, &dir), 0);
	fake.calls = 0;
	assert_int_equal(root->ops->adopt(root, first_entry(&dir), &a), 0);
	assert_int_equal(fake.calls, 0);
	found = must_find(root, "a");
	assert_ptr_equal(a, found);
	vn_unref(found);
	/* What is written to, or was changed since, is looked up instead. */
	assert_int_equal(open_node(a, O_WRONLY, &file), 0);
	assert_int_equal(root->ops->adopt(root, first_entry(&dir), &found), -EAGAIN);
	a->ops->release(a, &call, &file);
	assert_int_equal(root->ops->adopt(root, first_entry(&dir), &found), -EAGAIN);
	assert_int_equal(root->ops->list(root, &call, &dir), 0);
	assert_int_equal(root->ops->adopt(root, first_entry(&dir), &found), 0);
	vn_unref(found);
	assert_int_equal(root->ops->unlink(root, &call, "a"), 0);
	assert_int_equal(root->ops->adopt(root, first_entry(&dir), &found), -EAGAIN);
	vn_dir_free(&dir);
	vn_unref(a);
}

struct told {
	int count;
	char names[256];
};

static void tell(void *arg, const struct mirror_place *place)
{
	struct told *told = arg;

	size_t len = strlen(told->names);

	told->count++;
	snprintf(told->names + len, sizeof(told->names) - len, "%s%s ", place->name,
		 place->is_dir ? "/" : "");
}

static void only_what_was_told_is_taken_back(void **state)
{
	struct vnode *dir, *a, *b;
	struct told told = { 0 };

	(void)state;
	fake_put("d", NULL);
	fake_put("d/a", "");
	fake_put("d/b", "");
	fake_put("other", "");
	dir = must_find(root, "d");
	a = must_find(dir, "a");
	b = must_find(root, "other");
	assert_int_equal(mirror_each_told(root, "d", tell, &told), 0);
	assert_int_equal(told.count, 2);
	assert_non_null(strstr(told.names, "d/ "));
	assert_non_null(strstr(told.names, "a "));
	told = (struct told){ 0 };
	assert_int_equal(mirror_each_told(root, "d/b", tell, &told), 0);
	assert_int_equal(mirror_each_told(root, "d/a/none", tell, &told), 0);
	assert_int_equal(told.count, 0);
	assert_int_equal(mirror_each_told(root, NULL, tell, &told), 0);
	assert_int_equal(told.count, 3);
	vn_unref(a);
	vn_unref(b);
	vn_unref(dir);
}

static void guest_that_is_gone(void **state)
{
	struct vnode *node, *child = NULL;
	struct vn_attr attr;

	(void)state;
	fake_put("f", "");
	node = must_find(root, "f");
	fake.fail = -ENOTCONN;
	assert_int_equal(getattr(node, &attr), -ENOTCONN);
	fake.fail = -ETIMEDOUT;
	assert_int_equal(lookup(root, "f", &child), -ETIMEDOUT);
	/* It was only away: the node is what it was. */
	assert_int_equal(getattr(node, &attr), 0);
	vn_unref(node);
}

static void syncs_every_mirror(void **state)
{
	struct vnode *other;

	(void)state;
	assert_int_equal(mirror_new(&set, (struct guest *)&fake, &options, &other), 0);
	fake.fail = -EIO; /* logged; the others get their turn */
	mirror_set_sync(&set, 1);
	assert_int_equal(fake.syncs, 2);
	vn_unref(other);
}

static void statfs(void **state)
{
	struct statvfs out;

	(void)state;
	assert_int_equal(root->ops->statfs(root, &call, &out), 0);
	assert_true(out.f_bsize > 0);
	assert_int_equal(out.f_namemax, 255);
	assert_int_equal(out.f_blocks, 10);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(shows_the_mounting_user),
		TEST(shows_the_guests_ids),
		TEST(one_node_a_name),
		TEST(another_file_is_another_node),
		TEST(type_that_changes),
		TEST(absurd_attributes),
		TEST(numbers_tell_devices_and_guests_apart),
		TEST(hostile_names_are_not_listed),
		TEST(private_names_are_not_there),
		TEST(names_vanish_in_the_guest),
		TEST(chown_to_oneself),
		TEST(times_and_modes),
		TEST(links_are_contained),
		TEST(adopting),
		TEST(only_what_was_told_is_taken_back),
		TEST(guest_that_is_gone),
		TEST(syncs_every_mirror),
		TEST(statfs),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
