/*
 * test_line_archive.c - archives to and from the guest, byte for byte.
 */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "protocol/line/line.h"
#include "script.h"

/* A tar's bytes as far as the line dialect is concerned: anything, with NULs and newlines. */
static const char archive[] = "note.txt\0\0\n{\"a\": 1}\n\xff\x80 and the rest of it";
#define ARCHIVE_SIZE (sizeof(archive) - 1)
#define SIZE_TEXT "41"
_Static_assert(ARCHIVE_SIZE == 41, "SIZE_TEXT says otherwise");

static struct line_payload payload(const void *bytes, size_t len)
{
	struct line_payload made;

	assert_int_equal(line_payload_from_memory(&made, bytes, len, NULL), 0);
	return made;
}

static void expect_line_and_archive(struct script *script, const char *line)
{
	char sent[256];
	size_t len = strlen(line);

	assert_true(len + ARCHIVE_SIZE <= sizeof(sent));
	memcpy(sent, line, len);
	memcpy(sent + len, archive, ARCHIVE_SIZE);
	script_expect_bytes(script, sent, len + ARCHIVE_SIZE);
}

/* The protocol's vector 2. */
static void test_vector_2_upload(void **state)
{
	struct script *script = *state;
	struct line_archive_reply reply;

	script_reply(script,
		     "{\"destination\":\"/workspace\",\"entry_count\":1,\"bytes_written\":6}");
	assert_int_equal(line_extract_archive(script_guest(script), script_call(script),
					      "/workspace", payload(archive, ARCHIVE_SIZE), &reply,
					      script_error(script)),
			 0);
	expect_line_and_archive(script, "{\"action\": \"extract_archive\", \"destination\": "
					"\"/workspace\", \"archive_size\": " SIZE_TEXT "}\n");
	assert_string_equal(reply.path.data, "/workspace");
	assert_int_equal(reply.entry_count, 1);
	assert_int_equal(reply.bytes_written, 6);
	line_archive_reply_free(&reply);
}

static void test_upload_from_a_part_of_a_file(void **state)
{
	struct script *script = *state;
	struct line_archive_reply reply;
	struct line_payload file;
	FILE *holder = tmpfile();

	fputs("before", holder);
	fwrite(archive, 1, ARCHIVE_SIZE, holder);
	fputs("after", holder);
	fflush(holder);
	assert_int_equal(line_payload_from_fd(&file, fileno(holder), 6, ARCHIVE_SIZE, NULL), 0);
	fclose(holder); /* the payload has a descriptor of its own */
	script_reply(script, "{}");
	assert_int_equal(line_extract_archive(script_guest(script), script_call(script),
					      "/workspace/d", file, &reply, script_error(script)),
			 0);
	expect_line_and_archive(script, "{\"action\": \"extract_archive\", \"destination\": "
					"\"/workspace/d\", \"archive_size\": " SIZE_TEXT "}\n");
	assert_string_equal(reply.path.data, "/workspace/d"); /* as requested */
	assert_int_equal(reply.entry_count, 0);
	line_archive_reply_free(&reply);
}

static void test_payloads_say_when_their_file_is_short(void **state)
{
	struct line_payload file;
	FILE *holder = tmpfile();
	char bytes[8];

	(void)state;
	fputs("abc", holder);
	fflush(holder);
	assert_int_equal(line_payload_from_fd(&file, fileno(holder), 1, 5, NULL), 0);
	assert_int_equal(file.read(file.arg, bytes, sizeof(bytes)), 2);
	assert_memory_equal(bytes, "bc", 2);
	assert_int_equal(file.read(file.arg, bytes, sizeof(bytes)), -EIO);
	file.destroy(file.arg);
	fclose(holder);
	assert_int_equal(line_payload_from_fd(&file, -1, 0, 5, NULL), -EBADF);
	assert_int_equal(line_payload_from_fd(&file, 0, -1, 5, NULL), -EINVAL);
	assert_int_equal(line_payload_from_fd(&file, 0, INT64_MAX, 1, NULL), -EINVAL);
}

static void test_install_secrets(void **state)
{
	struct script *script = *state;
	struct line_archive_reply reply;

	script_reply(script, "{\"destination\": \"/run/pyro-secrets\", \"entry_count\": 2, "
			     "\"bytes_written\": 12}\n");
	assert_int_equal(line_install_secrets(script_guest(script), script_call(script),
					      payload(archive, ARCHIVE_SIZE), &reply,
					      script_error(script)),
			 0);
	expect_line_and_archive(
		script, "{\"action\": \"install_secrets\", \"archive_size\": " SIZE_TEXT "}\n");
	assert_string_equal(reply.path.data, "/run/pyro-secrets");
	assert_int_equal(reply.entry_count, 2);
	line_archive_reply_free(&reply);
}

static void count_destroy(void *arg)
{
	++*(int *)arg;
}

static void test_refused_payloads_are_destroyed_and_never_sent(void **state)
{
	struct script *script = *state;
	struct line_archive_reply reply;
	int destroyed = 0;
	struct line_payload odd = { .size = 0, .arg = &destroyed, .destroy = count_destroy };

	script_reply(script, "{}");
	assert_int_equal(line_extract_archive(script_guest(script), script_call(script),
					      "/workspace", odd, &reply, script_error(script)),
			 -EINVAL);
	script_expect_error(script, "empty");
	odd.size = LIMIT_ARCHIVE_SIZE + 1;
	assert_int_equal(line_install_secrets(script_guest(script), script_call(script), odd,
					      &reply, script_error(script)),
			 -EFBIG);
	script_expect_error(script, "1099511627776");
	assert_int_equal(destroyed, 2);
	script_expect_nothing(script);
}

