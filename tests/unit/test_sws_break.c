/*
 * test_sws_break.c - sessions that break: at every call of every operation, in front of it, in its
 * middle, behind it, and in the middle of its answer.  Nothing is lost and nothing is done twice;
 * what cannot be known is told, once.
 */
#include "sws_world.h"

#define WORLD                                                                                      \
	struct world *w = *state;                                                                  \
	const struct call *call = &w->call;                                                        \
	struct error *err = &w->err

/*
 * Cuts at one call after the other, each STEP-th: runs BODY until there is no such call any more.
 */
static void at_calls(struct world *w, unsigned step, void (*body)(struct world *w, enum cut cut))
{
	for (enum cut cut = CUT_BEFORE; cut < CUT_KINDS; cut++) {
		unsigned at = 1 - step;

		do {
			w->call = call_within(60, NULL);
			world_cut(w, cut, at += step);
			body(w, cut);
			assert_true(at < 1000);
		} while (world_was_cut(w));
		assert_true(at > 1);
	}
}

static void remove_all(struct world *w)
{
	char command[200];

	snprintf(command, sizeof(command), "rm -rf '%s'/*", w->dir);
	assert_int_equal(system(command), 0);
}

/* Placed writes, through two handles, over one another, and read back. */
static void body_writes(struct world *w, enum cut cut)
{
	struct sws_file *file = world_open(w, "f", O_RDWR | O_CREAT | O_TRUNC, 0644);
	struct sws_file *other = world_open(w, "f", O_RDWR, 0);

	(void)cut;
	world_write(w, file, 0, "aaaaaaaaaa");
	world_write(w, other, 2, "bbbbb");
	world_write(w, file, 4, "c");
	ok(w, sws_fstat(other, &w->call, &w->attr, &w->err));
	assert_int_equal(w->attr.size, 10);
	world_write(w, other, 9, "de");
	world_reads(w, file, 0, "aabbcbbaade");
	world_write(w, file, 0, "f");
	ok(w, sws_stat(w->ws, &w->call, "f", &w->attr, &w->err));
	assert_int_equal(w->attr.size, 11);
	ok(w, sws_fsync(other, &w->call, false, &w->err));
	world_has(w, "f", "fabbcbbaade");
	world_close(w, other);
	world_close(w, file);
	world_has(w, "f", "fabbcbbaade");
}

static void test_writes(void **state)
{
	at_calls(*state, 1, body_writes);
}

/* Attributes of a path and of an open file, in their place among the writes. */
static void body_attributes(struct world *w, enum cut cut)
{
	struct sws_file *file = world_open(w, "f", O_RDWR | O_CREAT | O_TRUNC, 0644);
	struct ws_attr in = { .mode = 0600, .size = 4, .mtime = { 1000, 7 } };

	(void)cut;
	world_write(w, file, 0, "aaaaaaaaaa");
	ok(w, sws_setattr(w->ws, &w->call, "f", file, WS_SET_SIZE, &in, &w->attr, &w->err));
	assert_int_equal(w->attr.size, 4);
	world_write(w, file, 6, "b");
	ok(w, sws_setattr(w->ws, &w->call, "f", NULL, WS_SET_MODE, &in, &w->attr, &w->err));
	assert_int_equal(w->attr.mode, S_IFREG | 0600);
	assert_int_equal(w->attr.size, 7);
	ok(w, sws_setattr(w->ws, &w->call, "f", file, WS_SET_MTIME, &in, &w->attr, &w->err));
	ok(w, sws_fsync(file, &w->call, true, &w->err));
	ok(w, sws_fstat(file, &w->call, &w->attr, &w->err));
	assert_true(w->attr.mtime.tv_sec == 1000 && w->attr.mtime.tv_nsec == 7);
	world_close(w, file);
}

static void test_attributes(void **state)
{
	at_calls(*state, 1, body_attributes);
}

/* Larger than one call, and than a file's window. */
static void body_large(struct world *w, enum cut cut)
{
	const size_t len = (5u << 20) + 3;
	struct sws_file *file = world_open(w, "f", O_RDWR | O_CREAT | O_TRUNC, 0644);
	char *bytes = malloc(len), *got = malloc(len);

	for (size_t i = 0; i < len; i++)
		bytes[i] = (char)(i * 31 + i / 4099 + cut);
	ok(w, sws_write(file, &w->call, 0, bytes, len, &w->err));
	assert_int_equal(sws_read(file, &w->call, 0, got, len, &w->err), len);
	assert_memory_equal(bytes, got, len);
	world_close(w, file);
	free(bytes);
	free(got);
}

