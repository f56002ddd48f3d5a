/*
 * test_agent_session_list.c - listings: what find(1) says, whatever the pieces they are asked for
 * in.
 */
#include "tests/unit/agent_client.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "protocol/session/pack.h"

struct place {
	struct agent_world world;
	struct agent_client client;
};

static int setup(void **state)
{
	static struct place place;

	agent_world_open(&place.world);
	client_open(&place.client, &place.world);
	*state = &place;
	return 0;
}

static int teardown(void **state)
{
	struct place *place = *state;

	client_close(&place->client);
	agent_world_close(&place->world);
	return 0;
}

/* Adds the paths of one listing to PATHS, a line each; returns `more`, and `last` in LAST. */
static bool list(struct place *place, const char *path, int depth, uint32_t most,
		 char last[static LIMIT_PATH], struct buf *paths)
{
	struct buf result = BUF_INIT(FRAME_BODY_MAX);
	struct ops_entry entry;
	struct unpack in;
	uint32_t count = 0;
	bool more;

	expect_call(&place->client, 0, &result, OP_LIST, "sbsw", path, depth, last, most);
	in = unpack_from(place->client.data.data, place->client.data.len);
	while (ops_unpack_entry(&in, &entry)) {
		struct stat st;
		char name[LIMIT_PATH];

		buf_add(paths, entry.path, entry.path_len);
		buf_adds(paths, "\n");
		count++;
		/* The attributes are those of the path. */
		snprintf(name, sizeof(name), "%s%s%.*s", path, path[0] ? "/" : "",
			 (int)entry.path_len, entry.path);
		assert_int_equal(fstatat(place->world.dir, name, &st, AT_SYMLINK_NOFOLLOW), 0);
		assert_int_equal(entry.attr.ino, st.st_ino);
		assert_int_equal(entry.attr.mode, st.st_mode);
		assert_int_equal(entry.attr.nlink, st.st_nlink);
		assert_int_equal(entry.attr.size, st.st_size);
		assert_int_equal(entry.attr.mtime.tv_nsec, st.st_mtim.tv_nsec);
		if (S_ISLNK(st.st_mode))
			assert_int_equal(entry.target_len, st.st_size);
	}
	assert_false(in.failed);
	assert_true(count <= most);
	in = unpack_from(result.data, result.len);
	more = unpack_u8(&in);
	unpack_text(&in, last, LIMIT_PATH);
	assert_int_equal(unpack_done(&in, "list", NULL), 0);
	buf_free(&result);
	return more;
}

static char *list_all(struct place *place, const char *path, int depth, uint32_t most)
{
	struct buf paths = BUF_INIT(64 << 20);
	char last[LIMIT_PATH] = "";

	while (list(place, path, depth, most, last, &paths))
		assert_int_not_equal(last[0], 0);
	if (!paths.data)
		buf_add(&paths, "", 0);
	return buf_steal(&paths);
}

static void make_tree(struct place *place)
{
	agent_world_run(
		&place->world,
		"mkdir -p a/b/c a.d a-d z/empty 'with space'; touch a/b/c/1 a/b/2 a.d/3 a-d/4 z/5; "
		"ln -s /etc/passwd a/link; ln -s a loop; mkfifo z/fifo; touch \"$(printf "
		"'n\\377')\" "
		"'with space/x y'; chmod 700 a/b; truncate -s 12345 z/sparse; ln z/5 z/same");
}

static const char tree[] =
	"a\na/b\na/b/2\na/b/c\na/b/c/1\na/link\na-d\na-d/4\na.d\na.d/3\nloop\nn\377\n"
	"with space\nwith space/x y\nz\nz/5\nz/empty\nz/fifo\nz/same\nz/sparse\n";

static void test_subtree(void **state)
{
	char *paths;

	make_tree(*state);
	/* Whole, and in pieces of every size: a place to go on is anywhere. */
	for (uint32_t most = 1; most < 25; most++) {
		paths = list_all(*state, "", 255, most);
		assert_string_equal(paths, tree);
		free(paths);
	}
	paths = list_all(*state, "a", 255, 1000);
	assert_string_equal(paths, "b\nb/2\nb/c\nb/c/1\nlink\n");
	free(paths);
}

static void test_depth(void **state)
{
	struct place *place = *state;
	char *paths;

	make_tree(place);
	for (uint32_t most = 1; most < 10; most++) {
		paths = list_all(place, "", 1, most);
		assert_string_equal(paths, "a\na-d\na.d\nloop\nn\377\nwith space\nz\n");
		free(paths);
		paths = list_all(place, "a", 2, most);
		assert_string_equal(paths, "b\nb/2\nb/c\nlink\n");
		free(paths);
	}
	paths = list_all(place, "z/empty", 255, 5);
	assert_string_equal(paths, "");
	free(paths);
	expect_call(&place->client, EINVAL, NULL, OP_LIST, "sbsw", "", 0, "", 1u);
	expect_call(&place->client, EINVAL, NULL, OP_LIST, "sbsw", "", 1, "", 0u);
	expect_call(&place->client, ENOENT, NULL, OP_LIST, "sbsw", "none", 1, "", 1u);
	expect_call(&place->client, ENOTDIR, NULL, OP_LIST, "sbsw", "z/5", 1, "", 1u);
	expect_call(&place->client, ENOTDIR, NULL, OP_LIST, "sbsw", "loop", 1, "", 1u);
	expect_call(&place->client, EINVAL, NULL, OP_LIST, "sbsw", "", 1, "../x", 1u);
}

