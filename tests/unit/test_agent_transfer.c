/* test_agent_transfer.c - archives, files and secrets through a real agent. */
#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include <archive.h>
#include <archive_entry.h>
#include <cmocka.h>

#include "agent_fixture.h"
#include "protocol/archive.h"
#include "tar_maker.h"

static json_t *upload(const struct agent_fixture *fixture, const char *action,
		      const char *destination, struct buf *tar)
{
	char line[512];
	json_t *reply;

	snprintf(line, sizeof(line),
		 "{\"action\": \"%s\", \"destination\": \"%s\", \"archive_size\": %zu}", action,
		 destination, tar->len);
	reply = agent_upload(fixture, line, tar->data, tar->len);
	buf_free(tar);
	return reply;
}

/* Vector 2 in the agent's role: a gzip tar with note.txt. */
static void test_upload_vector(void **state)
{
	struct archive *archive = archive_write_new();
	struct archive_entry *entry = archive_entry_new();
	struct buf tar = BUF_INIT(1 << 20);
	size_t used = 0;
	json_t *reply;

	assert_non_null(buf_reserve(&tar, 65536));
	assert_int_equal(archive_write_add_filter_gzip(archive), ARCHIVE_OK);
	assert_int_equal(archive_write_set_format_pax(archive), ARCHIVE_OK);
	assert_int_equal(archive_write_open_memory(archive, tar.data, 65536, &used), ARCHIVE_OK);
	archive_entry_copy_pathname(entry, "note.txt");
	archive_entry_set_mode(entry, S_IFREG | 0644);
	archive_entry_set_size(entry, 6);
	assert_int_equal(archive_write_header(archive, entry), ARCHIVE_OK);
	assert_int_equal(archive_write_data(archive, "hello\n", 6), 6);
	assert_int_equal(archive_write_close(archive), ARCHIVE_OK);
	archive_entry_free(entry);
	archive_write_free(archive);
	tar.len = used;

	reply = upload(*state, "extract_archive", "/workspace", &tar);
	agent_expect_keys(reply, "destination entry_count bytes_written");
	agent_expect_text(reply, "destination", "/workspace");
	agent_expect_int(reply, "entry_count", 1);
	agent_expect_int(reply, "bytes_written", 6);
	assert_true(agent_has(*state, "note.txt"));
	json_decref(reply);
}

/* Vector 3 in the agent's role: the header, a newline, exactly archive_size bytes. */
static void test_export_vector(void **state)
{
	static const char line[] =
		"{\"action\": \"export_archive\", \"path\": \"/workspace/note.txt\"}\n";
	int fd = agent_connect(*state);
	char *text, *tar;
	json_t *header;
	size_t len;

	agent_put_file(*state, "note.txt", "hello\n");
	agent_send(fd, line, sizeof(line) - 1);
	text = agent_receive(fd, &len);
	close(fd);
	tar = strchr(text, '\n') + 1;
	*(tar - 1) = '\0';
	header = json_loads(text, 0, NULL);
	agent_expect_keys(header,
			  "workspace_path artifact_type archive_size entry_count bytes_written");
	agent_expect_text(header, "workspace_path", "/workspace/note.txt");
	agent_expect_text(header, "artifact_type", "file");
	agent_expect_int(header, "archive_size", (int64_t)(text + len - tar));
	agent_expect_int(header, "entry_count", 1);
	agent_expect_int(header, "bytes_written", 6);
	assert_non_null(memmem(tar, (size_t)(text + len - tar), "hello\n", 6));
	json_decref(header);
	free(text);
}

static void test_uploads_that_fail(void **state)
{
	struct buf tar = BUF_INIT(16 << 20);
	char *big = malloc(8 << 20);

	memset(big, 'x', (8 << 20) - 1);
	big[(8 << 20) - 1] = '\0';
	/* The error comes although megabytes were still to be sent. */
	tar_add(&tar, '0', "../x", NULL, "evil", 0644);
	tar_add(&tar, '0', "big", NULL, big, 0644);
	agent_expect_error(upload(*state, "extract_archive", "/workspace", &tar), "'..'");
	assert_false(agent_has(*state, "big"));
	tar_add(&tar, '0', "big", NULL, big, 0644);
	agent_expect_error(upload(*state, "extract_archive", "/workspacex", &tar), "below");
	tar_add(&tar, '0', "f", NULL, "x", 0644);
	agent_expect_error(upload(*state, "extract_archive", "/workspace/../x", &tar), "'..'");
	buf_adds(&tar, big);
	agent_expect_error(upload(*state, "extract_archive", "/workspace", &tar),
			   "cannot read the archive");
	agent_expect_error(agent_call(*state, "{\"action\": \"extract_archive\", "
					      "\"archive_size\": 1099511627777}"),
			   "1099511627776");
	free(big);
}

