/*
 * test_line_files.c - listings and the actions on single workspace files.
 */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "protocol/line/line.h"
#include "script.h"

static void test_listing(void **state)
{
	struct script *script = *state;
	struct line_listing list;

	script_reply(script,
		     "{\"path\": \"/workspace\", \"artifact_type\": \"directory\", \"entries\": ["
		     "{\"path\": \"/workspace/a\", \"artifact_type\": \"file\", \"size_bytes\": 6, "
		     "\"link_target\": null}, "
		     "{\"path\": \"/workspace/\\udcff\", \"artifact_type\": \"symlink\", "
		     "\"size_bytes\": 1, \"link_target\": \"a\"}]}\n");
	assert_int_equal(line_list_workspace(script_guest(script), script_call(script),
					     "/workspace", true, &list, script_error(script)),
			 0);
	script_expect(script, "{\"action\": \"list_workspace\", \"path\": \"/workspace\", "
			      "\"recursive\": true}\n");
	assert_string_equal(list.path.data, "/workspace");
	assert_string_equal(list.artifact_type, "directory");
	assert_int_equal(list.count, 2);
	assert_string_equal(list.entries[0].path.data, "/workspace/a");
	assert_string_equal(list.entries[0].artifact_type, "file");
	assert_int_equal(list.entries[0].size_bytes, 6);
	assert_string_equal(list.entries[0].link_target.data, "");
	assert_string_equal(list.entries[1].path.data, "/workspace/\xff");
	assert_string_equal(list.entries[1].artifact_type, "symlink");
	assert_string_equal(list.entries[1].link_target.data, "a");
	line_listing_free(&list);
}

static void test_path_is_bytes_and_listing_defaults(void **state)
{
	struct script *script = *state;
	struct line_listing list;

	script_reply(script, "{\"entries\": [{}]}");
	assert_int_equal(line_list_workspace(script_guest(script), script_call(script),
					     "/workspace/\xc3\xa9\xff", false, &list,
					     script_error(script)),
			 0);
	script_expect(script,
		      "{\"action\": \"list_workspace\", \"path\": \"/workspace/\\u00e9\\udcff\", "
		      "\"recursive\": false}\n");
	assert_string_equal(list.path.data, "/workspace/\xc3\xa9\xff");
	assert_string_equal(list.artifact_type, "file");
	assert_int_equal(list.count, 1);
	assert_string_equal(list.entries[0].path.data, "");
	assert_string_equal(list.entries[0].artifact_type, "file");
	line_listing_free(&list);

	script_reply(script, "{\"entries\": null}");
	assert_int_equal(line_list_workspace(script_guest(script), script_call(script), "/", false,
					     &list, script_error(script)),
			 0);
	assert_int_equal(list.count, 0);
	line_listing_free(&list);
}

static void test_wrong_listings_are_named(void **state)
{
	static const char *const wrong[][2] = {
		{ "{\"entries\": {}}", "entries must be an array" },
		{ "{\"entries\": [{}, 1]}", "entry 1 must be an object" },
		{ "{\"entries\": [{\"path\": 1}]}", "entry 0: " },
		{ "{\"entries\": [{\"path\": \"a\"}, {\"size_bytes\": -1}]}", "size_bytes is -1" },
		{ "{\"entries\": [{\"link_target\": false}]}", "link_target must be a string" },
		{ "{\"path\": 7}", "path must be a string" },
	};
	struct script *script = *state;
	struct line_listing list;

	for (size_t i = 0; i < sizeof(wrong) / sizeof(wrong[0]); i++) {
		script_reply(script, wrong[i][0]);
		assert_int_equal(line_list_workspace(script_guest(script), script_call(script),
						     "/workspace", true, &list,
						     script_error(script)),
				 -EPROTO);
		script_expect_error(script, wrong[i][1]);
		line_listing_free(&list);
	}
}

static int read_note(struct script *script, int64_t max_bytes, struct line_file_reply *reply)
{
	return line_read_file(script_guest(script), script_call(script), "/workspace/note.txt",
			      max_bytes, reply, script_error(script));
}

static void test_read(void **state)
{
	struct script *script = *state;
	struct line_file_reply reply;

	script_reply(script, "{\"path\": \"/workspace/note.txt\", \"size_bytes\": 7, "
			     "\"content_b64\": \"Zm9vYgD//g==\"}\n");
	assert_int_equal(read_note(script, 65536, &reply), 0);
	script_expect(script, "{\"action\": \"read_workspace_file\", \"path\": "
			      "\"/workspace/note.txt\", \"max_bytes\": 65536}\n");
	assert_int_equal(reply.size_bytes, 7);
	assert_int_equal(reply.content.len, 7);
	assert_memory_equal(reply.content.data, "foob\0\xff\xfe", 7);
	line_file_reply_free(&reply);

	script_reply(script, "{\"size_bytes\": 0, \"content_b64\": \"\"}");
	assert_int_equal(read_note(script, 1, &reply), 0);
	assert_string_equal(reply.path.data, "/workspace/note.txt");
	assert_int_equal(reply.content.len, 0);
	line_file_reply_free(&reply);
}

