/*
 * mirror_fixture.h - what the mirror's tests have in common.
 */
#ifndef VSOCKFS_TEST_MIRROR_FIXTURE_H
#define VSOCKFS_TEST_MIRROR_FIXTURE_H

#include "fs/mirror.h"
#include "mirror_fake.h"

#define ME 4242 /* the mounting user */

extern struct mirror_set set;
extern struct mirror_options options; /* a change counts from the next open_mirror on */
extern struct vnode *root;
extern struct call call;

int set_up(void **state);
/* Whatever a test did: the mirror is gone when its last node is, and has closed everything. */
int tear_down(void **state);

#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)

/* Makes root again, with a reference. */
void open_mirror(void);

int lookup(struct vnode *dir, const char *name, struct vnode **child);
struct vnode *must_find(struct vnode *dir, const char *name);
int getattr(struct vnode *node, struct vn_attr *attr);
int open_node(struct vnode *node, int flags, struct vn_file *file);
/* Of a listing, until the next time. */
const struct vn_dirent *first_entry(const struct vn_dir *dir);
/* From the start, NUL-terminated. */
ssize_t read_node(struct vnode *node, struct vn_file *file, char *text, size_t size);

#endif
