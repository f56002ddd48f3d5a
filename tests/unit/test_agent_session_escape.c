/*
 * test_agent_session_escape.c - operations below a name that somebody in the guest keeps changing
 * between a directory and a link that leads out of the workspace: nothing outside is touched.
 */
#include "tests/unit/agent_client.h"

#include <errno.h>
#include <fcntl.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "protocol/session/pack.h"

#define ROUNDS 3000

struct attack {
	struct agent_world world;
	struct agent_client client;
	pthread_t thread;
	atomic_bool over;
	struct stat secret, sub; /* outside */
};

/* workspace/d is in turn a directory, and a link to outside, by exchanging it with workspace/e. */
static void *flip(void *arg)
{
	struct attack *attack = arg;

	while (!atomic_load(&attack->over)) {
		renameat2(attack->world.dir, "d", attack->world.dir, "e", RENAME_EXCHANGE);
		sched_yield();
	}
	return NULL;
}

static int setup(void **state)
{
	static struct attack attack;
	char command[1024];

	attack = (struct attack){ 0 };
	agent_world_open(&attack.world);
	snprintf(
		command, sizeof(command),
		"echo secret >%s/file; mkdir %s/sub; chmod 700 %s/file; "
		"touch -d @1000000 %s/file %s/sub %s; mkdir d d/sub; echo here >d/file; ln -s %s e",
		attack.world.outside, attack.world.outside, attack.world.outside,
		attack.world.outside, attack.world.outside, attack.world.outside,
		attack.world.outside);
	agent_world_run(&attack.world, command);
	snprintf(command, sizeof(command), "%s/file", attack.world.outside);
	assert_int_equal(stat(command, &attack.secret), 0);
	snprintf(command, sizeof(command), "%s/sub", attack.world.outside);
	assert_int_equal(stat(command, &attack.sub), 0);
	client_open(&attack.client, &attack.world);
	assert_int_equal(pthread_create(&attack.thread, NULL, flip, &attack), 0);
	*state = &attack;
	return 0;
}

/* Outside is as it was: names, contents, modes and times. */
static int teardown(void **state)
{
	struct attack *attack = *state;
	char command[1024];

	atomic_store(&attack->over, true);
	pthread_join(attack->thread, NULL);
	client_close(&attack->client);
	snprintf(command, sizeof(command),
		 "cd %s && test \"$(ls)\" = \"$(printf 'file\\nsub')\" && test \"$(cat file)\" = "
		 "secret && "
		 "test \"$(stat -c '%%a %%Y %%h' file sub .)\" = "
		 "\"$(printf '700 1000000 1\\n755 1000000 2\\n755 1000000 3')\" && test -z \"$(ls "
		 "sub)\"",
		 attack->world.outside);
	agent_world_run(&attack->world, command);
	agent_world_close(&attack->world);
	return 0;
}

/* Calls of both outcomes are needed: one that never meets the link shows nothing. */
struct tally {
	int done, refused;
};

static int count(struct tally *tally, int code)
{
	if (code == 0)
		tally->done++;
	else if (code == EXDEV || code == ELOOP || code == ENOTDIR)
		tally->refused++;
	return code;
}

static void require_both(const struct tally *tally)
{
	assert_true(tally->done > 0);
	assert_true(tally->refused > 0);
}

static int call(struct attack *attack, unsigned op, struct buf args, struct buf *result)
{
	return client_call(&attack->client, op, &args, result);
}

static void test_changes_of_names(void **state)
{
	struct attack *attack = *state;
	struct tally tally = { 0 };

	for (int i = 0; i < ROUNDS; i++) {
		count(&tally, call(attack, OP_MKDIR, args_of("sw", "d/new", 0755u), NULL));
		count(&tally, call(attack, OP_RMDIR, args_of("s", "d/new"), NULL));
		count(&tally, call(attack, OP_SYMLINK, args_of("ss", "x", "d/link"), NULL));
		count(&tally,
		      call(attack, OP_RENAME, args_of("ssw", "d/link", "d/moved", 0u), NULL));
		count(&tally, call(attack, OP_LINK, args_of("ss", "d/file", "d/other"), NULL));
		count(&tally, call(attack, OP_UNLINK, args_of("s", "d/moved"), NULL));
		count(&tally, call(attack, OP_UNLINK, args_of("s", "d/other"), NULL));
		count(&tally, call(attack, OP_MKNOD, args_of("sw", "d/node", 0100600u), NULL));
		count(&tally, call(attack, OP_UNLINK, args_of("s", "d/node"), NULL));
	}
	require_both(&tally);
}

