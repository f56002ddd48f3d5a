/* test_archive.c - tar in and out: what goes in comes out. */
#include <errno.h>
#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include <cmocka.h>

#include "archive_fixture.h"

static void test_everything_arrives(void **state)
{
	struct place_fixture *f = *state;
	struct stat st;
	char target[16] = "";

	tar_add(&f->tar, '5', "./", NULL, NULL, 0700);
	tar_add(&f->tar, '5', "./d/", NULL, NULL, 0555);
	tar_add_pax(&f->tar, "mtime", "1234567890.123456789");
	tar_add(&f->tar, '0', "./d/f", NULL, "hello\n", 06751);
	tar_add(&f->tar, '2', "d/l", "../x/y", NULL, 0777);
	tar_add(&f->tar, '1', "d/h", "./d/f", NULL, 0644);
	tar_add(&f->tar, '0', "made/on/the/way", NULL, "", 0600);
	tar_add(&f->tar, '6', "fifo", NULL, NULL, 0600);
	tar_add(&f->tar, '0', "caf\xc3\xa9 \xff\n", NULL, "odd", 0644);
	assert_int_equal(place_extract(f), 0);
	assert_int_equal(f->counts.entries, 7);
	assert_int_equal(f->counts.bytes, 9);

	place_expect_text(f, "d/f", "hello\n");
	place_expect_text(f, "caf\xc3\xa9 \xff\n", "odd");
	st = place_look(f, "d/f");
	assert_int_equal(st.st_mode, S_IFREG | 0751);
	assert_int_equal(st.st_mtim.tv_sec, 1234567890);
	assert_int_equal(st.st_mtim.tv_nsec, 123456789);
	assert_int_equal(st.st_nlink, 2);
	assert_int_equal(place_look(f, "d/h").st_ino, st.st_ino);
	/* A directory's mode and time are set when nothing is made in it any more. */
	st = place_look(f, "d");
	assert_int_equal(st.st_mode, S_IFDIR | 0555);
	assert_int_equal(st.st_mtim.tv_sec, 1000000000);
	assert_int_equal(readlinkat(f->root, "d/l", target, sizeof(target)), 6);
	assert_string_equal(target, "../x/y");
	assert_int_equal(place_look(f, "d/l").st_mtim.tv_sec, 1000000000);
	assert_true(S_ISFIFO(place_look(f, "fifo").st_mode));
	/* The root itself is not the archive's to change. */
	assert_int_equal(place_look(f, ".").st_mode, S_IFDIR | 0755);
}

static void test_existing_files_are_written_in_place(void **state)
{
	struct place_fixture *f = *state;
	ino_t inode;

	tar_add(&f->tar, '0', "f", NULL, "a long first text", 0600);
	tar_add(&f->tar, '2', "l", "one", NULL, 0777);
	assert_int_equal(place_extract(f), 0);
	inode = place_look(f, "f").st_ino;
	buf_free(&f->tar);
	tar_add(&f->tar, '0', "f", NULL, "short", 0755);
	tar_add(&f->tar, '2', "l", "other", NULL, 0777);
	assert_int_equal(place_extract(f), 0);
	place_expect_text(f, "f", "short");
	assert_int_equal(place_look(f, "f").st_ino, inode);
	assert_int_equal(place_look(f, "f").st_mode, S_IFREG | 0755);
	assert_int_equal(place_look(f, "l").st_size, 5);
}

static void test_damaged_archives(void **state)
{
	struct place_fixture *f = *state;

	buf_adds(&f->tar, "this is no archive, however long one looks at it");
	assert_int_equal(place_extract(f), -EBADMSG);
	buf_free(&f->tar);

	/* It ends in the middle of a file. */
	tar_add(&f->tar, '0', "f", NULL, "text", 0644);
	f->tar.len = 514;
	f->given = 0;
	assert_int_equal(archive_extract(f->root, place_give, f, &f->room, &f->counts, &f->err),
			 -EBADMSG);
	assert_non_null(strstr(f->err.text, "'f'"));
	buf_free(&f->tar);

	/* A gzip stream with nothing sensible in it. */
	buf_add(&f->tar, "\x1f\x8b\x08\0\0\0\0\0\0\x03garbage garbage", 25);
	assert_int_equal(place_extract(f), -EBADMSG);
}

