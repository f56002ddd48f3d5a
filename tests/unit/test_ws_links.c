/*
 * test_ws_links.c - symbolic links that something in the guest puts in the way: where a directory
 * was, and between a check and the use.  Nothing outside of the workspace is read or changed.
 */
#include <sys/stat.h>

#include "ws_fixture.h"

/* A file that is none of the workspace's. */
struct outside {
	char dir[64], file[80], profile[2048];
};

static struct outside outside_new(void)
{
	struct outside out = { .dir = "/tmp/test-outside-XXXXXX" };
	FILE *file;

	assert_non_null(mkdtemp(out.dir));
	snprintf(out.file, sizeof(out.file), "%s/x", out.dir);
	file = fopen(out.file, "we");
	assert_non_null(file);
	assert_true(fputs("secret", file) >= 0);
	assert_int_equal(fclose(file), 0);
	assert_int_equal(chmod(out.file, 0600), 0);
	return out;
}

/* As it was, and alone in its directory. */
static void outside_free(struct outside *out)
{
	char text[16] = "";
	FILE *file = fopen(out->file, "re");
	struct stat st;

	assert_non_null(file);
	assert_non_null(fgets(text, sizeof(text), file));
	assert_int_equal(fclose(file), 0);
	assert_string_equal(text, "secret");
	assert_int_equal(stat(out->file, &st), 0);
	assert_int_equal(st.st_mode & 07777, 0600);
	assert_int_equal(unlink(out->file), 0);
	assert_int_equal(rmdir(out->dir), 0);
}

static int count(void *arg, const char *name, const struct ws_attr *attr)
{
	(void)name;
	(void)attr;
	++*(int *)arg;
	return 0;
}

/* The kernel believes a name for a second: "d" may be a link by the time that it asks for "d/x". */
static void test_a_directory_that_is_a_link_by_now(void **state)
{
	FIXTURE;
	struct outside out = outside_new();
	struct ws_attr attr = { .mode = 0777, .size = 3 };
	struct lws_file *file = NULL;
	char target[16];
	int names = 0;

	ws_put(f, "top", "top");
	assert_int_equal(mkdir(ws_real(f, "e"), 0755), 0);
	ws_put(f, "e/f", "f");
	assert_int_equal(symlink(out.dir, ws_real(f, "d")), 0);
#define STALE(call) assert_int_equal(call, -ESTALE)
	STALE(lws_stat(f->ws, &f->call, "d/x", &attr, &f->err));
	STALE(lws_readlink(f->ws, &f->call, "d/x", target, sizeof(target), &f->err));
	STALE(lws_open(f->ws, &f->call, "d/x", O_RDONLY, 0, &file, &attr, &f->err));
	STALE(lws_open(f->ws, &f->call, "d/x", O_RDWR | O_TRUNC, 0, &file, &attr, &f->err));
	STALE(lws_open(f->ws, &f->call, "d/new", O_RDWR | O_CREAT, 0644, &file, &attr, &f->err));
	attr = (struct ws_attr){ .mode = 0777, .size = 3 };
	STALE(lws_setattr(f->ws, &f->call, "d/x", NULL, WS_SET_MODE, &attr, &f->attr, &f->err));
	STALE(lws_setattr(f->ws, &f->call, "d/x", NULL, WS_SET_SIZE, &attr, &f->attr, &f->err));
	STALE(lws_mkdir(f->ws, &f->call, "d/new", 0755, &f->attr, &f->err));
	STALE(lws_mknod(f->ws, &f->call, "d/new", 0644, &f->attr, &f->err));
	STALE(lws_symlink(f->ws, &f->call, "t", "d/new", &f->attr, &f->err));
	STALE(lws_link(f->ws, &f->call, "top", "d/new", &f->attr, &f->err));
	STALE(lws_link(f->ws, &f->call, "d/x", "new", &f->attr, &f->err));
	STALE(lws_rename(f->ws, &f->call, "top", "d/new", 0, &f->err));
	STALE(lws_rename(f->ws, &f->call, "e/f", "d/x", 0, &f->err));
	STALE(lws_rename(f->ws, &f->call, "d/x", "e/f", 0, &f->err));
	STALE(lws_rename(f->ws, &f->call, "d/x", "d/y", 0, &f->err));
	STALE(lws_unlink(f->ws, &f->call, "d/x", &f->err));
	STALE(lws_rmdir(f->ws, &f->call, "d/x", &f->err));
	assert_int_equal(lws_list(f->ws, &f->call, "d", count, &names, &f->err), -ENOTDIR);
	assert_int_equal(names, 0);
	/* A link that stays inside is one as well: the kernel goes there by itself. */
	assert_int_equal(symlink("e", ws_real(f, "l")), 0);
	STALE(lws_stat(f->ws, &f->call, "l/f", &attr, &f->err));
	assert_int_equal(mkdir(ws_real(f, "e/e"), 0755), 0);
	STALE(lws_list(f->ws, &f->call, "l/e", count, &names, &f->err));
	ok(f, lws_list(f->ws, &f->call, "e/e", count, &names, &f->err));
	ws_has(f, "e/f", "f");
	outside_free(&out);
}

