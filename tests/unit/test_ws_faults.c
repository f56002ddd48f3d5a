/*
 * test_ws_faults.c - what is written while the guest is away, full, interrupted or lying; and
 * many threads at once.
 */
#include "ws_fixture.h"

#include <dirent.h>
#include <pthread.h>

/* Every file that the guest writes is at most 4 KiB long (the shell counts in 512 bytes). */
#define FULL "trap '' XFSZ; ulimit -f 8"

static char *bytes_of(size_t len, char c)
{
	char *bytes = malloc(len + 1);

	assert_non_null(bytes);
	memset(bytes, c, len);
	bytes[len] = '\0';
	return bytes;
}

static int staged_files(struct fixture *f)
{
	DIR *dir = opendir(f->ws->stage);
	int count = -2;

	if (!dir)
		return 0;
	while (readdir(dir))
		count++;
	closedir(dir);
	return count;
}

/* The data stays, and a later flush brings it. */
static void test_away(void **state)
{
	FIXTURE;
	struct lws_file *file = ws_must_open(f, "f", O_RDWR | O_CREAT, 0644);

	ws_must_write(f, file, 0, "precious");
	f->guest->fault = FAKE_REFUSE;
	f->guest->faults = 2;
	assert_int_equal(lws_flush(file, &f->call, &f->err), -ENOTCONN);
	assert_int_equal(lws_sync(f->ws, &f->call, &f->err), -ENOTCONN);
	ws_has(f, "f", "");
	ws_reads(f, file, 0, "precious");
	ok(f, lws_flush(file, &f->call, &f->err));
	ws_has(f, "f", "precious");
	ok(f, lws_close(file, &f->call, &f->err));
}

/* Nobody flushed: the last close tries, and says so when it cannot. */
static void test_close_fails(void **state)
{
	FIXTURE;
	struct lws_file *file = ws_must_open(f, "f", O_RDWR | O_CREAT, 0644);

	ws_must_write(f, file, 0, "lost");
	f->guest->fault = FAKE_REFUSE;
	f->guest->faults = 1;
	assert_int_equal(lws_close(file, &f->call, &f->err), -ENOTCONN);
	assert_non_null(strstr(f->err.text, "gone"));

	file = ws_must_open(f, "f", O_RDWR, 0);
	ws_must_write(f, file, 0, "kept");
	ok(f, lws_close(file, &f->call, &f->err));
	ws_has(f, "f", "kept");
}

static void full(struct fixture *f, size_t size)
{
	struct lws_file *file = ws_must_open(f, "f", O_RDWR | O_CREAT, 0644);
	char *bytes = bytes_of(size, 'x');

	ws_must_write(f, file, 0, bytes);
	f->guest->profile = FULL;
	assert_int_equal(lws_flush(file, &f->call, &f->err), -EFBIG);
	assert_int_equal(lws_fsync(file, &f->call, false, &f->err), -EFBIG);
	assert_int_equal(staged_files(f), 0);
	f->guest->profile = NULL;
	ok(f, lws_flush(file, &f->call, &f->err));
	ws_has(f, "f", bytes);
	ok(f, lws_close(file, &f->call, &f->err));
	assert_int_equal(staged_files(f), 0);
	free(bytes);
}

static void test_full(void **state)
{
	FIXTURE;
	full(f, 10000);
}

static void test_full_upload(void **state)
{
	FIXTURE;
	full(f, 100000);
}

/* The staging directory's disk is full: told as that, also to who wants no sentence. */
static void test_full_staging(void **state)
{
	FIXTURE;
	struct lws_file *file = ws_must_open(f, "f", O_RDWR | O_CREAT, 0644);
	char *bytes = bytes_of(100000, 'x');

	ws_must_write(f, file, 0, bytes);
	ok(f, ws_stage_prepare(f->ws, &f->call, &f->err));
	f->guest->fault = FAKE_FULL;
	f->guest->faults = 1;
	assert_int_equal(lws_flush(file, &f->call, NULL), -ENOSPC);
	assert_int_equal(staged_files(f), 0);
	ws_must_close(f, file);
	ws_has(f, "f", bytes);
	free(bytes);
}

/* An append that does not fit is taken back, and made once when it does. */
static void append_full(struct fixture *f, size_t size)
{
	char *old = bytes_of(1000, 'o'), *new = bytes_of(size, 'n'), *both;
	struct lws_file *file;
	struct stat st;

	ws_put(f, "log", old);
	file = ws_must_open(f, "log", O_WRONLY | O_APPEND, 0);
	ws_must_write(f, file, 1000, new);
	f->guest->profile = FULL;
	assert_int_equal(lws_flush(file, &f->call, &f->err), -EFBIG);
	stat(ws_real(f, "log"), &st);
	assert_int_equal(st.st_size, 1000);
	f->guest->profile = NULL;
	ws_must_close(f, file);
	assert_true(asprintf(&both, "%s%s", old, new) > 0);
	ws_has(f, "log", both);
	free(old);
	free(new);
	free(both);
}

static void test_append_full(void **state)
{
	FIXTURE;
	append_full(f, 10000);
}

