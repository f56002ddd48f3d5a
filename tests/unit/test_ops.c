/*
 * test_ops.c - the body of every operation survives the wire, field by field as ops.h has it, and
 * is refused wherever it is cut; attributes, entries and events are judged when they are unpacked.
 */
#include "tests/unit/cmocka_all.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>

#include "protocol/session/ops.h"

/*
 * The layout of each body, a letter a field: 1 2 4 8 integers of so many bytes, t text, r the rest
 * as bytes, a ATTR, s statfs, j one JSON object (the rest), b a batch's items.
 */
static const struct {
	enum session_op op;
	const char *args, *result;
} bodies[] = {
	{ OP_STAT, "t", "a" },
	{ OP_LIST, "t1t4", "1t" },
	{ OP_READLINK, "t", "t" },
	{ OP_OPEN, "t44", "4a" },
	{ OP_CLOSE, "4", "" },
	{ OP_READ, "484", "r" },
	{ OP_WRITE, "481r", "a" },
	{ OP_FSYNC, "41", "a" },
	{ OP_FSTAT, "4", "a" },
	{ OP_SETATTR, "t44a", "a" },
	{ OP_MKDIR, "t4", "a" },
	{ OP_RMDIR, "t", "" },
	{ OP_UNLINK, "t", "" },
	{ OP_RENAME, "tt4", "" },
	{ OP_SYMLINK, "tt", "a" },
	{ OP_LINK, "tt", "a" },
	{ OP_MKNOD, "t4", "a" },
	{ OP_STATFS, "", "s" },
	{ OP_SYNC, "", "" },
	{ OP_BATCH, "1b", "b" },
	{ OP_EXPORT, "t", "88" },
	{ OP_IMPORT, "t", "88" },
	{ OP_WATCH, "8", "" },
	{ OP_BARRIER, "", "8" },
	{ OP_SERVICE_START, "j", "j" },
	{ OP_SERVICE_STATUS, "j", "j" },
	{ OP_SERVICE_STOP, "j", "j" },
	{ OP_SERVICE_LIST, "j", "j" },
	{ OP_SHELL_OPEN, "j", "j" },
	{ OP_SHELL_STATUS, "j", "j" },
	{ OP_SHELL_WRITE, "tr", "4" },
	{ OP_SHELL_RESIZE, "j", "j" },
	{ OP_SHELL_SIGNAL, "j", "j" },
	{ OP_SHELL_CLOSE, "j", "j" },
	{ OP_COMMAND_START, "j", "j" },
	{ OP_COMMAND_INPUT, "j", "j" },
	{ OP_COMMAND_STATUS, "j", "j" },
	{ OP_COMMAND_SIGNAL, "j", "j" },
	{ OP_COMMAND_FORGET, "j", "j" },
	{ OP_STREAM, "j", "j" },
	{ OP_WAIT, "j", "j" },
	{ OP_INFO, "j", "j" },
};

static const struct ws_attr nothing, sample = {
	.ino = UINT64_MAX,
	.dev = 0x0102030405060708,
	.rdev = 0x1112131415161718,
	.size = INT64_MAX,
	.blocks = 8,
	.mode = S_IFREG | 0751,
	.nlink = 3,
	.uid = 1000,
	.gid = UINT32_MAX,
	.generation = 0x21222324,
	.atime = { -1, 999999999 },
	.mtime = { 1700000000, 1 },
	.ctime = { INT64_C(1) << 40, 0 },
};
static const struct ws_statfs sample_statfs = { 4096, UINT64_MAX, 3, 2, 1000, 900, 255 };
static const char text[] = "a/b \xff", json[] = "{\"name\": \"x\"}";

static void same_attr(const struct ws_attr *a, const struct ws_attr *b)
{
	assert_true(a->ino == b->ino && a->dev == b->dev && a->rdev == b->rdev);
	assert_true(a->size == b->size && a->blocks == b->blocks);
	assert_true(a->mode == b->mode && a->nlink == b->nlink);
	assert_true(a->uid == b->uid && a->gid == b->gid && a->generation == b->generation);
	assert_true(a->atime.tv_sec == b->atime.tv_sec && a->atime.tv_nsec == b->atime.tv_nsec);
	assert_true(a->mtime.tv_sec == b->mtime.tv_sec && a->mtime.tv_nsec == b->mtime.tv_nsec);
	assert_true(a->ctime.tv_sec == b->ctime.tv_sec && a->ctime.tv_nsec == b->ctime.tv_nsec);
}