/* Errors of directories are what they were. */
static void test_a_directory_that_is_none(void **state)
{
	FIXTURE;

	ws_put(f, "file", "text");
	assert_int_equal(lws_stat(f->ws, &f->call, "none/x", &f->attr, &f->err), -ENOENT);
	assert_int_equal(lws_stat(f->ws, &f->call, "file/x", &f->attr, &f->err), -ENOTDIR);
	assert_int_equal(lws_mkdir(f->ws, &f->call, "none/x", 0755, &f->attr, &f->err), -ENOENT);
	assert_int_equal(lws_rename(f->ws, &f->call, "none/x", "y", 0, &f->err), -ENOENT);
	assert_int_equal(lws_rename(f->ws, &f->call, "file", "none/y", 0, &f->err), -ENOENT);
}

/*
 * Somebody who sees every look at the file, which finds it there, and has a link in its place
 * at every other moment.
 */
static void watch_closely(struct fixture *f, struct outside *out, const char *path)
{
	const char *p = ws_real(f, path);

	snprintf(out->profile, sizeof(out->profile),
		 "there() { [ ! -L '%s' ] || { rm -f '%s'; mv '%s.kept' '%s'; }; }\n"
		 "away() { mv '%s' '%s.kept'; ln -s '%s' '%s'; }\n"
		 "stat() { there; command stat \"$@\"; set -- $?; away; return $1; }\n"
		 "dd() { command dd \"$@\"; set -- $?; there; return $1; }\n",
		 p, p, p, p, p, p, out->file, p);
	f->guest->profile = out->profile;
}

static void look_away(struct fixture *f, const char *path)
{
	char kept[300];

	f->guest->profile = NULL;
	snprintf(kept, sizeof(kept), "%s.kept", ws_real(f, path));
	if (access(kept, F_OK) == 0)
		assert_int_equal(rename(kept, ws_real(f, path)), 0);
}

/* Either it was done to the file, or it was not done to a link, or to what became of the file. */
static void done_or_stale(long long rc)
{
	assert_true(rc >= 0 || rc == -ESTALE || rc == -EINVAL || rc == -ELOOP || rc == -EOPNOTSUPP);
}

static void test_a_link_while_it_is_read(void **state)
{
	FIXTURE;
	struct outside out = outside_new();
	static const char *const paths[] = { "f", "d/f" };

	assert_int_equal(mkdir(ws_real(f, "d"), 0755), 0);
	for (int i = 0; i < 2; i++) {
		struct lws_file *file = NULL;
		char bytes[16] = "";
		int rc;

		ws_put(f, paths[i], "mine");
		watch_closely(f, &out, paths[i]);
		rc = lws_open(f->ws, &f->call, paths[i], O_RDONLY, 0, &file, &f->attr, &f->err);
		look_away(f, paths[i]);
		done_or_stale(rc);
		if (rc)
			file = ws_must_open(f, paths[i], O_RDWR, 0);
		watch_closely(f, &out, paths[i]);
		done_or_stale(lws_read(file, &f->call, 0, bytes, sizeof(bytes), &f->err));
		look_away(f, paths[i]);
		assert_true(!bytes[0] || !strcmp(bytes, "mine"));
		lws_close(file, &f->call, NULL);
	}
	outside_free(&out);
}

static void test_a_link_while_it_is_written(void **state)
{
	FIXTURE;
	struct outside out = outside_new();
	char *large = malloc(100001);

	memset(large, 'x', 100000);
	large[100000] = '\0';
	for (int i = 0; i < 4; i++) {
		const char *text = i & 1 ? large : "new";
		struct lws_file *file;

		ws_put(f, "f", "mine");
		file = ws_must_open(f, "f", i & 2 ? O_RDWR | O_APPEND : O_RDWR, 0);
		ws_must_write(f, file, 4, text);
		watch_closely(f, &out, "f");
		done_or_stale(lws_flush(file, &f->call, &f->err));
		look_away(f, "f");
		ws_must_close(f, file);
	}
	free(large);
	outside_free(&out);
}

static void test_a_link_while_it_is_changed(void **state)
{
	FIXTURE;
	struct outside out = outside_new();
	struct ws_attr attr = { .mode = 0777, .size = 3 };
	struct lws_file *file;
	int rc;

	ws_put(f, "f", "mine");
	file = ws_must_open(f, "f", O_RDWR, 0);
	for (int i = 0; i < 4; i++) {
		watch_closely(f, &out, "f");
		done_or_stale(lws_setattr(f->ws, &f->call, "f", i & 1 ? file : NULL,
					  i & 2 ? WS_SET_MODE : WS_SET_SIZE, &attr, &f->attr,
					  &f->err));
		look_away(f, "f");
	}
	ws_must_close(f, file);
	watch_closely(f, &out, "f");
	rc = lws_open(f->ws, &f->call, "f", O_RDWR | O_TRUNC, 0, &file, &f->attr, &f->err);
	look_away(f, "f");
	done_or_stale(rc);
	if (!rc)
		ws_must_close(f, file);
	outside_free(&out);
}

static const struct CMUnitTest tests[] = {
	ws_test(test_a_directory_that_is_a_link_by_now), ws_test(test_a_directory_that_is_none),
	ws_test(test_a_link_while_it_is_read),           ws_test(test_a_link_while_it_is_written),
	ws_test(test_a_link_while_it_is_changed),
};

WS_MAIN