static void test_wrong_upload_fields_are_named(void **state)
{
	static const char *const wrong[][2] = {
		{ "{\"destination\": 1}", "destination must be a string" },
		{ "{\"entry_count\": -1}", "entry_count is -1" },
		{ "{\"bytes_written\": \"6\"}", "bytes_written must be an integer" },
	};
	struct script *script = *state;
	struct line_archive_reply reply;

	for (size_t i = 0; i < sizeof(wrong) / sizeof(wrong[0]); i++) {
		script_reply(script, wrong[i][0]);
		assert_int_equal(line_extract_archive(script_guest(script), script_call(script),
						      "/workspace", payload(archive, ARCHIVE_SIZE),
						      &reply, script_error(script)),
				 -EPROTO);
		script_expect_error(script, wrong[i][1]);
		line_archive_reply_free(&reply);
	}
}

struct arrived {
	char bytes[256];
	size_t len;
	int answer;
};

static int sink(void *arg, const void *bytes, size_t len)
{
	struct arrived *arrived = arg;

	assert_true(len <= sizeof(arrived->bytes) - arrived->len);
	memcpy(arrived->bytes + arrived->len, bytes, len);
	arrived->len += len;
	return arrived->answer;
}

static int export(struct script *script, const char *header, struct arrived *arrived,
		  struct line_archive_reply *reply)
{
	char answer[512];
	size_t len = strlen(header);

	assert_true(len + ARCHIVE_SIZE <= sizeof(answer));
	memcpy(answer, header, len);
	memcpy(answer + len, archive, ARCHIVE_SIZE);
	script_reply_bytes(script, answer, len + ARCHIVE_SIZE);
	return line_export_archive(script_guest(script), script_call(script), "/workspace/note.txt",
				   1 << 20, sink, arrived, reply, script_error(script));
}

/* The protocol's vector 3. */
static void test_vector_3_export(void **state)
{
	struct script *script = *state;
	struct arrived arrived = { 0 };
	struct line_archive_reply reply;

	assert_int_equal(export(script,
				"{\"workspace_path\": \"/workspace/note.txt\", \"artifact_type\": "
				"\"file\", \"archive_size\": " SIZE_TEXT ", \"entry_count\": 1, "
				"\"bytes_written\": 6}\n",
				&arrived, &reply),
			 0);
	script_expect(script,
		      "{\"action\": \"export_archive\", \"path\": \"/workspace/note.txt\"}\n");
	assert_int_equal(arrived.len, ARCHIVE_SIZE);
	assert_memory_equal(arrived.bytes, archive, ARCHIVE_SIZE);
	assert_string_equal(reply.path.data, "/workspace/note.txt");
	assert_string_equal(reply.artifact_type, "file");
	assert_int_equal(reply.archive_size, ARCHIVE_SIZE);
	assert_int_equal(reply.entry_count, 1);
	assert_int_equal(reply.bytes_written, 6);
	line_archive_reply_free(&reply);
}

static void test_export_defaults(void **state)
{
	struct script *script = *state;
	struct arrived arrived = { 0 };
	struct line_archive_reply reply;

	assert_int_equal(export(script,
				"{\"archive_size\": " SIZE_TEXT ", \"artifact_type\": null}\n",
				&arrived, &reply),
			 0);
	assert_string_equal(reply.path.data, "/workspace/note.txt");
	assert_string_equal(reply.artifact_type, "file");
	line_archive_reply_free(&reply);
}

static void test_wrong_export_fields_are_named(void **state)
{
	static const char *const wrong[][2] = {
		{ "{\"archive_size\": " SIZE_TEXT ", \"workspace_path\": 1}\n", "workspace_path" },
		{ "{\"archive_size\": " SIZE_TEXT ", \"artifact_type\": \"fi\\nle\"}\n",
		  "artifact_type" },
		{ "{\"archive_size\": " SIZE_TEXT ", \"artifact_type\": \"0123456789abcdef\"}\n",
		  "artifact_type" },
		{ "{\"archive_size\": " SIZE_TEXT ", \"entry_count\": 1.0}\n", "entry_count" },
	};
	struct script *script = *state;
	struct line_archive_reply reply;

	for (size_t i = 0; i < sizeof(wrong) / sizeof(wrong[0]); i++) {
		struct arrived arrived = { 0 };

		assert_int_equal(export(script, wrong[i][0], &arrived, &reply), -EPROTO);
		script_expect_error(script, wrong[i][1]);
		line_archive_reply_free(&reply);
	}
}

static void test_a_sink_that_fails_ends_the_export(void **state)
{
	struct script *script = *state;
	struct arrived arrived = { .answer = -ENOSPC };
	struct line_archive_reply reply;

	assert_int_equal(export(script, "{\"archive_size\": " SIZE_TEXT "}\n", &arrived, &reply),
			 -ENOSPC);
	line_archive_reply_free(&reply);
}

#define SCRIPTED(test) cmocka_unit_test_setup_teardown(test, script_setup, script_teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		SCRIPTED(test_vector_2_upload),
		SCRIPTED(test_upload_from_a_part_of_a_file),
		SCRIPTED(test_payloads_say_when_their_file_is_short),
		SCRIPTED(test_install_secrets),
		SCRIPTED(test_refused_payloads_are_destroyed_and_never_sent),
		SCRIPTED(test_wrong_upload_fields_are_named),
		SCRIPTED(test_vector_3_export),
		SCRIPTED(test_export_defaults),
		SCRIPTED(test_wrong_export_fields_are_named),
		SCRIPTED(test_a_sink_that_fails_ends_the_export),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