static void test_upload_that_ends_early(void **state)
{
	int fd = agent_connect(*state);
	size_t len;
	char *text;

	agent_send(fd, "{\"action\": \"extract_archive\", \"archive_size\": 5000}\nshort", 58);
	shutdown(fd, SHUT_WR);
	text = agent_receive(fd, &len);
	assert_non_null(strstr(text, "{\"error\": \"the archive ended before its archive_size\"}"));
	free(text);
	close(fd);
}

static void test_destinations(void **state)
{
	const struct agent_fixture *fixture = *state;
	struct buf tar = BUF_INIT(1 << 20);
	char path[256];

	/* Made where it is missing. */
	tar_add(&tar, '0', "f", NULL, "x", 0644);
	tar_finish(&tar);
	json_decref(upload(*state, "extract_archive", "/workspace/new/below/", &tar));
	assert_true(agent_has(*state, "new/below/f"));
	/* Through a link only if it stays inside. */
	snprintf(path, sizeof(path), "%s/out", fixture->workspace);
	assert_int_equal(symlink("../run", path), 0);
	tar_add(&tar, '0', "f", NULL, "x", 0644);
	agent_expect_error(upload(*state, "extract_archive", "/workspace/out/", &tar), "leads out");
	tar_add(&tar, '0', "f", NULL, "x", 0644);
	agent_expect_error(upload(*state, "extract_archive", "/workspace/out/a/b", &tar), "out");
	agent_expect_error(agent_call(*state, "{\"action\": \"export_archive\", "
					      "\"path\": \"/workspace/out/x\"}"),
			   "/workspace/out/x");
}

/* Sends a file of SIZE bytes as an archive. */
static json_t *upload_big(const struct agent_fixture *fixture, int64_t size)
{
	static char zeros[1 << 20];
	int fd = agent_connect(fixture);
	struct error err;
	char line[128], *text;
	void *header;
	size_t len, received;
	json_t *reply;

	assert_int_equal(archive_file_header("big", size, &header, &len, &err), 0);
	snprintf(line, sizeof(line), "{\"action\": \"extract_archive\", \"archive_size\": %lld}\n",
		 (long long)size + (long long)len + 1024);
	agent_send(fd, line, strlen(line));
	agent_send(fd, header, len);
	for (int64_t left = size; left; left -= (int64_t)sizeof(zeros))
		agent_send(fd, zeros, sizeof(zeros));
	agent_send(fd, zeros, 1024);
	free(header);
	text = agent_receive(fd, &received);
	close(fd);
	reply = json_loads(text, 0, NULL);
	free(text);
	return reply;
}

static int64_t download_size(const struct agent_fixture *fixture)
{
	static char piece[1 << 20];
	int fd = agent_connect(fixture);
	int64_t total = 0;
	ssize_t n;

	agent_send(fd, "{\"action\": \"export_archive\"}\n", 29);
	while ((n = recv(fd, piece, sizeof(piece), 0)) > 0)
		total += n;
	assert_int_equal(n, 0);
	close(fd);
	return total;
}

/* 200 MiB in and out, in little memory; what is kept in memory would show. */
static void test_streams_in_bounded_memory(void **state)
{
	const int64_t size = INT64_C(200) << 20;
	json_t *reply = upload_big(*state, size);

	agent_expect_int(reply, "bytes_written", size);
	json_decref(reply);
	assert_true(download_size(*state) > size);
#if !defined(__SANITIZE_ADDRESS__)
	assert_in_range(agent_peak_kib(*state), 1, 64 << 10);
#endif
	json_decref(agent_call(*state, "{\"action\": \"delete_workspace_path\", "
				       "\"path\": \"/workspace/big\"}"));
	assert_false(agent_has(*state, "big"));
}

