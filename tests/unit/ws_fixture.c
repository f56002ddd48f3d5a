/*
 * ws_fixture.c - a workspace for tests.  See ws_fixture.h.
 */
#include "ws_fixture.h"

#include <dirent.h>

enum fake_tools ws_fixture_tools;

int ws_fixture_setup(void **state)
{
	struct fixture *f = calloc(1, sizeof(*f));

	assert_non_null(f);
	f->guest = fake_guest_new(ws_fixture_tools);
	if (!f->guest) {
		free(f);
		*state = NULL;
		return 0;
	}
	assert_int_equal(lws_new_at(f->guest, f->guest->dir, &f->ws, &f->err), 0);
	f->call = call_within(60, NULL);
	*state = f;
	return 0;
}

static int private_names(const char *dir)
{
	DIR *stream = opendir(dir);
	struct dirent *entry;
	int count = 0;

	while ((entry = readdir(stream)))
		count += !strncmp(entry->d_name, WS_PRIVATE_PREFIX, strlen(WS_PRIVATE_PREFIX));
	closedir(stream);
	return count;
}

int ws_fixture_teardown(void **state)
{
	struct fixture *f = *state;

	if (!f)
		return 0;
	assert_null(f->ws->inodes); /* every handle was closed */
	lws_free(f->ws);
	assert_int_equal(private_names(f->guest->dir), 0);
	fake_guest_free(f->guest);
	free(f);
	return 0;
}

const char *ws_real(struct fixture *f, const char *path)
{
	static char buffers[4][4200];
	static int next;
	char *out = buffers[next++ % 4];

	snprintf(out, sizeof(buffers[0]), "%s/%s", f->guest->dir, path);
	return out;
}

void ws_put(struct fixture *f, const char *path, const char *text)
{
	FILE *file = fopen(ws_real(f, path), "w");

	assert_non_null(file);
	fputs(text, file);
	assert_int_equal(fclose(file), 0);
}

void ws_has(struct fixture *f, const char *path, const char *text)
{
	size_t room = strlen(text) + 100, got;
	char *bytes = malloc(room);
	FILE *file = fopen(ws_real(f, path), "r");

	assert_non_null(file);
	got = fread(bytes, 1, room - 1, file);
	bytes[got] = '\0';
	assert_string_equal(bytes, text);
	fclose(file);
	free(bytes);
}

struct lws_file *ws_must_open(struct fixture *f, const char *path, int flags, mode_t mode)
{
	struct lws_file *file = NULL;
	struct ws_attr attr;

	ok(f, lws_open(f->ws, &f->call, path, flags, mode, &file, &attr, &f->err));
	return file;
}

void ws_must_write(struct fixture *f, struct lws_file *file, int64_t offset, const char *text)
{
	ok(f, lws_write(file, &f->call, offset, text, strlen(text), &f->err));
}

void ws_must_close(struct fixture *f, struct lws_file *file)
{
	ok(f, lws_flush(file, &f->call, &f->err));
	ok(f, lws_close(file, &f->call, &f->err));
}

void ws_reads(struct fixture *f, struct lws_file *file, int64_t offset, const char *text)
{
	size_t room = strlen(text) + 100;
	char *bytes = malloc(room);
	ssize_t got = lws_read(file, &f->call, offset, bytes, room - 1, &f->err);

	ok(f, got);
	bytes[got] = '\0';
	assert_string_equal(bytes, text);
	free(bytes);
}

void ws_ok(struct fixture *f, long long rc, const char *file, int line)
{
	if (rc < 0)
		print_error("%s:%d: %lld %s\n", file, line, rc, f->err.text);
	_assert_true(rc >= 0, "succeeded", file, line);
}