static ssize_t give_error(void *arg, void *bytes, size_t len)
{
	struct place_fixture *f = arg;

	return f->given < 600 ? place_give(arg, bytes, len) : -ETIMEDOUT;
}

static void test_errors_of_the_stream_are_told(void **state)
{
	struct place_fixture *f = *state;
	char text[2000];

	memset(text, 'x', sizeof(text) - 1);
	text[sizeof(text) - 1] = '\0';
	tar_add(&f->tar, '0', "f", NULL, text, 0644);
	assert_int_equal(archive_extract(f->root, give_error, f, &f->room, &f->counts, &f->err),
			 -ETIMEDOUT);
}

static int keep(void *arg, const void *bytes, size_t len)
{
	struct buf *tar = arg;

	buf_add(tar, bytes, len);
	return tar->overflow ? -ENOSPC : 0;
}

/* What is exported comes back as it was, and the same tree gives the same bytes. */
static void test_round_trip(void **state)
{
	struct place_fixture *f = *state;
	struct buf first = BUF_INIT(1 << 20), second = BUF_INIT(1 << 20);
	struct timespec times[2] = { { .tv_nsec = UTIME_OMIT }, { 1600000000, 987654321 } };
	struct buf deep = BUF_INIT(1024);

	tar_add(&f->tar, '0', "b", NULL, "hello\n", 0640);
	tar_add(&f->tar, '1', "a", "b", NULL, 0644);
	tar_add(&f->tar, '0', "B", NULL, "", 0644);
	tar_add(&f->tar, '5', "d/e", NULL, NULL, 0711);
	tar_add(&f->tar, '0', "d/\xc3\xa9\xff", NULL, "odd", 0644);
	tar_add(&f->tar, '2', "d/l", "e", NULL, 0777);
	tar_add(&f->tar, '6', "fifo", NULL, NULL, 0644);
	for (int i = 0; i < 50; i++)
		buf_adds(&deep, "directory/");
	buf_adds(&deep, "end");
	tar_add(&f->tar, '0', deep.data, NULL, "deep", 0644);
	assert_int_equal(place_extract(f), 0);
	assert_int_equal(utimensat(f->root, "d/\xc3\xa9\xff", times, 0), 0);
	assert_int_equal(archive_export(f->root, "", keep, &first, &f->counts, &f->err), 0);
	assert_int_equal(f->counts.bytes, 13);
	assert_int_equal(f->counts.entries, 7 + 1 + 51);

	close(f->root);
	assert_int_equal(mkdirat(f->outside, "copy", 0755), 0);
	f->root = openat(f->outside, "copy", O_RDONLY | O_DIRECTORY);
	buf_free(&f->tar);
	buf_add(&f->tar, first.data, first.len);
	f->given = 0;
	assert_int_equal(archive_extract(f->root, place_give, f, &f->room, &f->counts, &f->err), 0);
	assert_int_equal(place_look(f, "a").st_ino, place_look(f, "b").st_ino);
	assert_int_equal(place_look(f, "d/\xc3\xa9\xff").st_mtim.tv_nsec, 987654321);
	place_expect_text(f, deep.data, "deep");
	assert_int_equal(archive_export(f->root, "/", keep, &second, &f->counts, &f->err), -EXDEV);
	assert_int_equal(archive_export(f->root, ".", keep, &second, &f->counts, &f->err), 0);
	assert_int_equal(first.len, second.len);
	assert_memory_equal(first.data, second.data, first.len);
	buf_free(&first);
	buf_free(&second);
	buf_free(&deep);
}

