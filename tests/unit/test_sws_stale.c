/*
 * test_sws_stale.c - open files whose session broke: found again, or not, and what was written to
 * them meanwhile.
 */
#include "sws_world.h"

#define WORLD                                                                                      \
	struct world *w = *state;                                                                  \
	const struct call *call = &w->call;                                                        \
	struct error *err = &w->err

/* Ends the session between two calls. */
static void break_now(struct world *w)
{
	struct error why = { .code = ECONNRESET, .text = "broken for a test" };
	struct mux *mux;

	ok(w, link_mux(w->link, &w->call, &mux, &w->err));
	mux_kill(mux, &why);
	mux_unref(mux);
}

static void test_stale(void **state)
{
	WORLD;
	struct sws_file *unlinked = world_open(w, "u", O_RDWR | O_CREAT, 0644);
	struct sws_file *replaced = world_open(w, "r", O_RDWR | O_CREAT, 0644);
	struct sws_file *over = world_open(w, "o", O_RDWR | O_CREAT, 0644);
	struct sws_file *kept = world_open(w, "k", O_RDWR | O_CREAT, 0644);
	char bytes[10];

	ok(w, sws_unlink(w->ws, call, "u", err));
	world_put(w, "new", "new");
	ok(w, sws_rename(w->ws, call, "new", "o", 0, err));
	/* behind the workspace's back; the inode must not be used again */
	ok(w, rename(world_real(w, "r"), world_real(w, "r2")));
	world_put(w, "r", "another");
	break_now(w);
	assert_int_equal(sws_read(unlinked, call, 0, bytes, 10, err), -ESTALE);
	assert_int_equal(sws_read(replaced, call, 0, bytes, 10, err), -ESTALE);
	assert_int_equal(sws_write(over, call, 0, "x", 1, err), -ESTALE);
	assert_int_equal(sws_fstat(unlinked, call, &w->attr, err), -ESTALE);
	world_write(w, kept, 0, "kept");
	world_reads(w, kept, 0, "kept");
	ok(w, sws_close(unlinked, call, err));
	ok(w, sws_close(replaced, call, err));
	ok(w, sws_close(over, call, err));
	world_close(w, kept);
	world_has(w, "r", "another");
	world_has(w, "o", "new");
}

/*
 * Makes PATH another file until that has the number INO, as it has soon where numbers are used
 * again.
 */
static bool replace_with_same_number(struct world *w, const char *path, ino_t ino)
{
	struct stat st = { 0 };

	for (int i = 0; i < 1000 && st.st_ino != ino; i++) {
		call_sleep(&w->call,
			   0.001); /* it is only free when the agent has closed the file */
		assert_int_equal(unlink(world_real(w, path)), 0);
		world_put(w, path, "another");
		assert_int_equal(stat(world_real(w, path), &st), 0);
	}
	return st.st_ino == ino;
}

/* A file that has the name and the number of one that was open is still another one. */
static void test_number_used_again(void **state)
{
	WORLD;
	struct sws_file *file = world_open(w, "f", O_RDWR | O_CREAT, 0644);
	ino_t ino = w->attr.ino;
	char bytes[10];

	world_write(w, file, 0, "mine");
	ok(w, sws_flush(file, call, err));
	break_now(w);
	if (!replace_with_same_number(w, "f", ino)) {
		print_message("this file system does not use inode numbers again\n");
		ok(w, sws_close(file, call, err));
		skip();
	}
	assert_int_equal(sws_read(file, call, 0, bytes, 10, err), -ESTALE);
	assert_int_equal(sws_write(file, call, 0, "mine", 4, err), -ESTALE);
	ok(w, sws_close(file, call, err));
	world_has(w, "f", "another");
}

/* A file that loses its name after a break goes on working, like any other. */
static void test_unlinked_after(void **state)
{
	WORLD;
	struct sws_file *unlinked = world_open(w, "u", O_RDWR | O_CREAT, 0644);
	struct sws_file *over = world_open(w, "o", O_RDWR | O_CREAT, 0644);
	char bytes[10];

	world_write(w, unlinked, 0, "one");
	ok(w, sws_flush(unlinked, call, err));
	world_put(w, "new", "new");
	break_now(w);
	ok(w, sws_unlink(w->ws, call, "u", err));
	ok(w, sws_rename(w->ws, call, "new", "o", 0, err));
	world_reads(w, unlinked, 0, "one");
	world_write(w, over, 0, "old");
	world_reads(w, over, 0, "old");
	world_has(w, "o", "new");
	/* once */
	break_now(w);
	assert_int_equal(sws_read(unlinked, call, 0, bytes, 10, err), -ESTALE);
	assert_int_equal(sws_read(over, call, 0, bytes, 10, err), -ESTALE);
	ok(w, sws_close(unlinked, call, err));
	ok(w, sws_close(over, call, err));
}

/* What was written to a file that is gone after the break is lost: whoever wrote hears so, once. */
static void test_lost_with_file(void **state)
{
	WORLD;
	struct sws_file *file = world_open(w, "u", O_RDWR | O_CREAT, 0644);

	ok(w, sws_unlink(w->ws, call, "u", err));
	world_cut_op(w, CUT_BEFORE, OP_WRITE);
	world_write(w, file, 0, "lost");
	assert_int_equal(sws_flush(file, call, err), -ESTALE);
	ok(w, sws_flush(file, call, err));
	ok(w, sws_close(file, call, err));
}

