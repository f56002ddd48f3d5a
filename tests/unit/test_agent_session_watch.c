/*
 * test_agent_session_watch.c - watching: after a barrier everything that happened before has been
 * told, whoever did it and however the directories moved meanwhile.
 */
#include "tests/unit/agent_client.h"

#include <dirent.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "protocol/session/pack.h"

struct place {
	struct agent_world world;
	struct agent_client client;
	struct agent_client other; /* of some tests */
	uint32_t watch;
	struct buf told; /* "kind path" lines since the last barrier */
	uint64_t last;   /* sequence */
};

static void begin_watch(struct place *place, uint64_t since)
{
	struct buf args = args_of("q", since);

	place->watch = client_begin(&place->client, OP_WATCH, &args, 0);
	buf_free(&args);
}

static int setup(void **state)
{
	static struct place place;

	place = (struct place){ .told = BUF_INIT(64 << 20) };
	agent_world_open(&place.world);
	client_open(&place.client, &place.world);
	*state = &place;
	return 0;
}

static int teardown(void **state)
{
	struct place *place = *state;

	client_close(&place->client);
	if (place->other.agent)
		client_close(&place->other);
	agent_world_close(&place->world);
	buf_free(&place->told);
	return 0;
}

static void keep_events(struct place *place, const struct got *got)
{
	struct unpack in = unpack_from(got->body, got->frame.size);
	struct ops_event event;

	while (ops_unpack_event(&in, &event)) {
		assert_true(event.sequence >= place->last);
		place->last = event.sequence;
		buf_addf(&place->told, "%d %.*s\n", event.kind, (int)event.path_len, event.path);
	}
	assert_false(in.failed);
}

/* Reads to the answer of ID, keeping what is told meanwhile. */
static void finish(struct place *place, uint32_t id, struct got *got)
{
	for (;;) {
		client_get(&place->client, got);
		if (got->frame.id == id)
			break;
		assert_int_equal(got->frame.id, place->watch);
		assert_int_equal(got->frame.kind, FRAME_DATA);
		keep_events(place, got);
		client_credit(&place->client, place->watch, got->frame.size);
	}
	assert_int_equal(got->frame.kind, FRAME_DONE);
	assert_int_equal(got->frame.code, 0);
}

/* Everything that is told before the barrier's answer; its sequence. */
static uint64_t barrier(struct place *place)
{
	struct got *got = malloc(sizeof(*got));
	struct unpack in;
	uint64_t sequence;

	finish(place, client_begin(&place->client, OP_BARRIER, NULL, 0), got);
	in = unpack_from(got->body, got->frame.size);
	sequence = unpack_u64(&in);
	assert_int_equal(unpack_done(&in, "barrier", NULL), 0);
	assert_true(place->last <= sequence);
	free(got);
	return sequence;
}

static bool was_told(const struct place *place, const char *line)
{
	char want[LIMIT_PATH + 8];

	snprintf(want, sizeof(want), "%s\n", line);
	for (const char *at = buf_str(&place->told); (at = strstr(at, want)) != NULL; at++) {
		if (at == place->told.data || at[-1] == '\n')
			return true;
	}
	return false;
}

#define assert_told(place, line)                                                                   \
	do {                                                                                       \
		if (!was_told((place), (line)))                                                    \
			fail_msg("not told '%s' but:\n%s", (line), buf_str(&(place)->told));       \
	} while (0)

static void after(struct place *place, const char *command)
{
	buf_free(&place->told);
	agent_world_run(&place->world, command);
	barrier(place);
}

static void test_changes(void **state)
{
	struct place *place = *state;
	struct got *got = malloc(sizeof(*got));
	struct buf args = args_of("sw", "mine", 0755u);

	agent_world_run(&place->world, "mkdir -p a/b; echo >a/b/f; echo >top; ln -s x l");
	begin_watch(place, 0);
	barrier(place);
	assert_string_equal(buf_str(&place->told), "");
	after(place, "echo more >>a/b/f");
	assert_told(place, "1 a/b/f");
	assert_false(was_told(place, "2 a/b"));
	after(place, "echo >a/b/new");
	assert_told(place, "1 a/b/new");
	assert_told(place, "2 a/b");
	after(place, "chmod 600 top");
	assert_string_equal(place->told.data, "1 top\n");
	after(place, "chmod 700 a");
	assert_told(place, "1 a");
	after(place, "touch -h -d @5 l");
	assert_told(place, "1 l");
	after(place, "rm a/b/f");
	assert_told(place, "2 a/b");
	assert_told(place, "1 a/b/f");
	after(place, "mv top a/top");
	assert_told(place, "2 ");
	assert_told(place, "2 a");
	assert_told(place, "1 top");
	assert_told(place, "1 a/top");
	/* Also through the session itself. */
	buf_free(&place->told);
	finish(place, client_begin(&place->client, OP_MKDIR, &args, 0), got);
	barrier(place);
	assert_told(place, "1 mine");
	buf_free(&place->told);
	barrier(place);
	assert_string_equal(buf_str(&place->told), "");
	buf_free(&args);
	free(got);
}