static void pack_body(struct buf *buf, const char *layout)
{
	for (; *layout; layout++) {
		switch (*layout) {
		case '1':
			pack_u8(buf, 0x81);
			break;
		case '2':
			pack_u16(buf, 0x8182);
			break;
		case '4':
			pack_u32(buf, 0x81828384);
			break;
		case '8':
			pack_u64(buf, 0x8182838485868788);
			break;
		case 't':
			pack_text(buf, text);
			break;
		case 'r':
		case 'j':
			buf_adds(buf, json);
			break;
		case 'a':
			ops_pack_attr(buf, &sample);
			break;
		case 's':
			ops_pack_statfs(buf, &sample_statfs);
			break;
		case 'b':
			pack_u16(buf, OP_RMDIR);
			pack_text(buf, text);
			pack_u16(buf, OP_STAT);
			pack_text(buf, "");
			break;
		default:
			fail();
		}
	}
}

/* Whether the body was whole; what was unpacked from a whole one is compared. */
static bool unpack_body(const void *bytes, size_t size, const char *layout)
{
	struct unpack in = unpack_from(bytes, size);
	struct ws_statfs statfs;
	struct ws_attr attr;
	const char *rest;
	char back[16];
	size_t len;

	for (; *layout; layout++) {
		switch (*layout) {
		case '1':
			assert_true(unpack_u8(&in) == 0x81 || in.failed);
			break;
		case '2':
			assert_true(unpack_u16(&in) == 0x8182 || in.failed);
			break;
		case '4':
			assert_true(unpack_u32(&in) == 0x81828384 || in.failed);
			break;
		case '8':
			assert_true(unpack_u64(&in) == 0x8182838485868788 || in.failed);
			break;
		case 't':
			if (unpack_text(&in, back, sizeof(back)))
				assert_string_equal(back, text);
			break;
		case 'r':
		case 'j':
			rest = unpack_rest(&in, &len);
			if (len < strlen(json))
				return false;
			assert_memory_equal(rest, json, len);
			break;
		case 'a':
			ops_unpack_attr(&in, &attr);
			same_attr(&attr, in.failed ? &nothing : &sample);
			break;
		case 's':
			ops_unpack_statfs(&in, &statfs);
			if (!in.failed)
				assert_memory_equal(&statfs, &sample_statfs, sizeof(statfs));
			break;
		default:
			assert_true(unpack_u16(&in) == OP_RMDIR || in.failed);
			unpack_text(&in, back, sizeof(back));
			assert_true(unpack_u16(&in) == OP_STAT || in.failed);
			unpack_bytes(&in, 0, &len);
		}
	}
	return unpack_done(&in, "the body", NULL) == 0;
}

static void round_trip(const char *layout)
{
	autobuf struct buf buf = BUF_INIT(4096);

	pack_body(&buf, layout);
	assert_false(buf.overflow);
	assert_true(unpack_body(buf.data, buf.len, layout));
	for (size_t len = 0; len < buf.len; len++)
		assert_false(unpack_body(buf.data, len, layout));
}

static void test_every_body_comes_back(void **state)
{
	(void)state;
	for (size_t i = 0; i < sizeof(bodies) / sizeof(bodies[0]); i++) {
		round_trip(bodies[i].args);
		round_trip(bodies[i].result);
	}
}

/* The table above has every operation, each has a name of its own, and no other number has one. */
static void test_every_operation_has_a_name(void **state)
{
	size_t named = 0;

	(void)state;
	for (unsigned op = 0; op <= UINT16_MAX; op++)
		named += ops_name(op) != NULL;
	assert_int_equal(named, sizeof(bodies) / sizeof(bodies[0]));
	for (size_t i = 0; i < named; i++) {
		assert_non_null(ops_name(bodies[i].op));
		for (size_t k = 0; k < i; k++)
			assert_string_not_equal(ops_name(bodies[i].op), ops_name(bodies[k].op));
	}
}

/* The numbers are the wire's: they never move. */
static void test_the_numbers_stay(void **state)
{
	(void)state;
	assert_int_equal(OP_STAT, 1);
	assert_int_equal(OP_IMPORT, 22);
	assert_int_equal(OP_WATCH, 64);
	assert_int_equal(OP_BARRIER, 65);
	assert_int_equal(OP_SERVICE_START, 96);
	assert_int_equal(OP_SHELL_WRITE, 102);
	assert_int_equal(OP_COMMAND_START, 106);
	assert_int_equal(OP_INFO, 113);
}