static void test_contents_and_attributes(void **state)
{
	struct attack *attack = *state;
	struct buf result = BUF_INIT(FRAME_BODY_MAX), packed = BUF_INIT(OPS_ATTR_SIZE);
	const struct ws_attr attr = { .mode = 0777, .size = 2, .mtime = { 5, 0 } };
	struct tally tally = { 0 };

	ops_pack_attr(&packed, &attr);
	for (int i = 0; i < ROUNDS; i++) {
		struct buf args = args_of("sww", "d/file",
					  OPEN_READ | OPEN_WRITE | OPEN_CREATE | OPEN_TRUNCATE,
					  0600u);

		if (count(&tally, call(attack, OP_OPEN, args, &result)) == 0) {
			struct unpack in = unpack_from(result.data, result.len);
			uint32_t file = unpack_u32(&in);

			assert_int_equal(
				call(attack, OP_WRITE,
				     args_of("wqbr", file, (uint64_t)0, 0, "here", (size_t)4),
				     NULL),
				0);
			assert_int_equal(call(attack, OP_READ,
					      args_of("wqw", file, (uint64_t)0, 99u), &result),
					 0);
			assert_null(strstr(buf_str(&result), "secret"));
			call(attack, OP_CLOSE, args_of("w", file), NULL);
		}
		count(&tally,
		      call(attack, OP_SETATTR,
			   args_of("swwr", "d/file", 0u, WS_SET_MODE | WS_SET_SIZE | WS_SET_MTIME,
				   packed.data, packed.len),
			   NULL));
	}
	require_both(&tally);
	buf_free(&result);
	buf_free(&packed);
}

/* The name itself: of the link, its own attributes only. */
static void test_the_name_itself(void **state)
{
	struct attack *attack = *state;
	struct buf packed = BUF_INIT(OPS_ATTR_SIZE);
	const struct ws_attr attr = { .mode = 0711, .mtime = { 5, 0 } };
	struct tally tally = { 0 };

	ops_pack_attr(&packed, &attr);
	for (int i = 0; i < ROUNDS; i++) {
		int code = call(attack, OP_SETATTR,
				args_of("swwr", "d", 0u, WS_SET_MODE | WS_SET_MTIME, packed.data,
					packed.len),
				NULL);

		count(&tally, code == EOPNOTSUPP ? ELOOP : code);
		call(attack, OP_SETATTR,
		     args_of("swwr", "d", 0u, WS_SET_MTIME, packed.data, packed.len), NULL);
	}
	require_both(&tally);
	buf_free(&packed);
}

/* No entry of the listing is what is outside, under whatever name it is told. */
static void require_inside(struct attack *attack)
{
	struct buf *data = &attack->client.data;
	struct unpack in = unpack_from(data->data, data->len);
	struct ops_entry entry;

	while (ops_unpack_entry(&in, &entry)) {
		assert_int_not_equal(entry.attr.ino, attack->secret.st_ino);
		assert_int_not_equal(entry.attr.ino, attack->sub.st_ino);
	}
	assert_false(in.failed);
}

static void test_subtrees(void **state)
{
	struct attack *attack = *state;
	struct tally tally = { 0 };

	for (int i = 0; i < ROUNDS / 5; i++) {
		struct buf args = args_of("s", "d"), rest;
		uint32_t id;
		struct got got;

		count(&tally, call(attack, OP_LIST, args_of("sbsw", "d", 255, "", 100u), NULL));
		call(attack, OP_LIST, args_of("sbsw", "", 255, "", 100u), NULL);
		require_inside(attack);
		call(attack, OP_EXPORT, args, NULL);
		rest = attack->client.data;
		if (rest.len)
			assert_null(memmem(rest.data, rest.len, "secret", 6));
		args = args_of("s", "d");
		id = client_begin(&attack->client, OP_IMPORT, &args, 0);
		buf_free(&args);
		client_frame(&attack->client, FRAME_DATA, id, FRAME_END, 0, NULL, 0);
		client_finish(&attack->client, id, &got);
		count(&tally, got.frame.code);
	}
	require_both(&tally);
}

int main(void)
{
#define test(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
	const struct CMUnitTest tests[] = {
		test(test_changes_of_names),
		test(test_contents_and_attributes),
		test(test_the_name_itself),
		test(test_subtrees),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