/* Many barriers at once, while something happens between them: each is answered, in order. */
static void test_many_barriers(void **state)
{
	struct place *place = *state;
	struct got *got = malloc(sizeof(*got));
	struct buf args = args_of("sw", "d", 0755u);
	uint32_t first, last;
	int answered = 0;

	begin_watch(place, 0);
	first = last = client_begin(&place->client, OP_BARRIER, NULL, 0);
	for (int i = 0; i < 50; i++) {
		last = client_begin(&place->client, i % 10 ? OP_BARRIER : OP_MKDIR,
				    i % 10 ? NULL : &args, 0);
	}
	while (answered < 51) {
		client_get(&place->client, got);
		if (got->frame.id == place->watch)
			continue;
		assert_in_range(got->frame.id, first, last);
		assert_int_equal(got->frame.kind, FRAME_DONE);
		answered++;
	}
	buf_free(&args);
	free(got);
}

/* Directories that come, go and move, with what is in them. */
static void test_directories(void **state)
{
	struct place *place = *state;

	agent_world_run(&place->world, "mkdir -p a/b/c ../away");
	begin_watch(place, 0);
	barrier(place);
	after(place, "mkdir -p n/m/o; echo >n/m/o/f; echo >n/g");
	assert_told(place, "2 n/m/o");
	assert_told(place, "1 n/m/o/f");
	assert_told(place, "1 n/g");
	after(place, "echo >n/m/o/late");
	assert_told(place, "1 n/m/o/late");
	/* Moved within: its new name counts, however deep. */
	after(place, "mv n a/b/n2");
	assert_told(place, "2 a/b");
	after(place, "echo >a/b/n2/m/o/moved");
	assert_told(place, "1 a/b/n2/m/o/moved");
	after(place, "mv a x && mv x/b/n2 y && echo >y/m/o/twice; echo >x/b/c/too");
	assert_told(place, "1 y/m/o/twice");
	assert_told(place, "1 x/b/c/too");
	/* Two that change places. */
	after(place, "mv x t && mv y x && mv t y && echo >x/m/o/swapped; echo >y/b/c/swapped");
	assert_told(place, "1 x/m/o/swapped");
	assert_told(place, "1 y/b/c/swapped");
	/* Moved out: what happens there is not ours, not even under its old name. */
	after(place, "mv y ../away/y");
	assert_told(place, "1 y");
	after(place, "echo >../away/y/b/c/secret; echo >visible");
	assert_told(place, "1 visible");
	assert_null(strstr(place->told.data, "secret"));
	/* And in again. */
	after(place, "mv ../away/y back");
	assert_told(place, "1 back");
	after(place, "echo >back/b/c/again");
	assert_told(place, "1 back/b/c/again");
	after(place, "rm -r back x; mkdir back; echo >back/f");
	assert_told(place, "1 back/f");
}

/* Made and filled at once: each file is told, by its own event or because it was found. */
static void test_nothing_is_missed(void **state)
{
	struct place *place = *state;

	begin_watch(place, 0);
	barrier(place);
	agent_world_run(&place->world,
			"for i in 1 2 3 4 5 6 7 8 9; do for j in 1 2 3 4 5 6 7 8 9; do "
			"mkdir -p d$i/e$j/f; echo >d$i/e$j/f/g; mv d$i/e$j d$i/h$j; echo "
			">d$i/h$j/f/k; done; done");
	barrier(place);
	if (was_told(place, "3 "))
		return; /* too much for the kernel's queue, and it was said */
	for (int i = 1; i < 10; i++) {
		for (int j = 1; j < 10; j++) {
			char line[64];

			snprintf(line, sizeof(line), "1 d%d/h%d/f/k", i, j);
			assert_told(place, line);
		}
	}
}

/* A subtree moved in with more in it than is worth telling. */
static void test_large_subtree_moved_in(void **state)
{
	struct place *place = *state;

	agent_world_run(&place->world, "mkdir -p ../big/d; cd ../big/d; seq 5000 | xargs touch");
	begin_watch(place, 0);
	barrier(place);
	after(place, "mv ../big .");
	assert_told(place, "3 ");
	after(place, "echo >big/d/17");
	assert_told(place, "1 big/d/17");
}

/* One that gives no credit is told to look again; it keeps nothing from others. */
static void test_slow_watcher(void **state)
{
	struct place *place = *state;
	struct agent_client *slow = &place->other;
	struct got *got = malloc(sizeof(*got));
	struct buf args = args_of("q", (uint64_t)0);
	size_t received = 0;
	uint32_t id;

	client_open(slow, &place->world);
	id = client_begin(slow, OP_WATCH, &args, 0);
	client_finish(slow, client_begin(slow, OP_BARRIER, NULL, 0), got);
	begin_watch(place, 0);
	barrier(place);
	/* Names of 200 bytes, more of them than credit and ring hold together. */
	agent_world_run(&place->world, "n=$(printf '%0190d' 0); mkdir d; cd d");
	for (int round = 0; round < 12; round++) {
		char command[256];

		snprintf(command, sizeof(command),
			 "n=$(printf '%%0190d' 0); cd d; seq %d %d | sed s/^/$n/ | xargs touch",
			 round * 1000, round * 1000 + 999);
		buf_free(&place->told);
		agent_world_run(&place->world, command);
		barrier(place);
		assert_false(was_told(place, "3 "));
		assert_told(place, "2 d");
	}
	/* What it had credit for, and then one word. */
	client_credit(slow, id, OPS_WINDOW);
	for (bool rescan = false; !rescan;) {
		struct ops_event event;
		struct unpack in;

		client_get(slow, got);
		assert_int_equal(got->frame.id, id);
		assert_int_equal(got->frame.kind, FRAME_DATA);
		received += got->frame.size;
		assert_true(received <= (size_t)2 * OPS_WINDOW);
		in = unpack_from(got->body, got->frame.size);
		while (ops_unpack_event(&in, &event))
			rescan |= event.kind == EVENT_RESCAN;
	}
	buf_free(&args);
	free(got);
}