static void test_attr_has_its_size_and_place(void **state)
{
	autobuf struct buf buf = BUF_INIT(200);

	(void)state;
	ops_pack_attr(&buf, &sample);
	assert_int_equal(buf.len, OPS_ATTR_SIZE);
	assert_memory_equal(buf.data + 8, "\x08\x07\x06\x05\x04\x03\x02\x01", 8); /* dev */
	assert_memory_equal(buf.data + 40, "\xe9\x81\0\0\3\0\0\0", 8);            /* mode, nlink */
	assert_memory_equal(buf.data + 56, "\xff\xff\xff\xff\xff\xff\xff\xff\xff\xc9\x9a\x3b", 12);
	assert_memory_equal(buf.data + 92, "\x24\x23\x22\x21", 4);
}

static bool attr_is_taken(struct ws_attr attr)
{
	autobuf struct buf buf = BUF_INIT(200);
	struct ws_attr back;
	struct unpack in;

	ops_pack_attr(&buf, &attr);
	in = unpack_from(buf.data, buf.len);
	ops_unpack_attr(&in, &back);
	same_attr(&back, in.failed ? &nothing : &attr);
	return !in.failed;
}

static void test_attr_is_judged(void **state)
{
	(void)state;
	assert_true(attr_is_taken(sample));
	assert_true(attr_is_taken((struct ws_attr){ .mtime.tv_nsec = UTIME_NOW }));
	assert_false(attr_is_taken((struct ws_attr){ .size = -1 }));
	assert_false(attr_is_taken((struct ws_attr){ .blocks = INT64_MIN }));
	assert_false(attr_is_taken((struct ws_attr){ .atime.tv_nsec = 1000000000 }));
	assert_false(attr_is_taken((struct ws_attr){ .mtime.tv_nsec = UTIME_OMIT }));
	assert_false(attr_is_taken((struct ws_attr){ .ctime.tv_nsec = -1 }));
}

static void test_paths_are_judged(void **state)
{
	static const char *const good[] = { "", "a", "a/b", ".a", "...", "a/..b/c.", " ", "\xff" };
	static const char *const bad[] = { "/",   "/a",  "a/",     "a//b", ".",   "..",
					   "./a", "a/.", "a/../b", "a/..", "../a" };
	static char longest[LIMIT_PATH + 1];

	(void)state;
	for (size_t i = 0; i < sizeof(good) / sizeof(good[0]); i++)
		assert_true(ops_path_is_valid(good[i], strlen(good[i])));
	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++)
		assert_false(ops_path_is_valid(bad[i], strlen(bad[i])));
	assert_false(ops_path_is_valid("a\0b", 3));

	memset(longest, 'n', sizeof(longest));
	assert_true(ops_path_is_valid(longest, LIMIT_NAME));
	assert_false(ops_path_is_valid(longest, LIMIT_NAME + 1));
	for (size_t i = 100; i < sizeof(longest); i += 101)
		longest[i] = '/';
	assert_true(ops_path_is_valid(longest, LIMIT_PATH - 1));
	assert_false(ops_path_is_valid(longest, LIMIT_PATH));
}

static struct ops_entry entry(const char *path, const char *target)
{
	return (struct ops_entry){ sample, path, strlen(path), target, strlen(target) };
}

static void test_entries_come_back_one_by_one(void **state)
{
	static const char *const names[] = { "a", "dir/b", "link" };
	autobuf struct buf buf = BUF_INIT(4096);
	struct ops_entry one;
	struct unpack in;

	(void)state;
	for (int i = 0; i < 3; i++) {
		one = entry(names[i], i == 2 ? "../else" : "");
		ops_pack_entry(&buf, &one);
	}
	in = unpack_from(buf.data, buf.len);
	for (int i = 0; i < 3; i++) {
		assert_true(ops_unpack_entry(&in, &one));
		same_attr(&one.attr, &sample);
		assert_int_equal(one.path_len, strlen(names[i]));
		assert_memory_equal(one.path, names[i], one.path_len);
	}
	assert_int_equal(one.target_len, 7);
	assert_memory_equal(one.target, "../else", 7);
	assert_false(ops_unpack_entry(&in, &one));
	assert_int_equal(unpack_done(&in, "the listing", NULL), 0);

	/* cut anywhere but between two */
	for (size_t len = 1, whole = 0; len < buf.len; len++) {
		in = unpack_from(buf.data, len);
		while (ops_unpack_entry(&in, &one))
			;
		whole += unpack_done(&in, "the listing", NULL) == 0;
		assert_true(whole <= 2);
	}
}