/* While the guest is gone nothing is lost, and nothing waits. */
static void test_gone_and_back(void **state)
{
	WORLD;
	struct sws_file *file = world_open(w, "f", O_RDWR | O_CREAT, 0644);

	world_cut_op(w, CUT_BEFORE, OP_WRITE);
	world_write(w, file, 0, "hello");
	world_set_down(w, true);
	assert_int_equal(sws_flush(file, call, err), -ENOTCONN);
	assert_int_equal(sws_write(file, call, 0, "x", 1, err), -ENOTCONN);
	assert_int_equal(sws_sync(w->ws, call, err), -ENOTCONN);
	world_set_down(w, false);
	ok(w, sws_flush(file, call, err));
	world_has(w, "f", "hello");

	world_cut_op(w, CUT_BEFORE, OP_WRITE);
	world_write(w, file, 0, "J");
	world_set_down(w, true);
	assert_int_equal(sws_close(file, call, err), -ENOTCONN); /* nobody was told yet */
	world_set_down(w, false);
	ok(w, sws_stat(w->ws, call, "f", &w->attr, err));
	world_has(w, "f", "hello");

	file = world_open(w, "f", O_RDWR, 0);
	world_cut_op(w, CUT_BEFORE, OP_WRITE);
	world_write(w, file, 0, "J");
	world_set_down(w, true);
	assert_int_equal(sws_flush(file, call, err), -ENOTCONN);
	ok(w, sws_close(file, call, err)); /* flush has told */
	world_set_down(w, false);
}

static void expect_lost(struct world *w, int rc)
{
	assert_int_equal(rc, -EIO);
	assert_non_null(strstr(w->err.text, "started anew"));
}

/*
 * What a guest took and did not sync before it was started anew is lost, perhaps: fsync says so,
 * once.
 */
static void test_reboot(void **state)
{
	WORLD;
	struct sws_file *file = world_open(w, "f", O_RDWR | O_CREAT, 0644);
	struct sws_file *other = world_open(w, "f", O_WRONLY, 0);
	struct sws_file *reader = world_open(w, "f", O_RDONLY, 0);
	struct sws_file *synced = world_open(w, "s", O_RDWR | O_CREAT, 0644);

	world_write(w, file, 0, "one");
	ok(w, sws_flush(file, call, err));
	world_write(w, synced, 0, "one");
	ok(w, sws_fsync(synced, call, false, err));
	/* a session that breaks loses nothing */
	break_now(w);
	ok(w, sws_fsync(synced, call, false, err));

	world_reboot(w);
	ok(w, sws_fsync(synced, call, false, err));
	expect_lost(w, sws_fsync(file, call, false, err));
	ok(w, sws_fsync(file, call, false, err));
	expect_lost(w, sws_fsync(other, call, true, err)); /* all who write are told */
	ok(w, sws_fsync(other, call, true, err));
	ok(w, sws_fsync(reader, call, false, err));

	/* who fsyncs is told, whoever wrote */
	world_write(w, file, 0, "two");
	ok(w, sws_flush(file, call, err));
	world_reboot(w);
	expect_lost(w, sws_fsync(reader, call, false, err));
	ok(w, sws_fsync(reader, call, false, err));
	expect_lost(w, sws_flush(file, call, err));
	expect_lost(w, sws_write(other, call, 0, "x", 1, err));
	world_close(w, other);
	world_close(w, reader);
	world_close(w, synced);
	world_close(w, file);
}

/* close tells what is known by then, and so does sync, which takes nothing away. */
static void test_reboot_and_close(void **state)
{
	WORLD;
	struct sws_file *file = world_open(w, "f", O_RDWR | O_CREAT, 0644);

	world_write(w, file, 0, "one");
	ok(w, sws_flush(file, call, err));
	world_reboot(w);
	ok(w, sws_stat(w->ws, call, "f", &w->attr, err));
	expect_lost(w, sws_sync(w->ws, call, err));
	expect_lost(w, sws_flush(file, call, err));
	ok(w, sws_flush(file, call, err));
	ok(w, sws_sync(w->ws, call, err));
	ok(w, sws_close(file, call, err));
}

/* What was cut off is written like anything else. */
static void test_reboot_and_size(void **state)
{
	WORLD;
	struct ws_attr size = { .size = 1 };
	struct sws_file *file;

	world_put(w, "f", "before");
	file = world_open(w, "f", O_RDWR | O_TRUNC, 0);
	world_reboot(w);
	expect_lost(w, sws_fsync(file, call, false, err));
	ok(w, sws_fsync(file, call, false, err));
	ok(w, sws_setattr(w->ws, call, "f", file, WS_SET_SIZE, &size, &w->attr, err));
	world_reboot(w);
	expect_lost(w, sws_fsync(file, call, false, err));
	world_close(w, file);
}

/* What has not been answered is sent again, and is in the new life. */
static void test_reboot_before_answer(void **state)
{
	WORLD;
	struct sws_file *file = world_open(w, "f", O_RDWR | O_CREAT, 0644);

	world_cut_op(w, CUT_BEFORE, OP_WRITE);
	world_write(w, file, 0, "one");
	while (!world_is_cut(w))
		call_sleep(call, 0.001);
	world_reboot(w);
	ok(w, sws_fsync(file, call, false, err));
	world_has(w, "f", "one");
	world_write(w, file, 3, " two");
	world_reboot(w);
	ok(w, sws_fsync(file, call, false, err));
	world_has(w, "f", "one two");
	world_close(w, file);
}

static const struct CMUnitTest tests[] = {
	world_test(test_number_used_again),    world_test(test_stale),
	world_test(test_unlinked_after),       world_test(test_lost_with_file),
	world_test(test_gone_and_back),        world_test(test_reboot),
	world_test(test_reboot_and_close),     world_test(test_reboot_and_size),
	world_test(test_reboot_before_answer),
};

int main(void)
{
	return cmocka_run_group_tests(tests, NULL, NULL);
}