static void test_large(void **state)
{
	at_calls(*state, 7, body_large);
}

/* The appends that are there: a run of 0, 1, 2, ..., some of which may be missing, none twice. */
static unsigned count_appends(struct world *w, const char *path)
{
	FILE *file = fopen(world_real(w, path), "r");
	unsigned count = 0;
	int number, last = -1;

	assert_non_null(file);
	while (fscanf(file, "%d\n", &number) == 1) {
		assert_true(number > last);
		last = number;
		count++;
	}
	assert_true(feof(file));
	fclose(file);
	return count;
}

static void body_appends(struct world *w, enum cut cut)
{
	enum { APPENDS = 6 };
	struct sws_file *file = world_open(w, "log", O_WRONLY | O_CREAT | O_TRUNC | O_APPEND, 0644);
	unsigned refused = 0, errors = 0, there;

	for (int i = 0; i < APPENDS; i++) {
		char line[20];
		int rc;

		snprintf(line, sizeof(line), "%d\n", i);
		rc = sws_write(file, &w->call, 0, line, strlen(line), &w->err);
		assert_true(!rc || rc == -EIO);
		refused += rc != 0;
	}
	errors = refused;
	errors += sws_flush(file, &w->call, &w->err) != 0;
	ok(w, sws_flush(file, &w->call, &w->err)); /* told once */
	ok(w, sws_close(file, &w->call, &w->err));
	assert_true(errors <= 1);
	there = count_appends(w, "log");
	if (!errors)
		assert_int_equal(there, APPENDS);
	else
		assert_true(there <= APPENDS - refused);
	(void)cut;
}

static void test_appends(void **state)
{
	at_calls(*state, 1, body_appends);
}

/* An append that the guest has carried out is not made again, and one that it never saw is. */
static void test_append_once(void **state)
{
	WORLD;
	struct sws_file *file = world_open(w, "log", O_WRONLY | O_CREAT | O_APPEND, 0644);

	world_cut_op(w, CUT_ANSWER, OP_WRITE);
	world_write(w, file, 0, "one\n");
	assert_int_equal(sws_flush(file, call, err), -EIO);
	assert_non_null(strstr(err->text, "not known"));
	ok(w, sws_flush(file, call, err));
	world_has(w, "log", "one\n");
	world_write(w, file, 0, "two\n");
	world_close(w, file);
	world_has(w, "log", "one\ntwo\n");
}

struct listed {
	unsigned count;
	char last[64];
};

static int each(void *arg, const char *name, const struct ws_attr *attr)
{
	struct listed *listed = arg;

	assert_int_equal(attr->size, 0);
	assert_true(strcmp(name, listed->last) > 0);
	snprintf(listed->last, sizeof(listed->last), "%s", name);
	listed->count++;
	return 0;
}

static void body_questions(struct world *w, enum cut cut)
{
	struct listed listed = { 0 };
	struct ws_statfs fs;
	char target[10];

	(void)cut;
	ok(w, sws_list(w->ws, &w->call, "many", each, &listed, &w->err));
	assert_int_equal(listed.count, 3000);
	ok(w, sws_stat(w->ws, &w->call, "many/7", &w->attr, &w->err));
	ok(w, sws_readlink(w->ws, &w->call, "l", target, sizeof(target), &w->err));
	ok(w, sws_statfs(w->ws, &w->call, &fs, &w->err));
}

static void test_questions(void **state)
{
	WORLD;

	(void)call;
	(void)err;
	assert_int_equal(mkdir(world_real(w, "many"), 0755), 0);
	assert_int_equal(symlink("x", world_real(w, "l")), 0);
	for (int i = 0; i < 3000; i++) {
		char name[20];

		snprintf(name, sizeof(name), "many/%d", i);
		world_put(w, name, "");
	}
	at_calls(w, 1, body_questions);
}

static bool is_there(struct world *w, const char *path)
{
	struct stat st;

	return lstat(world_real(w, path), &st) == 0;
}