static void test_list(void **state)
{
	const struct agent_fixture *fixture = *state;
	char path[256];
	json_t *reply, *entry;

	snprintf(path, sizeof(path), "%s/list", fixture->workspace);
	assert_int_equal(mkdir(path, 0755), 0);
	snprintf(path, sizeof(path), "%s/list/d", fixture->workspace);
	assert_int_equal(mkdir(path, 0755), 0);
	snprintf(path, sizeof(path), "%s/list/link", fixture->workspace);
	assert_int_equal(symlink("d/f", path), 0);
	snprintf(path, sizeof(path), "%s/list/fifo", fixture->workspace);
	assert_int_equal(mkfifo(path, 0600), 0);
	agent_put_file(fixture, "list/d/f", "12345");

	reply = agent_call(fixture, "{\"action\": \"list_workspace\", "
				    "\"path\": \"/workspace/list\", \"recursive\": true}");
	agent_expect_keys(reply, "path artifact_type entries");
	agent_expect_text(reply, "artifact_type", "directory");
	assert_int_equal(json_array_size(json_object_get(reply, "entries")), 4);
	entry = json_array_get(json_object_get(reply, "entries"), 1);
	agent_expect_keys(entry, "path artifact_type size_bytes link_target");
	agent_expect_text(entry, "path", "/workspace/list/d/f");
	agent_expect_int(entry, "size_bytes", 5);
	entry = json_array_get(json_object_get(reply, "entries"), 2);
	agent_expect_text(entry, "artifact_type", "other");
	entry = json_array_get(json_object_get(reply, "entries"), 3);
	agent_expect_text(entry, "artifact_type", "symlink");
	agent_expect_text(entry, "link_target", "d/f");
	json_decref(reply);

	reply = agent_call(fixture, "{\"action\": \"list_workspace\", "
				    "\"path\": \"/workspace/list\", \"recursive\": false}");
	assert_int_equal(json_array_size(json_object_get(reply, "entries")), 3);
	json_decref(reply);
	/* The last component is looked at, not followed. */
	reply = agent_call(fixture, "{\"action\": \"list_workspace\", "
				    "\"path\": \"/workspace/list/link\"}");
	agent_expect_text(reply, "artifact_type", "symlink");
	json_decref(reply);
	agent_expect_error(agent_call(fixture, "{\"action\": \"list_workspace\", "
					       "\"path\": \"/workspace/no\"}"),
			   "No such file");
}

static void test_names_that_are_no_utf8(void **state)
{
	json_t *reply = agent_call(*state, "{\"action\": \"write_workspace_file\", "
					   "\"path\": \"/workspace/n\\udcff\", \"text\": \"x\"}");

	agent_expect_int(reply, "bytes_written", 1);
	json_decref(reply);
	assert_true(agent_has(*state, "n\xff"));
	reply = agent_call(*state, "{\"action\": \"delete_workspace_path\", "
				   "\"path\": \"/workspace/n\\udcff\"}");
	assert_true(json_is_true(json_object_get(reply, "deleted")));
	json_decref(reply);
	assert_false(agent_has(*state, "n\xff"));
}

static void test_read_write_delete(void **state)
{
	const struct agent_fixture *fixture = *state;
	struct stat st;
	char path[256];
	json_t *reply;

	reply = agent_call(fixture, "{\"action\": \"write_workspace_file\", "
				    "\"path\": \"/workspace/t\", \"text\": \"h\\u00e9\\u0000\"}");
	agent_expect_keys(reply, "path size_bytes bytes_written");
	agent_expect_int(reply, "size_bytes", 4);
	json_decref(reply);
	snprintf(path, sizeof(path), "%s/t", fixture->workspace);
	assert_int_equal(stat(path, &st), 0);
	assert_int_equal(st.st_mode & 07777, 0644);

	reply = agent_call(fixture, "{\"action\": \"read_workspace_file\", "
				    "\"path\": \"/workspace/t\", \"max_bytes\": 4}");
	agent_expect_keys(reply, "path size_bytes content_b64");
	agent_expect_text(reply, "content_b64", "aMOpAA==");
	json_decref(reply);
	agent_expect_error(agent_call(fixture, "{\"action\": \"read_workspace_file\", "
					       "\"path\": \"/workspace/t\", \"max_bytes\": 3}"),
			   "longer than 3 bytes");
	/* A mode that was there is kept. */
	assert_int_equal(chmod(path, 0751), 0);
	json_decref(agent_call(fixture, "{\"action\": \"write_workspace_file\", "
					"\"path\": \"/workspace/t\", \"text\": \"2\"}"));
	assert_int_equal(stat(path, &st), 0);
	assert_int_equal(st.st_mode & 07777, 0751);
	agent_expect_error(agent_call(fixture, "{\"action\": \"delete_workspace_path\", "
					       "\"path\": \"/workspace\"}"),
			   "directory");
	reply = agent_call(fixture, "{\"action\": \"delete_workspace_path\", "
				    "\"path\": \"/workspace/t\"}");
	agent_expect_keys(reply, "path deleted");
	json_decref(reply);
	agent_expect_error(agent_call(fixture, "{\"action\": \"write_workspace_file\", "
					       "\"path\": \"/workspace/no/t\", \"text\": \"\"}"),
			   "No such file");
}

