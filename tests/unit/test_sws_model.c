/*
 * test_sws_model.c - the model of test_ws_model.c, over sessions that break: its steps are those,
 * its workspace is this one.
 *
 * Where the model's guest does not answer, here the session breaks, as far as a plain directory can
 * be told the same: an open file that has no name any more does not live through it.
 */
#define VSOCKFS_TESTS_WS_FIXTURE_H /* instead of it: */
#include "sws_world.h"

enum { FAKE_INTERRUPT, FAKE_REFUSE };

/* What the model knows of its guest. */
struct faults {
	int fault, faults;
};

struct fixture {
	struct world *world;
	struct faults *guest;
	struct sws *ws;
	struct call call;
	struct error err;
};

#define FIXTURE                                                                                    \
	struct world *world = *state;                                                              \
	struct faults faults = { 0 };                                                              \
	struct fixture fixture = { .world = world, .guest = &faults, .ws = world->ws };            \
	struct fixture *f = the_fixture = &fixture;                                                \
	fixture.call = call_within(60, NULL)

static struct fixture *the_fixture;

static const char *real_of(struct fixture *f, const char *path)
{
	return world_real(f->world, path);
}

/* Whether every open file would be found again if the session broke while PATH loses its name. */
static bool may_break(struct sws *ws, const char *path)
{
	struct sws_inode *inode;
	bool may = true;

	pthread_mutex_lock(&ws->lock);
	for (inode = ws->inodes; inode; inode = inode->hh.next)
		may = may && inode->path && !inode->maybe && strcmp(inode->path, path) != 0;
	pthread_mutex_unlock(&ws->lock);
	return may;
}

/* In front of a change by which PATH may lose its name.  1: it is not to be made. */
static int begin_change(struct sws *ws, enum session_op op, const char *path, struct error *err)
{
	struct faults *faults = the_fixture->guest;

	if (faults->faults && faults->fault == FAKE_REFUSE)
		return error_set(err, ENOTCONN, "refused for the test");
	if (faults->faults && may_break(ws, path))
		world_cut_op(the_fixture->world, CUT_ANSWER, op);
	return 0;
}

/* As if nobody had waited for the answer. */
static int end_change(int rc)
{
	bool cut = world_was_cut(the_fixture->world);

	if (!the_fixture->guest->faults)
		return rc;
	return !rc || (cut && rc == -EIO) ? -EINTR : rc;
}

static int faulty_unlink(struct sws *ws, const struct call *call, const char *path,
			 struct error *err)
{
	int rc = begin_change(ws, OP_UNLINK, path, err);

	return rc ? rc : end_change(sws_unlink(ws, call, path, err));
}

static int faulty_rename(struct sws *ws, const struct call *call, const char *from, const char *to,
			 unsigned flags, struct error *err)
{
	int rc = begin_change(ws, OP_RENAME, to, err);

	return rc ? rc : end_change(sws_rename(ws, call, from, to, flags, err));
}

/* Now and then the session breaks between two operations. */
static int breaking_stat(struct sws *ws, const struct call *call, const char *path,
			 struct ws_attr *out, struct error *err)
{
	static unsigned count;

	if (++count % 7 == 0 && may_break(ws, "") && !ws->count)
		world_cut_op(the_fixture->world, (enum cut)(CUT_BEFORE + count / 7 % 4), OP_STAT);
	int rc = sws_stat(ws, call, path, out, err);

	world_cut(the_fixture->world, CUT_NONE, 0);
	return rc;
}

#define lws_file sws_file
#define lws_open sws_open
#define lws_close sws_close
#define lws_read sws_read
#define lws_write sws_write
#define lws_flush sws_flush
#define lws_fsync sws_fsync
#define lws_fstat sws_fstat
#define lws_setattr sws_setattr
#define lws_mkdir sws_mkdir
#define lws_rmdir sws_rmdir
#define lws_symlink sws_symlink
#define lws_link sws_link
#define lws_list sws_list
#define lws_readlink sws_readlink
#define lws_sync sws_sync
#define lws_stat breaking_stat
#define lws_unlink faulty_unlink
#define lws_rename faulty_rename
#define ws_names_settle(ws, call, err) ((void)(ws), 0)
#define ws_real real_of
#define ws_test world_test
#define WS_MAIN                                                                                    \
	int main(void)                                                                             \
	{                                                                                          \
		return cmocka_run_group_tests(tests, NULL, NULL);                                  \
	}

#ifndef __clang__
#pragma GCC diagnostic ignored "-Wformat-truncation" /* gcc sees no bound on a listed name here */
#endif
#include "test_ws_model.c"