/* Whether a change, which ended with RC, is not known to be done; asks in the next session then. */
static bool is_unknown(struct world *w, int rc)
{
	if (rc != -EIO) {
		ok(w, rc);
		return false;
	}
	assert_non_null(strstr(w->err.text, "not known"));
	ok(w, sws_stat(w->ws, &w->call, "", &w->attr, &w->err));
	return true;
}

/* Whoever hears that it is not known looks, and does it again if it was not done. */
#define CHANGE(action, there)                                                                      \
	do {                                                                                       \
		if (!is_unknown(w, action)) {                                                      \
			assert_true(there);                                                        \
		} else if (!(there)) {                                                             \
			ok(w, action);                                                             \
			assert_true(there);                                                        \
		} else {                                                                           \
			/* else it hit a call in front of it */                                    \
			assert_true(cut == CUT_ANSWER || cut == CUT_HALF_ANSWER);                  \
		}                                                                                  \
	} while (0)

/* Every change of names, with a file open below what changes. */
static void body_names(struct world *w, enum cut cut)
{
	const struct call *call = &w->call;
	struct error *err = &w->err;
	struct ws_attr *attr = &w->attr;
	struct sws_file *file = NULL;

	remove_all(w);
	CHANGE(sws_mkdir(w->ws, call, "d", 0755, attr, err), is_there(w, "d"));
	CHANGE(sws_open(w->ws, call, "d/f", O_RDWR | O_CREAT | O_EXCL, 0644, &file, attr, err),
	       is_there(w, "d/f"));
	if (!file)
		file = world_open(w, "d/f", O_RDWR, 0);
	world_write(w, file, 0, "one");
	CHANGE(sws_rename(w->ws, call, "d", "e", 0, err), is_there(w, "e/f"));
	world_write(w, file, 3, " two");
	CHANGE(sws_link(w->ws, call, "e/f", "g", attr, err), is_there(w, "g"));
	CHANGE(sws_symlink(w->ws, call, "g", "l", attr, err), is_there(w, "l"));
	CHANGE(sws_rename(w->ws, call, "l", "e", RENAME_EXCHANGE, err), is_there(w, "l/f"));
	world_reads(w, file, 0, "one two");
	CHANGE(sws_mknod(w->ws, call, "m", S_IFIFO | 0600, attr, err), is_there(w, "m"));
	CHANGE(sws_unlink(w->ws, call, "m", err), !is_there(w, "m"));
	CHANGE(sws_mkdir(w->ws, call, "n", 0700, attr, err), is_there(w, "n"));
	CHANGE(sws_rmdir(w->ws, call, "n", err), !is_there(w, "n"));
	world_close(w, file);
	world_has(w, "g", "one two");
}

static void test_names(void **state)
{
	at_calls(*state, 1, body_names);
}

/*
 * What the agent had not read of the last session does not happen behind what was done in this one.
 */
static void test_late(void **state)
{
	WORLD;
	struct sws_file *file = world_open(w, "f", O_RDWR | O_CREAT, 0644);

	world_cut_op(w, CUT_LATE, OP_WRITE);
	world_write(w, file, 0, "old");
	ok(w, sws_flush(file, call, err));
	world_write(w, file, 0, "new");
	ok(w, sws_flush(file, call, err));
	world_release(w);
	world_has(w, "f", "new");
	world_close(w, file);

	world_cut_op(w, CUT_LATE, OP_RENAME);
	assert_int_equal(sws_rename(w->ws, call, "f", "g", 0, err), -EIO);
	ok(w, sws_stat(w->ws, call, "f", &w->attr, err));
	world_release(w);
	ok(w, sws_stat(w->ws, call, "f", &w->attr, err));
}

struct racer {
	struct world *w;
	char name[8];
	unsigned seed;
	pthread_t thread;
};

/* Writes numbers to places, and knows what must be there. */
static void *race(void *arg)
{
	struct racer *racer = arg;
	struct world *w = racer->w;
	struct call call = call_within(60, NULL);
	struct error err = { 0 };
	struct ws_attr attr;
	struct sws_file *file;
	char expected[64] = { 0 }, got[64];
	int rc = sws_open(w->ws, &call, racer->name, O_RDWR | O_CREAT, 0644, &file, &attr, &err);

	for (int i = 0; !rc && i < 2000; i++) {
		int at = rand_r(&racer->seed) % 64;
		char byte = (char)('a' + i % 26);

		expected[at] = byte;
		rc = sws_write(file, &call, at, &byte, 1, &err);
		if (!rc && i % 16 == 0)
			rc = sws_stat(w->ws, &call, racer->name, &attr, &err);
		if (!rc && i % 8 == 0) {
			ssize_t len = sws_read(file, &call, 0, got, 64, &err);

			rc = len < 0 ? (int)len : memcmp(got, expected, (size_t)len);
		}
	}
	if (!rc)
		rc = sws_fsync(file, &call, false, &err);
	if (!rc)
		rc = sws_close(file, &call, &err);
	if (rc)
		print_error("%s: %d %s\n", racer->name, rc, err.text);
	return (void *)(intptr_t)rc;
}

