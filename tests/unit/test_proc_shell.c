/*
 * test_proc_shell.c - shells in a whole guest, on either agent.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "live_guest.h"
#include "protocol/buf.h"
#include "protocol/line/lproc.h"

/* What a shell has said so far, gathered read by read. */
struct talk {
	struct live_guest *live;
	const char *id;
	struct proc_shell shell;
	size_t room, len, step; /* step: bytes of one read */
	char text[1 << 20];
};

static struct talk *open_talk(void **state, const char *id, const struct proc_settings *settings)
{
	struct talk *talk = calloc(1, sizeof(*talk));
	struct call call = live_call(20);
	struct error err = { 0 };

	talk->live = live_guest_need(state);
	talk->id = id;
	talk->step = 4096;
	if (lproc_shell_open(talk->live->guest, &call, id, settings, 100, 40, &talk->shell, &err))
		fail_msg("open %s: %s", id, err.text);
	return talk;
}

static void close_talk(struct talk *talk)
{
	struct call call = live_call(20);
	struct error err = { 0 };

	if (lproc_shell_close(talk->live->guest, &call, talk->id, &talk->shell, &err))
		fail_msg("close %s: %s", talk->id, err.text);
	assert_string_equal(talk->shell.state, "stopped");
	free(talk);
}

/* One read; returns its bytes. */
static ssize_t listen(struct talk *talk)
{
	struct call call = live_call(20);
	struct error err = { 0 };
	ssize_t got;

	assert_true(talk->len + talk->step < sizeof(talk->text));
	got = lproc_shell_read(talk->live->guest, &call, talk->id, talk->shell.cursor,
			       talk->text + talk->len, talk->step, &talk->shell, &err);
	if (got < 0)
		fail_msg("read %s: %s", talk->id, err.text);
	talk->len += (size_t)got;
	talk->text[talk->len] = '\0';
	return got;
}

static void wait_text(struct talk *talk, const char *want)
{
	struct call call = live_call(20);

	while (!memmem(talk->text, talk->len, want, strlen(want))) {
		if (listen(talk) == 0 && call_sleep(&call, 0.02))
			fail_msg("no '%s' in '%s'", want, talk->text);
	}
}

static void type(struct talk *talk, const char *text, size_t len)
{
	struct call call = live_call(20);
	struct error err = { 0 };

	for (size_t done = 0; done < len;) {
		ssize_t took = lproc_shell_write(talk->live->guest, &call, talk->id, text + done,
						 len - done, &err);

		if (took <= 0)
			fail_msg("write %s: %s", talk->id, err.text);
		done += (size_t)took;
	}
}

#define TYPE(talk, text) type(talk, text, sizeof(text) - 1)

static void test_talk(void **state)
{
	struct proc_env env[] = { { "GREETING", "it's \303\251" } };
	struct proc_settings settings = { .cwd = "/tmp", .env = env, .env_count = 1 };
	struct talk *talk = open_talk(state, "talk", &settings);

	assert_string_equal(talk->shell.state, "running");
	assert_int_equal(talk->shell.cols, 100);
	assert_int_equal(talk->shell.rows, 40);
	TYPE(talk, "echo \"<$GREETING:$PWD>\"\n");
	wait_text(talk, "<it's \303\251:/tmp>");
	TYPE(talk, "stty size\n");
	wait_text(talk, "40 100");
	close_talk(talk);
}

/* Cursors count characters and reads give bytes: nothing is lost or given twice in small steps. */
static void test_characters(void **state)
{
	struct proc_settings settings = { 0 };
	struct talk *talk = open_talk(state, "chars", &settings);
	autobuf struct buf want = BUF_INIT(4096);

	for (int i = 0; i < 300; i++)
		buf_adds(&want, i % 3 ? "\342\202\254" : "\360\237\230\200");
	talk->step = 4; /* one character */
	TYPE(talk,
	     "i=0; while [ $i -lt 300 ]; do [ $((i % 3)) = 0 ] && printf '\\360\\237\\230\\200' || "
	     "printf '\\342\\202\\254'; i=$((i + 1)); done; stty -echo; echo END''OF\n");
	wait_text(talk, "\360\237\230\200\342\202\254");
	talk->step = 32;
	wait_text(talk, buf_str(&want));
	wait_text(talk, "ENDOF");
	close_talk(talk);
}

/* A write takes a request's worth, whole characters. */
static void test_long_input(void **state)
{
	struct proc_settings settings = { 0 };
	struct talk *talk = open_talk(state, "long", &settings);
	struct call call = live_call(20);
	autobuf struct buf text = BUF_INIT(4096);

	TYPE(talk, "stty -echo; echo g''o; cat >/tmp/typed; echo \"=$(wc -c </tmp/typed)=\"\n");
	wait_text(talk, "go\r\n");
	for (int i = 0; i < 1000; i++)
		buf_adds(&text, "\342\202\254");
	assert_int_equal(
		lproc_shell_write(talk->live->guest, &call, "long", text.data, text.len, NULL),
		1023);
	type(talk, text.data + 1023, text.len - 1023);
	TYPE(talk, "\n\004");
	wait_text(talk, "=3001=");
	close_talk(talk);
}