static void test_export_of_one_thing(void **state)
{
	struct place_fixture *f = *state;
	struct buf out = BUF_INIT(1 << 20);
	struct sockaddr_un address = { .sun_family = AF_UNIX };
	int fd;

	tar_add(&f->tar, '0', "d/f", NULL, "hello\n", 0640);
	tar_add(&f->tar, '2', "d/l", "f", NULL, 0777);
	assert_int_equal(place_extract(f), 0);
	assert_int_equal(archive_export(f->root, "d/f", keep, &out, &f->counts, &f->err), 0);
	assert_int_equal(f->counts.entries, 1);
	assert_int_equal(f->counts.bytes, 6);
	buf_free(&out);
	assert_int_equal(archive_export(f->root, "d/l", keep, &out, &f->counts, &f->err), 0);
	assert_int_equal(f->counts.entries, 1);
	assert_int_equal(f->counts.bytes, 0);
	buf_free(&out);
	assert_int_equal(archive_export(f->root, "d/no", keep, &out, &f->counts, &f->err), -ENOENT);
	assert_int_equal(archive_export(f->root, "../victim", keep, &out, &f->counts, &f->err),
			 -EXDEV);
	assert_int_equal(symlinkat("../victim", f->root, "out"), 0);
	assert_int_equal(archive_export(f->root, "out/x", keep, &out, &f->counts, &f->err), -ELOOP);
	/* A socket is left out of its directory. */
	fd = socket(AF_UNIX, SOCK_STREAM, 0);
	snprintf(address.sun_path, sizeof(address.sun_path), "%s/root/d/s", f->dir);
	assert_int_equal(bind(fd, (struct sockaddr *)&address, sizeof(address)), 0);
	assert_int_equal(archive_export(f->root, "d", keep, &out, &f->counts, &f->err), 0);
	assert_int_equal(f->counts.entries, 2);
	close(fd);
	buf_free(&out);
	/* The receiver's error is the export's. */
	buf_init(&out, 100);
	assert_int_equal(archive_export(f->root, "d", keep, &out, &f->counts, &f->err), -ENOSPC);
	buf_free(&out);
}

static void check_file_header(struct place_fixture *f, const char *name)
{
	void *header;
	size_t len;

	assert_int_equal(archive_file_header(name, 5, &header, &len, &f->err), 0);
	assert_int_equal(len % 512, 0);
	buf_free(&f->tar);
	buf_add(&f->tar, header, len);
	buf_add(&f->tar, "12345", 5);
	while (f->tar.len % 512)
		buf_add(&f->tar, "", 1);
	free(header);
	assert_int_equal(place_extract(f), 0);
	assert_int_equal(f->counts.entries, 1);
	place_expect_text(f, name, "12345");
}

static void test_file_header_makes_an_archive(void **state)
{
	char name[LIMIT_NAME + 1] = "";
	void *header;
	size_t len;

	check_file_header(*state, "note.txt");
	check_file_header(*state, "n\xc3\xb6t\xff");
	memset(name, 'n', LIMIT_NAME);
	check_file_header(*state, name);
	/* More than a ustar header can say. */
	assert_int_equal(archive_file_header("big", INT64_C(1) << 40, &header, &len, NULL), 0);
	free(header);
}

/* For the sanitizers: nothing is left of a header that was given up. */
static void test_file_header_too_long(void **state)
{
	struct place_fixture *f = *state;
	char name[80000];
	void *header;
	size_t len;

	memset(name, 'n', sizeof(name) - 1);
	name[sizeof(name) - 1] = '\0';
	assert_int_equal(archive_file_header(name, 5, &header, &len, &f->err), -EINVAL);
	assert_non_null(strstr(f->err.text, "archive header"));
}

#define TEST(function) cmocka_unit_test_setup_teardown(function, place_setup, place_teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(test_everything_arrives),
		TEST(test_existing_files_are_written_in_place),
		TEST(test_damaged_archives),
		TEST(test_errors_of_the_stream_are_told),
		TEST(test_round_trip),
		TEST(test_export_of_one_thing),
		TEST(test_file_header_makes_an_archive),
		TEST(test_file_header_too_long),
	};

	return cmocka_run_group_tests_name("archive", tests, NULL, NULL);
}