/* Several writers while sessions keep breaking, wherever they are. */
static void test_race(void **state)
{
	WORLD;
	enum { RACERS = 4 };
	struct racer racers[RACERS];
	void *rc;

	(void)call;
	(void)err;
	for (int i = 0; i < RACERS; i++) {
		racers[i] = (struct racer){ .w = w, .seed = (unsigned)i };
		snprintf(racers[i].name, sizeof(racers[i].name), "r%d", i / 2 * 2 + i);
		assert_int_equal(pthread_create(&racers[i].thread, NULL, race, &racers[i]), 0);
	}
	for (int i = 0; i < 12; i++) {
		world_cut(w, (enum cut)(CUT_BEFORE + i % (CUT_KINDS - 1)), 500);
		for (int j = 0; j < 100 && !world_is_cut(w); j++)
			call_sleep(&w->call, 0.001);
	}
	world_cut(w, CUT_NONE, 0);
	for (int i = 0; i < RACERS; i++) {
		pthread_join(racers[i].thread, &rc);
		assert_null(rc);
	}
}

static uint64_t retries_of(struct world *w, enum traffic_kind kind)
{
	return traffic_get(&w->traffic, kind).retries;
}

/* What is asked again over the next session, and only that, is counted so. */
static void test_retries_are_counted(void **state)
{
	WORLD;
	struct listed listed = { 0 };
	struct sws_file *file = world_open(w, "f", O_RDWR | O_CREAT, 0644);

	world_write(w, file, 0, "one");
	ok(w, sws_flush(file, call, err));
	world_count(w);
	assert_int_equal(traffic_total(&w->traffic).retries, 0);
	world_cut_op(w, CUT_ANSWER, OP_STAT);
	ok(w, sws_stat(w->ws, call, "f", &w->attr, err));
	assert_int_equal(retries_of(w, TRAFFIC_STAT), 1);
	assert_int_equal(traffic_get(&w->traffic, TRAFFIC_STAT).requests, 2);
	world_counted(w, OP_STAT, 2);
	world_cut_op(w, CUT_BEFORE, OP_LIST);
	assert_int_equal(mkdir(world_real(w, "d"), 0755), 0);
	ok(w, sws_list(w->ws, call, "d", each, &listed, err));
	assert_int_equal(retries_of(w, TRAFFIC_LIST), 1);
	world_cut_op(w, CUT_HALF_ANSWER, OP_READ);
	world_reads(w, file, 0, "one");
	assert_int_equal(retries_of(w, TRAFFIC_READ), 1);

	world_cut_op(w, CUT_ANSWER, OP_WRITE);
	world_write(w, file, 3, " two");
	ok(w, sws_flush(file, call, err));
	assert_int_equal(retries_of(w, TRAFFIC_WRITE), 1);
	world_counted(w, OP_WRITE, 2);

	/* what is not known to be done is not asked again */
	world_cut_op(w, CUT_ANSWER, OP_MKDIR);
	assert_int_equal(sws_mkdir(w->ws, call, "e", 0755, &w->attr, err), -EIO);
	assert_int_equal(retries_of(w, TRAFFIC_CHANGE), 0);
	assert_int_equal(traffic_total(&w->traffic).retries, 4);
	world_close(w, file);
	world_has(w, "f", "one two");
}

static const struct CMUnitTest tests[] = {
	world_test(test_attributes),  world_test(test_writes),
	world_test(test_large),       world_test(test_appends),
	world_test(test_append_once), world_test(test_questions),
	world_test(test_names),       world_test(test_late),
	world_test(test_race),        world_test(test_retries_are_counted),
};

int main(void)
{
	return cmocka_run_group_tests(tests, NULL, NULL);
}