static void test_interrupt_reaches_the_job(void **state)
{
	struct proc_settings settings = { 0 };
	struct talk *talk = open_talk(state, "int", &settings);
	struct call call = live_call(20);

	TYPE(talk, "sh -c 'echo st\"\"art; exec sleep 1000'\n");
	wait_text(talk, "start\r\n");
	assert_int_equal(lproc_shell_signal(talk->live->guest, &call, "int", "INT", NULL), 0);
	TYPE(talk, "echo goes\"on\"\n");
	wait_text(talk, "goeson");
	assert_int_equal(lproc_shell_signal(talk->live->guest, &call, "int", "USR1", NULL),
			 -EINVAL);
	assert_int_equal(lproc_shell_signal(talk->live->guest, &call, "int", "KILL", NULL), 0);
	while (strcmp(talk->shell.state, "running") == 0 && call_sleep(&call, 0.02) == 0)
		listen(talk);
	assert_string_equal(talk->shell.state, "stopped");
	close_talk(talk);
}

static void test_end(void **state)
{
	struct proc_settings settings = { 0 };
	struct talk *talk = open_talk(state, "end", &settings);
	struct call call = live_call(20);

	TYPE(talk, "exit 5\n");
	while (strcmp(talk->shell.state, "running") == 0 && call_sleep(&call, 0.02) == 0)
		listen(talk);
	assert_string_equal(talk->shell.state, "stopped");
	assert_true(talk->shell.has_exit_code);
	assert_int_equal(talk->shell.exit_code, 5);
	assert_int_equal(lproc_shell_write(talk->live->guest, &call, "end", "x", 1, NULL), -EBUSY);
	close_talk(talk);
}

/* Five seconds for a shell that does not want to go, and none of them the agent's. */
static void test_stubborn(void **state)
{
	struct proc_settings settings = { 0 };
	struct talk *talk = open_talk(state, "stubborn", &settings);
	struct live_guest *live = talk->live;

	TYPE(talk, "trap '' HUP; echo go\"ne\"\n");
	wait_text(talk, "gone");
	close_talk(talk);
	assert_true(live_guest_longest(live) < 3);
	assert_true(live_guest_longest(live) > 0 || !live_guest_is_reference());
}

static void test_errors(void **state)
{
	struct proc_settings settings = { 0 }, nowhere = { .cwd = "/nonexistent" };
	struct talk *talk = open_talk(state, "taken", &settings);
	struct guest *guest = talk->live->guest;
	struct call call = live_call(20);
	struct proc_shell shell;
	struct error err = { 0 };
	char bytes[4096];

	assert_int_equal(lproc_shell_open(guest, &call, "taken", &settings, 80, 24, &shell, &err),
			 -EEXIST);
	assert_int_equal(lproc_shell_open(guest, &call, "no way", &settings, 80, 24, &shell, &err),
			 -EINVAL);
	assert_int_equal(lproc_shell_open(guest, &call, "lost", &nowhere, 80, 24, &shell, &err),
			 -ENOENT);
	assert_int_equal(lproc_shell_read(guest, &call, "none", 0, bytes, 4096, &shell, NULL),
			 -ENOENT);
	assert_int_equal(lproc_shell_write(guest, &call, "none", "x", 1, NULL), -ENOENT);
	assert_int_equal(lproc_shell_signal(guest, &call, "none", "HUP", NULL), -ENOENT);
	assert_int_equal(lproc_shell_resize(guest, &call, "none", 80, 24, NULL), -EOPNOTSUPP);
	assert_int_equal(lproc_shell_close(guest, &call, "none", &shell, NULL), -ENOENT);
	close_talk(talk);
}

/*
 * Bytes that are no UTF-8: the bundled agent types them, the one of the field says that it cannot.
 */
static void test_odd_bytes(void **state)
{
	struct proc_settings settings = { 0 };
	struct talk *talk = open_talk(state, "odd", &settings);
	struct call call = live_call(20);
	ssize_t took;

	TYPE(talk, "stty -echo; echo g''o; head -n 1 | od -An -tx1\n");
	wait_text(talk, "go\r\n");
	assert_int_equal(
		lproc_shell_write(talk->live->guest, &call, "odd", "a\377\376b\n", 5, NULL), 1);
	took = lproc_shell_write(talk->live->guest, &call, "odd", "\377\376b\n", 4, NULL);
	assert_int_equal(took, live_guest_is_reference() ? -EILSEQ : 2);
	TYPE(talk, "b\n");
	wait_text(talk, live_guest_is_reference() ? "61 62 0a" : "61 ff fe 62 0a");
	close_talk(talk);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_talk),       cmocka_unit_test(test_characters),
		cmocka_unit_test(test_long_input), cmocka_unit_test(test_interrupt_reaches_the_job),
		cmocka_unit_test(test_end),        cmocka_unit_test(test_errors),
		cmocka_unit_test(test_odd_bytes),  cmocka_unit_test(test_stubborn),
	};

	return cmocka_run_group_tests(tests, live_guest_setup, live_guest_teardown);
}
