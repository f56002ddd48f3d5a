/* test_archive_attack.c - archives that want more than they may. */
#include <errno.h>
#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include <cmocka.h>

#include "archive_fixture.h"

static bool is_empty(int at, const char *name)
{
	return unlinkat(at, name, AT_REMOVEDIR) == 0;
}

static void test_names_that_lead_outside(void **state)
{
	static const struct {
		const char *name, *why;
	} cases[] = {
		{ "/victim/x", "absolute" },    { "../victim/x", "'..'" },
		{ "a/../../victim/x", "'..'" }, { "..", "'..'" },
		{ "./../victim/x", "'..'" },    { "a/..", "'..'" },
	};
	struct place_fixture *f = *state;

	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		tar_add(&f->tar, '0', cases[i].name, NULL, "evil", 0644);
		place_expect_refused(f, cases[i].name, cases[i].why);
		tar_add(&f->tar, '5', cases[i].name, NULL, NULL, 0755);
		place_expect_refused(f, cases[i].name, cases[i].why);
	}
	assert_true(is_empty(f->outside, "victim"));
}

static void test_links_that_lead_outside(void **state)
{
	static const struct {
		const char *name, *target, *why;
	} cases[] = {
		{ "l", "/etc", "absolute" },
		{ "l", "../victim", "outside" },
		{ "l", "..", "outside" },
		{ "l", "./../victim", "outside" },
		{ "d/l", "../../victim", "outside" },
		{ "l", "d/../../victim", "'..' behind a name" },
		{ "l", "", "target" },
	};
	struct place_fixture *f = *state;

	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		tar_add(&f->tar, '2', cases[i].name, cases[i].target, NULL, 0777);
		place_expect_refused(f, cases[i].name, cases[i].why);
	}
	/* Up, but not out. */
	tar_add(&f->tar, '2', "a/b/c", "../../d", NULL, 0777);
	assert_int_equal(place_extract(f), 0);
}

static void test_hard_links_that_lead_outside(void **state)
{
	static const char *const targets[] = { "/etc/passwd", "../victim/secret", "d/../../x",
					       "." };
	struct place_fixture *f = *state;

	for (size_t i = 0; i < sizeof(targets) / sizeof(targets[0]); i++) {
		tar_add(&f->tar, '1', "h", targets[i], NULL, 0644);
		place_expect_refused(f, "h", "outside");
	}
	/* Through a link that was there before. */
	assert_int_equal(symlinkat("../victim", f->root, "there"), 0);
	tar_add(&f->tar, '1', "h", "there/secret", NULL, 0644);
	place_expect_refused(f, "h", "symbolic link");
	/* To a link, which would be followed later. */
	tar_add(&f->tar, '1', "h", "there", NULL, 0644);
	place_expect_refused(f, "h", "something else than a file");
	tar_add(&f->tar, '1', "h", "nowhere", NULL, 0644);
	assert_int_equal(place_extract(f), -ENOENT);
}

static void test_nothing_is_made_through_a_link(void **state)
{
	struct place_fixture *f = *state;

	assert_int_equal(symlinkat("../victim", f->root, "out"), 0);
	tar_add(&f->tar, '0', "out/x", NULL, "evil", 0644);
	place_expect_refused(f, "out/x", "symbolic link");
	tar_add(&f->tar, '5', "out/d", NULL, NULL, 0755);
	place_expect_refused(f, "out/d", "symbolic link");
	tar_add(&f->tar, '0', "out/a/b", NULL, "evil", 0644);
	place_expect_refused(f, "out/a/b", "symbolic link");
	tar_add(&f->tar, '0', "out", NULL, "evil", 0644);
	place_expect_refused(f, "out", "something else");
	tar_add(&f->tar, '5', "out", NULL, NULL, 0700);
	place_expect_refused(f, "out", "something else");
	/* Also one that the archive brought itself. */
	tar_add(&f->tar, '5', "d", NULL, NULL, 0755);
	tar_add(&f->tar, '2', "in", "d", NULL, 0777);
	tar_add(&f->tar, '0', "in/x", NULL, "x", 0644);
	place_expect_refused(f, "in/x", "symbolic link");
	assert_true(is_empty(f->outside, "victim"));
}

static void test_nothing_is_made_over_something_else(void **state)
{
	struct place_fixture *f = *state;

	tar_add(&f->tar, '5', "d", NULL, NULL, 0755);
	tar_add(&f->tar, '0', "f", NULL, "kept", 0644);
	assert_int_equal(place_extract(f), 0);
	buf_free(&f->tar);
	tar_add(&f->tar, '0', "d", NULL, "x", 0644);
	place_expect_refused(f, "d", "something else than a file");
	tar_add(&f->tar, '2', "d", "f", NULL, 0777);
	place_expect_refused(f, "d", "something else than a symbolic link");
	tar_add(&f->tar, '2', "f", "d", NULL, 0777);
	place_expect_refused(f, "f", "something else than a symbolic link");
	tar_add(&f->tar, '5', "f", NULL, NULL, 0755);
	place_expect_refused(f, "f", "something else than a directory");
	tar_add(&f->tar, '0', "f/below", NULL, "x", 0644);
	place_expect_refused(f, "f/below", "not a directory");
	place_expect_text(f, "f", "kept");
}

static void test_devices_and_long_names(void **state)
{
	struct place_fixture *f = *state;
	char *name = malloc(8192);

	tar_add(&f->tar, '3', "null", NULL, NULL, 0666);
	place_expect_refused(f, "null", "devices");
	tar_add(&f->tar, '4', "disk", NULL, NULL, 0666);
	place_expect_refused(f, "disk", "devices");

	memset(name, 'n', 8192);
	for (int i = 100; i < 8192; i += 100)
		name[i] = '/';
	name[5000] = '\0';
	tar_add(&f->tar, '0', name, NULL, "x", 0644);
	place_expect_refused(f, "nnnn", "4096");
	name[5000] = 'n';
	name[8191] = '\0';
	tar_add(&f->tar, '2', "l", name, NULL, 0777);
	place_expect_refused(f, "'l'", "4095");
	free(name);
}

#define TEST(function) cmocka_unit_test_setup_teardown(function, place_setup, place_teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(test_names_that_lead_outside),
		TEST(test_links_that_lead_outside),
		TEST(test_hard_links_that_lead_outside),
		TEST(test_nothing_is_made_through_a_link),
		TEST(test_nothing_is_made_over_something_else),
		TEST(test_devices_and_long_names),
	};

	return cmocka_run_group_tests_name("archive attack", tests, NULL, NULL);
}