static void test_append_full_upload(void **state)
{
	FIXTURE;
	append_full(f, 100000);
}

#define NO_DECODER                                                                                 \
	"base64() { [ \"$1\" != -d ] || { echo 'base64: killed' >&2; return 1; }; command base64 " \
	"\"$@\"; }"

/* What travels inside a script did not come out of it: that is no empty write. */
static void test_decoder_fails(void **state)
{
	FIXTURE;
	struct lws_file *placed, *appended;

	ws_put(f, "f", "old");
	ws_put(f, "log", "old");
	placed = ws_must_open(f, "f", O_RDWR, 0);
	appended = ws_must_open(f, "log", O_WRONLY | O_APPEND, 0);
	ws_must_write(f, placed, 1, "new");
	ws_must_write(f, appended, 0, "new");
	f->guest->profile = NO_DECODER;
	assert_int_equal(lws_flush(placed, &f->call, &f->err), -EIO);
	assert_int_equal(lws_flush(appended, &f->call, &f->err), -EIO);
	ws_has(f, "f", "old");
	ws_has(f, "log", "old");
	f->guest->profile = NULL;
	ws_must_close(f, placed);
	ws_must_close(f, appended);
	ws_has(f, "f", "onew");
	ws_has(f, "log", "oldnew");
}

/* The guest did it, nobody heard: it is not done twice. */
static void append_lost(struct fixture *f, size_t size, int faults)
{
	char *new = bytes_of(size, 'n'), *both;
	struct lws_file *file;
	struct ws_attr attr;

	ws_put(f, "log", "old");
	file = ws_must_open(f, "log", O_WRONLY | O_APPEND, 0);
	ws_must_write(f, file, 0, new);
	f->guest->fault = FAKE_INTERRUPT;
	f->guest->faults = faults;
	assert_int_equal(lws_flush(file, &f->call, &f->err), -EINTR);
	f->guest->faults = 0;
	ok(f, lws_stat(f->ws, &f->call, "log", &attr, &f->err));
	ws_must_write(f, file, 0, "more");
	ws_must_close(f, file);
	assert_true(asprintf(&both, "old%smore", new) > 0);
	ws_has(f, "log", both);
	free(new);
	free(both);
}

static void test_append_lost(void **state)
{
	FIXTURE;
	append_lost(f, 100, 1);
}

static void test_append_lost_upload(void **state)
{
	FIXTURE;
	ok(f, ws_stage_prepare(f->ws, &f->call, &f->err));
	append_lost(f, 100000, 1); /* the upload */
	assert_int_equal(staged_files(f), 0);
	f->ws->serial += 100;
	append_lost(f, 100000, 2);
}

/* One file cannot be written back, the others are. */
static void test_sync(void **state)
{
	FIXTURE;
	struct lws_file *files[3];
	char name[2] = "0";

	for (int i = 0; i < 3; i++) {
		name[0] = (char)('0' + i);
		files[i] = ws_must_open(f, name, O_RDWR | O_CREAT, 0644);
		ws_must_write(f, files[i], 0, name);
	}
	assert_int_equal(unlink(ws_real(f, "1")), 0);
	assert_int_equal(lws_sync(f->ws, &f->call, &f->err), -ESTALE);
	ws_has(f, "0", "0");
	ws_has(f, "2", "2");
	assert_int_equal(access(ws_real(f, "1"), F_OK), -1); /* and not made again */
	for (int i = 0; i < 3; i++)
		assert_int_equal(lws_close(files[i], &f->call, &f->err), i == 1 ? -ESTALE : 0);
}

static int never(void *arg, const char *name, const struct ws_attr *attr)
{
	(void)arg;
	(void)name;
	(void)attr;
	fail();
	return 0;
}

#define STATS                                                                                      \
	"81a4 1 1 0 0 0 0 0 0 1 2026-11-24 05:52:03.1 +0000|2026-11-24 05:52:03.1 +0000|"          \
	"2026-11-24 05:52:03.1 +0000"

static void test_lies(void **state)
{
	FIXTURE;
	struct ws_attr attr;

	f->guest->profile = "stat() { echo nonsense; }";
	assert_int_equal(lws_stat(f->ws, &f->call, "f", &attr, &f->err), -EPROTO);
	f->guest->profile = "find() { echo \"$1/..//" STATS "\"; }";
	assert_int_equal(lws_list(f->ws, &f->call, "", never, NULL, &f->err), -EPROTO);
	f->guest->profile = "find() { echo \"$1/a/b//" STATS "\"; }";
	assert_int_equal(lws_list(f->ws, &f->call, "", never, NULL, &f->err), -EPROTO);
	f->guest->profile = "find() { echo \"/etc/passwd//" STATS "\"; }";
	assert_int_equal(lws_list(f->ws, &f->call, "", never, NULL, &f->err), -EPROTO);
	f->guest->profile = "find() { echo half; }";
	assert_int_equal(lws_list(f->ws, &f->call, "", never, NULL, &f->err), -EPROTO);
	f->guest->profile = "find() { echo 'x: Input/output error' >&2; }";
	assert_int_equal(lws_list(f->ws, &f->call, "", never, NULL, &f->err), -EIO);
}

