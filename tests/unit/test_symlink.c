/*
 * test_symlink.c - which links may be followed, and as what.
 */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "fs/symlink.h"
#include "protocol/limits.h"

/* The guest: these are directories, "link" is a link to one, all else is not there. */
static int is_dir(void *arg, const char *path)
{
	static const char *const dirs[] = {
		"real", "real/deep", "a", "a/b", "a/b/real", "link/sub"
	};

	if (arg)
		++*(int *)arg;
	if (!strcmp(path, "broken"))
		return -ENOTCONN;
	for (size_t i = 0; i < sizeof(dirs) / sizeof(*dirs); i++) {
		if (!strcmp(path, dirs[i]))
			return 1;
	}
	return 0;
}

struct shown {
	const char *dir, *target, *text; /* NULL: EACCES */
};

static const struct shown cases[] = {
	/* relative, inside: as they are, to the byte */
	{ "", "file", "file" },
	{ "", "./file", "./file" },
	{ "", "a//b/", "a//b/" },
	{ "", ".", "." },
	{ "a", "../x", "../x" },
	{ "a/b", "../../x", "../../x" },
	{ "a/b", "./.././../x", "./.././../x" },
	{ "a/b", "../..", "../.." },
	{ "", "..x/...", "..x/..." },
	/* out of the workspace */
	{ "", "..", NULL },
	{ "", "../x", NULL },
	{ "a/b", "../../../x", NULL },
	{ "a", "./.././../x", NULL },
	{ "", "/", NULL },
	{ "", "/etc/passwd", NULL },
	{ "", "/workspaces/x", NULL },
	{ "", "/work", NULL },
	{ "", "/../workspace/x", NULL },
	{ "a", "/workspace/..", NULL },
	{ "a", "/workspace/../etc", NULL },
	{ "", "", NULL },
	/* absolute, inside */
	{ "", "/workspace", "." },
	{ "", "/workspace/", "." },
	{ "a/b", "/workspace", "../.." },
	{ "", "/workspace/x/y", "x/y" },
	{ "a", "/workspace/x/y", "../x/y" },
	{ "a/b", "//workspace/./x//y/", "../../x/y/" },
	{ "a/b", "/./workspace/x", "../../x" },
	/* ".." behind a name: if it is a directory now, and all before it are */
	{ "", "real/../x", "x" },
	{ "", "real/..", "." },
	{ "", "real/deep/../../x", "x" },
	{ "", "real/deep/../x", "real/x" },
	{ "", "real/../..", NULL },
	{ "a", "../real/../x", "../x" },
	{ "a/b", "real/../../x", "../x" },
	{ "a/b", "/workspace/real/../x", "../../x" },
	{ "", "link/../x", NULL },
	{ "", "link/sub/../x", NULL },
	{ "", "missing/../x", NULL },
	{ "a", "real/../x", NULL }, /* a/real is not there */
};

static void table(void **state)
{
	char out[LIMIT_SYMLINK_TARGET + 1];

	(void)state;
	for (size_t i = 0; i < sizeof(cases) / sizeof(*cases); i++) {
		const struct shown *c = &cases[i];
		int rc = symlink_contain(c->target, c->dir, is_dir, NULL, out, sizeof(out));

		if (rc != (c->text ? 0 : -EACCES) || (c->text && strcmp(out, c->text) != 0))
			fail_msg("'%s' in '%s': %d, '%s'", c->target, c->dir, rc, rc ? "" : out);
	}
}

/* Whatever the target: ".." only in front, and no more of them than the link is deep. */
static void nothing_leads_out(void **state)
{
	static const char *const parts[] = { "..", ".", "real", "link", "x", "", "workspace" };
	static const char *const dirs[] = { "", "a", "a/b" };
	char out[256];

	(void)state;
	for (unsigned n = 0; n < 7u * 7 * 7 * 7 * 3; n++) {
		char target[64] = "";
		unsigned rest = n / 3, up = 0;
		char *piece, *more = out;
		int down = 0;

		for (int i = 0; i < 4; i++, rest /= 7) {
			size_t len = strlen(target);

			snprintf(target + len, sizeof(target) - len, "%s%s", parts[rest % 7],
				 i < 3 ? "/" : "");
		}
		if (symlink_contain(target, dirs[n % 3], is_dir, NULL, out, sizeof(out)))
			continue;
		assert_int_not_equal(out[0], '/');
		while ((piece = strsep(&more, "/"))) {
			if (!strcmp(piece, "..")) {
				assert_false(down);
				up++;
			} else if (*piece && strcmp(piece, ".") != 0) {
				down = 1;
			}
		}
		assert_true(up <= n % 3);
	}
}

static void asks_only_where_it_must(void **state)
{
	int asked = 0;
	char out[64];

	(void)state;
	assert_int_equal(symlink_contain("../x", "a", is_dir, &asked, out, sizeof(out)), 0);
	assert_int_equal(symlink_contain("/workspace/x", "a", is_dir, &asked, out, sizeof(out)), 0);
	assert_int_equal(asked, 0);
	assert_int_equal(symlink_contain("real/../real/../x", "", is_dir, &asked, out, sizeof(out)),
			 0);
	assert_int_equal(asked, 2);
	assert_int_equal(symlink_contain("broken/..", "", is_dir, NULL, out, sizeof(out)),
			 -ENOTCONN);
}

static void too_long(void **state)
{
	char target[LIMIT_PATH + 64];
	char out[LIMIT_SYMLINK_TARGET + 1];

	(void)state;
	memset(target, 'x', sizeof(target));
	memcpy(target, "/workspace/", 11);
	target[sizeof(target) - 1] = '\0';
	assert_int_equal(symlink_contain(target, "", is_dir, NULL, out, sizeof(out)),
			 -ENAMETOOLONG);
	assert_int_equal(symlink_contain("/workspace/x", "a", is_dir, NULL, out, 4), -ENAMETOOLONG);
	assert_int_equal(symlink_contain("/workspace", "a/b", is_dir, NULL, out, 4), -ENAMETOOLONG);
	assert_int_equal(symlink_contain("abcd", "", is_dir, NULL, out, 4), -ENAMETOOLONG);
	assert_int_equal(symlink_contain("/workspace/x", "a", is_dir, NULL, out, 5), 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(table),
		cmocka_unit_test(nothing_leads_out),
		cmocka_unit_test(asks_only_where_it_must),
		cmocka_unit_test(too_long),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