/* Goes on behind what has gone meanwhile, or has become something else. */
static void test_going_on(void **state)
{
	struct place *place = *state;
	struct buf paths = BUF_INIT(1 << 20);
	char last[LIMIT_PATH];

	make_tree(place);
	strcpy(last, "a/b/2x/y");
	assert_false(list(place, "", 255, 1000, last, &paths));
	assert_string_equal(paths.data, strstr(tree, "a/b/c\n"));
	buf_free(&paths);
	strcpy(last, "a/b/c/1/2/3");
	list(place, "", 255, 1000, last, &paths);
	assert_string_equal(paths.data, strstr(tree, "a/link\n"));
	buf_free(&paths);
	strcpy(last, "loop/b");
	list(place, "", 255, 1000, last, &paths);
	assert_string_equal(paths.data, strstr(tree, "n\377\n"));
	buf_free(&paths);
	/* A name below that is like one above. */
	strcpy(last, "a/zz/a-d");
	list(place, "", 255, 1000, last, &paths);
	assert_string_equal(paths.data, strstr(tree, "a-d\n"));
	buf_free(&paths);
	strcpy(last, "zz");
	assert_false(list(place, "", 255, 1000, last, &paths));
	assert_null(paths.data);
}

/* Deeper than directories are kept open, and with more in them than a frame holds. */
static void test_deep_and_wide(void **state)
{
	struct place *place = *state;
	char *paths, *found;
	int lines = 0;

	agent_world_run(&place->world,
			"p=.; for i in $(seq 60); do p=$p/d$i; mkdir $p; touch $p/a $p/z; done; "
			"mkdir wide; cd wide; seq 1200 | xargs touch");
	paths = list_all(place, "", 255, 1u << 20);
	for (found = paths; (found = strchr(found, '\n')) != NULL; found++)
		lines++;
	assert_int_equal(lines, 60 * 3 + 1 + 1200);
	/* On the way back up each directory's last file comes. */
	found = strstr(paths, "d1/d2/z\n");
	assert_non_null(found);
	assert_memory_equal(found + 8, "d1/z\n", 5);
	found = list_all(place, "", 255, 999);
	assert_string_equal(found, paths);
	free(found);
	free(paths);
}

/* What the file PATH beside the workspace holds. */
static char *read_beside(struct place *place, const char *path)
{
	struct buf text = BUF_INIT(64 << 20);
	char name[LIMIT_PATH], bytes[4096];
	size_t n;
	FILE *file;

	snprintf(name, sizeof(name), "%s/%s", place->world.top, path);
	file = fopen(name, "re");
	assert_non_null(file);
	while ((n = fread(bytes, 1, sizeof(bytes), file)) > 0)
		buf_add(&text, bytes, n);
	fclose(file);
	return buf_steal(&text);
}

/*
 * Directories that are worth a second thread, in one another and side by side with files; names
 * that are the beginnings of others, or differ late.
 */
static void test_large_ones_within_large_ones(void **state)
{
	struct place *place = *state;
	char *paths, *expected;

	agent_world_run(
		&place->world,
		"fill() { seq 0 7 $1 | sed \"s/^/$2/\" | xargs touch; }; "
		"for d in a the-directory-1 the-directory-10 the-directory-2 z; do mkdir $d; cd "
		"$d; "
		"fill 1400 x; fill 1000 a-name-that-differs-late-; ln -s x y; "
		"for e in b x7 x701 zz; do mkdir -p $e.d/small; cd $e.d; fill 900 the-directory; "
		"touch small/1 small/2; mkdir c; cd c; fill 800 ''; cd ../..; done; cd ..; done; "
		"fill 2000 the-; find . -mindepth 1 -printf '%P\\n' | tr / '\\001' | LC_ALL=C sort "
		"| "
		"tr '\\001' / >../expected");
	expected = read_beside(place, "expected");
	for (uint32_t most = 1u << 20; most > 100; most /= 19) {
		paths = list_all(place, "", 255, most);
		assert_string_equal(paths, expected);
		free(paths);
	}
	free(expected);
}

static void test_cancel_and_deadline(void **state)
{
	struct place *place = *state;
	struct agent_client *client = &place->client;
	struct got *got = malloc(sizeof(*got));
	struct buf args = args_of("sbsw", "", 255, "", 1u << 20);
	size_t sent = 0;
	uint32_t id;

	/* More than there is credit for without any being given. */
	agent_world_run(&place->world, "mkdir d; cd d; seq 3000 | xargs touch");
	for (int round = 0; round < 2; round++) {
		sent = 0;
		id = client_begin(client, OP_LIST, &args, round ? 100 : 0);
		while (sent + (64u << 10) <= OPS_WINDOW) {
			client_get(client, got);
			assert_int_equal(got->frame.id, id);
			assert_int_equal(got->frame.kind, FRAME_DATA);
			sent += got->frame.size;
		}
		assert_true(sent <= OPS_WINDOW);
		/* Meanwhile others are served. */
		expect_call(client, 0, NULL, OP_STAT, "s", "d");
		if (!round)
			client_frame(client, FRAME_CANCEL, id, 0, 0, NULL, 0);
		client_get(client, got);
		assert_int_equal(got->frame.id, id);
		assert_int_equal(got->frame.kind, FRAME_DONE);
		assert_int_equal(got->frame.code, round ? ETIMEDOUT : ECANCELED);
	}
	buf_free(&args);
	free(got);
}

int main(void)
{
#define test(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
	const struct CMUnitTest tests[] = {
		test(test_subtree),
		test(test_depth),
		test(test_going_on),
		test(test_deep_and_wide),
		test(test_large_ones_within_large_ones),
		test(test_cancel_and_deadline),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