/* The guest changed a file that is being read: what comes is of one version or the other. */
static void test_changed(void **state)
{
	FIXTURE;
	char *old = bytes_of(300000, 'a'), *new = bytes_of(300000, 'b'), got[4096];
	struct lws_file *file;
	struct ws_attr before, after;

	ws_put(f, "f", old);
	file = ws_must_open(f, "f", O_RDONLY, 0);
	assert_int_equal(lws_read(file, &f->call, 0, got, 4096, &f->err), 4096);
	assert_int_equal(got[0], 'a');
	ok(f, lws_fstat(file, &f->call, &before, &f->err));
	ws_put(f, "f", new);
	assert_int_equal(lws_read(file, &f->call, 200000, got, 4096, &f->err), 4096);
	assert_int_equal(got[0], 'b');
	assert_int_equal(lws_read(file, &f->call, 0, got, 4096, &f->err), 4096);
	assert_int_equal(got[0], 'b'); /* what was fetched before is not used any more */
	ok(f, lws_fstat(file, &f->call, &after, &f->err));
	assert_memory_not_equal(&before.mtime, &after.mtime, sizeof(after.mtime));
	ws_must_close(f, file);
	free(old);
	free(new);
}

static void test_cancelled(void **state)
{
	FIXTURE;
	struct lws_file *file = ws_must_open(f, "f", O_RDWR | O_CREAT, 0644);
	struct cancel cancel;
	struct call call;

	cancel_init(&cancel);
	call = call_within(60, &cancel);
	cancel_fire(&cancel);
	assert_int_equal(ws_latch_take(&file->inode->gate, &f->call, WS_EXCLUSIVE, &f->err), 0);
	ws_must_write(f, file, 0, "x");
	assert_int_equal(lws_flush(file, &call, &f->err), -EINTR);
	call = call_within(0.01, NULL);
	assert_int_equal(lws_flush(file, &call, &f->err), -ETIMEDOUT);
	ws_latch_drop(&file->inode->gate);
	ws_must_close(f, file);
	ws_has(f, "f", "x");
	cancel_destroy(&cancel);
}

#define THREADS 4
#define ROUNDS 12

struct worker {
	struct fixture *f;
	int number;
};

/* Each appends lines of its own to one file while its name changes and others read it. */
static void *work(void *arg)
{
	struct worker *worker = arg;
	struct fixture *f = worker->f;
	struct call call = call_within(60, NULL);
	char line[20], bytes[4096];
	struct lws_file *file;
	struct ws_attr attr;
	long failed = 0;

	failed |= lws_open(f->ws, &call, "shared", O_RDWR | O_APPEND | O_CREAT, 0644, &file, &attr,
			   NULL);
	for (int i = 0; !failed && i < ROUNDS; i++) {
		snprintf(line, sizeof(line), "%d:%02d\n", worker->number, i);
		failed |= lws_write(file, &call, 0, line, 5, NULL);
		failed |= i % 3 ? 0 : lws_flush(file, &call, NULL);
		failed |= lws_read(file, &call, 0, bytes, sizeof(bytes), NULL) < 5;
		if (worker->number == 0 && i == 5)
			failed |= lws_rename(f->ws, &call, "shared", "moved", 0, NULL);
		if (worker->number == 1 && i == 8)
			failed |= lws_fstat(file, &call, &attr, NULL);
	}
	if (!failed) {
		failed |= lws_flush(file, &call, NULL);
		failed |= lws_close(file, &call, NULL);
	}
	return (void *)failed;
}

static void test_threads(void **state)
{
	FIXTURE;
	struct worker workers[THREADS];
	pthread_t threads[THREADS];
	struct lws_file *file;
	struct stat st;

	file = ws_must_open(f, "shared", O_RDWR | O_CREAT, 0644);
	for (int i = 0; i < THREADS; i++) {
		workers[i] = (struct worker){ f, i };
		assert_int_equal(pthread_create(&threads[i], NULL, work, &workers[i]), 0);
	}
	for (int i = 0; i < THREADS; i++) {
		void *failed;

		pthread_join(threads[i], &failed);
		assert_null(failed);
	}
	ws_must_close(f, file);
	/* a thread that came late made "shared" anew: together they have every line */
	assert_int_equal(stat(ws_real(f, "moved"), &st), 0);
	if (access(ws_real(f, "shared"), F_OK) == 0) {
		struct stat late;

		stat(ws_real(f, "shared"), &late);
		st.st_size += late.st_size;
	}
	assert_int_equal(st.st_size, THREADS * ROUNDS * 5);
}

static const struct CMUnitTest tests[] = {
	ws_test(test_away),
	ws_test(test_close_fails),
	ws_test(test_full),
	ws_test(test_full_upload),
	ws_test(test_full_staging),
	ws_test(test_append_full),
	ws_test(test_append_full_upload),
	ws_test(test_decoder_fails),
	ws_test(test_append_lost),
	ws_test(test_append_lost_upload),
	ws_test(test_sync),
	ws_test(test_lies),
	ws_test(test_changed),
	ws_test(test_cancelled),
	ws_test(test_threads),
};

WS_MAIN