/* A FIFO does not keep a reader, a link does not lead out, and no temporary file is left. */
static void test_files_that_are_none(void **state)
{
	const struct agent_fixture *fixture = *state;
	char path[256];
	json_t *reply;

	snprintf(path, sizeof(path), "%s/pipe", fixture->workspace);
	assert_int_equal(mkfifo(path, 0600), 0);
	agent_expect_error(agent_call(fixture, "{\"action\": \"read_workspace_file\", "
					       "\"path\": \"/workspace/pipe\"}"),
			   "not a file");
	snprintf(path, sizeof(path), "%s/passwd", fixture->workspace);
	assert_int_equal(symlink("/etc/passwd", path), 0);
	agent_expect_error(agent_call(fixture, "{\"action\": \"read_workspace_file\", "
					       "\"path\": \"/workspace/passwd\"}"),
			   "leads out");
	agent_expect_error(agent_call(fixture, "{\"action\": \"write_workspace_file\", \"path\": "
					       "\"/workspace/passwd/x\", \"text\": \"\"}"),
			   "");
	snprintf(path, sizeof(path), "%s/clean", fixture->workspace);
	assert_int_equal(mkdir(path, 0755), 0);
	agent_expect_error(agent_call(fixture, "{\"action\": \"write_workspace_file\", \"path\": "
					       "\"/workspace/clean\", \"text\": \"x\"}"),
			   "Is a directory");
	reply = agent_call(fixture, "{\"command\": \"ls -A %s | grep -c vsockfs\"}",
			   fixture->workspace);
	agent_expect_text(reply, "stdout", "0\n");
	json_decref(reply);
}

static void test_secrets_are_replaced_as_a_whole(void **state)
{
	const struct agent_fixture *fixture = *state;
	struct buf tar = BUF_INIT(1 << 20);
	char path[256];
	struct stat st;
	json_t *reply;

	tar_add(&tar, '0', "d/key", NULL, "one", 0755);
	tar_finish(&tar);
	reply = upload(fixture, "install_secrets", "", &tar);
	agent_expect_keys(reply, "destination entry_count bytes_written");
	agent_expect_int(reply, "bytes_written", 3);
	json_decref(reply);
	snprintf(path, sizeof(path), "%s/pyro-secrets/d/key", fixture->run);
	assert_int_equal(stat(path, &st), 0);
	assert_int_equal(st.st_mode & 07777, 0600);
	/* What fails leaves the old ones, and nothing of itself. */
	tar_add(&tar, '0', "/etc/key", NULL, "evil", 0644);
	agent_expect_error(upload(fixture, "install_secrets", "", &tar), "absolute");
	assert_int_equal(stat(path, &st), 0);
	tar_add(&tar, '0', "key", NULL, "two", 0644);
	tar_finish(&tar);
	json_decref(upload(fixture, "install_secrets", "", &tar));
	assert_int_equal(stat(path, &st), -1);
	reply = agent_call(
		fixture,
		"{\"command\": \"cd %s; ls -A; stat -c %%a:%%n pyro-secrets pyro-secrets/*\"}",
		fixture->run);
	agent_expect_text(reply, "stdout",
			  "pyro-secrets\npyro-services\n700:pyro-secrets\n"
			  "600:pyro-secrets/key\n");
	json_decref(reply);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_upload_vector),
		cmocka_unit_test(test_export_vector),
		cmocka_unit_test(test_uploads_that_fail),
		cmocka_unit_test(test_upload_that_ends_early),
		cmocka_unit_test(test_destinations),
		cmocka_unit_test(test_streams_in_bounded_memory),
		cmocka_unit_test(test_list),
		cmocka_unit_test(test_names_that_are_no_utf8),
		cmocka_unit_test(test_read_write_delete),
		cmocka_unit_test(test_files_that_are_none),
		cmocka_unit_test(test_secrets_are_replaced_as_a_whole),
	};

	return cmocka_run_group_tests_name("agent transfer", tests, agent_setup, agent_teardown);
}