static void test_wrong_reads_are_named(void **state)
{
	static const char *const wrong[][2] = {
		{ "{\"size_bytes\": 3, \"content_b64\": \"Zm9vYg==\"}", "size_bytes is 3" },
		{ "{\"size_bytes\": 5, \"content_b64\": \"Zm9vYmE=\"}", "at most 4" },
		{ "{\"size_bytes\": 1, \"content_b64\": \"Zh==\"}", "not base64" },
		{ "{\"size_bytes\": 1, \"content_b64\": \"Zg==\\n\"}", "not base64" },
		{ "{\"size_bytes\": 1, \"content_b64\": 1}", "content_b64 must be a string" },
		{ "{\"size_bytes\": \"1\", \"content_b64\": \"Zg==\"}", "size_bytes must be" },
	};
	struct script *script = *state;
	struct line_file_reply reply;

	for (size_t i = 0; i < sizeof(wrong) / sizeof(wrong[0]); i++) {
		script_reply(script, wrong[i][0]);
		assert_int_equal(read_note(script, 4, &reply), -EPROTO);
		script_expect_error(script, wrong[i][1]);
		line_file_reply_free(&reply);
	}
}

static void test_write(void **state)
{
	struct script *script = *state;
	struct line_file_reply reply;

	script_reply(script, "{\"path\": \"/workspace/note.txt\", \"size_bytes\": 9, "
			     "\"bytes_written\": 9}");
	assert_int_equal(line_write_file(script_guest(script), script_call(script),
					 "/workspace/note.txt", "h\xc3\xa9llo\n\0z", 9, &reply,
					 script_error(script)),
			 0);
	script_expect(script,
		      "{\"action\": \"write_workspace_file\", \"path\": \"/workspace/note.txt\", "
		      "\"text\": \"h\\u00e9llo\\n\\u0000z\"}\n");
	assert_int_equal(reply.bytes_written, 9);
	line_file_reply_free(&reply);
}

static void test_delete(void **state)
{
	struct script *script = *state;
	struct line_file_reply reply;

	script_reply(script, "{\"path\": \"/workspace/a\", \"deleted\": true}");
	assert_int_equal(line_delete_path(script_guest(script), script_call(script), "/workspace/a",
					  &reply, script_error(script)),
			 0);
	script_expect(script,
		      "{\"action\": \"delete_workspace_path\", \"path\": \"/workspace/a\"}\n");
	assert_true(reply.deleted);
	line_file_reply_free(&reply);

	script_reply(script, "{\"deleted\": 1}");
	assert_int_equal(line_delete_path(script_guest(script), script_call(script), "/workspace/a",
					  &reply, script_error(script)),
			 -EPROTO);
	script_expect_error(script, "deleted must be true or false");
	line_file_reply_free(&reply);
}

static void test_bad_arguments_are_never_sent(void **state)
{
	struct script *script = *state;
	struct line_file_reply reply;
	char *text = calloc(1, LIMIT_TEXT_FILE + 1);

	script_reply(script, "{}");
	assert_int_equal(read_note(script, 0, &reply), -EINVAL);
	script_expect_error(script, "max_bytes");
	assert_int_equal(read_note(script, LIMIT_TEXT_FILE + 1, &reply), -EINVAL);
	assert_int_equal(line_write_file(script_guest(script), script_call(script), "/workspace/a",
					 "\xff", 1, &reply, script_error(script)),
			 -EINVAL);
	script_expect_error(script, "UTF-8");
	assert_int_equal(line_write_file(script_guest(script), script_call(script), "/workspace/a",
					 text, LIMIT_TEXT_FILE + 1, &reply, script_error(script)),
			 -EFBIG);
	script_expect_nothing(script);
	free(text);
}

#define SCRIPTED(test) cmocka_unit_test_setup_teardown(test, script_setup, script_teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		SCRIPTED(test_listing),
		SCRIPTED(test_path_is_bytes_and_listing_defaults),
		SCRIPTED(test_wrong_listings_are_named),
		SCRIPTED(test_read),
		SCRIPTED(test_wrong_reads_are_named),
		SCRIPTED(test_write),
		SCRIPTED(test_delete),
		SCRIPTED(test_bad_arguments_are_never_sent),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