static bool entry_is_taken(struct ops_entry one)
{
	autobuf struct buf buf = BUF_INIT(16384);
	struct unpack in;

	ops_pack_entry(&buf, &one);
	in = unpack_from(buf.data, buf.len);
	return ops_unpack_entry(&in, &one);
}

static void test_entries_are_judged(void **state)
{
	static char longest[LIMIT_SYMLINK_TARGET + 2];
	struct ops_entry one = entry("a", "x");

	(void)state;
	assert_false(entry_is_taken(entry("", "")));
	assert_false(entry_is_taken(entry("..", "")) || entry_is_taken(entry("/etc", "")));
	one.target = "x\0y";
	one.target_len = 3;
	assert_false(entry_is_taken(one));
	memset(longest, 't', sizeof(longest) - 1);
	assert_false(entry_is_taken(entry("a", longest)));
	longest[LIMIT_SYMLINK_TARGET] = '\0';
	assert_true(entry_is_taken(entry("a", longest)));
}

/* A later version may put more behind an entry: it is skipped. */
static void test_entries_may_grow(void **state)
{
	autobuf struct buf buf = BUF_INIT(4096);
	struct ops_entry one = entry("a", "");
	struct unpack in;

	(void)state;
	ops_pack_entry(&buf, &one);
	buf_adds(&buf, "more");
	buf.data[0] += 4;
	one = entry("b", "");
	ops_pack_entry(&buf, &one);
	in = unpack_from(buf.data, buf.len);
	assert_true(ops_unpack_entry(&in, &one));
	assert_true(ops_unpack_entry(&in, &one));
	assert_memory_equal(one.path, "b", 1);
	assert_int_equal(unpack_done(&in, "the listing", NULL), 0);
}

static void test_events_come_back(void **state)
{
	static const struct ops_event events[] = {
		{ 1, EVENT_CHANGED, "a/b", 3 },
		{ UINT64_MAX, EVENT_ENTRIES, "", 0 },
		{ 7, EVENT_RESCAN, "", 0 },
	};
	autobuf struct buf buf = BUF_INIT(4096);
	struct ops_event back;
	struct unpack in;

	(void)state;
	for (int i = 0; i < 3; i++)
		ops_pack_event(&buf, &events[i]);
	in = unpack_from(buf.data, buf.len);
	for (int i = 0; i < 3; i++) {
		assert_true(ops_unpack_event(&in, &back));
		assert_true(back.sequence == events[i].sequence);
		assert_int_equal(back.kind, events[i].kind);
		assert_int_equal(back.path_len, events[i].path_len);
		assert_memory_equal(back.path, events[i].path, back.path_len);
	}
	assert_false(ops_unpack_event(&in, &back));
	assert_int_equal(unpack_done(&in, "the events", NULL), 0);
}

static void test_events_are_judged(void **state)
{
	struct ops_event event = { 1, 99, "whatever", 8 };
	autobuf struct buf buf = BUF_INIT(4096);
	struct unpack in;

	(void)state;
	ops_pack_event(&buf, &event);
	in = unpack_from(buf.data, buf.len);
	assert_true(ops_unpack_event(&in, &event));
	assert_int_equal(event.kind, EVENT_RESCAN);
	assert_int_equal(event.path_len, 0);

	buf_free(&buf);
	event = (struct ops_event){ 1, EVENT_CHANGED, "../x", 4 };
	ops_pack_event(&buf, &event);
	in = unpack_from(buf.data, buf.len);
	assert_false(ops_unpack_event(&in, &event));
	assert_int_equal(unpack_done(&in, "the events", NULL), -EPROTO);
}

int main(void)
{
	static const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_every_body_comes_back),
		cmocka_unit_test(test_every_operation_has_a_name),
		cmocka_unit_test(test_the_numbers_stay),
		cmocka_unit_test(test_attr_has_its_size_and_place),
		cmocka_unit_test(test_attr_is_judged),
		cmocka_unit_test(test_paths_are_judged),
		cmocka_unit_test(test_entries_come_back_one_by_one),
		cmocka_unit_test(test_entries_are_judged),
		cmocka_unit_test(test_entries_may_grow),
		cmocka_unit_test(test_events_come_back),
		cmocka_unit_test(test_events_are_judged),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