/* Inotify descriptors and threads of this process. */
static int count_entries(const char *path, const char *target)
{
	DIR *dir = opendir(path);
	struct dirent *entry;
	int found = 0;

	assert_non_null(dir);
	while ((entry = readdir(dir)) != NULL) {
		char name[512], link[256];
		ssize_t len;

		if (entry->d_name[0] == '.')
			continue;
		snprintf(name, sizeof(name), "%s/%s", path, entry->d_name);
		len = target ? readlink(name, link, sizeof(link) - 1) : -1;
		if (!target || (len > 0 && (size_t)len == strlen(target) &&
				!memcmp(link, target, (size_t)len)))
			found++;
	}
	closedir(dir);
	return found;
}

static void test_torn_down(void **state)
{
	struct place *place = *state;
	struct got *got = malloc(sizeof(*got));
	int threads = count_entries("/proc/self/task", NULL);

	begin_watch(place, 0);
	barrier(place);
	assert_int_equal(count_entries("/proc/self/fd", "anon_inode:inotify"), 1);
	client_frame(&place->client, FRAME_CANCEL, place->watch, 0, 0, NULL, 0);
	client_finish(&place->client, place->watch, got);
	assert_int_equal(got->frame.code, ECANCELED);
	/*
	 * Its thread ends soon: this waits for it, and the test's own limit is the end of the
	 * waiting.
	 */
	while (count_entries("/proc/self/task", NULL) != threads)
		usleep(1000);
	assert_int_equal(count_entries("/proc/self/fd", "anon_inode:inotify"), 0);
	/* Without one who watches a barrier has nothing to wait for. */
	barrier(place);
	free(got);
}

static void test_since(void **state)
{
	struct place *place = *state;
	struct agent_client *other = &place->other;
	struct got *got = malloc(sizeof(*got));
	struct buf args = args_of("q", (uint64_t)0);
	uint64_t sequence;

	/* Somebody else keeps the watch going. */
	client_open(other, &place->world);
	client_begin(other, OP_WATCH, &args, 0);
	client_finish(other, client_begin(other, OP_BARRIER, NULL, 0), got);
	begin_watch(place, 0);
	sequence = barrier(place);
	client_frame(&place->client, FRAME_CANCEL, place->watch, 0, 0, NULL, 0);
	client_finish(&place->client, place->watch, got);
	agent_world_run(&place->world, "echo >meanwhile");
	begin_watch(place, sequence);
	barrier(place);
	assert_told(place, "2 ");
	assert_told(place, "1 meanwhile");
	assert_false(was_told(place, "3 "));
	client_frame(&place->client, FRAME_CANCEL, place->watch, 0, 0, NULL, 0);
	client_finish(&place->client, place->watch, got);
	buf_free(&place->told);
	begin_watch(place, 1);
	barrier(place);
	assert_string_equal(buf_str(&place->told), "3 \n");
	client_frame(&place->client, FRAME_CANCEL, place->watch, 0, 0, NULL, 0);
	client_finish(&place->client, place->watch, got);
	buf_free(&place->told);
	begin_watch(place, UINT64_MAX);
	barrier(place);
	assert_string_equal(buf_str(&place->told), "3 \n");
	buf_free(&args);
	free(got);
}

/* The workspace itself goes: whoever watches is told to believe nothing, and that it is over. */
static void test_workspace_gone(void **state)
{
	struct place *place = *state;
	struct got *got = malloc(sizeof(*got));

	begin_watch(place, 0);
	barrier(place);
	agent_world_run(&place->world, "mv ../workspace ../elsewhere && mkdir ../workspace");
	client_get(&place->client, got);
	assert_int_equal(got->frame.kind, FRAME_DATA);
	keep_events(place, got);
	assert_told(place, "3 ");
	client_finish(&place->client, place->watch, got);
	assert_int_equal(got->frame.code, ESTALE);
	free(got);
}

int main(void)
{
#define test(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
	const struct CMUnitTest tests[] = {
		test(test_changes),
		test(test_many_barriers),
		test(test_directories),
		test(test_nothing_is_missed),
		test(test_large_subtree_moved_in),
		test(test_slow_watcher),
		test(test_torn_down),
		test(test_since),
		test(test_workspace_gone),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
